"""Which plugins there are, what they bring, and what is wrong with those that are broken.

pluggy's own entry-point loader lets one broken plugin end the host. Here each entry point is loaded by
itself, into a plugin manager of its own; what goes wrong is kept beside its name, and the others go on.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import pluggy

from grokscope import hookspecs
from grokscope.declare import Factory
from grokscope.errors import PluginError, UnknownName, UsageError, described, told
from grokscope.hypothesis import Hypothesis
from grokscope.measure import Measure
from grokscope.surroundings import Surroundings

GROUP = "grokscope"
LEFT_OUT = "GROKSCOPE_DISABLE_PLUGINS"  # names of plugins that are not loaded, separated by commas
LONG_IMPORT = 1.0  # seconds that a plugin may add to every command before that is said
PREFIX = "grokscope_"


@dataclass(frozen=True, eq=False)
class Plugin:
    """One plugin: where it comes from and what it brings, or why it is broken.

    Attributes:
        name: its entry point's name, which is also its family's.
        distribution: the distribution that it came with.
        version: that distribution's version.
        module: what the entry point names.
        measures, tasks, models, hypotheses: what it registered; nothing when it is broken.
        problem: why it is broken, in one sentence; empty when it is not.
        error: the exception behind `problem`, for its traceback.
        seconds: how long it took to import and register.
    """

    name: str
    distribution: str
    version: str
    module: str
    measures: tuple[Measure, ...] = ()
    tasks: tuple[Factory, ...] = ()
    models: tuple[Factory, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    problem: str = ""
    error: BaseException | None = None
    seconds: float = 0.0

    @property
    def origin(self) -> str:
        """The plugin's name and distribution in words."""
        distribution = f"{self.distribution} {self.version}".strip()
        return f"plugin {self.name}" + (f" of {distribution}" if distribution else "")


@dataclass(frozen=True, eq=False)
class Registered:
    """A measure and the plugin that brought it; `unique` when no other plugin has a measure of that name."""

    plugin: str
    distribution: str
    version: str
    measure: Measure
    unique: bool = True

    @property
    def id(self) -> str:
        """`plugin:measure`, which no other measure has."""
        return f"{self.plugin}:{self.measure.name}"

    @property
    def title(self) -> str:
        """The measure's name; `plugin:measure` when two plugins have one of that name."""
        return self.measure.name if self.unique else self.id


