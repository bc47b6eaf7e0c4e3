"""Where the task and the network of a configuration are made, for whoever trains, measures or imports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grokscope.declare import Factory
from grokscope.errors import GrokscopeError, PluginError, SettingError, described

if TYPE_CHECKING:
    from grokscope.models.network import Network
    from grokscope.tasks.task import Task

MOST_EXAMPLES = 4000  # of a split, of data of the user's own


def make_task(factory: Factory, settings: Mapping[str, Any], most: int = MOST_EXAMPLES) -> Task:
    """Return the task; of data of the user's own at most `most` examples a split.

    Raises DataError where its data is gone or is another, PluginError where the factory makes neither a Task
    nor data that can be one.
    """
    from grokscope.tasks.own import own_task
    from grokscope.tasks.task import Task

    made = _built(factory, **settings)
    if factory.source is None and not isinstance(made, Task):
        raise PluginError(_must_make(factory, "a grokscope.Task", made))
    return made if isinstance(made, Task) else own_task(factory.name, made, most)


def make_network(
    factory: Factory, task: Task, settings: Mapping[str, Any], view: Mapping[str, Any] | None = None
) -> Network:
    """Return the network, its weights drawn from torch's generator.

    A plain module is seen as `view` says, with the `layers` and `positions` of `Plain`. Raises PluginError
    where the factory makes no network, or one that does not fit the task.
    """
    from torch import nn

    from grokscope.models.network import Network
    from grokscope.models.plain import Plain

    made = _built(factory, task, **settings)
    if isinstance(made, Network):
        if view:
            raise SettingError(f"model {factory.name} says its layers itself: leave {' and '.join(view)} out")
        return made
    if not isinstance(made, nn.Module):
        raise PluginError(_must_make(factory, "a grokscope.Network or a torch.nn.Module", made))
    try:
        return Plain(made, *task.examples("all"), parts=task.parts, **(view or {}))
    except PluginError as error:
        raise PluginError(f"model {factory.name}: {error}") from error


def make_network_apart(
    factory: Factory, task: Task, settings: Mapping[str, Any], view: Mapping[str, Any] | None = None
) -> Network:
    """Return a network whose weights do not matter: torch's generator is afterwards as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return make_network(factory, task, settings, view)


def _built(factory: Factory, *task: Task, **settings: Any) -> Any:
    """Return what the factory makes; what a plain one raises is the user's to know, and no bug here."""
    if factory.source is None:
        return factory.build(*task, **settings)
    try:
        return factory.build(*task, **settings)
    except GrokscopeError:
        raise
    except Exception as error:
        raise PluginError(f"{factory.kind} {factory.name} cannot be made: {described(error)}") from error


def _must_make(factory: Factory, wanted: str, made: Any) -> str:
    return f"{factory.kind} {factory.name} must make {wanted}, got {type(made).__name__}"
