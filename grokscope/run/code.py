"""What the file of a run may have made: a task and a network that plugins bring, or that the user names too.

run.toml is data, and may come from anywhere. A name in it that no plugin brings, `package.module:factory`,
would be imported, which runs whatever lies there: so it is imported only where the user repeats it or trusts
the run. Of its table `local` only places count that the task declares, and nothing is fetched on its word.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from grokscope.declare import Factory
from grokscope.errors import RunError, UnknownName, UsageError
from grokscope.importable import factory_at, function_at, plain_factory
from grokscope.run.config import LOCAL
from grokscope.run.sites import Site

OWN = ("view", "kept")  # tables of a network and of data of the user's own: how seen, and what is in the run
UNNAMED = "recorded network"  # of a run that was recorded from a living network; no plugin's has a space
UNNAMED_LOSS = "own loss"  # of a run whose loss was given as a function that has no name to find it by
OPTIONS = {"task": "data", "model": "model", "loss": "loss"}  # what repeats a name, as for `import`


class Trusted(NamedTuple):
    """Which code that no plugin brings may be imported because a run names it.

    Attributes:
        names: those that the user repeated, `package.module:factory`.
        everything: whether whatever a run names may be.
        network: what makes the network: such a name or, in Python, a module or a function that makes one.
        loss: the loss: such a name or, in Python, the function.
    """

    names: frozenset[str] = frozenset()
    everything: bool = False
    network: Any = None
    loss: Any = None

    @classmethod
    def of(cls, model: Any, data: str | None, trust: bool, loss: Any = None) -> Trusted:
        """Return what the arguments `model`, `data`, `trust` and `loss` of an analysis say."""
        names = (name for name in (model, data, loss) if name and isinstance(name, str))
        return cls(frozenset(names), trust, model, loss)

    @property
    def is_living(self) -> bool:
        """Whether the network itself is there, or a function that makes it, and not a name."""
        return self.network is not None and not isinstance(self.network, str)

    def may_import(self, config: Mapping[str, Any]) -> bool:
        """Return whether all code of the user's own that a configuration names may be imported."""
        name = config["model"]["name"]
        here = {name} if self.is_living or (name == UNNAMED and self.network) else set()
        loss = config["training"].get("loss", "")
        here |= {loss} if callable(self.loss) or (loss == UNNAMED_LOSS and self.loss) else set()
        missing = own_code(config) - self.names - here
        return not missing or (self.everything and not missing & {UNNAMED, UNNAMED_LOSS})


def check_repeated(configs: Iterable[Mapping[str, Any]], *, model: Any, data: str | None, loss: Any) -> None:
    """Raise UsageError where a name of code is given that none of these runs has: it would mean nothing."""
    configs = list(configs)
    losses = [each["training"].get("loss", "") for each in configs]
    had = {
        "model": (model, [each["model"]["name"] for each in configs], UNNAMED),
        "data": (data, [each["task"]["name"] for each in configs], ""),
        "loss": (loss, losses, UNNAMED_LOSS),
    }
    for option, (given, names, unnamed) in had.items():
        if configs and isinstance(given, str) and given not in names and unnamed not in names:
            runs = "the run has" if len(configs) == 1 else "one of the runs has"
            raise UsageError(
                f"`{option}` must repeat a name that {runs}, {' or '.join(sorted(set(names)))}; got {given}"
            )


def own_code(config: Mapping[str, Any]) -> set[str]:
    """Return the names of the code that a configuration names, and that has to be imported to measure it."""
    names = [config["model"]["name"], *([] if "kept" in config["task"] else [config["task"]["name"]])]
    names.append(config["training"].get("loss", ""))
    return {name for name in names if is_own(name)}


def is_own(name: str) -> bool:
    """Return whether a name in a configuration is of code that no plugin brings."""
    return ":" in name or name in (UNNAMED, UNNAMED_LOSS)


NOTHING = Trusted()


def find_factory(
    run: Site, kind: str, name: str, known: Mapping[str, Factory], trusted: Trusted = NOTHING
) -> Factory:
    """Return the task or model that the run names: a plugin's, or one that it may have imported.

    Raises UnknownName for one that no plugin brings, RunError for code that nobody but the run names,
    PluginError when that cannot be imported.
    """
    if name in known:
        return known[name]
    if kind == "model" and trusted.is_living:
        return plain_factory(kind, name, trusted.network)
    if name == UNNAMED:
        return factory_at(kind, _unnamed(run, trusted))
    if ":" not in name:
        raise UnknownName(kind, name, known, "the run needs the plugin that brings it")
    _require_trust(run, kind, name, trusted)
    return factory_at(kind, name)


def find_loss(run: Site, name: str, trusted: Trusted = NOTHING) -> Callable[..., Any] | None:
    """Return the loss of the user's own that the run names, None where it names one that torch computes.

    Raises RunError for code that nobody but the run names, PluginError when that cannot be imported.
    """
    if not is_own(name):
        return None
    if callable(trusted.loss):
        found: Callable[..., Any] = trusted.loss
        return found
    if name == UNNAMED_LOSS:
        if trusted.loss is None:
            raise RunError(
                f"{run} was made with a loss that has no name: say what it is with `loss`, as "
                "package.module:function or, in Python, by the function itself"
            )
        return function_at("loss", str(trusted.loss))
    _require_trust(run, "loss", name, trusted)
    return function_at("loss", name)


def _require_trust(run: Site, kind: str, name: str, trusted: Trusted) -> None:
    if not trusted.everything and name not in trusted.names:
        raise RunError(
            f"{run} names the {kind} {name}, code that no plugin brings and that is not imported on the word "
            f"of a run: repeat the name as `{OPTIONS[kind]}` or, where all that the run names is to be "
            "trusted, say so with `trust`"
        )


def _unnamed(run: Site, trusted: Trusted) -> str:
    if trusted.network is None:
        raise RunError(
            f"{run} was recorded from a network that has no name: say what makes it with `model`, as "
            "package.module:factory or, in Python, by the network itself"
        )
    return str(trusted.network)


def settings_of(run: Site, kind: str, table: Mapping[str, Any], factory: Factory) -> dict[str, Any]:
    """Return a run's settings of its task or model, but its name.

    Raises RunError for one that says where things are or has them fetched: those are no settings of a run.
    """
    settings = {name: value for name, value in table.items() if name != "name" and name not in OWN}
    for name in settings:
        if name in factory.parameters and factory.parameters[name].param.local:
            raise RunError(
                f"{run} sets {kind}.{name}, which is for the command line alone: it is no part of a run"
            )
    return settings


def places_of(run: Site, config: Mapping[str, Any], factory: Factory) -> dict[str, str]:
    """Return where things of this machine were when the run was made, without data folders that are gone.

    Raises RunError for a name that the run's task does not declare as a place.
    """
    for name in config.get(LOCAL, {}):
        declared = factory.parameters.get(name)
        if declared is None or not declared.param.local or declared.type is not str:
            raise RunError(
                f"{run} has {name!r} in its table {LOCAL}, which must hold places that task {factory.name} "
                "declares and nothing else: take the line out of run.toml"
            )
    return there(config)


def there(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the places of a run without a data folder that is gone, or on another machine's share."""
    recorded = dict(config.get(LOCAL, {}))
    folder = recorded.get("data_dir", "")
    if folder.startswith(("\\\\", "//")) or not os.path.isdir(folder):
        recorded.pop("data_dir", None)
    return recorded
