"""Counts every step that a process takes on the file system below one folder, and spoils the chosen one.

Python imports a module of this name when it starts, so grokscope knows nothing of it. `HARNESS_CONTROL` names
a folder with `plan.json`: `folder` to watch, `at` which step (counted over all processes, from 1) something
is done, and `how`: `kill` before it, `tear` (kill once it is done, a write half), the name of an errno, or
`full`, which is ENOSPC from this step on. `steps` gets a line for each step, `acknowledged` a hard link to
each file whose rename has been made durable, `unseen` what was written behind the harness's back.
"""

import builtins
import errno
import json
import os
import signal
import sys
from pathlib import Path

LINE = 512
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NEEDS_SPACE = ("open", "write", "mkdir", "link", "symlink")
MOVES = ("replace", "rename", "link", "symlink")
CHANGES = ("unlink", "remove", "mkdir", "rmdir", "truncate", "ftruncate", "chmod", "fchmod")
COPIES = ("dup", "dup2")
real = {name: getattr(os, name) for name in ("open", "write", "close", "fsync", *MOVES, *CHANGES, *COPIES)}


class Watch:
    """One process's view of the plan."""

    def __init__(self, control):
        self.control = control
        self.begin()

    def begin(self):
        """Read the plan; a forked process does so anew."""
        self.known = {}  # descriptors of watched files and folders: path
        self.renamed = {}  # folder: what was renamed into it and is not durable yet
        self.inside = False
        try:
            self.plan = json.loads(Path(self.control, "plan.json").read_text())
        except FileNotFoundError:
            self.plan = {"folder": None}
        self.folder = self.plan["folder"]
        self.counter = None

    def watched(self, path):
        """The path as text when it lies below the folder, else None."""
        if self.folder is None or isinstance(path, int):
            return None
        path = os.path.abspath(os.fsdecode(path))
        return path if path == self.folder or path.startswith(self.folder + "/") else None

    def count(self, kind, path):
        """Write the step down; return its number, over all processes."""
        if self.counter is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self.counter = real["open"](f"{self.control}/steps", flags, 0o666)
        line = f"{os.getpid()} {kind} {os.path.relpath(path, self.folder)}"[: LINE - 1]
        real["write"](self.counter, line.ljust(LINE - 1).encode("utf-8", "replace")[: LINE - 1] + b"\n")
        return os.lseek(self.counter, 0, os.SEEK_CUR) // LINE

    def step(self, kind, path, call, half=None):
        """Take one step, as the plan has it; `half` is what a step that is interrupted has done."""
        number, how = self.count(kind, path), self.plan.get("how")
        if how == "full" and 0 < self.plan["at"] <= number and kind in NEEDS_SPACE:
            if half:
                half()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if number != self.plan.get("at") or how == "full":
            return call()
        if how in ("kill", "tear"):
            if how == "tear":
                (half or call)()
            os.kill(os.getpid(), signal.SIGKILL)
        if half:
            half()
        raise OSError(getattr(errno, how), os.strerror(getattr(errno, how)), path)

    def durable(self, folder):
        """What was renamed into `folder` is acknowledged: keep it by a hard link."""
        for path in self.renamed.pop(folder, ()):
            number = self.count("acknowledged", path)
            place = f"{self.control}/acknowledged"
            real["link"](path, f"{place}/{number:06d}")
            named = f"{place}/{number:06d}.name"  # whole or not there, whenever this process is killed
            Path(f"{named}.part").write_text(os.path.relpath(path, self.folder))
            real["replace"](f"{named}.part", named)


def opening(watch):
    """Return an open that is watched."""

    def call(path, flags, mode=0o777, *, dir_fd=None):
        found = watch.watched(path) if dir_fd is None else None
        watch.inside = True
        try:
            if not found or not (flags & WRITES or os.path.isdir(path)):
                return real["open"](path, flags, mode, dir_fd=dir_fd)
            if not flags & WRITES:  # a folder, for its fsync
                descriptor = real["open"](path, flags, mode)
            else:
                descriptor = watch.step("open", found, lambda: real["open"](path, flags, mode))
        finally:
            watch.inside = False
        watch.known[descriptor] = found
        return descriptor

    return call


def writing(watch):
    """Return a write that is watched."""

    def call(descriptor, data):
        path = watch.known.get(descriptor)
        if not path:
            return real["write"](descriptor, data)
        whole = memoryview(data).cast("B")
        half = lambda: real["write"](descriptor, whole[: len(whole) // 2])  # noqa: E731
        return watch.step("write", path, lambda: real["write"](descriptor, whole), half)

    return call


def syncing(watch):
    """Return an fsync that is watched."""

    def call(descriptor):
        path = watch.known.get(descriptor)
        if not path:
            return real["fsync"](descriptor)
        folder = os.path.isdir(path)
        done = watch.step("fsync folder" if folder else "fsync", path, lambda: real["fsync"](descriptor))
        if folder:
            watch.durable(path)
        return done

    return call


def closing(watch):
    """Return a close that is watched."""

    def call(descriptor):
        path = watch.known.pop(descriptor, None)
        if not path or os.path.isdir(path):
            return real["close"](descriptor)
        shut = lambda: real["close"](descriptor)  # noqa: E731
        return watch.step("close", path, shut, shut)

    return call


def moves(watch, name):
    """Return a call that moves a file, watched."""

    def call(source, target, *rest, **more):
        found = watch.watched(target)
        if not found:
            return real[name](source, target, *rest, **more)
        done = watch.step(name, found, lambda: real[name](source, target, *rest, **more))
        if name in ("replace", "rename"):
            watch.renamed.setdefault(os.path.dirname(found), []).append(found)
        return done

    return call


def changes(watch, name):
    """Return a call that changes a path, watched."""

    def call(path, *rest, **more):
        found = watch.watched(path) if not isinstance(path, int) else watch.known.get(path)
        if not found or more.get("dir_fd") is not None:
            return real[name](path, *rest, **more)
        return watch.step(name, found, lambda: real[name](path, *rest, **more))

    return call


def copies(watch, name):
    """Return a call that copies a descriptor, watched."""

    def call(descriptor, *rest, **more):
        new = real[name](descriptor, *rest, **more)
        if descriptor in watch.known:
            watch.known[new] = watch.known[descriptor]
        else:
            watch.known.pop(new, None)
        return new

    return call


def install(watch):
    """Stand before the calls."""
    os.open, os.write = opening(watch), writing(watch)
    os.fsync, os.close = syncing(watch), closing(watch)
    for name in MOVES:
        setattr(os, name, moves(watch, name))
    for name in CHANGES:
        setattr(os, name, changes(watch, name))
    for name in COPIES:
        setattr(os, name, copies(watch, name))


def audit(watch):
    """Write down what opens a watched file for writing by another door: the harness would not see it."""

    def hook(event, arguments):
        if event != "open" or watch.folder is None or watch.inside:
            return
        path, mode, flags = arguments
        if not isinstance(path, (str, bytes)) or not watch.watched(path):
            return
        if flags & WRITES or set(mode or "") & set("wax+"):
            watch.inside = True
            with builtins.open(f"{watch.control}/unseen", "a") as file:
                file.write(f"{os.fsdecode(path)}\n")
            watch.inside = False

    sys.addaudithook(hook)


if "HARNESS_CONTROL" in os.environ:
    found = Watch(os.environ["HARNESS_CONTROL"])
    install(found)
    audit(found)
    os.register_at_fork(after_in_child=found.begin)
