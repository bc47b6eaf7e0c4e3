"""Which plugins are installed: each is imported by itself, and what is wrong with one is kept.

pluggy's own entry-point loader lets one broken plugin end the host. Here each entry point is loaded by
itself, into a plugin manager of its own; what goes wrong is kept beside its name, and the others go on.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import time
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import pluggy

from grokscope import hookspecs
from grokscope.declare import Factory
from grokscope.errors import described, told
from grokscope.hypothesis import Hypothesis
from grokscope.installed import Distribution, distributions
from grokscope.measure import Measure
from grokscope.registry import LEFT_OUT, Plugin, Plugins
from grokscope.surroundings import Surroundings

GROUP = "grokscope"
PREFIX = "grokscope_"
HOOKS = tuple(sorted(name for name in vars(hookspecs) if name.startswith(PREFIX)))
MEASURING = ("grokscope_measures", "grokscope_tasks", "grokscope_models")
MARK = f"{GROUP}_impl"  # what pluggy sets on a function that @hookimpl marks
MARKABLE = (types.FunctionType, types.MethodType, staticmethod, classmethod)  # what pluggy takes for a hook


def plugin_names() -> list[str]:
    """Return the names of all installed plugins from their metadata, without importing any."""
    return [found.plugin.name for found in _installed()]


def installed_plugins() -> list[Plugin]:
    """Return all installed plugins as their metadata tell of them, without what they bring."""
    return [found.plugin for found in _installed()]


def left_out() -> list[str]:
    """Return the names of plugins that the environment says not to load."""
    return [name.strip() for name in os.environ.get(LEFT_OUT, "").split(",") if name.strip()]


def load_plugins(
    extra: Iterable[Any] = (), *, without: Iterable[str] = (), hooks: Collection[str] = HOOKS
) -> Plugins:
    """Import every installed plugin and register what it brings; a broken one never ends the host.

    What a plugin changes of the process's global state while it is imported - torch's default type, seed or
    threads, warning filters, the working directory - is put back.

    Args:
        extra: modules or objects with hookimpls to register beside the installed plugins, under the last
            part of their `__name__`.
        without: names of installed plugins that are not loaded, beside those that the environment variable
            GROKSCOPE_DISABLE_PLUGINS names.
        hooks: those that are called; `MEASURING` is all that measuring takes, and much is not imported then.

    Only KeyboardInterrupt goes through. Nothing is kept between calls.
    """
    plugins: list[Plugin] = []
    unwanted = {*left_out(), *without}
    installed = _installed()
    wanted = [candidate for candidate in installed if candidate.plugin.name not in unwanted]
    surroundings = Surroundings()
    try:
        for candidate in (*wanted, *map(_extra, extra)):
            plugins.append(_load(candidate, plugins, hooks))
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
    for number, distribution in enumerate(distributions()):
        candidates = list(_entry_points(distribution))
        if candidates:
            name = re.sub(r"[-_.]+", "-", candidates[0].plugin.distribution).lower()
            # The first of a name on sys.path is the one that gets imported; later ones are shadowed.
            found.setdefault(name or f"unnamed {number}", candidates)
    return sorted(chain.from_iterable(found.values()), key=_precedence)


def _precedence(found: _Found) -> tuple[bool, bool, str, str]:
    plugin = found.plugin
    return plugin.distribution != "grokscope", plugin.name != "core", plugin.name, plugin.distribution


def _entry_points(distribution: Distribution) -> Iterator[_Found]:
    try:
        if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
            return  # most have nothing to do with us
    except Exception:  # nor does what cannot be read
        return
    try:
        entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
    except Exception as error:  # its metadata is damaged
        name, version = _identity(distribution)
        yield _Found(Plugin(name or "unknown", name, version, "entry_points.txt"), _raising(error))
        return
    if entries:
        name, version = _identity(distribution)
        for entry in entries:
            yield _Found(Plugin(entry.name, name, version, entry.value), entry.load)


def _identity(distribution: Distribution) -> tuple[str, str]:
    try:
        about = distribution.metadata
        return about["Name"] or "", about["Version"] or ""
    except Exception:  # no or damaged METADATA
        return "", ""


def _raising(error: Exception) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


def _extra(thing: Any) -> _Found:
    name = getattr(thing, "__name__", type(thing).__name__)
    return _Found(Plugin(name.rpartition(".")[2], "", "", name), lambda: thing)


def _load(found: _Found, before: Sequence[Plugin], hooks: Collection[str]) -> Plugin:
    """Return the plugin with what it brings, or with what is wrong with it."""
    plugin, start = found.plugin, time.monotonic()
    try:
        _refuse_second_name(plugin, before)
        module = _import(found)
        brought = _brought(plugin, module, hooks)
        _refuse_second_bare_names(brought, before)
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


class _Manager(pluggy.PluginManager):
    """pluggy's, that does not look closely at names in a module that are plainly no hooks.

    It looks at every name several times and with care, which for a dozen plugins takes longer than all else.
    """

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        """Return what a hook's declaration says; None where it is none."""
        return super().parse_hookspec_opts(module_or_class, name) if name.startswith(PREFIX) else None

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Return what the mark of an implementation says; None where it is none."""
        if isinstance(plugin, types.ModuleType) and name in vars(plugin):
            found = vars(plugin)[name]
            if not isinstance(found, MARKABLE):
                return None
            if isinstance(found, types.FunctionType) and MARK not in vars(found):
                return None
        return super().parse_hookimpl_opts(plugin, name)


class _Problem(Exception):
    """Why a plugin cannot be used; the exception behind it, if any, is its cause."""


def _import(found: _Found) -> Any:
    try:
        return found.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _Problem(f"it cannot be imported: {described(error)}") from error


def _brought(plugin: Plugin, module: Any, called: Collection[str]) -> Plugin:
    if module is None:
        raise _Problem(f"{plugin.module} is None; an entry point must name a module or an object with hooks")
    manager = _Manager(GROUP)
    manager.add_hookspecs(hookspecs)
    _refuse_misspelt(module, manager, HOOKS)
    try:
        manager.register(module, name=plugin.name)
    except pluggy.PluginValidationError as error:
        raise _Problem(f"a hook is not declared as it must be: {told(error)}") from error
    if not any(getattr(manager.hook, name).get_hookimpls() for name in HOOKS):
        raise _Problem(f"it registers nothing; it must have a function {' or '.join(HOOKS)} with @hookimpl")
    brought = {name: _call_hook(manager, name) if name in called else None for name in HOOKS}
    return Plugin(
        plugin.name,
        plugin.distribution,
        plugin.version,
        plugin.module,
        measures=_items(brought, "grokscope_measures", Measure, "measure"),
        tasks=_items(brought, "grokscope_tasks", Factory, "task"),
        models=_items(brought, "grokscope_models", Factory, "model"),
        hypotheses=_items(brought, "grokscope_hypotheses", Hypothesis, "hypothesis"),
        figures=_figures(brought),
    )


def _refuse_misspelt(module: Any, manager: _Manager, hooks: Sequence[str]) -> None:
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


def _figures(brought: Mapping[str, Any]) -> tuple[Any, ...]:
    if not brought["grokscope_figures"]:
        return ()
    from grokscope.figure import Figure

    return _items(brought, "grokscope_figures", Figure, "figure")


def _items(brought: Mapping[str, Any], hook: str, kind: type[Any], word: str) -> tuple[Any, ...]:
    items = tuple(brought[hook] or ())
    for item in items:
        if not isinstance(item, kind) or (isinstance(item, Factory) and item.kind != word):
            made = "figure.Figure" if word == "figure" else f"@{word}"
            raise _Problem(f"{hook} must return a list of what {made} makes, got {_short(item)} in it")
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


def _refuse_second_bare_names(plugin: Plugin, before: Sequence[Plugin]) -> None:
    """Refuse a task, model or figure that another plugin has: runs and commands name it by the bare name."""
    for other in before:
        taken = set(_bare_names(other))
        for word, name in _bare_names(plugin):
            if (word, name) in taken:
                raise _Problem(f"its {word} {name!r} is also brought by {other.origin}")


def _bare_names(plugin: Plugin) -> Iterator[tuple[str, str]]:
    yield from ((item.kind, item.name) for item in (*plugin.tasks, *plugin.models))
    yield from (("figure", figure.name) for figure in plugin.figures)
