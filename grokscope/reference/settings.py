"""The pages of settings and recipes: what a task, a network and training can be given, what recipes give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from grokscope.declare import Factory, Parameter, for_toml, spelled
from grokscope.reference.markdown import code, escaped, page, prose, table
from grokscope.registry import Plugin
from grokscope.training.recipes import TABLES, Recipe, load_recipes
from grokscope.training.settings import TRAINING


def parameters_table(parameters: Mapping[str, Parameter]) -> str:
    """Return one row for each parameter: name, type, default, bounds and what it is."""
    rows = (
        (
            code(parameter.name),
            escaped(parameter.type_name),
            code(spelled(parameter.default)),
            escaped(parameter.param.bounds or "–"),
            escaped(parameter.param.help),
        )
        for parameter in parameters.values()
    )
    return table(["name", "type", "default", "bounds", "what it is"], rows)


def settings_page(plugins: Sequence[Plugin]) -> str:
    """Return the page of all settings that a run's configuration has."""
    tasks = [factory for plugin in plugins for factory in plugin.tasks]
    models = [factory for plugin in plugins for factory in plugin.models]
    return page(
        "Settings",
        "What `train` and `sweep` can set: by a flag, by `--set task.NAME=VALUE`, `model.NAME` or "
        "`training.NAME` (or the bare name where that is clear), or in a recipe's TOML file. Defaults are "
        "those of the declaration; a [recipe](recipes.md) sets its own over them.",
        *_factories("Task", tasks),
        *_factories("Network", models),
        "## Training",
        parameters_table(TRAINING),
    )


def _factories(word: str, factories: Iterable[Factory]) -> Iterable[str]:
    for factory in factories:
        yield f"## {word} `{factory.name}`"
        yield prose(factory.help)
        yield parameters_table(factory.parameters) if factory.parameters else "It has no settings."


def recipes_page() -> str:
    """Return the page of recipes: what each must show and has shown, and what it sets."""
    recipes = load_recipes().values()
    return page(
        "Recipes",
        "`grokscope train TASK` takes the task's default recipe, `--recipe NAME` another one or a TOML file "
        "of your own; `grokscope recipes NAME` prints one as a file to begin with, with what else was tried. "
        "Times are of two cores of a Xeon, one thread.",
        table(["recipe", "what it is", "must show", "seen"], map(_seen, recipes)),
        "## Settings",
        "Those that are not the declared default of [settings](settings.md).",
        table(["recipe", "source", "task", "model", "training"], map(_set, recipes)),
    )


def _seen(recipe: Recipe) -> list[str]:
    default = f" (default of `{recipe.task}`)" if recipe.default else ""
    return [code(recipe.name) + default, *map(escaped, (recipe.summary, recipe.must_show, recipe.seen))]


def _set(recipe: Recipe) -> list[str]:
    return [code(recipe.name), escaped(recipe.source), *(_of_its_own(recipe, name) for name in TABLES)]


def _of_its_own(recipe: Recipe, name: str) -> str:
    settings = dict(recipe.settings[name])
    chosen = settings.pop("name", "")
    defaults = for_toml({key: each.default for key, each in _declared(name, chosen).items()})
    differing = [f"{key}={spelled(value)}" for key, value in settings.items() if value != defaults[key]]
    return " ".join(map(code, filter(None, [chosen, *differing])))


def _declared(name: str, chosen: str) -> Mapping[str, Parameter]:
    from grokscope.models import MODELS
    from grokscope.tasks import TASKS

    return {"task": TASKS, "model": MODELS}[name][chosen].parameters if chosen else TRAINING
