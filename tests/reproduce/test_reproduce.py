"""A figure from training to drawing: what is there is reused, what is missing said; it can be stopped."""

import json
import sys
from dataclasses import replace

import pytest

from grokscope.errors import DataError, SettingError, UnknownName, UsageError
from grokscope.figure import PUBLISHED, Panel, Trained
from grokscope.reproduce import choose_readings, reproduce
from grokscope.reproduce.account import as_dict, by_verdict, notes, spread
from grokscope.statistics.judging import Decision
from grokscope.tasks import text

HELD, UNDECIDED = Decision.HELD, Decision.UNDECIDED


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROKSCOPE_DATA_DIR", raising=False)


def test_a_figure_is_trained_measured_drawn_and_judged(toy, tmp_path):
    said = []
    found = reproduce(
        toy,
        readings="primary",
        out=tmp_path / "runs",
        progress=lambda words, done, total: said.append(words),
    )
    assert [len(paths) for paths in found.paths.values()] == [2, 2, 2, 1]
    assert [part.verdict for part in found.parts] == [HELD, HELD]
    assert found.parts[0].outcomes == (True, True)
    assert not found.failures
    assert {"training plain", "measuring toy-1, plain"} <= set(said)
    parts = found.found["plain, synergistic units"]
    for results in parts.runs.values():
        assert results.config["training"]["masked_units"]
    figure = found.draw()
    assert len(figure.axes) == 4 + 1 + 1  # panels, a right axis, and the colours of steps
    assert "2 seeds: mean, in a band from the lowest to the highest." in notes(found)
    assert (found.seeds, found.seeds_of(["images"])) == ("1 to 2", "1")
    assert found.stand_ins == {"mnist": "digits"}
    assert found.verdict == UNDECIDED  # its `beyond` says that digits decide nothing
    assert replace(found, caveats=[]).verdict == HELD


WHO_WROTE = {"train_size": 4, "test_size": 4, "steps": 2, "model.d_state": 4, "batch_size": 0}


def test_of_what_may_stand_in_it_is_the_first_whose_data_is_there(toy, tmp_path):
    own = Trained("reviews", settings=WHO_WROTE, seeds=1)
    digits = toy.groups["images"]
    group = replace(digits, runs=Trained("imdb", seeds=1), stand_ins=(own, *digits.stand_ins))
    figure = replace(
        toy, groups={"images": group}, panels=(Panel(("images",)),), asks=toy.asks[1:], readings=(PUBLISHED,)
    )

    said = []

    def what(**where):
        return reproduce(figure, out=tmp_path / "runs", workers=1, notify=said.append, **where).stand_ins

    assert what() == {"imdb": "digits"}
    assert "digits stands in for imdb: task imdb needs aclImdb/" in said[0]
    assert "; task reviews needs reviews.csv, with the columns" in said[0]
    folder = tmp_path / "texts"
    folder.mkdir()
    with pytest.raises(DataError, match="task imdb needs aclImdb/"):  # digits are in no folder
        what(data_dir=folder)
    sides = ("positive", "negative")
    text.write_csv(
        folder, [(f"{side} film number {i}", side) for i in range(4) for side in sides], text.OWN_NAME
    )
    assert what(data_dir=folder) == {"imdb": "reviews"}
    assert what() == {"imdb": "digits"}


def test_what_is_there_is_reused(toy, tmp_path):
    first = reproduce(toy, readings="primary", out=tmp_path / "runs")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    again = reproduce(toy, readings="primary", out=tmp_path / "runs")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")} == before
    assert again.paths == first.paths
    assert all(not results.computed for found in again.found.values() for results in found.runs.values())
    assert as_dict(again) == as_dict(first)


def test_seeds_and_quick_make_less(toy, tmp_path):
    quick = reproduce(toy, quick=True, out=tmp_path / "runs")
    assert quick.seeds == "1"
    [results] = quick.found["plain"].runs.values()
    assert results.steps == [0, 5, 10]
    [results] = quick.found["large"].runs.values()
    assert results.steps == [0]
    more = reproduce(toy, quick=True, seeds=2, out=tmp_path / "runs")
    assert {len(found.runs) for found in more.found.values()} == {2}


