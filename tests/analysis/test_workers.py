"""No measure ends a command: its process is another, the guilty cell is named, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grokscope import Run, SettingError, analyze
from grokscope.analysis import server
from grokscope.run.sites import Url

HEAD = """
import ctypes, os, pathlib, signal, time
import numpy as np
from grokscope import Column, hookimpl, measure

found = []

def one(function):
    declare = measure(columns=[Column("value", "a number")], per=["layer"], arrays={"all": "all"})
    found.append(declare(function))

@hookimpl
def grokscope_measures():
    return found
"""
ROGUE = (
    HEAD
    + """
@one
def leaves(probe):
    "End the process, as if all were well."
    os._exit(0)

@one
def crashes(probe):
    "Break at step 10."
    if probe.step == 10:
        os.kill(os.getpid(), signal.SIGSEGV)
    return {"value": probe.step}

@one
def interrupts(weights):
    "Raise what Ctrl-C raises."
    raise KeyboardInterrupt

@one
def mute(weights):
    "Raise what cannot be told."
    class Mute(BaseException):
        def __str__(self):
            raise self
    raise Mute

@one
def huge(weights):
    "Return 1.2 GB."
    return {"value": 1.0, "all": np.zeros(150_000_000)}

@one
def half(weights):
    "Return half a pair."
    return {"layer": "a\\ud800", "value": 1.0}

@one
def hostile(weights):
    "Return what does more than hold a text."
    class Label(str):
        def __str__(self):
            return self
        def __reduce__(self):
            return os._exit, (5,)
    return {"layer": Label("plain"), "value": 1.0}

@one
def prints(weights):
    "Print where data goes."
    print("not data")
    os.write(1, b"nor this\\n")
    return {"value": 1.0}
"""
)


TOLD = (
    HEAD
    + """
@one
def told(probe):
    "Say what the environment says."
    return {"value": float(os.environ.get("TOLD", "nan"))}
"""
)


def grokscope(*arguments):
    return [sys.executable, "-m", "grokscope", *map(str, arguments)]


def test_processes_have_the_environment_of_now_not_of_the_first_analysis(
    run_path, stranger_here, monkeypatch
):
    stranger_here("told", TOLD)
    monkeypatch.setenv("GROKSCOPE_DISABLE_PLUGINS", "told")
    analyze(run_path, "fit", steps="last", isolate=True)
    monkeypatch.delenv("GROKSCOPE_DISABLE_PLUGINS")
    for step in (10, 20):
        monkeypatch.setenv("TOLD", str(step))
        found = analyze(run_path, "told", steps=str(step), isolate=True)
        assert (found.failures, found.course("told.value").tolist()) == ((), [step])


def test_the_command_line_outlives_every_measure(run_path, stranger, tmp_path):
    stranger("rogue", ROGUE)
    environment = stranger("unwanted", f"open({str(tmp_path / 'imported')!r}, 'a').close()\n")
    command = grokscope(
        *("analyze", run_path, "-m", "rogue,fit", "--workers", "1", "--csv", "-"),
        *("--no-plugins", "unwanted"),
    )
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 3
    rows = [line.split(",") for line in ended.stdout.splitlines()]
    assert rows[0][:4] == ["step", "crashes.value", "hostile.value:plain", "prints.value"]
    assert [row[:4] for row in rows[1:]] == [
        [str(step), "" if step == 10 else str(float(step)), "1.0", "1.0"] for step in range(0, 61, 10)
    ]
    assert all(all(row[4:]) for row in rows)
    failed = [line for line in ended.stderr.splitlines() if line.startswith("failed: ")]
    said = {line.split()[1] + "!" * ("not tried" in line): line for line in failed}
    assert set(said) == {"leaves", "leaves!", "crashes", "interrupts", "mute", "huge", "half"}
    rest = "(plugin rogue of rogue 1.0): "
    assert said["leaves"].endswith(f"step 0 {rest}its process died twice (exit code 0) (and at 2 more steps)")
    assert "at step 30 " in said["leaves!"]
    assert said["leaves!"].endswith("crashed or ran out of time 3 times (and at 3 more steps)")
    assert said["crashes"].endswith(f"step 10 {rest}its process died twice (killed by SIGSEGV)")
    assert said["interrupts"].endswith(f"{rest}KeyboardInterrupt (and at 6 more steps)")
    assert said["mute"].endswith(f"{rest}Mute (and at 6 more steps)")
    assert "huge.all must have at most 64 MB, got 1144 MB" in said["huge"]
    assert r"must be text that UTF-8 can hold, got 'a\ud800'" in said["half"]
    assert "not data" in ended.stderr
    assert "nor this" in ended.stderr
    assert not (tmp_path / "imported").exists()
    assert len(Run.open(run_path).cells()) == 7 + 6 + 7 + 7
    # What is there is served without starting a process, so also where none can be started.
    again = subprocess.run(
        grokscope("analyze", run_path, "-m", "fit,prints", "--csv", "-", "-q"),
        env={**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}:{_without_processes(tmp_path)}"},
        capture_output=True,
        text=True,
    )
    assert (again.returncode, again.stderr) == (0, "")


def _without_processes(folder):
    """A folder whose sitecustomize makes it an error to start processes that compute."""
    (folder / "no").mkdir()
    (folder / "no" / "sitecustomize.py").write_text(
        "from multiprocessing.forkserver import ForkServer\n"
        "def refuse(self): raise AssertionError\n"
        "ForkServer.ensure_running = refuse\n"
    )
    return folder / "no"


@pytest.fixture
def installed(stranger, monkeypatch):
    """Install a plugin for this process and those that it starts."""

    def install(name, source):
        monkeypatch.syspath_prepend(stranger(name, source)["PYTHONPATH"])

    yield install
    sys.modules.pop("sleepy", None)


SLEEPY = (
    HEAD
    + """
