"""Foreign files that must not be believed: each is refused in a sentence, in little memory and at once."""

import re
import sys

import pytest
import torch  # noqa: F401 - loaded before the process is limited

from grokscope.errors import DamagedFile
from grokscope.importing.sources import read

SAID = {
    "nested_key": "it has a key in which more than 1000 values are reached",
    "nested_set": "it takes more work to read than its size allows",
    "costly_calls": "it takes more work to read than its size allows",
    "many_dimensions_pickled": "a tensor must have at most 64 dimensions",
    "many_dimensions_foreign": "a tensor must have at most 64 dimensions, got 100000",
    "sparse_foreign": r"declares \d+ bytes and only \d+ are stored",
    "many_zip_records": "must hold at most 100000 records",
    "code": r"needs pickle: it holds \w+\.mkdir",
}


def said_of(path):
    try:
        read(path)
    except DamagedFile as error:
        return [str(error)]
    return ["it was read"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
@pytest.mark.parametrize("name", sorted(SAID))
def test_a_hostile_file_is_refused_in_a_sentence(tmp_path, hostile, name):
    path = tmp_path / "0.pt"
    hostile.FOREIGN[name](path)
    (said,) = hostile.limited(lambda: said_of(path))
    assert re.search(SAID[name], said), said
    assert "\n" not in said
    assert not (tmp_path / "canary").exists()


def test_every_hostile_file_is_tried(hostile):
    assert SAID.keys() == hostile.FOREIGN.keys()
