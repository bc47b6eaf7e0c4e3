"""What came out of a figure is kept as data, judged and drawn again from it; finished runs can be enough."""

import json
import shutil

import other_figures
import pytest
import synthetic
from synthetic import FIGURES

from grokscope import PluginError, hypothesis
from grokscope.errors import UnknownName, UsageError
from grokscope.reproduce import find_figures, reproduce
from grokscope.reproduce.checking import check
from grokscope.reproduce.kept import Kept, kept_tables

COURSES = {**synthetic.COURSES, **other_figures.COURSES}


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROKSCOPE_DATA_DIR", raising=False)


def test_what_is_kept_gives_the_account_again(toy, cli, tmp_path):
    asked = ("--readings", "l2,l1", "--json", "-q", "-o", "toy.svg")
    made = cli("reproduce", "toy-1", "--seeds", "1", "--workers", "1", "--rows", "found", *asked)
    assert made.code == 0, made.err
    again = cli("reproduce", "toy-1", "--from", "found", *asked)
    assert again.code == 0, again.err
    told, retold = json.loads(made.out), json.loads(again.out)
    assert retold["stand_ins"] == {"mnist": "digits"}
    assert retold["readings"][0]["verdict"] == "undecided"
    for one, other in zip(told["readings"], retold["readings"], strict=True):
        for part, same in zip(one.pop("parts"), other.pop("parts"), strict=True):
            values, leads = part.pop("values"), part.pop("leads")
            assert same.pop("values") == {
                name: pytest.approx(each, rel=1e-5) for name, each in values.items()
            }
            assert same.pop("leads") == {name: pytest.approx(each, abs=1e-4) for name, each in leads.items()}
            assert part == same
        for name, paths in one.pop("runs").items():
            assert [path.rpartition("/")[2] for path in paths] == other["runs"][name]
        other.pop("runs")
    assert told == retold
    assert str(tmp_path) not in (tmp_path / "found" / "runs.csv").read_text()
    found = reproduce(toy, seeds=2, readings="l2", finished=True)
    assert [len(each.runs) for each in found.found.values()] == [1, 1, 1, 1]
    kept = (tmp_path / "found" / "courses.csv").read_text().splitlines()
    assert set(kept_tables([found])["courses"].splitlines()) < set(kept)  # l1 is of the other reading alone


def test_what_several_machines_made_is_joined(toy, cli, tmp_path):
    asked = ("toy-1", "--readings", "l2", "--workers", "1", "-q", "-o", "toy.svg")
    whole = cli("reproduce", *asked, "--seeds", "2", "--rows", "whole")
    assert whole.code == 0, whole.err
    assert cli("reproduce", *asked, "--seeds", "1", "--rows", "one").code == 0
    for run in (tmp_path / "runs").glob("*-s0*"):
        shutil.rmtree(run)
    assert cli("reproduce", *asked, "--seeds", "2", "--finished", "--rows", "two").code == 0
    joined = cli("reproduce", *asked[:3], *asked[5:], "--from", "two", "--from", "one", "--rows", "joined")
    assert (joined.code, joined.out) == (0, whole.out)
    for table in ("runs", "groups", "courses"):
        parts = [(tmp_path / folder / f"{table}.csv").read_bytes() for folder in ("whole", "joined", "two")]
        assert parts[0] == parts[1] != parts[2]
    assert Kept.joined([tmp_path / "one"]) == Kept.read(tmp_path / "one")


def test_what_does_not_go_together_is_not_joined(toy, cli, tmp_path):
    made = cli("reproduce", "toy-1", "--seeds", "1", "--workers", "1", "--rows", "one", "-q", "-o", "toy.svg")
    assert made.code == 0, made.err
    courses, runs, groups = (tmp_path / "one" / f"{name}.csv" for name in ("courses", "runs", "groups"))
    (tmp_path / "two").mkdir()

    def other(change):
        for path in (courses, runs, groups):
            (tmp_path / "two" / path.name).write_text(change(path.read_text()))
        return cli("reproduce", "toy-1", "--from", "one", "--from", "two", "-o", "toy.svg")

    lines = courses.read_text().splitlines()
    at = next(line for line in lines if ",test_loss," in line)
    ended = other(lambda text: text.replace(at, f"{at.rpartition(' ')[0]} 7.5"))
    assert ended.code == 2
    assert f"{at.partition(',')[0]} must be one run in all folders, got another in two" in " ".join(
        ended.err.split()
    )
    ended = other(
        lambda text: text.replace("digits-", "numbers-").replace('""name"":""digits""', '""name"":""images""')
    )
    assert ended.code == 2
    assert "toy-1, images must have runs of one task, got digits, images" in " ".join(ended.err.split())


