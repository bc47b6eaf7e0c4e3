"""A new plugin's package: the files that `new-plugin` writes, ready to be installed and tested."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from grokscope.errors import SettingError, StorageError
from grokscope.run.files import atomic_write, make_folder

PYPROJECT = Template("""\
[build-system]
requires = ["setuptools >= 77"]
build-backend = "setuptools.build_meta"

[project]
name = "$distribution"
version = "0.1.0"
description = "A plugin for grokscope."
requires-python = ">= 3.11"
dependencies = ["grokscope"]

# This line is all that makes it a plugin: `$name` is the family's name, the module holds the hooks.
[project.entry-points.grokscope]
$name = "$module"

[tool.setuptools]
py-modules = ["$module"]
""")
MODULE = Template('''\
"""A plugin for grokscope. Replace the formula, the column, the source and the bounds by your own."""

from typing import Annotated, Literal

from grokscope import Column, Param, hookimpl, measure


@measure(
    columns=[
        Column("$name", "mean of the squared activations", min=0, missing="where weights are not finite")
    ],
    per=["layer"],
    source="own",
)
def $name(probe, *, split: Annotated[Literal["train", "test", "all"], Param("examples")] = "train"):
    """Mean square of each hidden layer's activations, over examples and units.

    `1 / (n d) sum_ij a_ij^2`.

    Shapes and units:
        a (n, d) the activations after the non-linearity; one row for each hidden layer.

    How it is computed:
        In float64.

    Cost:
        One forward pass, shared with other measures.

    Traps:
        It grows with the scale of the weights.

    Source:
        own.
    """
    for layer, values in probe.activations(split).items():
        yield {"layer": layer, "$name": values.double().square().mean()}


@hookimpl
def grokscope_measures():
    return [$name]
''')
TEST = Template('''\
"""Run with `pytest` once this plugin is installed: pip install --editable ."""

import pytest

import $module
from grokscope.testing import check_measure, example_probe


def test_it_keeps_the_contract_of_every_measure():
    check_measure($module.$name)


def test_it_is_what_its_formula_says():
    probe = example_probe("mlp")
    for row in $module.$name(probe):
        values = probe.activations("train")[row["layer"]].double()
        by_hand = sum(float(value) ** 2 for value in values.flatten()) / values.numel()
        assert float(row["$name"]) == pytest.approx(by_hand)
''')


def write_plugin(name: str, folder: str | Path) -> list[Path]:
    """Write a plugin with one measure called `name` into `folder`/grokscope-NAME; return its files.

    Raises SettingError for a name that is no lower-case Python name, or where something is already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise SettingError(f"a plugin's name must be lower-case letters, digits and _, got {name!r}")
    words = {
        "name": name,
        "module": f"grokscope_{name}",
        "distribution": f"grokscope-{name.replace('_', '-')}",
    }
    target = Path(folder) / words["distribution"]
    if target.exists():
        raise SettingError(f"{target} must not be there yet; choose another name, or move it away")
    files = {
        "pyproject.toml": PYPROJECT,
        f"{words['module']}.py": MODULE,
        f"test_{name}.py": TEST,
    }
    try:
        make_folder(target)
    except OSError as error:
        raise StorageError(f"{target} cannot be made: {error.strerror or error}") from error
    for file, template in files.items():
        atomic_write(target / file, template.substitute(words).encode())
    return [target / file for file in files]
