"""Recipes: named, complete training configurations, kept as data files or given as a path."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from grokscope.errors import SettingError, UnknownName
from grokscope.run.outcome import OUTCOME, checked_outcome

FOLDER = Path(__file__).with_name("recipes")
TABLES = ("task", "model", "training")
WORDS = ("name", "summary", "source", "must_show", "seen")


@dataclass(frozen=True)
class Recipe:
    """A named configuration.

    Attributes:
        name: what `--recipe` calls it.
        summary: what it is, in a sentence.
        source: where its settings come from.
        must_show: what a run of it must show.
        seen: what its runs showed, and in which seeds.
        default: whether it is its task's default.
        settings: the tables `task`, `model` (each with `name`) and `training`.
        outcome: what says that its runs have generalised, where it is not test accuracy: `column`, and
            `above` or `below`.
    """

    name: str
    summary: str
    source: str
    must_show: str
    settings: Mapping[str, Mapping[str, Any]]
    default: bool = False
    seen: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """The task that it trains."""
        return self.settings["task"]["name"]


def load_recipes() -> dict[str, Recipe]:
    """Return the recipes that ship with grokscope, by name; their tasks' defaults first."""
    return {recipe.name: recipe for recipe in _shipped()}


@cache
def _shipped() -> list[Recipe]:
    """Read them once: a sweep asks for each of its runs which of two dozen files is its task's default."""
    found = (read_recipe(path) for path in FOLDER.glob("*.toml"))
    return sorted(found, key=lambda recipe: (recipe.task, not recipe.default, recipe.name))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Return the recipe of that name, or the one in a TOML file. Raises UnknownName and SettingError."""
    return read_recipe(recipe_path(name_or_path))


def recipe_text(name_or_path: str | Path) -> str:
    """Return the recipe's TOML file as it is written, comments included. Raises UnknownName."""
    return recipe_path(name_or_path).read_text(encoding="utf-8")


def recipe_path(name_or_path: str | Path) -> Path:
    """Return the recipe's file: what ends in .toml is a path, all else a name. Raises UnknownName."""
    if str(name_or_path).endswith(".toml"):
        return Path(name_or_path)
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    if str(name_or_path) not in names:
        raise UnknownName("recipe", str(name_or_path), names, "or the path of a .toml file")
    return FOLDER / f"{name_or_path}.toml"


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in the file at `path`. Raises SettingError if it cannot be read or is incomplete."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"recipe {path} cannot be read: {error}") from error
    _check(path, content)
    return Recipe(
        **{word: content.get(word, "") for word in WORDS},
        settings={table: content.get(table, {}) for table in TABLES},
        default=content.get("default", False),
        outcome=content.get(OUTCOME, {}),
    )


def _check(path: Path, content: Mapping[str, Any]) -> None:
    for key in content:
        if key not in (*WORDS, "default", *TABLES, OUTCOME):
            raise SettingError(
                f"recipe {path} has {key!r}, which must be one of {', '.join((*WORDS, *TABLES, OUTCOME))}"
            )
    wrong = [word for word in WORDS if not isinstance(content.get(word, ""), str)]
    wrong += [table for table in TABLES if not isinstance(content.get(table, {}), dict)]
    if wrong:
        raise SettingError(f"recipe {path}: {wrong[0]} must be {'text' if wrong[0] in WORDS else 'a table'}")
    if OUTCOME in content:
        try:
            checked_outcome(content[OUTCOME])
        except SettingError as error:
            raise SettingError(f"recipe {path}: {error}") from error
    named = {"name": content, "task.name": content.get("task", {}), "model.name": content.get("model", {})}
    for where, table in named.items():
        if not isinstance(table.get("name"), str):
            raise SettingError(f'recipe {path} must say {where} = "..."')
