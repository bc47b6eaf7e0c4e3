"""The order of scores, and the sentence that says what moved first."""

import math
from io import StringIO

import pytest
from rich.console import Console

from grokscope import score
from grokscope.cli.score import Sort
from grokscope.report.ranked import SORTS, answer, in_order
from grokscope.report.scores import scores_table


def test_every_order_can_be_asked_for():
    assert {each.value for each in Sort} == set(SORTS)


@pytest.mark.parametrize("runs", [1, 6])
def test_rows_stand_by_how_early_they_change_and_what_has_no_number_last(comparison_of, runs):
    scores = score(comparison_of(runs=runs))
    rows = scores.rows if runs == 1 else scores.summaries
    ahead = [getattr(row.ahead, "mean", row.ahead) for row in in_order(rows, "ahead")]
    known = [value for value in ahead if not math.isnan(value)]
    assert known == sorted(known, reverse=True)
    assert ahead[: len(known)] == known
    assert in_order(rows, "measure") == list(rows)
    for name in SORTS:
        assert sorted(map(id, in_order(rows, name))) == sorted(map(id, rows))


@pytest.mark.parametrize("runs", [1, 6])
def test_the_last_line_says_what_moved_first_and_when(comparison_of, runs):
    scores = score(comparison_of(runs=runs))
    told = StringIO()
    Console(file=told, width=200).print(scores_table(scores, 200, "ahead"))
    last = told.getvalue().strip().splitlines()[-1]
    assert last == answer(scores)
    rows = in_order(scores.rows if runs == 1 else scores.summaries, "ahead")
    if getattr(rows[0].ahead, "mean", rows[0].ahead) > 0:
        assert last.startswith(f"Moved first: {rows[0].column} at step ")
        assert ("runs that grok" in last) == (runs > 1)
    else:
        assert last.startswith("Nothing moved before ")


def test_nothing_is_said_to_be_first_where_test_accuracy_itself_does_not_change(comparison_of):
    scores = score(comparison_of(runs=1))
    still = type(scores)(**{**vars(scores), "reference": dict.fromkeys(scores.reference)})
    assert answer(still).startswith("What moved first cannot be said")


def test_names_are_cut_at_their_end(comparison_of):
    told = StringIO()
    Console(file=told, width=60).print(scores_table(score(comparison_of(runs=1)), 60, "ahead"))
    assert "weight_norm.l2_" in told.getvalue()
    assert max(map(len, told.getvalue().splitlines())) <= 60
