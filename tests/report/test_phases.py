"""The strips and tables of phases say when each begins and ends, at any width, and why there are none."""

from io import StringIO

import pytest
from rich.console import Console

from grokscope.report.phases import phases_csv, phases_table
from grokscope.statistics.phases import Phase, Phases

LEARNING, EMERGENCE, DECOUPLING = "feature learning", "emergence", "decoupling"
FOUND = Phases((Phase(LEARNING, 5, 20), Phase(EMERGENCE, 25, 95), Phase(DECOUPLING, 100, 295)))


def shown(comparison, found, width, *columns):
    told = StringIO()
    Console(file=told, width=width).print(phases_table(comparison, found, width, columns))
    out = told.getvalue()
    assert max(map(len, out.splitlines())) <= width
    return out


@pytest.mark.parametrize("width", [40, 80, 120])
def test_runs_are_strips_of_letters_over_the_log_axis(comparison_of, width):
    comparison = comparison_of(runs=3)
    first, second, third = comparison.runs
    nothing = Phases((), note="synergy never turns")
    out = shown(comparison, {first: FOUND, second: Phases(FOUND.found[:1]), third: nothing}, width)
    three, one = (line.split()[-2:] for line in out.splitlines() if line.split()[-1:] in (["295"], ["20"]))
    assert three[0] == "F" * three[0].count("F") + "E" * three[0].count("E") + "C" * three[0].count("C")
    assert 0 < three[0].count("C") < three[0].count("E"), "log10 of 3 is less than of 4, however many steps"
    assert set(one[0]) == {"F"}
    assert f"{third}: synergy never turns" in " ".join(out.split())
    assert all(name in out for name in (LEARNING, EMERGENCE, DECOUPLING))


def test_one_run_is_a_table_with_its_courses_from_end_to_end(comparison_of):
    comparison = comparison_of(runs=1)
    (run,) = comparison.runs
    synergy = comparison.runs[run].course("oinfo.synergy")
    lines = shown(comparison, {run: FOUND}, 120, "oinfo.synergy").splitlines()
    header = next(line for line in lines if line.startswith("phase"))
    assert header.split() == ["phase", "from", "to", "synergy", "test_loss"]
    row = next(line for line in lines if line.startswith(EMERGENCE)).split()
    assert row[1:3] == ["25", "95"]
    assert [float(row[at]) for at in (3, 5)] == pytest.approx([synergy[5], synergy[19]], rel=1e-3)
    narrow = shown(comparison, {run: FOUND}, 50, "oinfo.synergy")
    assert "test_loss" in narrow
    assert "synergy" not in narrow.partition("\n\n")[2].splitlines()[0], "what has no room is left out"


def test_where_no_run_has_phases_there_is_the_reason_alone(comparison_of):
    comparison = comparison_of(runs=1)
    (run,) = comparison.runs
    assert shown(comparison, {run: Phases((), note="synergy never turns")}, 80) == "synergy never turns\n"


def test_csv_has_a_row_for_each_phase_with_the_settings(comparison_of):
    comparison = comparison_of(runs=2)
    first, second = comparison.runs
    rows = phases_csv(comparison, {first: FOUND, second: Phases(FOUND.found[:1])}).splitlines()
    assert rows[0] == "run,seed,weight_decay,phase,start,end"
    assert rows[1] == f"{first},0,2.0,{LEARNING},5,20"
    assert len(rows) == 1 + 3 + 1
