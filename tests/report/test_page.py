"""The report's page: one small file, always the same; its policy holds, and foreign text is only data."""

import base64
import dataclasses
import hashlib
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import grokscope
from grokscope.errors import MeasureError, StorageError, UnknownName, UsageError
from grokscope.measure import Column
from grokscope.report.page import document, judging, packing, page, write_report
from grokscope.results import Comparison
from grokscope.run import Run

VENDOR = Path(document.__file__).parent / "vendor"

UPLOT = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"

VOID = {"meta", "link", "input", "br"}

SIX = ("oinfo.synergy", "oinfo.redundancy", "weight_norm.l2_all", "pmi.pmi", "cd.cd", "pc.pc")

HOSTILE = (
    "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>\u2028\u2029\"'&amp;\x1b\u202e$policy"
)


class Reader(HTMLParser):
    """Reads a page strictly: every element that opens closes, in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.attributes = [], {}, []
        self.feed(text)
        self.close()
        assert not self.open, f"{self.open} never closed"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))
            self.texts.setdefault(tag, []).append((dict(attrs), ""))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            tag = self.open[-1][0]
            attributes, before = self.texts[tag][-1]
            self.texts[tag][-1] = (attributes, before + data)

    def all(self, tag):
        return self.texts[tag]

    @property
    def data(self):
        [text] = [text for attributes, text in self.all("script") if "type" in attributes]
        return json.loads(text)

    @property
    def policy(self):
        [policy] = [v for tag, name, v in self.attributes if tag == "meta" and v.startswith("default-src")]
        return policy


def unpacked(text):
    return np.frombuffer(base64.b64decode(text[2:]), "<f4" if text.startswith("4:") else "<f8")


def test_the_page_is_well_formed_and_the_same_every_time(comparison_of):
    one, again = page(comparison_of()), page(comparison_of())
    assert one == again
    reader = Reader(one)
    assert one.startswith("<!doctype html>")
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for _, name, value in reader.attributes:
        if name in ("for", "aria-labelledby"):
            assert value in ids


def test_the_policy_allows_what_is_there_by_its_hash_and_nothing_else(comparison_of):
    reader = Reader(page(comparison_of()))

    def hashes(texts):
        return [
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        ]

    scripts = hashes(text for attributes, text in reader.all("script") if "type" not in attributes)
    styles = hashes(text for _, text in reader.all("style"))
    rules = dict(rule.strip().split(" ", 1) for rule in reader.policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": " ".join(scripts),
        "style-src": " ".join(styles),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert len(scripts) == len(styles) == 2


def test_nothing_in_the_page_is_elsewhere(comparison_of):
    text = page(comparison_of())
    for tag, name, value in Reader(text).attributes:
        assert not name.startswith("on"), f"{tag} has {name}"
        assert name != "style"
        if name in ("src", "href", "action", "srcset", "data"):
            assert value.startswith(("#", "data:image/svg+xml,"))
    assert "@import" not in text
    assert "url(" not in text


def test_the_scripts_make_no_markup_of_text():
    sources = [path.read_text() for path in (Path(document.__file__).parent / "script").glob("*.js")]
    assert len(sources) == len(document.SCRIPTS)
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "fetch(",
    ):
        assert not [source for source in sources if word in source], word
    for text in [*sources, *(path.read_text() for path in VENDOR.iterdir())]:
        assert "</script" not in text.lower()
        assert "<!--" not in text


def hostile_comparison(comparison_of):
    kind = f"x.{HOSTILE}"
    found = comparison_of(2, names=("oinfo.synergy", kind), labels=[HOSTILE, "__proto__"])
    for results in found.runs.values():
        results.declared[kind] = Column("x", HOSTILE, unit=HOSTILE)
        results.config["recipe"] = HOSTILE
    changed = {
        name: dataclasses.replace(
            results,
            notes={HOSTILE: HOSTILE},
            messages=(HOSTILE,),
            provenance={
                measure: dataclasses.replace(
                    origin, plugin=HOSTILE, source=HOSTILE, parameters={HOSTILE: HOSTILE}
                )
                for measure, origin in results.provenance.items()
            },
        )
        for name, results in found.runs.items()
    }
    return Comparison(changed, {HOSTILE: [HOSTILE, "b"]}, {HOSTILE: MeasureError(HOSTILE)})


def test_foreign_text_is_only_data(comparison_of, scored, phased):
    found = hostile_comparison(comparison_of)
    phases = {HOSTILE: phased((HOSTILE, 0, 10), note=HOSTILE)}
    text = page(found, scored((HOSTILE, 0.1, HOSTILE)), phases, notes=[HOSTILE])
    plain = page(comparison_of())
    assert text.count("<") == plain.count("<"), "foreign text brought an element"
    assert not re.search("[\x00-\x09\x0b-\x1f\u2028\u2029\u202e]", text)
    assert text.count("alert(1)") > 10
    reader = Reader(text)
    names = [run["name"] for run in reader.data["runs"]]
    assert names[0].startswith("</script><script>alert(1)</script>")
    assert "\x1b" not in names[0]
    assert "$policy" in names[0], "what looks like the template's is left alone"
    assert names[1] == "__proto__"


def test_names_that_are_no_text_can_be_written(comparison_of, tmp_path):
    write_report(comparison_of(1, labels=["run-\udcff"]), tmp_path / "report.html")
    assert Reader((tmp_path / "report.html").read_text()).data["runs"][0]["name"] == "run-�"


def test_eight_runs_of_six_columns_and_a_thousand_steps_are_below_a_megabyte(comparison_of):
    text = page(comparison_of(8, names=SIX, points=1000))
    assert len(text.encode()) < 700_000
    assert Reader(text).data["axes"] == [list(range(0, 5000, 5))], "the runs share their steps"


def test_numbers_are_there_to_seven_digits(comparison_of):
    found = comparison_of(2)
    data = Reader(page(found)).data
    for run, results in zip(data["runs"], found.runs.values(), strict=True):
        for column, packed in zip(data["columns"], run["columns"], strict=True):
            np.testing.assert_allclose(unpacked(packed), results.course(column["name"]), rtol=1e-7)
        for name in ("train_loss", "test_accuracy"):
            np.testing.assert_allclose(unpacked(run["curve"][name]), results.curve[name], rtol=1e-7)
        assert (run["memorised"], run["grokked"]) == results.transitions()


def test_packed_keeps_what_a_float32_would_lose():
    tiny = [1e-200, math.nan, math.inf, 0.0]
    np.testing.assert_array_equal(unpacked(packing.packed(tiny)), tiny)
    np.testing.assert_array_equal(unpacked(packing.packed([math.nan, 0.5])), [math.nan, 0.5])
    assert packing.packed([math.nan, math.nan]) is None
    assert packing.packed([]) is None


def test_a_long_curve_is_thinned_and_keeps_its_beginning_and_transitions():
    steps = list(range(0, 400_000, 2))
    at = packing.kept(steps, {12_346})
    assert len(at) <= packing.MOST_POINTS + 2
    assert {0, 1, 2, 3, len(steps) - 1, steps.index(12_346)} <= set(at)
    assert max(np.diff(at)) <= 2 * len(steps) / packing.MOST_POINTS + 1
    assert packing.kept(steps[:2000], ()) == list(range(2000))


def test_the_page_says_that_a_curve_is_thinned(comparison_of):
    run = Reader(page(comparison_of(1, points=3000))).data["runs"][0]
    assert run["curve"]["points"] == 3000
    assert len(unpacked(run["curve"]["test_loss"])) < 3000
    assert len(unpacked(run["columns"][0])) == 3000, "measures are never thinned"


def test_runs_are_known_by_the_fewest_settings_that_tell_them_apart(comparison_of):
    data = Reader(page(comparison_of(4))).data
    assert [run["label"] for run in data["runs"]] == ["seed 0", "seed 1", "seed 2", "seed 3"]
    assert data["groups"] == {"labels": ["weight_decay 2", "weight_decay 10"], "of": [0, 0, 1, 1]}
    assert Reader(page(comparison_of(1))).data["groups"] is None


def test_settings_are_shared_unset_or_differing(comparison_of):
    settings = Reader(page(comparison_of(2))).data["settings"]
    assert ["training.lr", "0.03"] in settings["shared"]
    assert ["model.hidden", "250"] in settings["shared"]
    assert ["model.last_bias", "no"] in settings["shared"]
    assert settings["unset"] == ["training.dropout"]
    assert settings["differing"] == [["training.weight_decay", ["2", "10"]], ["training.seed", ["0", "1"]]]


def test_where_things_lay_is_not_told(comparison_of):
    found = comparison_of(1)
    next(iter(found.runs.values())).config["local"] = {"data_dir": "/home/somebody/secret"}
    assert "somebody" not in page(found)


def test_every_number_says_where_it_comes_from(comparison_of):
    found = comparison_of(2)
    other = list(found.runs)[1]
    changed = dataclasses.replace(
        found.runs[other],
        provenance={
            measure: dataclasses.replace(origin, parameters={"sigma": 0.5})
            for measure, origin in found.runs[other].provenance.items()
        },
    )
    data = Reader(page(dataclasses.replace(found, runs={**found.runs, other: changed}))).data
    assert [(entry["measure"], entry["runs"]) for entry in data["provenance"]] == [
        ("oinfo", [0]),
        ("weight_norm", [0]),
        ("oinfo", [1]),
        ("weight_norm", [1]),
    ]
    assert data["provenance"][0]["parameters"] == [["sigma", "0.1"], ["clusters", "10"]]
    assert data["provenance"][0]["version"] == 3
    assert data["provenance"][0]["distribution"] == "grokscope"


def test_a_run_is_identified_as_on_disk(run_path, tmp_path):
    run = Run.open(run_path)
    found = grokscope.analyze_many([run], "weight_norm", steps="last")
    data = Reader(write_report(found, tmp_path / "report.html").read_text()).data
    origin = data["runs"][0]["origin"]
    assert (origin["id"], origin["config"], origin["task"]) == (run.id, run.config_hash, run.data_hash)
    assert data["provenance"][0]["plugin"] == "robustness"


def test_the_pareto_plot_opens_on_what_was_asked_or_is_usual(comparison_of):
    columns = ("pmi.pmi", "oinfo.redundancy", "oinfo.synergy")
    found = comparison_of(1, names=columns)
    assert Reader(page(found)).data["pareto"] == [2, 1]
    assert Reader(page(found, pareto=["pmi.pmi", "oinfo.synergy"])).data["pareto"] == [0, 2]
    assert Reader(page(comparison_of(1, names=("a.a", "b.b")))).data["pareto"] == [0, 1]
    assert Reader(page(comparison_of(1, names=("a.a",)))).data["pareto"] is None
    with pytest.raises(UnknownName, match=r"oinfo\.synergi"):
        page(found, pareto=["pmi.pmi", "oinfo.synergi"])
    with pytest.raises(UsageError, match="two columns, got 1"):
        page(found, pareto=["pmi.pmi"])


def test_scores_and_phases_come_as_they_are(comparison_of, scored, phased):
    found = comparison_of(2)
    one, other = found.runs
    scores = scored(("oinfo.synergy", 0.3, "leads"), ("oinfo.redundancy", math.nan, "undecided"))
    data = Reader(
        page(found, scores, {one: phased(("emergence", 5, 90)), other: phased(note="too short")})
    ).data
    assert [row["lead"] for row in data["scores"]["summaries"]] == [0.3, None]
    assert ["control", "weight_norm.l2_all"] in data["scores"]["made"]
    assert data["phases"]["of"] == [[{"name": "emergence", "start": 5, "end": 90}], []]
    assert data["phases"]["notes"] == ["", "too short"]


def test_what_cannot_be_judged_is_said_and_the_rest_is_there(tmp_path, comparison_of, monkeypatch):
    for name in ("score", "phases"):

        def refused(given, name=name):
            raise UsageError(f"{name} needs ruptures")

        monkeypatch.setattr(judging, name, refused)
    data = Reader(write_report(comparison_of(2), tmp_path / "report.html").read_text()).data
    assert data["scores"] is None
    assert data["phases"] is None
    assert data["notes"] == [
        "There are no scores: score needs ruptures.",
        "There are no phases: phases needs ruptures.",
    ]


def test_a_comparison_without_columns_or_curves_still_reports(comparison_of):
    bare = dataclasses.replace(next(iter(comparison_of(1, names=()).runs.values())), curve={}, config={})
    data = Reader(page(Comparison({"bare": bare}, {}, {}))).data
    assert data["columns"] == []
    assert data["runs"][0]["curve"] is None
    with pytest.raises(UsageError, match="at least one run"):
        page(Comparison({}, {}, {}))


def test_a_file_that_cannot_be_written_is_refused_and_what_was_there_stays(
    comparison_of, tmp_path, monkeypatch
):
    found = comparison_of(1)
    (tmp_path / "folder.html").mkdir()
    for path, words in [
        ("report.txt", r"must be an \.html file"),
        ("folder.html", "is a directory"),
        ("nowhere/report.html", "a directory that exists"),
    ]:
        with pytest.raises(UsageError, match=words):
            write_report(found, tmp_path / path)
    kept = tmp_path / "report.html"
    kept.write_text("before")

    def full(path, data, like):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("grokscope.run.files._write_durably", full)
    with pytest.raises(StorageError, match="the disk is full"):
        write_report(found, kept)
    assert kept.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"folder.html", "report.html"}


def test_the_command_writes_a_report(cli, run_path, tmp_path):
    ended = cli(
        "report",
        run_path,
        "-m",
        "weight_norm",
        "--steps",
        "last",
        "-o",
        tmp_path / "out.html",
        "--title",
        "T",
    )
    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert "out.html" in ended.err
    assert Reader((tmp_path / "out.html").read_text()).data["title"] == "T"


def test_the_command_refuses_a_bad_file_before_it_measures(cli, run_path, tmp_path):
    ended = cli("report", run_path, "-o", tmp_path / "figure.png")
    assert ended.code == 2
    assert "must be an .html file" in ended.err
    assert not list((run_path / "results").glob("*"))


def test_a_run_that_fails_is_left_out_and_named(cli, run_path, tmp_path):
    out = tmp_path / "out.html"
    ended = cli("report", run_path, tmp_path / "none", "-m", "weight_norm", "--steps", "last", "-o", out)
    assert ended.code == 3
    assert any("none" in note for note in Reader(out.read_text()).data["notes"])


def test_the_page_needs_no_matplotlib(tmp_path):
    code = "import sys; import grokscope.report.page; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "torch", "scipy", "pandas", "ruptures"} & set(done.stdout.split())


def test_uplot_is_the_published_file_with_its_licence():
    digest = hashlib.sha256((VENDOR / "uPlot.iife.min.js").read_bytes()).hexdigest()
    assert digest == UPLOT, "uPlot 1.6.32 as npm has it"
    assert "MIT License" in (VENDOR / "uPlot.LICENSE").read_text()


def test_the_licence_of_uplot_travels_in_the_page(comparison_of):
    assert "Copyright (c) 2022 Leon Sorokin" in page(comparison_of(1))
