"""A column's name is made once and keeps its parts, whatever characters a label has."""

import copy
import pickle

import pytest

from grokscope import Column, Results
from grokscope.results import ColumnName
from grokscope.results.names import by_measure


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pmi.pmi", ("pmi", "pmi", "")),
        ("norm.l2:layers.0.weight", ("norm", "l2", "layers.0.weight")),
        ("norm.l2:a:b", ("norm", "l2", "a:b")),
        ("mine:norm.l2:head", ("mine:norm", "l2", "head")),
        ("pmi", ("pmi", "", "")),
        ("mine:pmi", ("mine:pmi", "", "")),
    ],
)
def test_a_text_is_read_into_its_parts_and_is_that_text_again(text, parts):
    name = ColumnName.read(text)
    assert (name.measure, name.column, name.label) == parts
    assert name == text == ColumnName(*parts) == str(name)
    assert {text: 1}[name] == {name: 1}[text] == 1
    assert type(str(name)) is str


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda name: pickle.loads(pickle.dumps(name))])
def test_a_copy_keeps_the_parts(copied):
    name = ColumnName("mine:norm", "l2", "layers.0:x")
    again = copied(name)
    assert (again, again.measure, again.column, again.label) == (name, "mine:norm", "l2", "layers.0:x")


def test_what_a_name_is_called_in_a_table():
    assert ColumnName("norm", "l2", "head").own == "l2:head"
    assert ColumnName("pmi", "pmi").alone == "pmi"
    assert ColumnName("pmi", "pmi", "head").alone == "pmi.pmi:head"
    assert ColumnName("norm", "l2").alone == "norm.l2"


def test_results_made_of_plain_texts_have_names():
    found = Results(
        run="r", columns={"step": [0], "a.x:b": [1.0]}, declared={"a.x:b": Column("x", "a number")}
    )
    (name,) = found.measured
    assert (name.measure, name.column, name.label) == ("a", "x", "b")
    assert next(iter(found.declared)).label == "b"
    assert found.columns["a.x:b"] == [1.0]


def test_names_of_one_measure_come_together():
    names = map(ColumnName.read, ["b.x", "a.x", "b.y", "a.x", "b.x:l"])
    assert by_measure(names) == ["b.x", "b.y", "b.x:l", "a.x"]
