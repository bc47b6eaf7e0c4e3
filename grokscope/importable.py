"""What `package.module:factory` names: code of the user's, declared as ours is, or as plain as it comes."""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import PathFinder
from itertools import accumulate
from pathlib import Path
from typing import Any

from grokscope.declare import Factory, Param, Parameter
from grokscope.errors import PluginError, SettingError, described

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_SETTABLE = (bool, int, float, str)


def factory_at(kind: str, path: str) -> Factory:
    """Return the task or model that `package.module:factory` names, from the environment or current folder.

    It may be made by @task or @model. Anything else that can be called is a plain factory: what it needs not
    be given, and has a yes or no, a number or a text for its default, is a setting. A model's may take one
    more thing, `task`. What is no function is taken as what a factory would make: a network, or data.

    Raises SettingError when `path` is no such text, PluginError when it cannot be imported or is no such.
    """
    found = named(kind, path)
    if isinstance(found, Factory) and found.kind != kind:
        raise PluginError(
            f"{kind} {path} is declared as a {found.kind}: it must be made by @grokscope.{kind}"
        )
    return found if isinstance(found, Factory) else plain_factory(kind, path, found)


def function_at(kind: str, path: str) -> Callable[..., Any]:
    """Return the function that `package.module:function` names; of a class, what it makes without arguments.

    Raises as `factory_at` does.
    """
    found = named(kind, path)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # a class of somebody's own may raise anything
            raise PluginError(f"{kind} {path} cannot be made: {described(error)}") from error
    if not callable(found):
        raise PluginError(f"{kind} {path} must be a function, got {type(found).__name__}")
    return found


def name_of(function: Callable[..., Any]) -> str:
    """Return the `package.module:function` under which anybody finds the function; "" where there is none."""
    module, name = getattr(function, "__module__", None) or "", getattr(function, "__qualname__", "")
    path = f"{module}:{name}"
    there = module != "__main__" and getattr(sys.modules.get(module), name, None) is function
    return path if there and _PATH.fullmatch(path) else ""


def named(kind: str, path: str) -> Any:
    """Return what `package.module:name` names; raises as `factory_at` does."""
    if not _PATH.fullmatch(path):
        raise SettingError(f"{kind} must be a name, or package.module:factory, got {path!r}{hint_of(path)}")
    module, _, name = path.partition(":")
    try:
        with_current_folder(module)
        return getattr(importlib.import_module(module), name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the module does when it is imported
        raise PluginError(
            f"{kind} {path} cannot be imported ({described(error)}): it is looked for in the environment and "
            f"in the current folder, {os.getcwd()}"
        ) from error


def meant(name: str) -> str:
    """Return a hint at the functions that `module.function`, or `module` in this folder, may stand for.

    They are read from the modules' files: nothing is imported. Where there are none it is empty.
    """
    module, _, function = name.rpartition(".")
    found = [f"{name}:{each}" for each in _defined(name, [os.getcwd()])]
    found += [f"{module}:{each}" for each in _defined(module, [*sys.path, os.getcwd()]) if each == function]
    return f"a function is named as {' or '.join(found[:3])}" if found else ""


def hint_of(name: str) -> str:
    """Return `meant` as the end of a sentence."""
    return f"; {hint}" if (hint := meant(name)) else ""


def _defined(module: str, folders: Sequence[str]) -> list[str]:
    """Return the public functions and classes in a module's file; none where there is no such module."""
    spec, words = None, module.split(".")
    for name in accumulate(words, "{}.{}".format) if all(map(str.isidentifier, words)) else ():
        spec = PathFinder.find_spec(name, folders)
        folders = (spec and spec.submodule_search_locations) or []
    if not (spec and spec.origin):
        return []
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):  # no Python, such as a compiled module
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [each.name for each in tree.body if isinstance(each, kinds) and not each.name.startswith("_")]


def with_current_folder(module: str) -> None:
    """Have the current folder looked through too, after all others, where a module is not found otherwise."""
    top = module.partition(".")[0]
    if top not in sys.modules and importlib.util.find_spec(top) is None and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def plain_factory(kind: str, path: str, found: Any) -> Factory:
    """Return a factory of what is not declared: a function, a class, or a thing already made."""
    made = not callable(found) or (hasattr(found, "state_dict") and not isinstance(found, type))
    if made:
        return Factory(kind, path, lambda *task: copy.deepcopy(found), {}, "", source=type(found))
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError) as error:
        raise PluginError(f"{kind} {path} must be a function or a class, got {found!r}") from error
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in variadic]
    takes_task = kind == "model" and needed == ["task"]
    if needed and not takes_task:
        raise PluginError(
            f"{kind} {path}: its arguments must have defaults, got {', '.join(needed)} without; with a "
            f"default it is a setting{', and one called task is given the task' if kind == 'model' else ''}"
        )

    def build(*task: Any, **settings: Any) -> Any:
        return found(*task, **settings) if takes_task else found(**settings)

    return Factory(kind, path, build, _settings(parameters), inspect.getdoc(found) or "", source=found)


def _settings(parameters: Any) -> Mapping[str, Parameter]:
    """Return the arguments that have a default which can be written down, each of its default's type."""
    return {
        each.name: Parameter(each.name, type(each.default), each.default, Param())
        for each in parameters
        if type(each.default) in _SETTABLE and each.kind is not each.POSITIONAL_ONLY
    }
