"""The house stands as drawn: floors, public surface, what import costs, what gets installed."""

import ast
import functools
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import grokscope

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "grokscope"
PLUGINS = ROOT / "plugins"

FLOORS = [
    ["errors", "surroundings", "sections", "lazily", "installed"],
    ["declare", "extras", "knowledge"],
    ["importable"],
    ["measure", "hypothesis"],
    ["figure"],
    ["hookspecs"],
    ["run"],
    ["results"],
    ["numbers", "kernels", "device", "streams", "memory"],
    ["objective"],
    ["tasks"],
    ["models"],
    ["evaluation"],
    ["probe"],
    ["registry"],
    ["discovery"],
    ["cluster"],
    ["training"],
    ["importing"],
    ["analysis.plan"],
    ["analysis"],
    ["recording"],
    ["integrations"],
    ["statistics"],
    ["testing"],
    ["doctor", "scaffold"],
    ["report"],
    ["export"],
    ["reproduce"],
    ["cli"],
    ["reference"],
]
# The core's own plugin is loaded by name, as everyone's; nothing imports it.
ABOVE_ALL = ["builtin", "__main__"]


def room_of(module):
    """The longest room name that `module` (without `grokscope.`) lies in."""
    rooms = [room for floor in FLOORS for room in floor] + ABOVE_ALL
    inside = [room for room in rooms if module == room or module.startswith(room + ".")]
    return max(inside, key=len, default=None)


def floor_of(room):
    return next((height for height, floor in enumerate(FLOORS) if room in floor), len(FLOORS))


@functools.cache
def nodes(path):
    """Every part of a file's code."""
    return list(ast.walk(ast.parse(path.read_text())))


