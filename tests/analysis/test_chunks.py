"""Which checkpoints travel together to a process, and what becomes of the others when one is unreadable."""

import os
from itertools import chain
from types import SimpleNamespace

import pytest

from grokscope import analyze
from grokscope.analysis.chunks import together

CHEAP, DEAR = [SimpleNamespace(needs_network=False)], [SimpleNamespace(needs_network=True)]


@pytest.mark.parametrize(
    ("missing", "processes", "sizes"),
    [
        (dict.fromkeys(range(5000), CHEAP), 2, [32] * 156 + [8]),
        (dict.fromkeys(range(40), CHEAP), 2, [5] * 8),
        (dict.fromkeys(range(7), CHEAP), 2, [1] * 7),
        (dict.fromkeys(range(40), DEAR), 2, [1] * 40),
        ({step: DEAR if step == 3 else CHEAP for step in range(16)}, 1, [3, 1, 4, 4, 4]),
    ],
)
def test_cheap_checkpoints_travel_together_as_long_as_every_process_gets_some(missing, processes, sizes):
    chunks = together(dict(reversed(missing.items())), processes)
    assert list(map(len, chunks)) == sizes
    assert list(chain(*chunks)) == [cell for step in sorted(missing) for cell in missing[step]]


def test_an_unreadable_checkpoint_costs_no_other_of_its_chunk(run_path, monkeypatch):
    monkeypatch.setattr("grokscope.analysis.chunks.CHUNKS_EACH", 1)
    analyze(run_path, "weight_norm", steps="first")  # an index that remembers the file as it was
    file = run_path / "checkpoints" / "00000030.safetensors"
    was, data = file.stat(), bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    found = analyze(run_path, "weight_norm,gini", isolate=True)
    (failure,) = found.failures
    assert failure.step == 30
    assert "is damaged, or was replaced: its sha256 is not the recorded one" in failure.message
    assert found.computed == 11
