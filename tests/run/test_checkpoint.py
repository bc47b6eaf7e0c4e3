"""A checkpoint is exact, has one sha256, and nothing that is not as it was written is believed."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save

from grokscope.errors import DamagedFile
from grokscope.run import checkpoint

WEIGHTS = {
    "w": torch.tensor([[1.5, float("nan")], [float("-inf"), -0.0]]),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
    "scalar": torch.tensor(7),
    "state": torch.arange(5, dtype=torch.uint8),
}


def forged(header: str, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header.encode() + body


def test_round_trip_is_exact(tmp_path):
    words = {"step": "3", "train_loss": "nan", "curve": "[]", "name": 'ü\0"\\'}
    data = checkpoint.encode(WEIGHTS, words)
    (tmp_path / "a").write_bytes(data)
    found = checkpoint.read_checkpoint(tmp_path / "a")
    assert found.metadata == {**words, "format": checkpoint.FORMAT}
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.weights.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert found.weights[name].dtype == tensor.dtype
        assert found.weights[name].shape == tensor.shape
        one, other = (t.reshape(-1).view(torch.uint8) for t in (found.weights[name], tensor))
        assert one.equal(other)


def test_anyone_can_read_it(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(checkpoint.encode(WEIGHTS, {}))
    assert load_file(tmp_path / "a.safetensors")["half"].equal(WEIGHTS["half"])


def test_equal_contents_are_equal_bytes():
    words = {f"k{number}": str(number) for number in range(20)}
    shuffled = dict(reversed(words.items()))
    assert checkpoint.encode(WEIGHTS, words) == checkpoint.encode(dict(reversed(WEIGHTS.items())), shuffled)


def test_shared_and_strided_tensors_are_stored_as_they_look():
    base = torch.arange(6.0).reshape(2, 3)
    found = checkpoint.decode(checkpoint.encode({"a": base, "b": base.T, "c": base[:, 1]}, {}), "x").weights
    assert found["b"].equal(base.T)
    assert found["c"].equal(base[:, 1])


def test_every_flipped_bit_is_noticed():
    data = checkpoint.encode({"a": torch.arange(3.0)}, {"step": "1"})
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFile):
            checkpoint.verify(bytes(flipped), "x")


def test_every_truncation_is_noticed():
    data = checkpoint.encode({"a": torch.arange(3.0)}, {"step": "1"})
    for length in range(len(data)):
        with pytest.raises(DamagedFile):
            checkpoint.verify(data[:length], "x")
    with pytest.raises(DamagedFile):
        checkpoint.verify(data + b"\0", "x")


def test_a_foreign_file_is_called_foreign():
    with pytest.raises(DamagedFile, match="x is foreign"):
        checkpoint.verify(save(WEIGHTS, {"format": "pt"}), "x")


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ('{"a":{},"a":{}}', 0),
        (json.dumps({"a": ENTRY, "b": {**ENTRY, "data_offsets": [8, 12]}}), 12),
        (json.dumps({"a": ENTRY, "b": ENTRY}), 4),
        (json.dumps({"a": ENTRY}), 8),
        (json.dumps({"a": {**ENTRY, "shape": [2]}}), 4),
        (json.dumps({"a": {**ENTRY, "shape": [True]}}), 4),
        (json.dumps({"a": {**ENTRY, "shape": [-1], "data_offsets": [4, 0]}}), 0),
        (json.dumps({"a": {**ENTRY, "dtype": "F7"}}), 4),
        (json.dumps({"__metadata__": {"step": 3}}), 0),
        ("[" * 100_000, 0),
        ("[1]", 0),
        ("not json", 0),
    ],
    ids=[
        "twice",
        "hole",
        "overlap",
        "long",
        "short",
        "bool",
        "negative",
        "type",
        "number",
        "deep",
        "list",
        "text",
    ],
)
def test_a_header_that_does_not_hold_is_refused(header, size):
    with pytest.raises(DamagedFile):
        checkpoint.read_header(forged(header, bytes(size)), "x")


def test_a_long_header_is_refused_before_it_is_parsed():
    with pytest.raises(DamagedFile):
        checkpoint.read_header(forged(" " * (1 << 20) + "{}"), "x")
