"""`grokscope plot` as a user meets it: files, the terminal, refusals, exit codes."""

import pytest

from grokscope import train

FAST = ("-m", "fit.test_loss,l2_all")


@pytest.mark.parametrize(("name", "head"), [("a.png", b"\x89PNG"), ("b.SVG", b"<?xml"), ("c.pdf", b"%PDF")])
def test_a_file(cli, run_path, tmp_path, name, head):
    ended = cli("plot", run_path, *FAST, "-o", tmp_path / name)
    assert (ended.code, ended.out) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(head)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "run"])


@pytest.mark.parametrize("width", [40, 80, 140])
def test_the_terminal(cli, run_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "24")
    ended = cli("plot", run_path, "-m", "l2_all")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24
    assert "weight_norm.l2_all" in ended.out
    assert "fit" not in ended.out
    assert "\x1b" not in ended.out


def test_without_measures_nothing_is_computed(cli, run_path):
    ended = cli("plot", run_path)
    assert ended.code == 0
    assert "loss (log scale)" in ended.out
    assert not list(run_path.glob("results/*"))


def test_only_what_is_asked_for_is_drawn(cli, run_path):
    whole = cli("plot", run_path, "-m", "weight_norm").out
    assert "weight_norm.l1_all" in whole
    assert "layers.0" not in whole
    assert "layers.0.weight" in cli("plot", run_path, "-m", "weight_norm", "--per-layer").out
    assert "weight_norm.l1_all" not in cli("plot", run_path, "-m", "weight_norm.l2_all").out


@pytest.mark.parametrize(
    "options", [("--x", "linear"), ("--normalise",), ("--pareto", "l1_all,weight_norm.l2_all")]
)
def test_options(cli, run_path, tmp_path, options):
    plain = cli("plot", run_path, "-m", "weight_norm.l1_all", "-o", tmp_path / "plain.svg")
    other = cli("plot", run_path, "-m", "weight_norm.l1_all", *options, "-o", tmp_path / "other.svg")
    assert plain.code == other.code == 0, other.err
    assert (tmp_path / "plain.svg").read_bytes() != (tmp_path / "other.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-o", "figure.gif"), "must end in .png, .svg, .pdf, got figure.gif"),
        (("-o", "figure"), "must end in .png, .svg, .pdf, got figure"),
        (("--pareto", "l2_all"), "--pareto must be two columns"),
        (("--pareto", "l2_all,"), "--pareto must be two columns"),
        (("-m", "nothing.at_all"), "unknown measure or family 'nothing'"),
        (("-m", "weight_norm.l3_all"), "unknown column 'weight_norm.l3_all': did you mean"),
        (("-m", "synergi"), "unknown measure or column 'synergi': did you mean synergy"),
        (("-m", "mean"), "is more than one: say"),
        (("-m", "fit", "-o", "no/such/folder/figure.png"), "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_sentence(cli, run_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(run_path)
    ended = cli("plot", run_path, *arguments, "-q")
    assert ended.code in (1, 2)
    assert sentence in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not ended.out


def test_a_directory_that_is_no_run(cli, run_path, tmp_path):
    ended = cli("plot", run_path, tmp_path / "none", "-o", tmp_path / "some.png")
    assert ended.code == 3
    assert (tmp_path / "some.png").exists()
    assert "failed: " in ended.err


def test_a_measure_that_does_not_apply_is_said(cli, tmp_path):
    settings = {"task.p": 5, "task.operation": "subtract", "model.hidden": [4], "training.steps": 2}
    run = train("modadd", settings=settings, out=tmp_path / "run")
    ended = cli("plot", run.path, "-m", "abelian,l2_all", "-q")
    assert ended.code == 0
    assert "weight_norm.l2_all" in ended.out
    ended = cli("plot", run.path, "-m", "abelian")
    assert ended.code == 0
    assert "abelian does not apply: task modadd does not declare its operation symmetric" in ended.err
