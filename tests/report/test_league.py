"""The league is told in full in table, CSV, page and figure, and its rows read back as they were."""

import csv
import io
import math
import re
from dataclasses import replace

import pytest
from rich.console import Console

from grokscope import UsageError, load_plugins
from grokscope.report.figures import picture
from grokscope.report.figures.league import draw_league
from grokscope.report.league import (
    answer,
    as_dict,
    knowledge,
    league_csv,
    league_table,
    read_rows,
    rows_csv,
)
from grokscope.report.page.league import league_page
from grokscope.report.text import json_text
from grokscope.results import ColumnName
from grokscope.statistics.league import CONTROLS, Sighting, league
from grokscope.statistics.league.columns import NOISE
from grokscope.statistics.league.fates import Fate
from grokscope.statistics.transition import Between

FOREIGN = "<script>$x$\x1b[31m"


def sighting(setting, seed, groks, column, change=None, **others):
    end = Between(900, 1000) if groks else Between(2000, 2000)
    fate = Fate(setting, groks, 100, end)
    shape = "rise" if change else ""
    return Sighting(f"{setting}-s{seed}", fate, ColumnName.read(column), shape, change, **others)


@pytest.fixture(scope="module")
def rows():
    """One column that foretells and one that does not, in four settings that grok and three that never do."""
    made = []
    for at in range(7):
        for seed in range(2):
            where = (f"{FOREIGN} {at}", seed, at < 4)
            early = Between(150 + 10 * at, 170 + 10 * at + seed)
            made += [
                sighting(
                    *where, "pmi.pmi", early if at < 4 else None, value=at + 0.25, ms=1.5, resolution=0.125
                ),
                sighting(*where, "oinfo.synergy", early, moved=-0.5, partial=0.1 if at < 4 else math.nan),
                sighting(*where, str(NOISE), early if at + seed in (0, 5) else None),
            ]
    return [*made, Sighting(made[0].run, made[0].fate, ColumnName.read("llc"), absent="no loss, so none")]


@pytest.fixture(scope="module")
def found(rows):
    return league(rows, {"other-s0": "it groks without"})


@pytest.fixture(scope="module")
def known():
    return knowledge(load_plugins())


def test_rows_read_back_as_they_were(rows, tmp_path):
    harmless = [  # foreign text is disarmed
        Sighting(
            row.run.replace(FOREIGN, "one"),
            Fate(row.fate.setting.replace(FOREIGN, "one"), *list(vars(row.fate).values())[1:]),
            *list(vars(row).values())[2:],
        )
        for row in rows
    ]
    path = tmp_path / "rows.csv"
    path.write_text(rows_csv(harmless, {"other-s0": "why, so"}))
    again, excluded = read_rows(path)
    assert [repr(row) for row in again] == [repr(row) for row in harmless]
    assert excluded == {"other-s0": "why, so"}
    assert repr(league(again).places) == repr(league(harmless).places)


def test_rows_that_were_written_before_resolutions_were_kept_are_read(rows, tmp_path):
    path = tmp_path / "rows.csv"
    table = list(csv.reader(io.StringIO(rows_csv(rows[:3], {"other-s0": "why, so"}))))
    at = table[0].index("resolution")
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([*row[:at], *row[at + 1 :]] for row in table)
    again, excluded = read_rows(path)
    assert [row.column for row in again] == [row.column for row in rows[:3]]
    assert all(math.isnan(row.resolution) for row in again)
    assert list(excluded) == ["other-s0"]


def test_files_of_several_machines_are_read_as_one(rows, tmp_path):
    one, other, wrong = (tmp_path / f"{name}.csv" for name in ("one", "other", "wrong"))
    seeds = [[row for row in rows if row.run.endswith(f"-s{seed}")] for seed in (0, 1)]
    assert all(seeds)
    one.write_text(rows_csv(seeds[0], {"left-s0": "why"}))
    other.write_text(rows_csv([*seeds[1], *seeds[0]], {"left-s1": "so"}))
    again, excluded = read_rows(one, other)
    assert sorted(map(repr, again)) == sorted(map(repr, read_rows(other)[0]))
    assert excluded == {"left-s0": "why", "left-s1": "so"}
    wrong.write_text(rows_csv([replace(row, value=9.5) for row in seeds[0]], {}))
    run = re.escape(read_rows(wrong)[0][0].run)  # the first that differs
    with pytest.raises(UsageError, match=rf"wrong\.csv must say of run {run} what the files before it say"):
        read_rows(one, wrong)
    wrong.write_text(rows_csv(seeds[1], {read_rows(one)[0][0].run: "it has no delay"}))
    with pytest.raises(UsageError, match=r"wrong\.csv must say of run"):
        read_rows(one, wrong)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\x00\xff", None])
def test_what_is_none_of_it_is_refused(tmp_path, content):
    path = tmp_path / "rows.csv"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=r"rows\.csv must"):
        read_rows(path)


def printed(table, width):
    told = io.StringIO()
    Console(file=told, width=width).print(table)
    return told.getvalue()


def test_every_column_is_in_every_account(found, known):
    names = {"pmi.pmi", "oinfo.synergy", "control.noise"}
    wide, narrow = (printed(league_table(found, known, width), width) for width in (200, 60))
    assert all(name in wide and name in narrow for name in names)
    assert {line.split(",")[1] for line in league_csv(found, known).splitlines()[1:]} == names
    assert {row["column"] for row in as_dict(found, known)["places"]} == names
    assert "\x1b" not in json_text(as_dict(found, known))
    assert max(map(len, narrow.splitlines())) <= 60
    assert "after Holm over 3 columns" in wide
    assert "left out: other-s0: it groks without" in wide
    assert "llc has no value in <script>$x$" in wide
    assert "0: no loss, so none" in wide
    assert "resolution" in wide
    assert "0.12" in wide
    assert as_dict(found, known)["absent"]["llc"]
    assert [row["must_know"] for row in as_dict(found, known)["places"]].count("control") == 1


def test_the_answer_names_what_foretells_and_where_the_controls_stand(found, rows):
    said = answer(found)
    assert said.startswith("1 of 2 columns foretell over 4 settings that grok and 3 that never do: pmi.pmi.")
    assert re.search(r"The controls: noise place [23] \(rank 2\)\.", said)
    blind = league([row for row in rows if row.column != "pmi.pmi"])
    assert answer(blind).startswith("Nothing foretells: none of 1 columns over 4 settings")
    few = league([row for row in rows if row.fate.setting.endswith(("0", "5"))])
    assert answer(few).startswith("Nothing can be said of 2 columns over 1 settings that grok")


def test_the_page_is_safe_and_has_a_cell_for_every_setting_and_column(found, known):
    text = league_page(found, known)
    assert FOREIGN not in text
    assert "<script" not in text
    assert "\x1b" not in text
    assert text.count('<th scope="row"') == 2 * len(found.places)
    assert len(re.findall(r"<td[^>]*>\d/\d</td>", text.split('aria-label="Every number"')[0])) == 3 * 7
    assert "style-src 'sha256-" in text
    assert "style=" not in text


def test_the_figure_is_drawn_with_foreign_names(found, known):
    assert picture(draw_league(found, known), "svg").startswith(b"<?xml")


def test_what_each_measure_must_know_is_said(known):
    assert known["fourier.restricted_loss"] == "labels, test, task, end"
    assert known["fourier.gini_embedding"] == "task"
    assert (known["fit.train_loss"], known["fit.test_loss"]) == ("labels", "labels, test")
    assert known["weight_norm.l2"] == ""
    assert set(CONTROLS).isdisjoint(known)
