"""Any number of jobs on one run at once, as a job array starts them: nothing is lost and nothing is torn."""

import itertools
import os
import shutil
import signal
import subprocess
import sys

import pytest

from grokscope import Run, analyze

pytestmark = pytest.mark.slow
JOBS = 4
WANTED = "weight_norm,fit,dies"
DIES = """
import os, pathlib, time
from grokscope import Column, hookimpl, measure

@measure(columns=[Column("value", "a number")])
def dies(weights, *, folder: str = ""):
    "Wait to be killed, the first time."
    try:
        (pathlib.Path(folder) / "waits").open("x").close()
    except FileExistsError:
        return {"value": 1.0}
    time.sleep(3600)

@hookimpl
def grokscope_measures():
    return [dies]
"""


def test_a_job_array_on_one_run(run_path, tmp_path, stranger, until):
    environment = stranger("dies", DIES)
    alone = shutil.copytree(run_path, tmp_path / "alone")

    def job(steps, run=run_path):
        command = [sys.executable, "-m", "grokscope", "analyze", str(run), "-m", WANTED, "--steps", steps]
        command += ["--set", f"dies.folder={tmp_path}", "--csv", "-", "--workers", "1"]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    killed = job("first")
    until((tmp_path / "waits").exists, killed)
    jobs = [job(f"every:{JOBS}:{number}") for number in range(JOBS)] + [job("all"), job("all")]
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    said = [each.communicate(timeout=600) for each in jobs]
    assert [each.returncode for each in jobs] == [0] * len(jobs), said
    assert said[-1][0] == said[-2][0]
    shares = [out.splitlines()[1:] for out, _ in said[:JOBS]]
    assert (
        sorted(itertools.chain(*shares), key=lambda row: int(row.split(",")[0]))
        == said[-1][0].splitlines()[1:]
    )
    assert job("all", alone).communicate(timeout=600)[0] == said[-1][0]
    run = Run.open(run_path)
    assert (len(run.cells()), run.problems, run.remarks, run.conflicts) == (3 * 7, [], [], [])
    again = analyze(run_path, "weight_norm,fit")
    assert (again.computed, again.messages) == (0, ())
