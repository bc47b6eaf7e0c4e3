"""The example of a network of one's own does what it says: from torch.save to measures and a report."""

import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_network"
QUICK = {
    "analyze": ["--steps", "first,last", "--set", "sharpness.max_probes=16", "--set", "sharpness.accuracy=1"],
    "report": ["--steps", "first,last", "--measure", "weight_norm,pe"],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A copy of the folder, and a user who is in it."""
    shutil.copytree(EXAMPLE, tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "own")
    elsewhere = [place for place in sys.path if not Path(place, "mine.py").exists()]  # of other tests
    monkeypatch.setattr(sys, "path", [str(tmp_path / "own"), *elsewhere])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield tmp_path / "own"
    sys.modules.pop("mine", None)


def test_from_checkpoints_to_a_report(here, cli):
    pytest.importorskip("sklearn")
    runpy.run_path("train.py")
    sys.modules.pop("mine")
    sys.path.remove(str(here))
    commands = [
        shlex.split(line) for line in Path("measure.sh").read_text().splitlines() if "grokscope " in line
    ]
    for _, *words in (command for command in commands if command[0] == "grokscope"):
        ended = cli(*words, *QUICK.get(words[0], []))
        assert ended.code == 0, ended.err
        if words[0] == "analyze":
            measured = ended.out
    for column in ("l2_all", "pmi", "synergy", "activation_sparsity.mean", "kl_mean", "trace", "cka.cka:2"):
        assert column in measured
    assert Path("run.html").stat().st_size > 10_000


def test_each_function_is_five_lines():
    text = (EXAMPLE / "mine.py").read_text()
    for function in text.split("\ndef ")[1:]:
        assert len([line for line in function.splitlines() if line.strip()]) <= 6  # and its name