@one
def sleepy(weights, *, folder: str = "."):
    "Sleep at the first call."
    try:
        (pathlib.Path(folder) / "slept").open("x").close()
    except FileExistsError:
        return {"value": 1.0}
    time.sleep(3600)
"""
)


def test_a_cell_that_takes_too_long_is_stopped_and_named(run_path, installed, tmp_path):
    installed("sleepy", SLEEPY)
    settings = {"sleepy.folder": str(tmp_path)}
    found = analyze(run_path, "sleepy,weight_norm", settings=settings, timeout=8)
    (failure,) = found.failures
    assert str(failure) == (
        "sleepy at step 0 (plugin sleepy of sleepy 1.0): "
        "it took longer than 8 s, the timeout, and was stopped"
    )
    assert found.computed == 13
    assert not analyze(run_path, "sleepy", settings=settings, isolate=True).failures


FAINT = (
    HEAD
    + """
@one
def faint(weights, probe, *, folder: str = "."):
    "End the process at the first call at step 20, and at every one at step 40."
    probe.foretell(90.0)
    first = pathlib.Path(folder) / f"fainted{probe.step}"
    if probe.step in (20, 40) and (probe.step == 40 or not first.exists()):
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": probe.step}
"""
)


def test_a_cell_at_which_a_process_dies_is_tried_once_more(run_path, installed, tmp_path):
    installed("faint", FAINT)
    said = []
    settings = {"faint.folder": str(tmp_path)}
    found = analyze(run_path, "faint,fit", settings=settings, isolate=True, notify=said.append)
    assert said == ["faint will take about 90 s a checkpoint, some 10 min for the 7 that are left"]
    assert [str(failure) for failure in found.failures] == [
        "faint at step 40 (plugin faint of faint 1.0): "
        "its process died twice (killed by SIGKILL, perhaps for lack of memory)"
    ]
    assert found.columns["faint.value"][:4] == [0.0, 10.0, 20.0, 30.0]
    assert found.computed == 13


REFUSES = (
    HEAD
    + """
@one
def refuses(probe, *, folder: str = "."):
    "Refuse every checkpoint, the first one not before another."
    other = pathlib.Path(folder) / "other"
    while probe.step == 0 and not other.exists():
        time.sleep(0.01)
    other.touch()
    raise ValueError("never")
