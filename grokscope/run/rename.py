"""How foreign parameter names and shapes become a network's: rename rules `old=new`, applied in order.

It stands with the run because linked checkpoints keep their own layout and are rearranged when read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

from grokscope.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
_GLOB = re.compile(r"[*?\[]")
_STEP = re.compile(r"\.T$|\.join$|\.reshape\(\d+(?:,\d+)*\)$|\[:-1\]$")
FORMS = (
    "OLD=NEW, with NEW followed by any of .T, .join, .reshape(2,3) and [:-1]; OLD= leaves a tensor out, "
    "OLD=0 leaves it out when it is zero"
)


@dataclass(frozen=True)
class Rule:
    """One rename rule; its text is what `--rename` takes.

    Attributes:
        old: the tensor's name in the file; where `new` leaves tensors out, also a glob.
        new: the network's name; empty to leave it out, `0` to leave it out when it is zero.
        steps: what turns the file's tensor into the network's, in order: `.T` swaps the last two axes,
            `.join` makes one axis of the first two, `.reshape(...)` reads the values in the same order as
            another shape, `[:-1]` drops the last entry of the first axis.
    """

    old: str
    new: str
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.old}={self.new}{''.join(self.steps)}"

    @property
    def keeps(self) -> bool:
        """False when the rule leaves tensors out."""
        return self.new not in ("", "0")

    def matches(self, name: str) -> bool:
        """Whether the rule is about the tensor called `name`."""
        return self.old == name or (not self.keeps and fnmatchcase(name, self.old))


def read_rule(text: str) -> Rule:
    """Return the rule that `text` says. Raises SettingError.

    >>> read_rule("attn.W_O=blocks.0.attn.W_O.join.T").steps
    ('.join', '.T')
    """
    old, equals, new = (part.strip() for part in text.partition("="))
    if not equals or not old or "=" in new:
        raise SettingError(f"`rename` must be {FORMS}; got {text!r}")
    steps: list[str] = []
    while found := _STEP.search(new):
        steps.insert(0, found[0])
        new = new[: found.start()]
    if steps and new in ("", "0"):
        raise SettingError(f"`rename` must be {FORMS}; got {text!r}")
    return Rule(old, new, tuple(steps))


def arrange(tensors: Mapping[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """Return the network's tensors by its names; the first rule about a tensor counts, without one it stays.

    Raises ValueError with a sentence for a tensor that cannot be rearranged so.
    """
    named: dict[str, Tensor] = {}
    rule_for = _first_of(rules)
    for old, tensor in tensors.items():
        rule = rule_for(old)
        if rule.keeps:
            new = _changed(_whole(tensor, old), rule)
            if rule.new in named and not _is_same(new, named[rule.new]):
                raise ValueError(f"two tensors would become {rule.new}, one of them {old}")
            named[rule.new] = new
        elif rule.new == "0" and bool((_whole(tensor, old) != 0).any()):
            raise ValueError(f"{old} must be zero, because the network has no such parameter, and is not")
    return named


def new_names(names: Iterable[str], rules: Sequence[Rule]) -> dict[str, str]:
    """Return the network's names that `arrange` would give, each with the file's."""
    rule_for = _first_of(rules)
    chosen = [rule_for(name) for name in names]
    return {rule.new: rule.old for rule in chosen if rule.keeps}


def _first_of(rules: Sequence[Rule]) -> Callable[[str], Rule]:
    """Return what finds the first rule about a name; a network has a thousand, and as many rules."""
    exact: dict[str, int] = {}
    globs = []
    for place, rule in enumerate(rules):
        exact.setdefault(rule.old, place)
        if not rule.keeps and _GLOB.search(rule.old):
            globs.append(place)

    def find(name: str) -> Rule:
        found = [place for place in globs if rules[place].matches(name)]
        found += [exact[name]] if name in exact else []
        return rules[min(found)] if found else Rule(name, name)

    return find


def tied(named: Mapping[str, T], ties: Mapping[str, str]) -> dict[str, T]:
    """Return `named` with what stands under one name under each further name that `ties` has for it."""
    return {**named, **{name: named[one] for name, one in ties.items() if one in named and name not in named}}


def read_ties(texts: Iterable[str]) -> dict[str, str]:
    """Return further names, each with the name of the tensor that it stands for. Raises SettingError."""
    found = {}
    for text in texts:
        name, equals, one = (part.strip() for part in text.partition("="))
        if not equals or not name or not one or "=" in one or name == one:
            raise SettingError(f"`tie` must be NAME=OTHER, two names of one tensor; got {text!r}")
        found[name] = one
    return found


def as_type(tensors: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Return the tensors contiguous, floating-point ones in `dtype`."""
    import torch

    kind = getattr(torch, dtype)
    return {
        name: (value.to(kind) if value.is_floating_point() else value).contiguous()
        for name, value in tensors.items()
    }


def _whole(tensor: Tensor, name: str) -> Tensor:
    """Refuse a tensor that would grow when it is copied: one that declares more values than are stored."""
    import torch

    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise ValueError(f"{name} must be a plain tensor, got {tensor.layout} on {tensor.device}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"{name} declares {tuple(tensor.shape)} but fewer values than that are stored")
    return tensor


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are one, under two names: the same values at the same place."""
    layouts = ((each.data_ptr(), each.shape, each.stride(), each.dtype) for each in (one, other))
    return next(layouts) == next(layouts)


def _changed(tensor: Tensor, rule: Rule) -> Tensor:
    for step in rule.steps:
        try:
            tensor = _step(step)(tensor)
        except (RuntimeError, IndexError) as error:
            shape = tuple(tensor.shape)
            raise ValueError(f"{rule.old}: {step} cannot be done to a tensor of shape {shape}") from error
    return tensor


def _step(text: str) -> Callable[[Tensor], Tensor]:
    if text == ".T":
        return lambda tensor: tensor.transpose(-2, -1)
    if text == ".join":
        return lambda tensor: tensor.flatten(0, 1)
    if text == "[:-1]":
        return lambda tensor: tensor[:-1]
    shape = tuple(map(int, text.removeprefix(".reshape(").removesuffix(")").split(",")))
    return lambda tensor: tensor.reshape(shape)


def read_rules(texts: Iterable[str]) -> list[Rule]:
    """Return the rules that the texts say. Raises SettingError."""
    return [read_rule(text) for text in texts]