class Plugins:
    """Everything that was found, and what the names in `--measure`, tasks and models stand for."""

    def __init__(self, plugins: Iterable[Plugin], left_out: Iterable[str] = ()) -> None:
        self.plugins = tuple(plugins)
        """All plugins, also the broken ones."""
        self.left_out = tuple(left_out)
        """Names of installed plugins that were not to be loaded."""
        self.registered = tuple(_registered(self.plugins))
        """All measures, in the order of their plugins."""
        self.tasks: Mapping[str, Factory] = {task.name: task for p in self.plugins for task in p.tasks}
        self.models: Mapping[str, Factory] = {model.name: model for p in self.plugins for model in p.models}

    @property
    def measures(self) -> Mapping[str, Registered]:
        """All measures by title: the bare name, or `plugin:measure` where the bare name is two measures'."""
        return {registered.title: registered for registered in self.registered}

    @property
    def hypotheses(self) -> Mapping[str, Hypothesis]:
        """All hypotheses by name; `plugin:hypothesis` where two plugins have one of that name."""
        found = [(plugin.name, each) for plugin in self.plugins for each in plugin.hypotheses]
        names = [each.name for _, each in found]
        return {
            each.name if names.count(each.name) == 1 else f"{plugin}:{each.name}": each
            for plugin, each in found
        }

    @property
    def broken(self) -> tuple[Plugin, ...]:
        """The plugins that could not be used."""
        return tuple(plugin for plugin in self.plugins if plugin.problem)

    @property
    def problems(self) -> list[str]:
        """What is wrong, a sentence for each broken plugin."""
        return [f"{plugin.origin} is broken: {plugin.problem}" for plugin in self.broken]

    @property
    def slow(self) -> list[str]:
        """Which plugins hold every command up, a sentence for each."""
        return [
            f"{plugin.origin} took {plugin.seconds:.1f} s to import, which every command waits for: what is "
            "heavy should be imported inside its functions"
            for plugin in self.plugins
            if plugin.seconds > LONG_IMPORT
        ]

    def select(self, names: Iterable[str] | None = None) -> list[Registered]:
        """Return the measures that `names` stand for, each once, in the order asked for.

        A name is a measure (`pmi`), a family (`matrix_information`), `plugin:measure`, `all`, or a glob over
        these (`p*`, `oinfo:*`). None is every measure that does not declare itself expensive.

        Raises:
            UnknownName: nothing is called so.
            UsageError: the name stands for two things; both are spelled out.
            PluginError: the name is a broken plugin's.
        """
        if names is None:
            return [registered for registered in self.registered if not registered.measure.expensive]
        chosen: dict[str, Registered] = {}
        for name in names:
            chosen.update((registered.id, registered) for registered in self._resolve(name.strip()))
        return list(chosen.values())

    def _resolve(self, name: str) -> list[Registered]:
        if name == "all":
            return list(self.registered)
        if any(character in name for character in "*?["):
            found = [
                r for r in self.registered if fnmatchcase(r.measure.name, name) or fnmatchcase(r.id, name)
            ]
        else:
            found = self._named(name)
        if not found:
            raise self._unknown(name)
        return found

    def _named(self, name: str) -> list[Registered]:
        exact = [
            registered for registered in self.registered if name in (registered.id, registered.measure.name)
        ]
        family = [registered for registered in self.registered if registered.plugin == name]
        if not exact:
            return family
        meant = [registered.id for registered in exact]
        if family and exact[0].plugin != name:
            meant.append(f"{name}:*")  # a stranger's measure must not hide a family of the same name
        if len(meant) > 1:
            raise UsageError(f"measure {name!r} is more than one: say {' or '.join(meant)}")
        return exact

    def _unknown(self, name: str) -> UsageError | PluginError:
        plugin, colon, measure = name.partition(":")
        for broken in self.broken:
            if broken.name == plugin:
                return PluginError(f"measure {name!r}: {broken.origin} is broken: {broken.problem}")
        if plugin in self.left_out:
            return UsageError(f"measure {name!r}: plugin {plugin} is left out, by --no-plugins or {LEFT_OUT}")
        known = [registered.measure.name for registered in self.registered if registered.plugin == plugin]
        if colon and known:
            return UnknownName(f"measure of plugin {plugin}", measure, known)
        names = {n for r in self.registered for n in (r.plugin, r.title)}
        names |= {r.id for r in self.registered} if colon else set()
        hint = "broken plugins may have it: see `grokscope plugins`" if self.broken else ""
        if self.left_out:
            hint = f"{', '.join(self.left_out)} may have it, and is left out by --no-plugins or {LEFT_OUT}"
        return UnknownName("measure or family", name, names, hint)


def _registered(plugins: Sequence[Plugin]) -> Iterator[Registered]:
    names = [measure.name for plugin in plugins for measure in plugin.measures]
    for plugin in plugins:
        for measure in plugin.measures:
            unique = names.count(measure.name) == 1
            yield Registered(plugin.name, plugin.distribution, plugin.version, measure, unique)


def plugin_names() -> list[str]:
    """Return the names of all installed plugins from their metadata, without importing any."""
    return [found.plugin.name for found in _installed()]


def left_out() -> list[str]:
    """Return the names of plugins that the environment says not to load."""
    return [name.strip() for name in os.environ.get(LEFT_OUT, "").split(",") if name.strip()]


