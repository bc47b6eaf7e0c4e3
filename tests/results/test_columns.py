"""Which columns count is said in one place, of one run and of several."""

import math

import pytest

from grokscope import Column, Comparison, Results, UnknownName
from grokscope.results.columns import (
    column_of,
    named_columns,
    number_columns,
    shown_columns,
    told_columns,
)

DECLARED = {
    "a.total": Column("total", "of all", role="control"),
    "a.total:l0": Column("total", "of a layer"),
    "b.part:l0": Column("part", "of a layer"),
    "b.said": Column("said", "words", text=True),
    "c.odd": Column("odd", "how many are odd", tally=True),
    "c.value": Column("value", "a number", missing="sometimes"),
}


def run(odd=0.0, without=()):
    columns = {
        name: ["word"] if column.text else [odd if name == "c.odd" else math.nan]
        for name, column in DECLARED.items()
        if name not in without
    }
    return Results(run="r", columns={"step": [0]} | columns, declared={n: DECLARED[n] for n in columns})


def both(*runs):
    return Comparison({str(at): each for at, each in enumerate(runs)}, {}, {})


@pytest.mark.parametrize("found", [run(), both(run()), both(run(), run())])
def test_words_are_no_numbers_and_what_has_nothing_to_tell_is_not_shown(found):
    assert number_columns(found) == ["a.total", "a.total:l0", "b.part:l0", "c.odd", "c.value"]
    assert told_columns(found) == ["a.total", "a.total:l0", "b.part:l0", "c.value"]
    assert shown_columns(found, per_layer=True) == told_columns(found)


@pytest.mark.parametrize("found", [run(), both(run())])
def test_columns_by_layer_are_left_out_where_a_number_is_their_total(found):
    assert shown_columns(found) == ["a.total", "b.part:l0", "c.value"]  # words are no total


def test_a_tally_that_any_run_has_is_told_in_all():
    assert "c.odd" in told_columns(both(run(), run(odd=2.0)))
    assert "c.odd" not in told_columns(both(run(), run()))


def test_a_column_of_one_run_alone_is_among_those_of_all_beside_its_measure():
    assert number_columns(both(run(without=["a.total:l0"]), run()))[:2] == ["a.total", "a.total:l0"]


def test_names_are_found_as_they_are_written():
    assert named_columns(both(run()), ["c.value", "a.total", "c.value"]) == ["c.value", "a.total"]
    with pytest.raises(UnknownName, match=r"did you mean a\.total"):
        named_columns(run(), ["a.totl"])
    with pytest.raises(UnknownName):
        named_columns(run(), ["b.said"])


def test_a_column_is_found_by_its_role():
    assert column_of(both(run()), "control") == "a.total"
    assert column_of(run(without=["a.total"]), "control") is None
