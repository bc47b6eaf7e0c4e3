"""What run.toml holds is what identifies a run; anything else there is refused in a sentence."""

import math
import os

import pytest

from grokscope.errors import RunError, SettingError
from grokscope.run import Run, default_directory


def test_what_is_no_run_is_refused_and_untouched(tmp_path, config):
    (tmp_path / "thesis.tex").write_text("x")
    for act in (lambda: Run.open(tmp_path), lambda: Run.create(tmp_path, config)):
        with pytest.raises(RunError, match=r"is no run: it has no run\.toml"):
            act()
    with pytest.raises(RunError, match="there is no such directory"):
        Run.open(tmp_path / "none")
    with pytest.raises(RunError, match="no directory"):
        Run.open(tmp_path / "thesis.tex")
    with pytest.raises(RunError):
        Run.create(tmp_path / "thesis.tex", config)
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("p = 13", "p = 17", "was changed"),
        ("seed = 3", "seed = 4", "was changed"),
        ("[task]", "[task", "cannot be read"),
        ("[model]", "[other]", "model.name must be text"),
        ("format = 1", "format = 2", "later grokscope"),
        ("format = 1", "", "configuration: 'format' is missing; put the file back as grokscope wrote it"),
        ("run = ", "was = ", "configuration: 'run' is missing; put"),
        ("unset = [", "unset = 5\nwas = [", "unset must be a list of names, got 5; put"),
        ("unset = [", 'unset = ["recipe.x", ', "unset names 'recipe.x', and recipe is no table; put"),
    ],
)
def test_a_changed_run_toml_is_refused(run, old, new, words):
    path = run.path / "run.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RunError, match=words):
        Run.open(run.path)


def test_a_setting_that_toml_cannot_hold_is_refused(tmp_path, config):
    with pytest.raises(SettingError, match=r"task\.p must be text, a number"):
        Run.create(tmp_path / "x", {**config, "task": {"p": object()}})
    with pytest.raises(SettingError, match=r"task\.p must be finite"):
        Run.create(tmp_path / "x", {**config, "task": {"p": math.inf}})
    with pytest.raises(SettingError, match="model is missing"):
        Run.create(tmp_path / "x", {"task": {}, "training": {}})
    assert os.listdir(tmp_path) == []


def test_identities(run, config, tmp_path):
    def made(name, **training):
        return Run.create(tmp_path / name, {**config, "training": {**config["training"], **training}})

    twin, seed, rate = made("twin"), made("seed", seed=4), made("rate", lr=0.01)
    assert (twin.id, twin.noise_seed, twin.data_hash) == (run.id, run.noise_seed, run.data_hash)
    assert seed.config_hash == run.config_hash != rate.config_hash
    assert len({run.id, seed.id, rate.id}) == 3
    assert str(default_directory(config)) == f"runs/modadd-clauw-{run.config_hash[:8]}-s3"
