"""Plots in a terminal fit it, show where things happen, and believe no name."""

import io
import sys

import numpy as np
import pytest
from rich.console import Console

from grokscope import UsageError
from grokscope.report.figures import plot_text


def printed(found, columns=None, width=80, height=24, colour=False, **options):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="256" if colour else None)
    console.print(plot_text(found, columns, width=width, height=height, colour=colour, **options))
    return stream.getvalue()


def column_of(text, row_has, character):
    row = next(line for line in text.splitlines() if row_has in line)
    return row.index(character)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_it_fits_the_terminal(made_up, compared, width):
    runs = [made_up(f"a-rather-long-name-of-a-run-{at}") for at in range(6)]
    for found in (runs[0], compared(runs, weight_decay=[1, 1, 2, 2, 3, 3], seed=[0, 1] * 3)):
        for options in ({}, {"normalise": True}, {"columns": "loss"}, {"pareto": ("m.up", "m.up")}):
            lines = printed(found, width=width, **options).splitlines()
            assert max(map(len, lines)) <= width
            assert len(lines) <= 24


def test_many_panels_stay_readable(made_up):
    text = printed(made_up(columns={f"m{at}.value": np.arange(61.0) for at in range(12)}))
    assert all(f"m{at}.value" in text for at in range(12))


def test_a_course_rises_where_it_does(made_up):
    steps = np.arange(61)
    run = made_up(columns={"m.jump": np.where(steps < 30, 2.0, 7.5)})
    rows = printed(run, "jump", x="linear", height=30).splitlines()
    panel = rows[rows.index("m.jump") + 1 :]
    high = next(row for row in panel if row.lstrip().startswith("7.5┤"))
    low = next(row for row in panel if row.lstrip().startswith("2┤"))
    first = high.index("┤") + 1
    span = high.rindex("│") - first
    assert (high.index("•") - first) / span == pytest.approx(0.5, abs=0.05)
    assert (low.rindex("•") - first) / span == pytest.approx(0.5, abs=0.05)


def test_memorisation_and_grokking_are_named(made_up):
    run = made_up()
    memorised, grokked = run.transitions()
    text = printed(run)
    assert f"M {memorised}" in text
    assert f"G {grokked}" in text
    assert "linear from 0 to 10" in text
    assert "G " not in printed(made_up(grokked=None))


def test_gaps_are_not_bridged(made_up):
    values = np.full(61, 1.0)
    values[20:40] = np.nan
    values[-1] = 2.0
    rows = printed(made_up(columns={"m.gap": values}, grokked=None, memorised=9), x="linear").splitlines()
    low = next(row for row in rows[rows.index("m.gap") :] if row.lstrip().startswith("1┤"))
    assert "•   " in low.strip("┤│ ")


def test_colour_only_where_there_is_some(made_up, compared):
    found = compared([made_up("a"), made_up("b")], decay=[1, 2])
    plain = printed(found)
    assert "\x1b" not in plain
    assert "• 1  × 2" in plain
    assert "\x1b[38;5;33m" in printed(found, colour=True)


def test_hostile_names_are_only_text(made_up, compared):
    hostile = "[red]x\x1b[31m\x1b]8;;http://x\x1b\\"
    runs = [made_up(f"{hostile}{at}", {f"m.{hostile}": np.arange(61.0)}) for at in range(2)]
    for found in (runs[0], compared(runs, **{hostile: [hostile, "b"]})):
        for options in ({}, {"pareto": (f"m.{hostile}",) * 2}, {"normalise": True}):
            text = printed(found, **options)
            assert "\x1b" not in text
            assert "[red]x" in text


@pytest.mark.parametrize("values", [np.full(61, np.nan), np.full(61, 7.0), np.full(61, 1e300)])
def test_what_does_not_vary(made_up, values):
    run = made_up(columns={"m.up": values})
    assert "m.up" in printed(run)
    assert "m.up over m.up" in printed(run, pareto=("m.up", "m.up"))


@pytest.mark.parametrize("steps", [[0], [600], [0, 10]])
def test_one_point(made_up, steps):
    run = made_up(columns={"m.up": np.ones(len(steps))}, steps=steps)
    for scale in ("log", "linear"):
        text = printed(run, x=scale)
        assert str(steps[-1]) in text
        assert "•" in text


def test_stages_of_a_pareto_plot(made_up):
    run = made_up(columns={"m.step": np.arange(0, 601, 10)})
    text = printed(run, pareto=("m.step", "m.step"))
    body = text.splitlines()[3:]
    assert sum(row.count("#") for row in body) > sum(row.count("·") for row in body) > 0


def test_missing_plotext_is_one_sentence(made_up, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotext", None)
    with pytest.raises(UsageError, match=r"needs plotext: pip install 'grokscope\[report\]'$"):
        printed(made_up())
