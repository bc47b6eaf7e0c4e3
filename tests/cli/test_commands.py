"""`measures`, `plugins`, `recipes`, `--version` and `--help`; and what all commands do."""

import atexit
import gc
import json
import os

import pytest

from grokscope import cli as command_line
from grokscope import load_plugins


def test_measures_lists_every_measure(cli):
    ended = cli("measures")
    assert ended.code == 0
    for registered in load_plugins().select(["all"]):
        assert registered.title in ended.out


@pytest.mark.parametrize("registered", load_plugins().select(["all"]), ids=lambda r: r.id)
def test_a_measure_s_page_says_everything(cli, registered, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    measure = registered.measure
    out = cli("measures", registered.id).out
    for words in (registered.plugin, f"{registered.distribution} {registered.version}", *measure.inputs):
        assert words in out
    for column in measure.columns:
        assert column.name in out
    for parameter in measure.parameters.values():
        assert parameter.name in out
    assert measure.summary[:60] in " ".join(out.split())


def test_an_unknown_measure_is_refused(cli):
    ended = cli("measures", "kurtossis")
    assert ended.code == 2
    assert "unknown measure or family 'kurtossis'" in ended.err


def test_measures_for_a_run_says_which_apply_and_why_others_do_not(cli, run_path, monkeypatch):
    slow = "oinfo,robustness,landscape,complexity,mechanistic,matrix_information,progress,abelian"
    monkeypatch.setenv("GROKSCOPE_DISABLE_PLUGINS", slow)
    answers = json.loads(cli("measures", "--for", run_path, "--json", "-q").out)
    told = {each["measure"]: each for each in answers}
    assert told["feature_rank"] == {"measure": "feature_rank", "applies": True, "why_not": ""}
    assert not told["attention_entropy"]["applies"]
    ended = cli("measures", "--for", run_path, "-q")
    assert ended.code == 0
    assert told["attention_entropy"]["why_not"][:40] in " ".join(ended.out.split())
    ended = cli("measures", "pmi", "--for", run_path)
    assert ended.code == 2
    assert "either NAME or --for RUN" in ended.err


def test_plugins_says_which_are_left_out_and_in_full_why_one_is_broken(cli, monkeypatch, stranger_here):
    stranger_here("broken", "raise RuntimeError('no such luck')")
    monkeypatch.setenv("GROKSCOPE_DEBUG", "1")
    monkeypatch.setenv("GROKSCOPE_DISABLE_PLUGINS", "oinfo")
    ended = cli("plugins")
    assert "left out, by --no-plugins or GROKSCOPE_DISABLE_PLUGINS: oinfo" in ended.err
    assert "Traceback" in ended.err
    assert "no such luck" in ended.err


def test_plugins_shows_what_each_brings(cli):
    out = cli("plugins").out
    for name in ("core", "robustness", "matrix_information", "oinfo", "progress", "abelian"):
        assert name in out
    assert "grokscope 0.1.0" in out


def test_recipes(cli):
    out = cli("recipes").out
    for words in ("clauw", "nanda", "Clauw et al. 2024", "must show"):
        assert words in out
    assert "weight_decay = 2.0" in cli("recipes", "clauw").out
    ended = cli("recipes", "clau")
    assert ended.code == 2
    assert "did you mean clauw" in ended.err


def test_version_and_help(cli):
    assert cli("--version").out == "grokscope 0.1.0\n"
    for command in ("train", "import", "analyze", "export", "show", "measures", "plugins", "recipes"):
        assert cli(command, "--help").code == 0


@pytest.mark.parametrize(("said", "taken"), [(None, "1"), ("2", "2")])
def test_openblas_takes_one_thread_where_nobody_says_otherwise(cli, monkeypatch, said, taken):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", said or "")
    if said is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    assert cli("--version").code == 0
    assert os.environ["OPENBLAS_NUM_THREADS"] == taken


def test_a_command_looks_for_garbage_late_and_then_rarely():
    gc.collect(0)  # what a command before it in this process has set
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        command_line._look_late_for_garbage()
        command_line._look_late_for_garbage()
        assert gc.get_threshold()[0] == command_line.FIRST_GARBAGE
        assert gc.callbacks.count(command_line._look_rarely) == 1
        gc.collect(0)
        assert gc.get_threshold()[0] == command_line.LATER_GARBAGE
        assert command_line._look_rarely not in gc.callbacks
    finally:
        gc.set_threshold(*before)
        atexit.unregister(gc.freeze)
