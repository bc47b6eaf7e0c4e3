"""The public surface is what tests/surface.txt says: every name, and how it is called."""

import inspect
from pathlib import Path

import pytest

import grokscope
from grokscope.reference.python import signature_of

SURFACE = Path(__file__).with_name("surface.txt")


def surface():
    """A line for each public name: a function or class with its signature, an error with what it is."""
    for name in grokscope.__all__:
        thing = getattr(grokscope, name)
        if inspect.isclass(thing) and issubclass(thing, BaseException):
            yield f"{name} is a {thing.__base__.__name__}"
        elif inspect.isfunction(thing) or inspect.isclass(thing):
            yield signature_of(thing, name, indent=False)
        else:
            yield name


def test_names_and_signatures_are_those_that_are_written_down():
    written = SURFACE.read_text().splitlines()
    assert list(surface()) == written, f"users meet this change: write it into {SURFACE.name}"


def test_every_public_name_is_documented():
    for name in grokscope.__all__:
        assert name == "hookimpl" or getattr(grokscope, name).__doc__, f"grokscope.{name} is not documented"
    assert (Path(grokscope.__file__).parent / "py.typed").exists()


def test_there_is_no_other_name():
    with pytest.raises(AttributeError):
        grokscope.nothing  # noqa: B018
