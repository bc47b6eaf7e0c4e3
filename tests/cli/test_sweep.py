"""`grokscope sweep`, and `show` and `analyze` of what it made, as a user meets them."""

import csv
import io
import json
import re
import shutil

import pytest

from grokscope import Run

FIXED = ("p=11", "hidden=12", "steps=12", "checkpoint_every=6", "log_every=3")
FIXED = tuple(word for each in FIXED for word in ("--set", each))
SWEEP = ("sweep", "modadd", "--grid", "weight_decay=0.1,2", "--seeds", "2", "--workers", "1", *FIXED)


@pytest.fixture(scope="session")
def swept_once(tmp_path_factory):
    from grokscope import sweep

    fixed = {"p": 11, "hidden": [12], "steps": 12, "checkpoint_every": 6, "log_every": 3}
    folder = tmp_path_factory.mktemp("swept")
    return sweep("modadd", grid={"weight_decay": "0.1,2"}, seeds=2, settings=fixed, out=folder).finished


@pytest.fixture
def swept(swept_once, tmp_path):
    """Four runs of two weight decays and two seeds, that a test may do anything to."""
    return [shutil.copytree(path, tmp_path / "swept" / path.name) for path in swept_once]


def test_it_prints_the_runs_and_finds_them_again(cli, tmp_path, monkeypatch, swept_once):
    monkeypatch.chdir(tmp_path)
    first = cli(*SWEEP, "--out", "decay")
    assert first.code == 0, first.err
    assert first.out.splitlines() == [f"decay/{path.name}" for path in swept_once]
    again = cli(*SWEEP, "--out", "decay")
    assert again.out == first.out
    assert "4 of 4 runs are finished already" in again.err
    more = cli(*SWEEP, "--out", "decay", "--grid", "lr=0.01,0.03", "--quiet")
    assert len(more.out.splitlines()) == 8
    assert more.err == ""
    trained = cli("train", "modadd", "--weight-decay", "2", "--seed", "1", *FIXED)
    assert trained.out.strip().removeprefix("runs/") == swept_once[3].name


def test_seeds_are_trained_together_or_it_is_said_why_not(cli, tmp_path):
    small = ("--seeds", "2", "--workers", "1", "--set", "p=7", "--set", "hidden=9,8", "--set", "steps=2")
    asked = cli("sweep", "modadd", "--grid", "optimizer=adam,muon", *small, "--out", tmp_path, "--together")
    together = [Run.open(path).load_resume()[1]["seeds together"] for path in asked.out.split()]
    assert together == ["2", "2", "1", "1"]
    assert asked.err.count("one by one: training.optimizer muon acts on a network as a whole") == 1


