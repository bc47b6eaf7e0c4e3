"""The tables of scores say all that a verdict rests on, at any width."""

from io import StringIO

import pytest
from rich.console import Console

from grokscope import score
from grokscope.report.scores import scores_table


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_has_p_the_reason_and_over_how_many_columns_it_is_corrected(comparison_of, width):
    scores = score(comparison_of(runs=6))
    told = StringIO()
    Console(file=told, width=width).print(scores_table(scores, width))
    out = told.getvalue()
    assert max(map(len, out.splitlines())) <= width
    header = next(line for line in out.splitlines() if "verdict" in line).split()
    assert header.index("p") < header.index("verdict") < header.index("why")
    assert f"Holm-corrected over {scores.columns_tested} columns" in out
    for summary in scores.summaries:
        assert f"{summary.verdict}  " in out
        assert summary.judgement.reason in out
        assert summary.judgement.reason


def test_a_change_that_is_unresolved_and_a_twin_are_shown(comparison_of):
    """Of one run there are no verdicts, and yet these are said."""
    names = ("weight_norm.l2_all", "weight_norm.l2_weights")
    comparison = comparison_of(runs=1, names=names)
    (results,) = comparison.runs.values()
    results.columns["weight_norm.l2_weights"][:] = results.columns["weight_norm.l2_all"]
    scores = score(comparison)
    told = StringIO()
    Console(file=told, width=80).print(scores_table(scores, 80))
    lines = [line for line in told.getvalue().splitlines() if "l2_" in line and "rho" not in line]
    assert ["twin" in line for line in lines] == [False, True]
    marked = [row.change is not None and not row.resolved for row in scores.rows]
    assert ["≤" in line for line in lines] == marked
