"""What is registered, and what a run holds, as JSON: the same that tables and pages of the terminal say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from grokscope.declare import Parameter
from grokscope.figure import Figure
from grokscope.hypothesis import Hypothesis
from grokscope.registry import Plugin, Registered
from grokscope.run import Run
from grokscope.run.folder import summary
from grokscope.training.recipes import Recipe

CURVES = ("step", "train_loss", "train_accuracy", "test_loss", "test_accuracy")


def measure_as_dict(registered: Registered) -> dict[str, Any]:
    """Return everything that a measure declares."""
    measure = registered.measure
    return {
        "name": registered.title,
        "plugin": registered.plugin,
        "distribution": registered.distribution,
        "version": measure.version,
        "summary": measure.summary,
        "help": measure.help,
        "source": measure.source,
        "needs": list(measure.inputs),
        "knows": None if measure.known is None else list(measure.known),
        "per": list(measure.per),
        "baseline": measure.baseline,
        "expensive": measure.expensive,
        "columns": [asdict(column) for column in measure.columns],
        "parameters": parameters_as_dicts(measure.parameters),
        "arrays": dict(measure.arrays),
    }


def parameters_as_dicts(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return each declared parameter: name, type, default, bounds, choices and help."""
    return [
        {
            "name": parameter.name,
            "type": parameter.type_name,
            "default": parameter.default,
            "bounds": parameter.param.bounds,
            "choices": list(parameter.choices),
            "help": parameter.param.help,
        }
        for parameter in parameters.values()
    ]


def plugin_as_dict(plugin: Plugin) -> dict[str, Any]:
    """Return what a plugin brings, by name, or why it is broken."""
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "problem": plugin.problem,
        "measures": [each.name for each in plugin.measures],
        "tasks": [each.name for each in plugin.tasks],
        "models": [each.name for each in plugin.models],
        "hypotheses": [each.name for each in plugin.hypotheses],
        "figures": [each.name for each in plugin.figures],
    }


def recipe_as_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe: its words and its settings, table by table."""
    return {
        "name": recipe.name,
        "task": recipe.task,
        "default": recipe.default,
        "summary": recipe.summary,
        "source": recipe.source,
        "must_show": recipe.must_show,
        "settings": {name: dict(table) for name, table in recipe.settings.items()},
    }


def hypothesis_as_dict(name: str, hypothesis: Hypothesis) -> dict[str, Any]:
    """Return what a hypothesis claims, of whom, and from which columns."""
    return {
        "name": name,
        "claim": hypothesis.claim,
        "about": hypothesis.about,
        "columns": list(map(str, hypothesis.columns)),
        "source": hypothesis.source,
        "help": hypothesis.help,
    }


def figure_as_dict(figure: Figure) -> dict[str, Any]:
    """Return which figure it is, of what, and what the paper says of it."""
    return {
        "name": figure.name,
        "title": figure.title,
        "claim": figure.claim,
        "where": figure.where,
        "runs": list(figure.groups),
        "readings": [reading.name for reading in figure.readings],
    }


def run_as_dict(run: Run, stored: Mapping[str, int]) -> dict[str, Any]:
    """Return what a run holds: configuration, checkpoints, curves, transition, measures stored."""
    curves = run.curves
    return {
        **summary(run),
        "config": run.config,
        "memorisation_step": run.memorisation_step(),
        "grokking_step": run.grokking_step(),
        "checkpoint_steps": list(run.steps),
        "curves": {name: list(map(float, curves[name])) for name in CURVES if name in curves},
        "stored": dict(stored),
    }
