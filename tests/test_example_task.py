"""The example task is complete: its own tests pass with it registered from its one file."""

import importlib
import sys
import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "grokscope-dihedral"

sys.path.insert(0, str(EXAMPLE))
own = importlib.import_module("test_dihedral")
sys.path.remove(str(EXAMPLE))
# Collected here as if they stood here, fixture and all: an environment of its own would only cost time.
globals().update({name: value for name, value in vars(own).items() if name.startswith(("test_", "plugins"))})


def test_its_packaging_names_its_one_file():
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["grokscope"] == {"dihedral": "grokscope_dihedral"}
    assert project["tool"]["setuptools"]["py-modules"] == ["grokscope_dihedral"]
    assert {path.name for path in EXAMPLE.glob("*.py")} == {"grokscope_dihedral.py", "test_dihedral.py"}
