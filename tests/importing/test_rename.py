"""Rename rules: what a rule says, and what it does to a tensor."""

import pytest
import torch

from grokscope.errors import SettingError
from grokscope.run.rename import Rule, arrange, as_type, read_rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a=b", Rule("a", "b")),
        (" a.W = b.W.T ", Rule("a.W", "b.W", (".T",))),
        ("W_O=W_O.join.T[:-1]", Rule("W_O", "W_O", (".join", ".T", "[:-1]"))),
        ("W=W.T.reshape(2,3,4)", Rule("W", "W", (".T", ".reshape(2,3,4)"))),
        ("*.mask=", Rule("*.mask", "")),
        ("b=0", Rule("b", "0")),
    ],
)
def test_rules_are_read(text, rule):
    assert read_rule(text) == rule
    assert str(rule) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["a", "=b", "a=b=c", "a=.T", "a=0[:-1]"])
def test_other_texts_are_refused(text):
    with pytest.raises(SettingError, match="`rename` must be OLD=NEW"):
        read_rule(text)


def test_what_each_step_does():
    given = torch.arange(24.0).reshape(2, 3, 4)

    def becomes(text):
        return arrange({"a": given}, [read_rule(f"a=b{text}")])["b"]

    assert torch.equal(becomes(".T"), given.permute(0, 2, 1))
    assert torch.equal(becomes(".join"), given.reshape(6, 4))
    assert torch.equal(becomes(".join.T"), given.reshape(6, 4).t())
    assert torch.equal(becomes(".reshape(4,6)"), given.reshape(4, 6))
    assert torch.equal(becomes("[:-1]"), given[:1])


def test_the_first_rule_counts_and_others_stay():
    found = arrange({"a": torch.ones(1), "b": torch.zeros(1)}, [Rule("a", "c"), Rule("a", "d")])
    assert list(found) == ["c", "b"]


@pytest.mark.parametrize(
    ("tensors", "rules", "words"),
    [
        ({"a": torch.ones(2), "b": torch.ones(2)}, [Rule("a", "b")], "two tensors would become b"),
        ({"a": torch.ones(2)}, [Rule("a", "0")], "a must be zero"),
        (
            {"a": torch.ones(2)},
            [Rule("a", "b", (".T",))],
            r"a: \.T cannot be done to a tensor of shape \(2,\)",
        ),
        ({"a": torch.ones(2)}, [Rule("a", "b", (".join",))], r"\.join cannot be done"),
        ({"a": torch.ones(2)}, [Rule("a", "b", (".reshape(3)",))], "cannot be done"),
        ({"a": torch.tensor(1.0)}, [Rule("a", "b", ("[:-1]",))], "cannot be done"),
        ({"a": torch.ones(2, device="meta")}, [], "must be a plain tensor"),
        ({"a": torch.ones(2, 2).to_sparse()}, [], "must be a plain tensor"),
    ],
)
def test_what_cannot_be_rearranged_says_why(tensors, rules, words):
    with pytest.raises(ValueError, match=words):
        arrange(tensors, rules)


def test_types_are_widened_exactly():
    given = {"half": torch.randn(9).half(), "brain": torch.randn(9).bfloat16(), "count": torch.tensor(3)}
    found = as_type(given, "float32")
    assert {name: str(value.dtype) for name, value in found.items()} == {
        "half": "torch.float32",
        "brain": "torch.float32",
        "count": "torch.int64",
    }
    assert torch.equal(found["half"].half(), given["half"])
