"""Where the task and the network of a configuration are made, for whoever trains, measures or imports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grokscope.declare import Factory
from grokscope.errors import PluginError

if TYPE_CHECKING:
    from grokscope.models.network import Network
    from grokscope.tasks.task import Task


def make_task(factory: Factory, settings: Mapping[str, Any]) -> Task:
    """Return the task.

    Raises DataError where its data is gone or is another, PluginError where the factory makes no Task.
    """
    from grokscope.tasks.task import Task

    return _checked(factory, factory.build(**settings), Task)


def make_network(factory: Factory, task: Task, settings: Mapping[str, Any]) -> Network:
    """Return the network, its weights drawn from torch's generator.

    Raises PluginError where the factory makes no Network.
    """
    from grokscope.models.network import Network

    return _checked(factory, factory.build(task, **settings), Network)


def make_network_apart(factory: Factory, task: Task, settings: Mapping[str, Any]) -> Network:
    """Return a network whose weights do not matter: torch's generator is afterwards as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return make_network(factory, task, settings)


def _checked(factory: Factory, made: Any, wanted: type[Any]) -> Any:
    if not isinstance(made, wanted):
        got = type(made).__name__
        raise PluginError(f"{factory.kind} {factory.name} must make a grokscope.{wanted.__name__}, got {got}")
    return made
