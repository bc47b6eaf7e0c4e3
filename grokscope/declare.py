"""A function's keyword-only names are its settings: types, defaults, bounds, read and checked in one place.

Measures, tasks and models all declare themselves so; this file decides what a declaration may say
and how a value given as text (a flag, `--set`) or as TOML becomes the declared type.
"""

from __future__ import annotations

import inspect
import json
import math
import operator
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from grokscope.errors import PluginError, SettingError, UnknownName


def listed(value: str | PathLike[str] | Iterable[Any]) -> list[Any]:
    """Return what an argument that takes several things was given: one text, or path, is one of them.

    >>> listed("head.weight=embed.weight"), listed(["a", "b"])
    (['head.weight=embed.weight'], ['a', 'b'])
    """
    return [value] if isinstance(value, (str, PathLike)) else list(value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell a number from words, from nothing, and from yes and no, which Python counts among whole numbers.

    >>> is_number(3), is_number(0.5), is_number(True), is_number("3")
    (True, True, False, False)
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Param:
    """What a parameter means and which values it takes: `min <= value <= max`, `above < value < below`.

    A `local` one says where things are on this machine, for example `data_dir`. It is no part of what a run
    is: the same run may have its data elsewhere. A `later` one came after runs had been made, or results
    stored, without it: at its default it is left out of a configuration, and of what a result is found by, so
    that those runs keep their identity and their names, and those results are found.

    On the command line it is an option: `metavar` is what its help calls the value where the type's own word
    would not do, `panel` the heading that it stands under, and `flag` the value that the bare option stands
    for, where it takes none.
    """

    help: str = ""
    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    local: bool = False
    later: bool = False
    metavar: str = ""
    panel: str = ""
    flag: str = ""

    @property
    def bounds(self) -> str:
        """The bounds in words, for example `> 0, <= 1`; empty when there are none."""
        parts = [("> ", self.above), (">= ", self.min), ("< ", self.below), ("<= ", self.max)]
        return ", ".join(f"{sign}{bound:g}" for sign, bound in parts if bound is not None)


@dataclass(frozen=True)
class Parameter:
    """One declared parameter: its name, type, default and bounds."""

    name: str
    type: Any
    default: Any
    param: Param

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a Literal; empty for any other type."""
        return next((get_args(kind) for kind in self._kinds if get_origin(kind) is Literal), ())

    @property
    def type_name(self) -> str:
        """The type in words: `int`, `average | argsort`, `float or none`."""
        return " or ".join(_in_words(kind) for kind in self._kinds)

    @property
    def metavar(self) -> str:
        """What a command's help calls the value: `INT`, `FLOAT`, `A,B,...`; `NAME` for one of a few."""
        if self.param.metavar:
            return self.param.metavar
        kind = next(kind for kind in self._kinds if kind is not types.NoneType)
        if get_origin(kind) is tuple:
            return "A,B,..."
        return "NAME" if get_origin(kind) is Literal else {str: "TEXT"}.get(kind, kind.__name__.upper())

    @property
    def is_flag(self) -> bool:
        """Whether it is an option without a value, `--name/--no-name`."""
        return bool(self.param.flag) or self.type is bool

    @property
    def _kinds(self) -> tuple[Any, ...]:
        if get_origin(self.type) in (Union, types.UnionType):
            return get_args(self.type)
        return (self.type,)

    def coerce(self, value: Any, where: str = "") -> Any:
        """Return `value` as the declared type, within bounds.

        Text is read as a flag's value would be: `none` is None where None is allowed, `1,2` a list.
        Raises SettingError with what must be and what was given.
        """
        for kind in sorted(self._kinds, key=lambda kind: kind is not types.NoneType):
            try:
                result = _as_kind(kind, value)
            except (TypeError, ValueError, OverflowError):
                continue
            return self._bounded(result, value, where)
        raise self._refusal(value, where)

    def _bounded(self, result: Any, given: Any, where: str) -> Any:
        for number in result if isinstance(result, tuple) else (result,):
            if not is_number(number):
                continue
            p = self.param
            if (
                not math.isfinite(number)
                or (p.min is not None and number < p.min)
                or (p.max is not None and number > p.max)
                or (p.above is not None and number <= p.above)
                or (p.below is not None and number >= p.below)
            ):
                raise self._refusal(given, where)
        return result

    def _refusal(self, value: Any, where: str) -> SettingError:
        bounds = f" {self.param.bounds}" if self.param.bounds else ""
        name = f"{where}.{self.name}" if where else self.name
        return SettingError(f"{name} must be {self.type_name}{bounds}, got {value!r}")


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"list of {_in_words(get_args(kind)[0])}"
    return "none" if kind is types.NoneType else kind.__name__


def _as_kind(kind: Any, value: Any) -> Any:
    """Return `value` as `kind`. Raises TypeError, ValueError or OverflowError where it is not one."""
    if get_origin(kind) is Literal:
        return _as_choice(get_args(kind), value)
    if get_origin(kind) is tuple:
        return _as_tuple(get_args(kind)[0], value)
    return _CONVERT[kind](value)


def _as_none(value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value.lower() == "none"):
        raise ValueError


def _as_choice(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        same_type = isinstance(value, bool) == isinstance(choice, bool)
        if (value == choice and same_type) or (isinstance(value, str) and value == str(choice)):
            return choice
    raise ValueError


def _as_tuple(kind: Any, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = value.split(",") if value.strip() else []
    if not isinstance(value, (list, tuple)):
        raise TypeError
    return tuple(_as_kind(kind, item) for item in value)


def _as_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else ""
    if word not in ("true", "yes", "1", "false", "no", "0"):
        raise ValueError
    return word in ("true", "yes", "1")


def _as_int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)


def _as_float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value) + 0.0  # -0.0 becomes 0.0: equal settings give equal stored keys


def _as_str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


_CONVERT: dict[Any, Callable[[Any], Any]] = {
    types.NoneType: _as_none,
    bool: _as_bool,
    int: _as_int,
    float: _as_float,
    str: _as_str,
}


def _can_be_set(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return True
    if get_origin(kind) is tuple:
        return len(get_args(kind)) == 2 and get_args(kind)[1] is Ellipsis and get_args(kind)[0] in _CONVERT
    return isinstance(kind, type) and kind in _CONVERT


def read_parameters(
    function: Callable[..., Any], where: str, panel: str = "", given: inspect.Signature | None = None
) -> dict[str, Parameter]:
    """Return the keyword-only parameters that `function` declares, by name; `panel` is for those without one.

    `given` is its `signature`, where that was made already.

    Raises PluginError when one has no default, no type or one that cannot be set from text, or a default that
    its own bounds refuse.
    """
    declared = {}
    for name, parameter in (given or signature(function)).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if parameter.default is inspect.Parameter.empty:
            raise PluginError(f"{where}: parameter {name!r} must have a default")
        found = _declare(function, name, parameter, where)
        if panel and not found.param.panel:
            found = replace(found, param=replace(found.param, panel=panel))
        declared[name] = found
    return declared


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature with annotations unevaluated where they name what is only imported for typing."""
    if sys.version_info < (3, 14):
        return inspect.signature(function)
    from annotationlib import Format  # type: ignore[import-not-found,unused-ignore]

    return inspect.signature(function, annotation_format=Format.FORWARDREF)  # type: ignore[call-arg,unused-ignore]


def _declare(function: Callable[..., Any], name: str, parameter: inspect.Parameter, where: str) -> Parameter:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, inspect.unwrap(function).__globals__)
        except Exception as error:
            raise PluginError(f"{where}: the type of parameter {name!r} cannot be read: {error}") from error
    if annotation is inspect.Parameter.empty:
        raise PluginError(f"{where}: parameter {name!r} must have a type, for example float")
    param = Param()
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        param = next((extra for extra in extras if isinstance(extra, Param)), param)
    declared = Parameter(name, annotation, parameter.default, param)
    if not all(_can_be_set(kind) for kind in declared._kinds):
        raise PluginError(
            f"{where}: the type of parameter {name!r} must be bool, int, float, str, a Literal, "
            f"tuple[int, ...] (or of another of these), or one of them or None; got {annotation!r}"
        )
    try:
        return replace(declared, default=declared.coerce(parameter.default))
    except SettingError as error:
        raise PluginError(f"{where}: the default of its own declaration is refused: {error}") from error


def resolve(declared: Mapping[str, Parameter], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return every declared parameter's value, given or default, as its type.

    Raises UnknownName for a name that is not declared and SettingError for a value that is refused.
    """
    for name in given:
        if name not in declared:
            raise UnknownName(f"parameter of {where}", name, declared)
    return {
        name: parameter.coerce(given[name], where) if name in given else parameter.default
        for name, parameter in declared.items()
    }


def recorded(declared: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a configuration keeps, in types that TOML knows: see `lasting`."""
    return for_toml(lasting(declared, values))


def lasting(declared: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that something is known by: all but `later` ones that have their default."""
    return {
        name: value
        for name, value in values.items()
        if not (declared[name].param.later and value == declared[name].default)
    }


def for_toml(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in types that TOML knows: a tuple becomes a list."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def spelled(value: Any) -> str:
    """Return a setting's value as the command line takes it.

    >>> spelled((0.9, 0.98)), spelled(None), spelled(False), spelled("")
    ('0.9,0.98', 'none', 'false', "''")
    """
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "''"


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces; equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Factory:
    """A declared task or model: a function whose keyword-only names are its settings."""

    kind: str
    name: str
    function: Callable[..., Any]
    parameters: Mapping[str, Parameter]
    help: str
    source: Any = None
    """The user's own code that it calls, where that was not declared; None for declared ones."""

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every setting, given or default. Raises UnknownName and SettingError."""
        return resolve(self.parameters, given, f"{self.kind} {self.name}")

    def build(self, *args: Any, **given: Any) -> Any:
        """Make the task or network from its settings."""
        return self.function(*args, **self.settings(given))


def task(function: Callable[..., Any]) -> Factory:
    """Declare a function that returns a Task: its keyword-only names are the task's settings."""
    return _factory("task", function)


def model(function: Callable[..., Any]) -> Factory:
    """Declare a function from a Task to a Network: its keyword-only names are the model's settings."""
    return _factory("model", function)


def _factory(kind: str, function: Callable[..., Any]) -> Factory:
    name = function.__name__
    where = f"{kind} {name}"
    given = signature(function)
    _check_positional(kind, given, where)
    panel = f"{'Task' if kind == 'task' else 'Network'} {name}"
    parameters = read_parameters(function, where, panel, given)
    return Factory(kind, name, function, parameters, inspect.getdoc(function) or "")


def _check_positional(kind: str, given: inspect.Signature, where: str) -> None:
    kinds = [parameter.kind for parameter in given.parameters.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds or inspect.Parameter.VAR_POSITIONAL in kinds:
        raise PluginError(f"{where}: settings must be named one by one, after a bare *")
    positional = len(kinds) - kinds.count(inspect.Parameter.KEYWORD_ONLY)
    if positional != (1 if kind == "model" else 0):
        takes = "one positional argument, the task" if kind == "model" else "no positional argument"
        raise PluginError(f"{where}: it takes {takes}, and settings come after a bare *; got {positional}")