def test_it_can_be_stopped_and_goes_on(toy, tmp_path):
    asked = []

    def stop():
        asked.append(None)
        return len(asked) > 3

    assert reproduce(toy, readings="primary", out=tmp_path / "runs", stop=stop) is None
    found = reproduce(toy, readings="primary", out=tmp_path / "runs")
    assert [part.verdict for part in found.parts] == [HELD, HELD]


def test_data_that_is_said_to_be_somewhere_must_be_there(toy, tmp_path):
    with pytest.raises(DataError, match="train-images"):
        reproduce(toy, out=tmp_path / "runs", data_dir=tmp_path)


def test_a_run_that_fails_is_named_and_the_others_go_on(toy, tmp_path):
    plain = toy.groups["plain"]
    broken = replace(
        plain, runs=replace(plain.runs, settings={**plain.runs.settings, "lr": 1e6, "init_scale": 1e6})
    )
    found = reproduce(
        replace(toy, groups={**toy.groups, "large": broken}),
        out=tmp_path / "runs",
        seeds=1,
        readings="primary",
    )
    assert found.failures
    assert found.parts[0].verdict == UNDECIDED
    assert found.parts[1].verdict == HELD
    found.draw()


def test_seeds_must_be_positive(toy):
    with pytest.raises(SettingError, match="at least 1"):
        reproduce(toy, seeds=0)


