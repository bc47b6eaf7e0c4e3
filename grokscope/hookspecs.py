"""The hooks: what a plugin may register. Hooks only register; the host calls each measure itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from grokscope.declare import Factory
    from grokscope.figure import Figure
    from grokscope.hypothesis import Hypothesis
    from grokscope.measure import Measure

hookspec = pluggy.HookspecMarker("grokscope")
hookimpl = pluggy.HookimplMarker("grokscope")


@hookspec
def grokscope_measures() -> Sequence[Measure]:  # type: ignore[empty-body]
    """Return the measures that the plugin brings. Called once, when plugins are loaded."""


@hookspec
def grokscope_tasks() -> Sequence[Factory]:  # type: ignore[empty-body]
    """Return the tasks that the plugin brings, each made by `@task`. Called once, when plugins are loaded."""


@hookspec
def grokscope_models() -> Sequence[Factory]:  # type: ignore[empty-body]
    """Return the models that the plugin brings, each made by `@model`. Called once, as plugins are loaded."""


@hookspec
def grokscope_hypotheses() -> Sequence[Hypothesis]:  # type: ignore[empty-body]
    """Return the hypotheses that the plugin brings, each made by `@hypothesis`.

    Called once, as plugins are loaded.
    """


@hookspec
def grokscope_figures() -> Sequence[Figure]:  # type: ignore[empty-body]
    """Return the figures of papers that the plugin brings, each a `grokscope.figure.Figure`.

    Called once, as plugins are loaded.
    """