def imports(path):
    """Every module that a file imports, at whatever depth, with names resolved to submodules."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_module(dotted):
    path = ROOT / Path(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_from_floors_below(path):
    name = module_name(path)
    if not name:
        return  # the public surface re-exports from every floor
    room = room_of(name)
    assert room is not None, f"{name} stands in no room; draw it into FLOORS"
    for imported in imports(path):
        assert not imported.startswith("grokscope_"), f"the core imports a plugin: {name} imports {imported}"
        if not imported.startswith("grokscope.") or not is_module(imported):
            continue
        other = room_of(imported.removeprefix("grokscope."))
        if other == room or (room == "analysis.plan" and imported == "grokscope.analysis"):
            continue
        assert floor_of(other) < floor_of(room), f"{name} imports {imported}, which is not below it"


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_plugin_imports_only_public_names(path):
    family = path.relative_to(PLUGINS).parts[0]
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "grokscope":
            assert node.module == "grokscope", (
                f"{path} imports from {node.module}; public names are in grokscope"
            )
            assert {alias.name for alias in node.names} <= set(grokscope.__all__)
    for imported in imports(path):
        root = imported.split(".")[0]
        assert root == family or not root.startswith("grokscope_"), (
            f"{path} imports another plugin: {imported}"
        )
        if path.name == "functional.py":
            assert root != "grokscope", f"{path}: formulas know nothing of grokscope"


def of(names, loaded):
    """Which of the packages or modules, or parts of them, are loaded."""
    return {name for name in names if any(f"{each}.".startswith(f"{name}.") for each in loaded)}


READERS = {"pydantic", "rich.markdown"}  # what typer reads words with, and draws help with
HEAVY = {"torch", "numpy", "h5py", "scipy", "pandas", "safetensors", "matplotlib"}
CLAIMS = {f"{path.parent.name}.claims" for path in PLUGINS.glob("*/claims.py")} | {"grokscope.figure"}
UNASKED = {"rich._emoji_codes", "statistics", "importlib.metadata"}  # what tables of a run do without
BUNDLED = {"grokscope_oinfo", "grokscope_robustness", "grokscope_matrix_information", "grokscope.builtin"}


def test_neither_help_nor_plugins_load_anything_heavy(fresh):
    printed = fresh([], ["--help"], ["train", "--help"], ["measures"])
    (_, imported), (_, helped), (settings, trained), (_, listed) = printed
    assert not of(HEAVY | {"typer", "rich", "grokscope.run", "grokscope.cli"}, imported)
    unread = {"grokscope.run.config", "grokscope.results", "grokscope.discovery"}
    assert not of(HEAVY | READERS | BUNDLED | UNASKED | unread, helped)
    assert not of(HEAVY | BUNDLED, trained)
    assert "--weight-decay" in settings
    assert not of(HEAVY | CLAIMS | {"pydantic", "grokscope.results.results"}, listed)
    assert of(BUNDLED, listed) == BUNDLED


def test_a_command_loads_what_it_is_for_and_no_other_command(fresh, trained, tmp_path):
    run = str(shutil.copytree(trained, tmp_path / "run"))
    grokscope.analyze(run, "weight_norm", steps="first")
    again = ["analyze", run, "-m", "weight_norm", "--steps", "first"]
    (_, shown), (_, measured) = fresh(["show", run], again)
    heavy = READERS | HEAVY - {"numpy", "h5py"}  # which read results
    others = {f"grokscope.cli.{name}" for name in ("train", "score", "plot", "reproduce")}
    assert not of(heavy | UNASKED | BUNDLED | others | {"grokscope.analysis", "grokscope.cli.analyze"}, shown)
    computing = {"grokscope.analysis.engine", "grokscope.analysis.workers", "grokscope.cluster"}
    assert not of(heavy | UNASKED | CLAIMS | others | computing | {"multiprocessing", "pydantic"}, measured)


def test_the_measure_decorator_is_not_shadowed_by_its_module():
    importlib.import_module("grokscope.measure")
    assert callable(grokscope.measure)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if tracked.returncode:
        pytest.skip("not a git checkout: nothing says which files belong to the wheel")
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True)
    return next(folder.glob("grokscope-*.whl"))


def test_the_wheel_holds_the_core_and_the_families_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    families = {path.name for path in PLUGINS.iterdir() if (path / "__init__.py").exists()}
    assert tops == {"grokscope", *families}
    assert "grokscope/py.typed" in names
    licence = next(name for name in names if name.endswith(".dist-info/licenses/grokscope/LICENSE"))
    assert "Permission is hereby granted" in zipfile.ZipFile(wheel).read(licence).decode()
    assert "grokscope/training/recipes/clauw.toml" in names
    page = PACKAGE / "report" / "page"
    for kind in ("*.html", "*.css", "script/*.js", "vendor/*"):
        held = {str(path.relative_to(ROOT)) for path in page.glob(kind)}
        assert held, f"there is no {kind} in {page}"
        assert held <= set(names)


def test_the_wheel_works_where_nothing_else_is(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import grokscope, grokscope_oinfo\n"
        "for module in (grokscope, grokscope_oinfo): assert module.__file__.startswith(sys.argv[1])\n"
        "assert not grokscope.load_plugins().problems, grokscope.load_plugins().problems"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "site")], check=True, cwd=tmp_path)


def test_every_family_is_registered_as_a_stranger_would_be():
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["grokscope"]
    families = {path.name for path in PLUGINS.iterdir() if (path / "__init__.py").exists()}
    assert families == set(points.values()) - {"grokscope.builtin"}
    assert all(value in (f"grokscope_{name}", "grokscope.builtin") for name, value in points.items())


# Names of columns that are words which the core needs for something of its own.
WORDS = {
    *("train", "test", "train_loss", "test_loss", "train_accuracy", "test_accuracy"),  # splits and the curve
    *("synergy", "redundancy", "fit", "gap", "mean", "note", "search", "share", "sum", "total"),
    *("keys", "rank", "method", "entropy", "normalised", "trace", "losses", "residual", "stderr", "sigma"),
    *("distance", "epsilon", "l2", "abelian", "alpha"),  # settings of training
    *("median", "units", "largest", "compression", "half", "ratio", "cluster"),
}


def code_strings(path):
    """The texts in a file's code, without docstrings and what `__all__` lists, with their lines."""
    said = {
        id(part)
        for node in nodes(path)
        if (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__")
        for part in ast.walk(node.value)
    }
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


@pytest.fixture(scope="module")
def names_of_measures():
    """What measures and their columns and arrays are called, but for words that mean other things too."""
    registered = grokscope.load_plugins().registered
    names = {each.measure.name for each in registered}
    names |= {name for each in registered for name in each.measure.arrays}
    names |= {column.name for each in registered for column in each.measure.columns}
    return names - WORDS


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_knows_no_measure_by_name(path, names_of_measures):
    if module_name(path) in ABOVE_ALL:
        return  # the core's own plugin brings some
    found = [
        f"{path}:{line}: {word}"
        for line, text in code_strings(path)
        for word in re.findall(r"\w+", text)
        if word in names_of_measures
    ]
    assert not found, f"ask by a declared role, see Column: {found}"


LINES, STATEMENTS = 450, 60
CODE = [
    path for room in ("grokscope", "plugins", "tests", "examples") for path in (ROOT / room).rglob("*.py")
]


def lines_of(function):
    """The lines of what a function does; its parameters are declarations, its docstring is read as a page."""
    begin = function.body[
        1 if ast.get_docstring(function, clean=False) is not None and len(function.body) > 1 else 0
    ]
    return function.end_lineno - begin.lineno + 1


def test_no_file_and_no_function_is_long():
    long = [
        f"{path}: {count} lines" for path in CODE if (count := len(path.read_text().splitlines())) > LINES
    ]
    for path in CODE:
        for node in nodes(path):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and lines_of(node) > STATEMENTS:
                long.append(f"{path}:{node.lineno}: {node.name} has {lines_of(node)} lines")
    assert not long, f"at most {LINES} lines a file and {STATEMENTS} a function, split by subject: {long}"