def test_the_command_prints_the_claim_beside_what_was_found(toy, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = cli("reproduce", "toy-1", "--seeds", "1", "--workers", "1", "-o", "toy.svg", "--readings", "l2")
    assert ended.code == 0, ended.err
    assert (tmp_path / "toy.svg").read_text().startswith("<?xml")
    for words in (
        "Toys show something.",
        "held (in 1 of 1): plain and large: a larger",
        "Verdict: undecided",
        "1 seed",
    ):
        assert words in ended.out
    assert "On digits, which stands in for mnist" in " ".join(ended.out.split())
    assert "digits stands in for mnist: task mnist needs train-images" in ended.err
    assert "undecided: digits are no MNIST" in " ".join(ended.out.split())
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "figure: toy.svg" in ended.err


def test_the_command_prints_json_and_names_the_figure_by_itself(toy, cli, tmp_path):
    ended = cli("reproduce", "toy-1", "--quick", "--json", "-q", "--workers", "1")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["figure"] == "toy-1"
    assert told["quick"] is True
    assert told["readings"][0]["parts"][0]["outcomes"] == [True]
    assert (tmp_path / "toy-1-quick.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "runs").is_dir()


def test_the_command_lists_the_figures(cli):
    ended = cli("reproduce", "--list")
    assert ended.code == 0
    for name in ("tan-16", "clauw-9", "golechha-4", "2408.08944"):
        assert name in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "which figure"),
        (("clauw-22",), "did you mean clauw-2"),
        (("clauw-2", "-o", "figure.gif"), "must end in .png, .svg, .pdf"),
        (("clauw-2", "-o", "nowhere/figure.png"), "directory that exists"),
        (("clauw-2", "--seeds", "0"), "--seeds"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(arguments, words, cli, tmp_path):
    ended = cli("reproduce", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_nothing_is_trained(cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = cli("reproduce", "clauw-2")
    assert ended.code == 2
    assert "pip install 'grokscope[report]'" in ended.err
    assert not list(tmp_path.iterdir())


def test_drawing_needs_matplotlib_too(toy, tmp_path, monkeypatch):
    found = reproduce(toy, seeds=1, quick=True, out=tmp_path / "runs")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="matplotlib"):
        found.draw()


def test_numbers_over_seeds_are_short():
    assert spread([1.0, float("nan"), 3.0]) == "2 (1 to 3) in 2 of 3"
    assert spread([float("nan")]) == "–"


@pytest.mark.slow
def test_clauw_2_quickly(cli, tmp_path):
    """One seed at weight decay 0.1: it memorises, generalises late, and its figure is drawn."""
    ended = cli("reproduce", "clauw-2", "--quick", "--json", "-q", "-o", "clauw-2.png")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["readings"][0]["seeds"] == {"weight decay 0.1": 1}
    assert (tmp_path / "clauw-2.png").stat().st_size > 10_000


def digests(where):
    return {path: path.stat().st_mtime_ns for path in where.rglob("*.safetensors")}


def test_a_claim_is_judged_under_every_reading_and_nothing_is_done_twice(toy, tmp_path):
    first = reproduce(toy, seeds=1, quick=True, readings="primary", out=tmp_path / "runs")
    assert list(first.verdicts) == ["l2"]
    trained = digests(tmp_path / "runs")
    found = reproduce(toy, seeds=1, quick=True, readings="all", out=tmp_path / "runs")
    judged = {each.reading.name: each for each in found.judged}
    assert list(judged) == ["l2", "l1", "wide", "means"]
    assert trained.items() <= digests(tmp_path / "runs").items()
    assert judged["l1"].paths == judged["l2"].paths
    assert judged["wide"].paths["images"] == judged["l2"].paths["images"]  # no run of modadd
    assert not {*judged["wide"].paths["plain"]} & {*judged["l2"].paths["plain"]}
    # The measures of a run that another reading has measured are not computed again.
    assert not any(results.computed for results in judged["l1"].found["plain"].runs.values())
    [one], [other] = (judged[name].parts[0].values["plain"] for name in ("l2", "l1"))
    assert other > one  # the sum of absolute values is never below the root of the sum of squares
    [mean] = judged["means"].found["plain"].runs.values()
    assert mean.provenance["oinfo"].parameters["variables"] == "mean"


def test_the_headline_is_the_first_reading_that_was_asked_for(toy, tmp_path):
    found = reproduce(toy, seeds=1, quick=True, readings="wide,l1", out=tmp_path / "runs")
    assert [each.reading.name for each in found.judged] == ["l1", "wide"]
    assert found.reading.name == "l1"
    assert found.verdicts == {"l1": UNDECIDED, "wide": UNDECIDED}
    assert replace(found, caveats=[]).verdicts == {"l1": HELD, "wide": HELD}
    assert replace(found, judged=found.judged[1:]).paths == found.judged[1].paths


def test_a_part_of_a_network_is_found_under_the_reading_that_found_it(toy, tmp_path):
    found = reproduce(toy, seeds=1, quick=True, readings="l2,means", out=tmp_path / "runs")
    assert not found.failures
    kept = [
        results.config["training"]["subnetwork"]
        for each in found.judged
        for results in each.found["plain, synergistic units"].runs.values()
    ]
    assert [
        words.count(f"variables={word}") for words, word in zip(kept, ("units", "mean"), strict=True)
    ] == [
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("asked", "quick", "names"),
    [
        (None, False, ["l2", "l1", "wide", "means"]),
        (None, True, ["l2"]),
        ("all", True, ["l2", "l1", "wide", "means"]),
        ("primary,means", False, ["l2", "means"]),
        (["means", "l1"], False, ["l1", "means"]),
    ],
)
def test_readings_are_chosen(asked, quick, names, toy):
    assert [reading.name for reading in choose_readings(toy, asked, quick)] == names


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [("l3", UnknownName, "did you mean l2"), (",", SettingError, "readings must name some of l2, l1")],
)
def test_a_reading_that_is_not_there_is_refused(asked, error, words, toy):
    with pytest.raises(error, match=words):
        choose_readings(toy, asked)


def test_the_command_says_under_which_readings_a_claim_holds(toy, cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    small = ("--seeds", "1", "--quick", "--workers", "1", "-q")
    ended = cli("reproduce", "toy-1", *small, "--readings", "l2,l1")
    assert ended.code == 0, ended.err
    said = " ".join(ended.out.split())
    for words in (
        "Found under l2: the l2 norm, as everywhere",
        "Under l1: the l1 norm in its place every part as above",
        "under the reading l2 Of all readings: undecided under l2, l1.",
    ):
        assert words in said
    ended = cli("reproduce", "toy-1", *small, "--readings", "l1,wide", "--json")
    told = json.loads(ended.out)
    assert told["reading"] == "l1"
    assert [(each["name"], each["verdict"]) for each in told["readings"]] == [
        ("l1", "undecided"),
        ("wide", "undecided"),
    ]
    ended = cli("reproduce", "toy-1", *small, "--readings", "l7")
    assert ended.code == 2
    assert "of toy-1; or primary, or all" in ended.err


def test_readings_by_verdict_are_a_sentence():
    assert (
        by_verdict({"a": "did not hold", "b": "held", "c": "held"}) == "held under b, c; did not hold under a"
    )
