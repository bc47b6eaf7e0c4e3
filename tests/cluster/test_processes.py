"""A real scheduler and real workers: some are killed, nothing is lost, and the same command goes on."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grokscope import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("distributed") is None, reason="pip install 'grokscope[dask]'"
    ),
]
SLOW = """
import os, pathlib, time
from grokscope import Column, hookimpl, measure

@measure(columns=[Column("value", "a number")])
def slow(weights, *, folder: str = "", seconds: float = 0.5):
    "Take a while, and tell in which process."
    pathlib.Path(folder, f"{os.getppid()}-{os.getpid()}-{time.time_ns()}").touch()
    time.sleep(seconds)
    return {"value": float(next(iter(weights.values())).double().sum())}

@hookimpl
def grokscope_measures():
    return [slow]
"""


def analyze(*arguments, environment, dask, **options):
    command = [sys.executable, "-m", "grokscope", "analyze", *map(str, arguments), "--csv", "-"]
    command += ["--dask", str(dask)] if dask else ["--workers", "1"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.fixture
def begun(tmp_path):
    """The folder in which the measure tells of every call."""
    (tmp_path / "begun").mkdir()
    return tmp_path / "begun"


@pytest.fixture
def case(run_path, stranger, begun):
    """A run, what is asked of it, and the environment in which the measure is installed."""
    environment = stranger("slow", SLOW)
    wanted = ("-m", "slow,weight_norm,fit", "--set", f"slow.folder={begun}")
    return run_path, wanted, environment


def test_a_killed_worker_loses_nothing(case, processes, begun, tmp_path, until):
    run, wanted, environment = case
    alone = shutil.copytree(run, tmp_path / "alone")
    cluster = processes(environment)
    workers = [cluster.worker(), cluster.worker()]
    command = analyze(run, *wanted, environment=environment, dask=cluster.file)
    until(lambda: len(list(begun.iterdir())) >= 2, command)
    os.kill(workers[0].pid, signal.SIGKILL)
    out, err = command.communicate(timeout=300)
    assert command.returncode == 0, err
    assert "was lost: what it was at is computed again elsewhere" in err
    assert "Traceback" not in err
    assert "distributed" not in err
    here = analyze(alone, *wanted, environment=environment, dask=None)
    assert here.communicate(timeout=300)[0] == out
    assert not Run.open(run).conflicts


def test_a_killed_scheduler_loses_nothing_that_had_come_back(case, processes, begun, until):
    run, wanted, environment = case
    cluster = processes(environment)
    cluster.worker()
    command = analyze(run, *wanted, environment=environment, dask=cluster.file)
    until(lambda: len(list(begun.iterdir())) >= 5, command)
    cluster.scheduler.kill()
    out, err = command.communicate(timeout=300)
    assert (command.returncode, out) == (1, "")
    (said,) = [line for line in err.splitlines() if "gone" in line]
    assert "is gone: all that had come back is stored, and the same command goes on from there" in said
    assert "Traceback" not in err, err
    stored = Run.open(run).cells()
    assert stored
    cluster.close()
    again = analyze(run, *wanted, environment=environment, dask="local")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert len(out.splitlines()) == 8
    assert stored.items() <= Run.open(run).cells().items()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_nothing_is_left_of_a_cluster_on_this_machine(case, begun, kin, signum, code, until):
    run, wanted, environment = case
    command = analyze(
        run, *wanted, "--workers", "2", environment=environment, dask="local", start_new_session=True
    )
    until(lambda: len(list(begun.iterdir())) >= 4, command)
    family = kin.of(command.pid)
    assert len(family) >= 4  # a worker, its server of processes, and two that compute
    os.killpg(command.pid, signum) if signum == signal.SIGINT else command.send_signal(signum)
    out, err = command.communicate(timeout=300)  # it ends when the last process that may write there has gone
    assert (command.returncode, out) == (code, "")
    assert "Traceback" not in err, err
    kin.wait_until_gone(family)
    assert signum == signal.SIGKILL or "what was computed is stored" in err


def test_a_run_goes_on_elsewhere_from_its_last_checkpoint(processes, tmp_path, until):
    fixed = ["p=13", "hidden=16", "steps=1000", "checkpoint_every=100", "log_every=50"]
    cluster = processes()
    workers = [cluster.worker(), cluster.worker()]
    command = [sys.executable, "-m", "grokscope", "sweep", "modadd", "--seeds", "2"]
    command += [word for each in fixed for word in ("--set", each)]

    def sweep(*where):
        return subprocess.Popen(
            [*command, "--out", *where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    going = sweep(tmp_path / "there", "--dask", cluster.file)
    until(lambda: len(list(tmp_path.glob("there/*/checkpoints/*"))) >= 4, going)
    os.killpg(workers[0].pid, signal.SIGKILL)
    out, err = going.communicate(timeout=600)
    assert going.returncode == 0, err
    assert "was lost: what it was at is computed again elsewhere" in err
    whole = sweep(tmp_path / "here", "--workers", "2")
    assert len(whole.communicate(timeout=600)[0].splitlines()) == len(out.splitlines()) == 2
    for path in out.splitlines():
        other = tmp_path / "here" / Path(path).name
        assert [c.sha256 for c in Run.open(path).checkpoints] == [
            c.sha256 for c in Run.open(other).checkpoints
        ]


def test_nothing_goes_on_for_a_command_that_was_killed(case, processes, begun, kin, until):
    run, wanted, environment = case
    cluster = processes(environment)
    worker = cluster.worker()
    command = analyze(run, *wanted, "--set", "slow.seconds=1000", environment=environment, dask=cluster.file)
    until(lambda: list(begun.iterdir()), command)
    (called,) = begun.iterdir()
    computes = int(called.name.split("-")[1])
    command.kill()
    command.communicate()
    kin.wait_until_gone([computes])
    assert kin.runs(worker.pid)


def test_a_worker_of_another_kind_computes_nothing(case, processes, begun, tmp_path, plugin_in):
    run, wanted, environment = case
    plugin_in(tmp_path / "other", "slow", SLOW.replace("double()", "float()"))
    cluster = processes({**environment, "PYTHONPATH": str(tmp_path / "other")})
    cluster.worker()
    command = analyze(run, *wanted, environment=environment, dask=cluster.file)
    _, err = command.communicate(timeout=300)
    assert command.returncode == 1
    assert "cannot do its work: it must have plugin slow slow 1.0 (" in err
    assert not list(begun.iterdir())
    assert not Run.open(run).cells()