def load_plugins(extra: Iterable[Any] = (), *, without: Iterable[str] = ()) -> Plugins:
    """Import every installed plugin and register what it brings; a broken one never ends the host.

    What a plugin changes of the process's global state while it is imported - torch's default type, seed or
    threads, warning filters, the working directory - is put back.

    Args:
        extra: modules or objects with hookimpls to register beside the installed plugins, under the last
            part of their `__name__`.
        without: names of installed plugins that are not loaded, beside those that the environment variable
            GROKSCOPE_DISABLE_PLUGINS names.

    Only KeyboardInterrupt goes through. Nothing is kept between calls.
    """
    plugins: list[Plugin] = []
    unwanted = {*left_out(), *without}
    installed = _installed()
    wanted = [candidate for candidate in installed if candidate.plugin.name not in unwanted]
    surroundings = Surroundings()
    try:
        for candidate in (*wanted, *map(_extra, extra)):
            plugins.append(_load(candidate, plugins))
            surroundings.put_back()
    finally:
        surroundings.close()
    names = (candidate.plugin.name for candidate in installed)
    return Plugins(plugins, dict.fromkeys(name for name in names if name in unwanted))


@dataclass(frozen=True)
class _Found:
    """A plugin before it is loaded, and how to load it."""

    plugin: Plugin
    load: Callable[[], Any]


def _installed() -> list[_Found]:
    """Return all entry points of the group: grokscope's own first, so that no other can take their names."""
    found: dict[str, list[_Found]] = {}
    for number, distribution in enumerate(importlib.metadata.distributions()):
        candidates = list(_entry_points(distribution))
        if candidates:
            name = re.sub(r"[-_.]+", "-", candidates[0].plugin.distribution).lower()
            # The first of a name on sys.path is the one that gets imported; later ones are shadowed.
            found.setdefault(name or f"unnamed {number}", candidates)
    return sorted(chain.from_iterable(found.values()), key=_precedence)


def _precedence(found: _Found) -> tuple[bool, bool, str, str]:
    plugin = found.plugin
    return plugin.distribution != "grokscope", plugin.name != "core", plugin.name, plugin.distribution


def _entry_points(distribution: importlib.metadata.Distribution) -> Iterator[_Found]:
    try:
        entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
    except Exception as error:  # its metadata is damaged; most such distributions have nothing to do with us
        if f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or ""):
            name, version = _identity(distribution)
            yield _Found(Plugin(name or "unknown", name, version, "entry_points.txt"), _raising(error))
        return
    if entries:
        name, version = _identity(distribution)
        for entry in entries:
            yield _Found(Plugin(entry.name, name, version, entry.value), entry.load)


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    try:
        return distribution.metadata["Name"] or "", distribution.version or ""
    except Exception:  # no or damaged METADATA
        return "", ""


def _raising(error: Exception) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


def _extra(thing: Any) -> _Found:
    name = getattr(thing, "__name__", type(thing).__name__)
    return _Found(Plugin(name.rpartition(".")[2], "", "", name), lambda: thing)


def _load(found: _Found, before: Sequence[Plugin]) -> Plugin:
    """Return the plugin with what it brings, or with what is wrong with it."""
    plugin, start = found.plugin, time.monotonic()
    try:
        _refuse_second_name(plugin, before)
        module = _import(found)
        brought = _brought(plugin, module)
        _refuse_second_factories(brought, before)
        return replace(brought, seconds=time.monotonic() - start)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit, and whatever else a plugin may raise
        problem = told(error) if isinstance(error, _Problem) else f"it fails: {described(error)}"
        cause = error.__cause__ if isinstance(error, _Problem) else error
        return _broken(plugin, problem, cause)


def _broken(plugin: Plugin, problem: str, error: BaseException | None) -> Plugin:
    return Plugin(
        plugin.name, plugin.distribution, plugin.version, plugin.module, problem=problem, error=error
    )


class _Problem(Exception):
    """Why a plugin cannot be used; the exception behind it, if any, is its cause."""


def _import(found: _Found) -> Any:
    try:
        return found.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _Problem(f"it cannot be imported: {described(error)}") from error


