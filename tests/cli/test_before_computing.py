"""What a command needs is looked for before anything is computed: extras, and places that can be written."""

import builtins

import pytest


@pytest.fixture
def nothing_is_computed(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("something was computed")

    monkeypatch.setattr("grokscope.analysis.analyze_many", refuse)


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (("score",), "ruptures"),
        (("report", "-o", "page.html"), "ruptures"),
        (("plot",), "plotext"),
        (("plot", "-o", "figure.png"), "matplotlib"),
        (("export", "-m", "fit", "-o", "table.parquet"), "pyarrow"),
    ],
)
def test_an_extra_that_is_missing(cli, run_path, tmp_path, monkeypatch, nothing_is_computed, words, missing):
    monkeypatch.chdir(tmp_path)
    real = builtins.__import__

    def without(name, *args, **options):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    ended = cli(words[0], run_path, *words[1:])
    assert ended.code == 2, ended.err
    assert f"needs {missing}: pip install" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("analyze", "-m", "fit", "--csv"),
        ("score", "-m", "fit", "--csv"),
        ("predict", "-m", "fit", "--csv"),
        ("plot", "-o"),
        ("report", "-o"),
        ("export", "-m", "fit", "-o"),
    ],
)
def test_a_place_that_cannot_be_written(cli, run_path, tmp_path, nothing_is_computed, words):
    ending = {"plot": "png", "report": "html"}.get(words[0], "csv")
    ended = cli(words[0], run_path, *words[1:], tmp_path / "nowhere" / f"file.{ending}")
    assert ended.code in (1, 2)
    assert "nowhere" in ended.err
    assert "computed" not in ended.err