"""
)


def test_failures_come_by_their_steps_whichever_process_is_first(run_path, installed, tmp_path, monkeypatch):
    monkeypatch.setattr("grokscope.analysis.session.CHECKPOINTS_PER_WORKER", 1)
    installed("refuses", REFUSES)
    settings = {"refuses.folder": str(tmp_path)}
    found = analyze(run_path, "refuses", settings=settings, workers=2, timeout=20)
    assert [failure.step for failure in found.failures] == [0, 10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(run_path, timeout):
    with pytest.raises(SettingError, match="timeout must be a number of seconds above 0"):
        analyze(run_path, "fit", timeout=timeout)


def test_a_plugin_that_is_not_installed_is_not_known_to_other_processes(run_path, plugin_of):
    def here(weights):
        """Be here."""
        return {"value": 1.0}

    found = analyze(run_path, "here", steps="0", plugins=plugin_of(here), isolate=True)
    assert "mine:here is not known to processes of their own" in str(found.failures[0])


STUCK = (
    HEAD
    + """
@one
def stuck(probe, *, folder: str = "."):
    "Sleep, and let nobody else in this process run."
    if probe.step:
        (pathlib.Path(folder) / str(os.getpid())).touch()
        ctypes.PyDLL(None).sleep(300)
    return {"value": 1.0}
"""
)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGKILL, -9), (signal.SIGHUP, 129)])
def test_nothing_is_left_of_a_command_that_was_ended(run_path, stranger, tmp_path, kin, signum, code, until):
    folder = tmp_path / "started"
    folder.mkdir()
    command = grokscope(
        *("analyze", run_path, "-m", "fit,stuck", "--set", f"stuck.folder={folder}"),
        *("--steps", "0,10,20,30,40,50,60", "--workers", "2", "--csv", "-"),
    )
    process = subprocess.Popen(
        command, env=stranger("stuck", STUCK), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: list(folder.iterdir()), process)
    family = kin.of(process.pid)
    assert {int(path.name) for path in folder.iterdir()} <= family
    assert len(family) >= 3  # the server, what it forked, and the tracker that Python starts with it
    process.send_signal(signum)
    out, _ = process.communicate(timeout=600)  # returns when nobody holds the pipes any more
    assert (process.returncode, out) == (code, "")
    kin.wait_until_gone(family)
    if signum == signal.SIGHUP:
        assert "core:fit" in {key.measure for key in Run.open(run_path).cells()}


def test_a_watched_pipe_ends_a_process_without_the_kernel_s_help():
    code = (
        "import fcntl, multiprocessing, os, sys, time\n"
        "if hasattr(fcntl, 'F_SETSIG'): del fcntl.F_SETSIG\n"
        "from grokscope.analysis.worker import die_with\n"
        "lifeline, held = multiprocessing.Pipe(duplex=False)\n"
        "die_with(lifeline)\n"
        "held.close()\n"
        "time.sleep(60)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 1


# In this process, as the library computes unless it is told otherwise


def test_what_a_measure_raises_is_its_own_and_what_a_signal_raises_is_not(run_path, plugin_of):
    def raises(probe):
        """Raise what only a host should."""
        raise {0: KeyboardInterrupt, 10: GeneratorExit, 20: SystemExit}.get(probe.step, MemoryError)

    failures = analyze(run_path, "raises", plugins=plugin_of(raises)).failures
    told = [failure.message for failure in failures[:4]]
    assert told[:3] == ["KeyboardInterrupt", "GeneratorExit", "SystemExit"]
    assert told[3].startswith("there is no memory for what is asked for at once: fewer `workers`")

    def swallows(probe):
        """Be interrupted, and keep it secret."""
        if probe.step == 20:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            except BaseException:
                pass
        return {"value": 1.0}

    outside = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where started in background
    try:
        with pytest.raises(KeyboardInterrupt):
            analyze(run_path, "swallows", plugins=plugin_of(swallows))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outside)
    assert sorted(cell.step for cell in _cells(run_path, "mine:swallows")) == [0, 10]


def _cells(path, measure):
    return [cell for key, cell in Run.open(path).cells().items() if key.measure == measure]


def test_torch_is_loaded_for_the_processes_only_where_something_is_surely_to_be_computed(
    run_path, tmp_path, monkeypatch
):
    started = []
    monkeypatch.setattr(server, "context", lambda: started.append(True))
    server.foresee([tmp_path / "none", tmp_path, Url("memory", "run")], None)
    assert not started
    server.foresee([run_path], None)
    assert len(started) == 1
    analyze(run_path, "weight_norm", steps="first")
    server.foresee([run_path], None)
    assert len(started) == 1
    server.foresee([run_path], tmp_path / "elsewhere")
    assert len(started) == 2
