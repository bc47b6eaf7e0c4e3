"""Foreign files that must not be believed: each is refused in a sentence, in little memory and at once."""

import re
import sys

import pytest
import torch  # noqa: F401 - loaded before the process is limited
from harness.hostile import CASES
from harness.limits import limited

from grokscope.errors import DamagedFile
from grokscope.importing.sources import read

SAID = {
    "pickle_of_a_doubled_key": "it has a key in which more than 1000 values are reached",
    "pickle_of_a_doubled_set": "it takes more work to read than its size allows",
    "pickle_of_costly_calls": "it takes more work to read than its size allows",
    "pickle_of_many_dimensions": "a tensor must have at most 64 dimensions",
    "import_of_many_dimensions": "a tensor must have at most 64 dimensions, got 100000",
    "import_sparse": r"declares \d+ bytes and only \d+ are stored",
    "pickle_of_many_records": "must hold at most 100000 records",
    "pickle_that_makes_a_folder": r"needs pickle: it holds \w+\.mkdir",
}


def said_of(path):
    try:
        read(path)
    except DamagedFile as error:
        return [str(error)]
    return ["it was read"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
@pytest.mark.parametrize("name", sorted(SAID))
def test_a_hostile_file_is_refused_in_a_sentence(tmp_path, name):
    CASES[name](tmp_path / "run")
    (said,) = limited(lambda: said_of(tmp_path / "theirs.pt"))
    assert re.search(SAID[name], said), said
    assert "\n" not in said
    assert not (tmp_path / "made").exists()
