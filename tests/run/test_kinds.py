"""A checkpoint says which of its tensors are parameters, each once; what cannot be is not believed."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from grokscope.errors import DamagedFile
from grokscope.run import checkpoint, imported
from grokscope.run.kinds import Kinds, differences, kinds_of, untied, wrong_types


class Tied(nn.Module):
    """An embedding that is its own readout, batch norm, a persistent mask and one that is not saved."""

    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.tok.weight
        self.register_buffer("mask", torch.ones(2, 2).tril())
        self.register_buffer("scratch", torch.ones(2), persistent=False)


KINDS = Kinds(
    ("tok.weight", "norm.weight", "norm.bias"),
    ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "mask"),
    {"head.weight": "tok.weight"},
)


def said(kinds):
    return set(kinds.parameters), set(kinds.buffers), dict(kinds.ties)


def test_a_network_says_what_its_tensors_are():
    network = Tied()
    assert said(kinds_of(network)) == said(KINDS)
    parameters = kinds_of(network).of(network.state_dict())
    assert {name: tensor.data_ptr() for name, tensor in parameters.items()} == {
        name: parameter.data_ptr() for name, parameter in network.named_parameters()
    }
    assert said(kinds_of(nn.Linear(2, 2))) == ({"weight", "bias"}, set(), {})


def test_a_tied_parameter_is_stored_once_and_read_under_both_names():
    state = Tied().state_dict()
    kinds = kinds_of(Tied())
    data = checkpoint.encode(kinds.stored(state), kinds.words())
    assert b"head.weight" in data[: int.from_bytes(data[:8], "little")]  # named in the words alone
    assert "head.weight" not in json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found = checkpoint.decode(data, "x")
    assert said(found.kinds) == said(KINDS)
    assert list(found.weights) == sorted(state)
    assert all(torch.equal(found.weights[name], value) for name, value in state.items())
    Tied().load_state_dict(found.weights)


@pytest.mark.parametrize("kept", ["tok.weight", "head.weight"])
def test_whichever_name_a_file_keeps_gives_both(kept):
    state = {name: value for name, value in Tied().state_dict().items() if "tok" not in name}
    state.pop("head.weight")
    whole = KINDS.whole({**state, kept: torch.ones(5, 3)})
    assert whole["tok.weight"] is whole["head.weight"]
    assert not differences(Tied().state_dict(), whole)[1]


def test_equal_states_are_equal_bytes():
    state = Tied().state_dict()
    kinds = Kinds(KINDS.parameters[::-1], KINDS.buffers[::-1], KINDS.ties)
    one, other = (
        checkpoint.encode(kinds.stored(dict(items)), kinds.words())
        for kinds, items in ((KINDS, state.items()), (kinds, reversed(state.items())))
    )
    assert one == other


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"parameters": "[]"}, "each named once"),
        ({"buffers": '["mask", "w"]'}, "each named once"),
        ({"parameters": '["w", "w"]'}, "each named once"),
        ({"buffers": "null"}, "must be lists of names"),
        ({"ties": "[]"}, "must be lists of names"),
        ({"parameters": '[["w"]]'}, "must be text"),
        ({"ties": '{"v": "mask"}'}, "must stand for a parameter"),
        ({"ties": '{"w": "w"}'}, "must stand for a parameter"),
        ({"parameters": "["}, "Expecting value"),
    ],
)
def test_what_cannot_be_is_damaged(words, why):
    right = Kinds(("w",), ("mask",)).words()
    data = checkpoint.encode({"w": torch.ones(2), "mask": torch.ones(2)}, {**right, **words})
    with pytest.raises(DamagedFile, match=why):
        checkpoint.decode(data, "x")


def test_a_checkpoint_of_before_says_nothing():
    assert checkpoint.decode(checkpoint.encode({"w": torch.ones(2)}, {}), "x").kinds is None


def test_an_import_table_of_before_is_read(tmp_path):
    rows = [{"step": 3, "source": "a", "sha256": "0" * 64, "position": -1, "linked": True, "metrics": {}}]
    expected = imported.contents([imported.Record(**rows[0])])
    seal = checkpoint.sha256_hex(imported.canonical_json(rows).encode())
    path = tmp_path / imported.FILE
    path.write_text(json.dumps({"format": 1, "seal": seal, "checkpoints": rows}))
    found = imported.read(path, expected)
    assert list(found.links) == [3]
    assert found.kinds is None
    path.write_bytes(imported.encode(list(found.links.values()), KINDS))
    assert said(imported.read(path, expected).kinds) == said(KINDS)


def test_parameters_are_real_numbers():
    kinds = {"whole": torch.int64, "truth": torch.bool, "complex": torch.complex64}
    for name, kind in kinds.items():
        assert f"got {name} {kind}" in wrong_types({"w": torch.ones(2), name: torch.ones(2, dtype=kind)})
    halves = SimpleNamespace(w=torch.ones(2, dtype=torch.bfloat16), v=torch.ones(2).half())
    assert wrong_types(vars(halves)) == ""


def test_what_differs_is_said_with_names_shapes_and_types():
    expected = {"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(1), "n": torch.tensor(1)}
    got = {
        "a": torch.ones(2, 2),
        "b": torch.ones(3, dtype=torch.int32),
        "n": torch.tensor(True),
        "d": torch.ones(1),
    }
    assert differences(expected, got) == (
        5,
        "missing: c (1,); unknown: d (1,); a must be (2,), got (2, 2); b must hold numbers like "
        "torch.float32, got torch.int32, n must hold numbers like torch.int64, got torch.bool",
    )
    assert differences(expected, expected) == (0, "")
    assert differences({"a": torch.ones(2)}, {"a": torch.ones(2).double()}) == (0, "")


def test_names_of_one_parameter_hold_one_value():
    state = Tied().state_dict()
    assert untied(KINDS, state) == ""
    other = {**state, "head.weight": state["head.weight"] + 1}
    assert untied(KINDS, other).startswith("head.weight and tok.weight are one parameter")
    nan = torch.full((5, 3), float("nan"))
    assert untied(KINDS, {**state, "head.weight": nan, "tok.weight": nan.clone()}) == ""