def test_nothing_is_trained_where_what_is_finished_is_asked_for(toy, tmp_path):
    found = reproduce(toy, seeds=2, readings="l2", out=tmp_path / "none", finished=True)
    assert [part.outcomes for part in found.parts] == [(), ()]
    assert found.verdict == "undecided"
    assert not found.failures
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "broken", "problem"),
    [
        ("runs", None, "must be a table that reproduce --rows wrote"),
        ("runs", "r\n", "must have the columns run, config"),
        ("runs", "r,{\n", "must hold what reproduce --rows wrote"),
        ("courses", "r,pmi.pmi,,all,0:20:10,1 2\n", "pmi.pmi of r has 2 values at 3 steps"),
        ("courses", "r,pmi.pmi,,all,0:20:10,1 2*3\n", "there are 3 steps, and more values: 2\\*3"),
        ("courses", "r,pmi.pmi,,all,0:20:10,1 2*0\n", "there are 3 steps, and more values: 2\\*0"),
        ("courses", "r,pmi.pmi,,all,0:900000000000:1,1\n", "are more steps than 10000000"),
        ("groups", "tan-1,float64,images,r\n", "must hold the configuration and the curve of r"),
    ],
)
def test_what_is_no_kept_figure_is_refused(tmp_path, name, broken, problem):
    for table, text in kept_tables([]).items():
        (tmp_path / f"{table}.csv").write_text(text)
    assert Kept.read(tmp_path).figures == []
    path = tmp_path / f"{name}.csv"
    path.unlink() if broken is None else path.write_text(path.read_text() + broken)
    with pytest.raises(UsageError, match=problem):
        Kept.read(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clauw-2", "--from", "found", "--seeds", "2"), "--from must be given without"),
        (("clauw-2", "--rows", "found", "--quick"), "--rows must be given without --quick"),
        (("clauw-2", "--rows", "no/found"), "--rows must be in a directory that exists"),
        (("clauw", "-o", "one.png"), "-o must be a directory that exists where figures are several"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_trained(cli, words, said):
    ended = cli("reproduce", *words)
    assert ended.code == 2
    assert said in ended.err


def test_figures_are_asked_for_by_name_by_paper_and_all_at_once():
    assert [each.name for each in find_figures(["golechha", "golechha-1", "tan-3"], FIGURES)] == [
        *(f"golechha-{number}" for number in range(1, 5)),
        "tan-3",
    ]
    assert find_figures(["all"], FIGURES) == list(FIGURES.values())
    with pytest.raises(UnknownName, match="clauw"):
        find_figures(["clauv-1"], FIGURES)


@pytest.mark.parametrize("name", COURSES)
def test_leads_are_between_steps_that_the_claim_tells(name):
    for part, asked in zip(check(FIGURES[name], COURSES[name][0]), FIGURES[name].asks, strict=True):
        assert len(part.leads) == len(asked.hypothesis.leads)
        for first, second in asked.hypothesis.leads:
            assert {first, second} <= set(part.values)
            assert len(part.leads[f"from {first} to {second}"]) == len(part.outcomes)


def test_a_lead_is_positive_where_what_should_come_first_does():
    [_, first] = check(FIGURES["tan-4"], COURSES["tan-4"][0])
    [leads] = first.leads.values()
    assert leads == pytest.approx([0.30103] * 3)  # 500 and 1000
    assert first.interval == pytest.approx((0.4385, 1), abs=1e-4)  # Wilson of 3 of 3
    [_, last] = check(FIGURES["tan-4"], COURSES["tan-4"][1])
    assert max(next(iter(last.leads.values()))) < 0


def test_leads_are_pairs_of_names():
    with pytest.raises(PluginError, match="leads must be pairs of names of values"):

        @hypothesis(claim="c.", leads=[("alone",)])
        def first(results):
            """It is first."""
            return True
