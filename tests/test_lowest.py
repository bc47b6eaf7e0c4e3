"""The lowest versions are made from pyproject.toml, and every dependency has one."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def lowest():
    spec = importlib.util.spec_from_file_location("lowest", ROOT / "tests" / "lowest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.lowest


def test_every_dependency_has_a_lowest_version(lowest):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = lowest(project)
    assert found["h5py"] == "3.11"
    assert {"pandas", "pyarrow", "datasets", "pytest", "hypothesis"} <= found.keys()
    assert not {"torch", "torchvision", "grokscope"} & found.keys()


@pytest.mark.parametrize("wrong", ["numpy", "numpy < 3", "numpy >= 1.26, < 3"])
def test_a_dependency_without_one_is_refused(lowest, wrong):
    with pytest.raises(ValueError, match="must be a name and a lowest version"):
        lowest({"dependencies": [wrong], "optional-dependencies": {}})


def test_two_floors_of_one_dependency_are_refused(lowest):
    extras = {"one": ["pandas >= 2.1"], "two": ["pandas >= 2.2"]}
    with pytest.raises(ValueError, match="pandas has two lowest versions"):
        lowest({"dependencies": [], "optional-dependencies": extras})