def test_failures_are_named_and_end_with_3_or_1(cli, tmp_path):
    bad = ("--set", "init_scale=1e6", "--set", "lr=1e6", "--workers", "1", "--out", tmp_path)
    ended = cli("sweep", "modadd", "--grid", "steps=12,1", "--set", "p=11", "--set", "hidden=12", *bad)
    assert ended.code == 3
    assert len(ended.out.splitlines()) == 1
    assert "failed: modadd-clauw-" in ended.err
    assert "the loss must be finite" in ended.err
    assert "1 of 2 runs failed; the same command tries them again" in ended.err
    ended = cli("sweep", "modadd", *FIXED, *bad)
    assert ended.code == 1
    assert ended.out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--grid", "wieght_decay=1"), "unknown setting 'wieght_decay': did you mean weight_decay"),
        (("--grid", "weight_decay"), "--grid must be NAME=VALUE"),
        (("--grid", "lr=1", "--grid", "lr=2"), "--grid lr must be given once, got it twice"),
        (("--seeds", "five"), "seeds must be a number N"),
        (("--set", "steps=0"), "training.steps must be int >= 1"),
        (
            ("--grid", "abelian_reduction=mean,sum"),
            "--abelian-reduction must be given with --abelian, got none",
        ),
    ],
)
def test_refusals_are_one_sentence(cli, tmp_path, arguments, sentence):
    ended = cli("sweep", "modadd", *arguments, "--out", tmp_path / "out")
    assert ended.code == 2
    assert sentence in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_show_has_a_row_for_each_run(cli, swept, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    ended = cli("show", *swept)
    assert ended.code == 0
    header, *rows = ended.out.splitlines()
    assert header.split()[:4] == ["run", "weight_decay", "seed", "step"]
    assert header.split()[4:] == ["train", "test", "memorised", "grokked", "delay"]
    assert [row.split()[0] for row in rows] == [path.name for path in swept]
    assert [row.split()[1:4] for row in rows] == [
        ["0.1", "0", "12"],
        ["0.1", "1", "12"],
        ["2.0", "0", "12"],
        ["2.0", "1", "12"],
    ]
    (swept[2] / "checkpoints" / "00000012.safetensors").unlink()
    assert "6 of 12" in cli("show", *swept).out


def test_show_names_what_is_no_run_and_goes_on(cli, swept, tmp_path):
    ended = cli("show", swept[0], tmp_path, swept[1])
    assert ended.code == 3
    assert len(ended.out.splitlines()) == 3
    assert f"failed: {tmp_path} is no run" in ended.err
    ended = cli("show", tmp_path, tmp_path / "nowhere")
    assert ended.code == 2
    assert ended.out == ""


def test_analyze_puts_the_runs_side_by_side(cli, swept, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(Run, "memorisation_step", lambda self, threshold=0.99: 3 + self.seed)
    monkeypatch.setattr(
        Run,
        "grokking_step",
        lambda self, threshold=0.95: 6 if self.config["training"]["weight_decay"] > 1 else None,
    )
    ended = cli("analyze", *swept, "-m", "fit,weight_norm")
    assert ended.code == 0, ended.err
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["run", "weight_decay", "seed", "memorised", "grokked", "delay"]
    assert lines[1][1:] == ["0.1", "0", "3", "–", "–"]
    assert lines[4][1:] == ["2.0", "1", "4", "6", "2"]
    at = lines.index(["weight_norm"])
    assert lines[at + 1] == ["weight_decay", "seed", "l2_all", "l2_weights", "l1_all"]
    last = Run.open(swept[3]).weights(12)
    norm = sum(value.double().square().sum().item() for value in last.values()) ** 0.5
    assert lines[at + 5][:2] == ["2.0", "1"]
    assert float(lines[at + 5][3]) == pytest.approx(norm, rel=1e-3)
    assert "l2:layers.0.weight" in cli("analyze", *swept, "-m", "weight_norm", "--per-layer").out
    again = cli("analyze", *swept, "-m", "fit,weight_norm")
    assert (again.out, again.err) == (ended.out, "")


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_the_tables_fit_the_terminal(cli, swept, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (("show",), ("analyze", "-m", "fit,weight_norm", "--per-layer")):
        out = cli(arguments[0], *swept, *arguments[1:]).out
        assert max(map(len, out.splitlines())) <= width
        assert out.count("–") >= 8  # no run has memorised or grokked
        assert width < 80 or swept[3].name[-11:] in out


@pytest.mark.parametrize("width", [40, 50, 60])
def test_where_the_width_is_short_columns_go_on_below_and_nothing_is_broken(cli, swept, monkeypatch, width):
    def cells(out):
        found = {}
        for table in out.split("\n\n"):
            headers, *rows = [re.split(" {2,}", line.strip()) for line in table.splitlines()]
            assert [len(row) for row in rows] == [len(headers)] * len(swept)
            for header, *values in zip(headers, *rows, strict=True):
                found[header] = values
        return found

    monkeypatch.setenv("COLUMNS", "200")
    wide = cells(cli("show", *swept).out)
    monkeypatch.setenv("COLUMNS", str(width))
    out = cli("show", *swept).out
    narrow = cells(out)
    assert max(map(len, out.splitlines())) <= width
    assert list(narrow) == list(wide)
    for name, short in zip(wide.pop("run"), narrow.pop("run"), strict=True):
        assert name.endswith(short.removeprefix("…"))
        assert len(short) >= 12
    assert narrow == wide
    assert "  memorised  grokked  delay\n" in out


def test_csv_carries_the_run_and_the_settings_that_differ(cli, swept):
    ended = cli("analyze", *swept, "-m", "fit", "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert list(rows[0])[:5] == ["run", "weight_decay", "seed", "step", "fit.train_loss"]
    assert [(r["run"], r["step"]) for r in rows] == [(p.name, s) for p in swept for s in ("0", "6", "12")]
    assert [row["weight_decay"] for row in rows] == ["0.1"] * 6 + ["2.0"] * 6
    assert float(rows[2]["fit.test_loss"]) == pytest.approx(Run.open(swept[0]).checkpoints[-1].test_loss)
    tidy = list(csv.DictReader(io.StringIO(cli("analyze", *swept, "-m", "fit", "--csv", "-", "--long").out)))
    assert list(tidy[0]) == ["run", "weight_decay", "seed", "step", "measure", "layer", "column", "value"]
    assert len(tidy) == 4 * len(rows)


def test_json_carries_them_too(cli, swept, tmp_path):
    ended = cli("analyze", *swept, tmp_path, "-m", "fit", "--json")
    assert ended.code == 3
    found = json.loads(ended.out)
    assert found["settings"] == ["weight_decay", "seed"]
    assert [run["run"] for run in found["runs"]] == [path.name for path in swept]
    assert found["runs"][2]["settings"] == {"weight_decay": 2.0, "seed": 0}
    assert found["runs"][2]["columns"]["step"] == [0, 6, 12]
    assert list(found["failed"]) == [str(tmp_path)]
    tidy = json.loads(cli("analyze", *swept, "-m", "fit", "--json", "--long").out)
    assert {row["seed"] for row in tidy} == {0, 1}


def test_a_run_that_cannot_be_measured_is_named_and_the_others_go_on(cli, swept):
    (swept[1] / "checkpoints" / "00000006.safetensors").unlink()
    (swept[2] / "run.toml").unlink()
    file = swept[3] / "checkpoints" / "00000012.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    ended = cli("analyze", *swept, "-m", "fit", "--steps", "0,6", "--csv", "-")
    assert ended.code == 3
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert {row["run"] for row in rows} == {swept[0].name, swept[3].name}
    assert f"failed: {swept[1]}: --steps: there is no checkpoint at step 6" in ended.err
    assert f"failed: {swept[2]} is no run" in ended.err
    assert f"{swept[3].name}: " in ended.err
    ended = cli("analyze", swept[1], swept[2], "-m", "fit", "--steps", "6")
    assert ended.code == 2
    assert ended.out == ""
    ended = cli("analyze", *swept, "-m", "fti")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1


def test_results_of_many_runs_go_where_told(cli, swept, tmp_path):
    kept = tmp_path / "kept"
    first = cli("analyze", *swept, "-m", "fit", "--csv", "-", "--out", kept)
    assert first.code == 0
    assert not [file for path in swept for file in (path / "results").iterdir()]
    assert list(kept.rglob("*.h5"))
    assert cli("analyze", *swept, "-m", "fit", "--csv", "-", "--out", kept).out == first.out
