"""Run directories that must not be believed: each is refused in a sentence, in little memory and at once.

The limits are on the process that reads: 500 MB beyond what it starts with, and seconds of its own time.
"""

import re
import shutil
import sys
from pathlib import Path

import pytest

from grokscope.errors import GrokscopeError
from grokscope.run import Run

SAID = {
    "sparse_checkpoint": r"00000008\.safetensors declares \d+ bytes and only \d+ are stored",
    "sparse_resume": r"resume\.safetensors declares \d+ bytes and only \d+ are stored",
    "sparse_index": r"index\.h5 was damaged; it was rebuilt",
    "sparse_run_toml": r"run\.toml must be at most 1048576 bytes",
    "many_dimensions": r"a tensor must have at most 64 dimensions, got 100000",
    "late_curve": r"00000008\.safetensors is damaged: its losses and accuracies cannot be read",
    "deep_name": r"run\.toml cannot be read as a run's configuration: line \d+ has a name of more than 40",
    "deep_unset": r"run\.toml cannot be read as a run's configuration|was changed",
    "many_records": r"it must hold at most 200000 records for its size, got 500000",
    "wide_records": r"its records must take at most 268435456 bytes",
    "repeated_array": r"array 0 of '0000_a' belongs to two results",
    "many_groups": r"it must hold at most 6000 objects, got \d+",
    "one_group_many_names": r"^steps \(0, 4, 8, 12, 13\)$",
    "huge_import_table": r"imported\.json must be at most 16777216 bytes",
}


def everything_said(path):
    """All that is said when the run is opened, listed, its results and its resume state are read."""
    try:
        run = Run.open(path)
        said = [run.refresh_index(), *map(str, run.cells())][:1]
        try:
            run.load_resume()
        except GrokscopeError as error:
            said.append(str(error))
        return [*said, *run.problems, f"steps {run.steps}"]
    except GrokscopeError as error:
        return [str(error)]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
@pytest.mark.parametrize("name", sorted(SAID))
def test_a_hostile_run_is_refused_in_a_sentence(tmp_path, hostile, name):
    kind = "linked" if name == "huge_import_table" else "trained"
    path = shutil.copytree(Path(__file__).parent / "data" / kind, tmp_path / "run")
    if kind == "trained":
        Run.open(path).refresh_index()
        hostile.RUNS[name](path)
    else:
        hostile.huge_import_table(path)
    said = hostile.limited(lambda: everything_said(path))
    assert any(re.search(SAID[name], sentence) for sentence in said), said
    assert not any("TRACEBACK" in sentence or "\n" in sentence for sentence in said), said


def test_every_hostile_run_is_tried(hostile):
    assert SAID.keys() == {*hostile.RUNS, "huge_import_table"}
