"""The page of the Python interface: every public name with its signature and docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import grokscope
from grokscope import hookspecs, testing
from grokscope.reference.markdown import page, prose

PRINTED = 100  # characters of a signature on one line
LONGEST = 40  # characters of a default that is shown


def python_page() -> str:
    """Return the page of what `grokscope`, its hooks and `grokscope.testing` offer."""
    names = {f"grokscope.{name}": getattr(grokscope, name) for name in grokscope.__all__}
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("grokscope_")}
    tests = {f"grokscope.testing.{name}": getattr(testing, name) for name in testing.__all__}
    functions = {name: thing for name, thing in names.items() if inspect.isfunction(thing)}
    classes = {name: thing for name, thing in names.items() if inspect.isclass(thing)}
    errors = {name: thing for name, thing in classes.items() if issubclass(thing, BaseException)}
    return page(
        "Python",
        "Everything public is in `grokscope`; what needs torch or a plugin is loaded when it is first used.",
        *_group("Functions", functions),
        *_group("Classes", {name: thing for name, thing in classes.items() if name not in errors}),
        *_group("Errors", errors),
        *(part for name, thing in names.items() if inspect.ismodule(thing) for part in _module(name, thing)),
        *_group("Hooks", hooks),
        *_group("For a plugin's tests", tests),
    )


def _module(name: str, module: ModuleType) -> Iterable[str]:
    """The page's part on a module that is exported whole."""
    yield f"## {name}"
    yield prose(inspect.getdoc(module) or "")
    for each, thing in vars(module).items():
        own = getattr(thing, "__module__", "") == module.__name__ and not each.startswith("_")
        if own and (inspect.isclass(thing) or inspect.isfunction(thing)):
            yield f"### {name}.{each}"
            yield f"```python\n{signature_of(thing, each)}\n```"
            yield prose(inspect.getdoc(thing) or "")


def _group(title: str, things: dict[str, Any]) -> Iterable[str]:
    yield f"## {title}"
    for name, thing in things.items():
        yield f"### {name}"
        if not (inspect.isclass(thing) and issubclass(thing, BaseException)):
            yield f"```python\n{signature_of(thing, name.rpartition('.')[2])}\n```"
        yield prose(inspect.getdoc(thing) or "")
        if inspect.isclass(thing):
            yield "\n".join(_members(thing))


def _members(cls: type) -> Iterable[str]:
    """Yield a line for each public method and property that is documented, in the order of the class."""
    for name, member in vars(cls).items():
        bare = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        summary = (inspect.getdoc(bare) or "").split("\n\n")[0]
        if name.startswith("_") or not summary:
            continue
        if inspect.isfunction(bare):
            yield f"- `{signature_of(bare, name, indent=False)}`: {prose(summary)}"
        elif isinstance(bare, property) or type(bare).__name__ == "cached_property":
            yield f"- `{name}`: {prose(summary)}"


class _Bare(str):
    """Text that prints as it is written, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def signature_of(thing: Any, name: str, indent: bool = True) -> str:
    """Return a function's or class's signature as it is written, an argument a line where it is long."""
    found = inspect.signature(thing)
    arguments = [_bared(each) for each in found.parameters.values()]
    bared = found.replace(parameters=arguments, return_annotation=_as_written(found.return_annotation))
    line = name + str(bared)
    if len(line) <= PRINTED or not indent:
        return line
    inside, _, returns = str(bared)[1:].rpartition(")")
    rows = [str(each) for each in arguments]
    if "*, " in inside:
        kinds = [each.kind for each in arguments]
        rows.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    return f"{name}(\n" + "".join(f"    {row},\n" for row in rows) + f"){returns}"


def _bared(argument: inspect.Parameter) -> inspect.Parameter:
    told = not inspect.isfunction(argument.default) and len(repr(argument.default)) <= LONGEST
    default = argument.default if told else _Bare("...")
    return argument.replace(annotation=_as_written(argument.annotation), default=default)


def _as_written(annotation: Any) -> Any:
    return _Bare(annotation) if isinstance(annotation, str) else annotation