def _brought(plugin: Plugin, module: Any) -> Plugin:
    if module is None:
        raise _Problem(f"{plugin.module} is None; an entry point must name a module or an object with hooks")
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    hooks = [name for name in vars(manager.hook) if name.startswith(PREFIX)]
    _refuse_misspelt(module, manager, hooks)
    try:
        manager.register(module, name=plugin.name)
    except pluggy.PluginValidationError as error:
        raise _Problem(f"a hook is not declared as it must be: {told(error)}") from error
    brought = {name: _call_hook(manager, name) for name in hooks}
    if not any(found is not None for found in brought.values()):
        raise _Problem(f"it registers nothing; it must have a function {' or '.join(hooks)} with @hookimpl")
    return Plugin(
        plugin.name,
        plugin.distribution,
        plugin.version,
        plugin.module,
        measures=_items(brought, "grokscope_measures", Measure, "measure"),
        tasks=_items(brought, "grokscope_tasks", Factory, "task"),
        models=_items(brought, "grokscope_models", Factory, "model"),
        hypotheses=_items(brought, "grokscope_hypotheses", Hypothesis, "hypothesis"),
    )


def _refuse_misspelt(module: Any, manager: pluggy.PluginManager, hooks: Sequence[str]) -> None:
    """Refuse names that look like hooks and are none, and hooks without the mark: pluggy passes them over."""
    for name in dir(module):
        options: Mapping[str, Any] = manager.parse_hookimpl_opts(module, name) or {}
        hook = options.get("specname") or name
        if not options and not (name.startswith(PREFIX) and _is_function(module, name)):
            continue
        if hook not in hooks and not options.get("optionalhook"):
            near = difflib.get_close_matches(hook, hooks, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]}?" if near else f"hooks are {', '.join(hooks)}"
            raise _Problem(f"there is no hook {hook!r}: {advice}")
        if not options:
            raise _Problem(f"{name} is not marked as a hook: write @hookimpl above it")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise _Problem(f"{name} cannot be a wrapper: hooks only register what the plugin itself brings")


def _is_function(module: Any, name: str) -> bool:
    return isinstance(
        inspect.getattr_static(module, name, None),
        (type(_is_function), staticmethod, classmethod),
    )


def _call_hook(manager: pluggy.PluginManager, name: str) -> Any:
    """Return what the plugin's hook returned, or None when it does not have that hook."""
    implementations = getattr(manager.hook, name).get_hookimpls()
    if not implementations:
        return None
    try:
        returned = implementations[0].function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _Problem(f"{name} fails: {described(error)}") from error
    if not isinstance(returned, (list, tuple)):
        raise _Problem(f"{name} must return a list, got {type(returned).__name__}")
    return returned


def _items(brought: Mapping[str, Any], hook: str, kind: type[Any], word: str) -> tuple[Any, ...]:
    items = tuple(brought[hook] or ())
    for item in items:
        if not isinstance(item, kind) or (isinstance(item, Factory) and item.kind != word):
            raise _Problem(f"{hook} must return a list of what @{word} makes, got {_short(item)} in it")
    names = [item.name for item in items]
    for name in names:
        if names.count(name) > 1:
            raise _Problem(f"{hook} returns two of the name {name!r}")
    return items


def _short(item: Any) -> str:
    if isinstance(item, Factory):
        return f"the {item.kind} {item.name}"
    return getattr(item, "__name__", type(item).__name__)


def _refuse_second_name(plugin: Plugin, before: Sequence[Plugin]) -> None:
    for other in before:
        if other.name == plugin.name:
            raise _Problem(f"its name is taken by {other.origin} ({other.module})")


def _refuse_second_factories(plugin: Plugin, before: Sequence[Plugin]) -> None:
    """Refuse a task or model that another plugin has: a run names its own by the bare name, for good."""
    for other in before:
        taken = {(item.kind, item.name) for item in (*other.tasks, *other.models)}
        for item in (*plugin.tasks, *plugin.models):
            if (item.kind, item.name) in taken:
                raise _Problem(f"its {item.kind} {item.name!r} is also brought by {other.origin}")
