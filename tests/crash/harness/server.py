"""Runs command lines of grokscope one after the other, each in a fork of this process with torch loaded.

A job is a line of JSON on stdin: `argv`, `cwd`, `seconds` (after which it is killed as hung), `kill_after`
(seconds, or null), `share` (whether it uses this process's fork server, which saves a second of loading
torch). The answer is a line of JSON: `code` (negative: a signal), `seconds`, `hung`, `left` (processes of
the job that outlived it), `memory` (the most it held, in kB).
"""

import atexit
import importlib
import json
import multiprocessing
import os
import pkgutil
import signal
import sys
import threading
import time
from contextlib import redirect_stdout, suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # a command line run before leaves PYTHONSAFEPATH behind
PATIENCE = 10.0  # seconds in which what a job started must have gone


def load():
    """Import what commands need, and start the fork server that jobs may share."""
    import grokscope

    rooms = pkgutil.walk_packages(grokscope.__path__, "grokscope.")
    apart = ("grokscope.__main__", "grokscope.integrations")  # runs; needs what may not be installed
    names = [room.name for room in rooms if not room.name.startswith(apart)]
    # What making an optimiser imports in the loop that records, in every fork anew.
    names += ["torch._dynamo", "h5py", "safetensors.torch"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(names)
    forkserver.ensure_running()
    for name in names:
        importlib.import_module(name)
    warm_up()


def warm_up():
    """Have done what every command does at first: make the commands, read arguments, load plugins."""
    import typer.main

    from grokscope import cli

    assert dict(typer.main.get_command(cli.app).commands)  # each is made once in a process
    sys.argv = ["grokscope", "measures"]
    with suppress(SystemExit), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        cli.main()


def share_server():
    """Let this process, a fork, use the fork server that its parent started."""
    forkserver._forkserver.ensure_running = forkserver.ensure_running = lambda: None


def own_server():
    """Forget the parent's fork server and resource tracker: what this process needs it starts itself."""
    forkserver._forkserver.__init__()
    resource_tracker._resource_tracker.__init__()


def work(job):
    """Be the command; never returns."""
    control = os.environ["HARNESS_CONTROL"]
    os.setsid()
    for number, name in ((0, os.devnull), (1, f"{control}/out"), (2, f"{control}/err")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), number)
    os.chdir(job["cwd"])
    (share_server if job["share"] else own_server)()
    sys.argv = ["grokscope", *job["argv"]]
    if job["argv"][0] == "record":
        from loop import command as main
    else:
        from grokscope.cli import main

    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else bool(ended.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 70  # no code of grokscope's: a traceback
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        threading._shutdown()  # as an interpreter that ends does it, but without taking torch apart
        atexit._run_exitfuncs()
        os._exit(code)


def children(pid):
    """The children of a process that still run."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    return {int(child) for child in found if state(int(child)) not in "ZX"}


def state(pid):
    """The letter of a process's state; X when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def session(leader):
    """The processes of a session that still run."""
    found = set()
    for entry in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            fields = Path(f"/proc/{int(entry)}/stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.add(int(entry))
    return found


def remaining(pid):
    """Wait for the processes that the job started; return, and end, those that stay."""
    server = forkserver._forkserver._forkserver_pid
    until = time.monotonic() + PATIENCE
    while (left := children(server) | session(pid)) and time.monotonic() < until:
        time.sleep(0.01)
    for process in left:
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    return sorted(left)


def run(job):
    """Run one job in a fork and return the answer."""
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        work(job)
    hung, done = False, 0
    kill_at = began + (job["kill_after"] if job["kill_after"] is not None else job["seconds"])
    while not done:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if not done and time.monotonic() > kill_at:
            hung = job["kill_after"] is None
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            done, status, used = os.wait4(pid, 0)
        elif not done:
            time.sleep(0.001)
    seconds = time.monotonic() - began
    left = remaining(pid)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "hung": hung,
        "left": left,
        "memory": used.ru_maxrss,
    }


def serve():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    load()
    answers.write(json.dumps({"ready": os.getpid()}) + "\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
