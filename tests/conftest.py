"""What many tests stand on: a small trained run, and the command line called in this process."""

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

# Before torch is first imported: one thread, as grokscope itself computes; also for every subprocess.
os.environ.setdefault("OMP_NUM_THREADS", "1")
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup every command would inherit that it is ignored
gc.disable()  # until all tests are collected


def pytest_collection_finish():
    """Look for garbage among what tests make, not again and again among libraries and thousands of tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2000, 10, 100)  # seldom among all: what lasts until the end grows to a million objects
    gc.enable()


SMALL = {
    "task.p": 13,
    "task.train_fraction": 0.5,
    "model.hidden": [24],
    "training.steps": 60,
    "training.checkpoint_every": "10",
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of a small network; never written to by a test."""
    from grokscope import train

    return train("modadd", settings=SMALL, out=tmp_path_factory.mktemp("trained") / "run").path


@pytest.fixture
def run_path(trained, tmp_path):
    """A copy of the trained run that a test may do anything to."""
    return shutil.copytree(trained, tmp_path / "run")


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd, monkeypatch):
    """Call the command line: `cli("show", path)` returns its exit code, stdout and stderr."""

    def call(*arguments):
        from grokscope.cli import main

        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["grokscope", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    with mock.patch.dict(os.environ):  # a command sets what processes that it starts must know
        yield call


FRESH = """
import json, os, sys
import grokscope
for command, variables in json.loads(sys.argv[1]):
    os.environ |= variables
    sys.argv = ["grokscope", *command]
    if command:
        from grokscope.cli import main
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, (command, ended.code)
    print("\\nloaded:", *sys.modules, flush=True)
"""


@pytest.fixture(scope="session")
def fresh():
    """Call commands one after the other in a new process: what each printed, and what is loaded by then.

    `fresh([], ["show", path])`: the empty command is `import grokscope`. `variables` are a dict for each.
    """

    def call(*commands, variables=None):
        words = [list(map(str, command)) for command in commands]
        jobs = json.dumps(list(zip(words, variables or [{}] * len(words), strict=True)))
        done = subprocess.run([sys.executable, "-c", FRESH, jobs], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        *parts, _ = re.split(r"^loaded: (.*)\n", done.stdout, flags=re.MULTILINE)
        return [(out, set(modules.split())) for out, modules in zip(parts[::2], parts[1::2], strict=True)]

    return call


@pytest.fixture(scope="session")
def plugin_in():
    """Make a plugin of one file in a folder: `plugin_in(site, "noisy", source)`."""

    def install(site, name, source):
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[grokscope]\n{name} = {name}\n")
        (site / f"{name}.py").write_text(source)

    return install


@pytest.fixture
def stranger(tmp_path, plugin_in):
    """Make a plugin of one file; `stranger("noisy", source)` is the environment of processes that find it."""

    def install(name, source):
        plugin_in(tmp_path / "site", name, source)
        return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    return install


@pytest.fixture
def stranger_here(tmp_path, plugin_in, monkeypatch):
    """Make a plugin of one file that this process finds: `stranger_here("noisy", source)`."""
    made = []

    def install(name, source):
        plugin_in(tmp_path / "site", name, source)
        monkeypatch.syspath_prepend(tmp_path / "site")
        made.append(name)

    yield install
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def plugin_of():
    """Make a plugin in this process: `plugin_of(f, g)` has the measures f and g, each with one column."""

    def make(*functions):
        from grokscope import Column, hookimpl, load_plugins, measure

        measures = [measure(columns=[Column("value", "a number")])(function) for function in functions]
        module = types.ModuleType("mine")
        module.grokscope_measures = hookimpl(lambda: measures)
        module.grokscope_measures.__name__ = "grokscope_measures"
        return load_plugins(extra=[module])

    return make


def wait_until(true, process=None, seconds=300, every=0.02):
    """Wait until something is true, which a process brings about that must not end before."""
    end = time.monotonic() + seconds
    while not true():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(every)


@pytest.fixture(scope="session")
def until():
    """`until(true, process)`: see `wait_until`."""
    return wait_until


class Kin:
    """Processes that a process has started, as /proc shows them."""

    @staticmethod
    def _stat(pid):
        """State and parent."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            return ["X", "0"]

    def runs(self, pid):
        return self._stat(pid)[0] not in "XZ"

    def of(self, root):
        parents = {int(path.name): int(self._stat(path.name)[1]) for path in Path("/proc").glob("[0-9]*")}
        found = {root}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {root}

    def wait_until_gone(self, pids):
        wait_until(lambda: not any(map(self.runs, pids)))


@pytest.fixture
def kin():
    return Kin()


@pytest.fixture(scope="session")
def dask_client():
    """A client of a cluster whose scheduler and worker live in this process, with two threads."""
    distributed = pytest.importorskip("distributed", reason="pip install 'grokscope[dask]'")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def largest():
    """A context that notes how many `numbers` the largest tensor has that torch makes in it."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            sizes = [each.numel() for each in tree_leaves(made) if isinstance(each, torch.Tensor)]
            self.numbers = max([self.numbers, *sizes])
            return made

    return Largest()
