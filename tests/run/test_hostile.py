"""Run directories that must not be believed: each is refused in a sentence, in little memory and at once.

The limits are on the process that reads: 500 MB beyond what it starts with, and seconds of its own time.
"""

import re
import shutil
import sys
from pathlib import Path

import pytest
from harness.hostile import CASES
from harness.limits import limited

from grokscope.errors import GrokscopeError
from grokscope.run import Run

SAID = {
    "checkpoint_sparse": r"\d{8}\.safetensors declares \d+ bytes and only \d+ are stored",
    "resume_sparse": r"resume\.safetensors declares \d+ bytes and only \d+ are stored",
    "index_sparse": r"index\.h5 was changed or damaged; it was rebuilt",
    "config_sparse": r"it must be at most 1048576 bytes",
    "checkpoint_of_many_dimensions": r"a tensor must have at most 64 dimensions, got 100000",
    "checkpoint_step_beyond_numbers": r"\d{8}\.safetensors is damaged: its losses and acc",
    "config_deep_names": r"as a run's configuration: line \d+ has a name of more",
    "config_deep_unset": r"run\.toml cannot be read as a run's configuration|was changed",
    "segment_of_many_records": r"it must hold at most 200000 records for its size, got 500000",
    "segment_of_wide_records": r"its records must take at most 268435456 bytes",
    "segment_of_a_repeated_array": r"array 0 of '0000_a' belongs to two results",
    "segment_of_many_groups": r"it must hold at most 6000 objects, got \d+",
    "index_of_many_groups": r"^steps \(0, 4, 8, 12, 13\)$",
    "imports_table_huge": r"imported\.json must be at most 16777216 bytes",
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
def test_a_hostile_run_is_refused_in_a_sentence(tmp_path, name):
    path = shutil.copytree(Path(__file__).parent / "data" / "trained", tmp_path / "run")
    Run.open(path).refresh_index()
    CASES[name](path)
    said = limited(lambda: everything_said(path))
    assert any(re.search(SAID[name], sentence) for sentence in said), said
    assert not any("TRACEBACK" in sentence or "\n" in sentence for sentence in said), said
