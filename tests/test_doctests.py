"""Every example in a docstring gives what it says, in every module there is."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOMES = (ROOT, ROOT / "plugins")
FILES = [*(ROOT / "grokscope").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
WITH_EXAMPLES = sorted(path for path in FILES if ">>> " in path.read_text())


def module_of(path):
    home = max((home for home in HOMES if path.is_relative_to(home)), key=lambda home: len(home.parts))
    return ".".join(path.relative_to(home).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_give_what_they_say(path):
    found = doctest.testmod(importlib.import_module(module_of(path)))
    assert found.attempted, f"{path} has examples that doctest does not see"
    assert not found.failed
