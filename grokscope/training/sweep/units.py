"""Which runs of a sweep are trained as one: seeds of one setting, where that is asked for, and on CUDA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grokscope.run.config import config_hash
from grokscope.training.settings import AT_A_STEP
from grokscope.training.sweep.account import Account
from grokscope.training.sweep.grid import PlannedRun

ONE_BY_ONE = "seeds of this setting are trained one by one"
NUMBER_BY_NUMBER = ("adamw", "adam", "sgd")  # optimisers that know nothing of a tensor's shape


@dataclass(frozen=True)
class Unit:
    """Runs that one process trains: together where that can be, else one by one.

    Attributes:
        runs: those; if several, they differ in the seed alone, and their newest checkpoints are of one step.
        asked: whether it is asked for that they are trained together, so that what hinders it is said.
    """

    runs: tuple[PlannedRun, ...]
    asked: bool = False


def in_units(left: Sequence[PlannedRun], workers: int, together: bool | None, account: Account) -> list[Unit]:
    """Return `left` in units for so many processes, none of which is to wait for another's seeds."""
    alike: dict[tuple[str, int], list[PlannedRun]] = {}
    for run in left:
        alike.setdefault((config_hash(run.config), account.standing(run.path)), []).append(run)
    most = -(-len(left) // workers)
    return [
        Unit(part, bool(together))
        for runs in alike.values()
        for part in _parts(runs, most if _wanted(runs, together, account) else 1)
    ]


def _wanted(runs: Sequence[PlannedRun], together: bool | None, account: Account) -> bool:
    if together is False or len(runs) < 2:
        return False
    training = runs[0].config["training"]
    why = _hindrance(training)
    if why and together:
        account.said(runs[0].path, f"{ONE_BY_ONE}: {why}")
    return not why and (together or training["device"].startswith("cuda"))


def _hindrance(training: Mapping[str, Any]) -> str:
    """Return which setting acts on a network as a whole; nothing where none does."""
    found = next((name for name in ("clip_norm", *AT_A_STEP) if training.get(name)), "")
    if training["optimizer"] not in NUMBER_BY_NUMBER:
        found = "optimizer"
    return f"training.{found} {training[found]} acts on a network as a whole" if found else ""


def _parts(runs: Sequence[PlannedRun], most: int) -> Iterator[tuple[PlannedRun, ...]]:
    """Yield the runs in parts of `most` at most, all about equally large."""
    count = -(-len(runs) // most)
    for part in range(count):
        yield tuple(runs[part * len(runs) // count : (part + 1) * len(runs) // count])
