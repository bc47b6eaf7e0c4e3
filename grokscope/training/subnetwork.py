"""Which hidden units `subnetwork` and `synergistic_dropout`, RUN@STEP, mean: a multiplet's of another run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from grokscope.discovery import load_plugins
from grokscope.errors import SettingError, UnknownName
from grokscope.registry import Registered
from grokscope.run import Run

if TYPE_CHECKING:
    from grokscope.run.results import Cell

GROUPS, SYNERGISTIC = "groups", "synergistic"  # roles of the arrays that a measure stores
UNITS = {  # by setting: those that say which units it stands for, and in which layer
    "subnetwork": ("masked_units", "masked_layer"),
    "synergistic_dropout": ("dropped_units", "dropped_layer"),
}
FORM = "RUN@STEP, RUN@STEP:inverse, or with :NAME=VALUE for the result of that setting"


@dataclass(frozen=True)
class Source:
    """The checkpoint of another run that says which hidden units are the most synergistic multiplet.

    Attributes:
        setting: `subnetwork`, which keeps these units, or `synergistic_dropout`, which drops them.
        run: the run.
        step: the checkpoint's step.
        inverse: whether all other units are meant.
        where: settings that the measure must have been computed with, as text.
    """

    setting: str
    run: Run
    step: int
    inverse: bool
    where: Mapping[str, str]

    def settings(self) -> dict[str, Any]:
        """Return the training settings that name the units, whole without the other run.

        Raises UnknownName for a step without a checkpoint, SettingError where no multiplet is stored.
        """
        found = {self._meant(cell) for cell in self._cells()} - {None}
        if not found:
            names = ",".join(registered.title for registered in self._finders.values())
            raise SettingError(
                f"training.{self.setting} - {self.run.path} must have a synergistic multiplet stored at step "
                f"{self.step}, got none: run `grokscope analyze {self.run.path} --measure {names} "
                f"--steps {self.step}` first"
            )
        if len(found) > 1:
            raise SettingError(
                f"training.{self.setting} must name one result, got {len(found)} different ones at step "
                f"{self.step} of {self.run.path}: add one of {', '.join(self._choices())}"
            )
        layer, units, size = found.pop()  # type: ignore[misc]
        if len(units) in (0, size):
            raise SettingError(
                f"training.{self.setting} must name a multiplet of some units, got all {size} of the layer "
                f"at step {self.step} of {self.run.path}: take another step, or store a smaller one"
            )
        words = "".join(f":{name}={value}" for name, value in sorted(self.where.items()))
        named, of_layer = UNITS[self.setting]
        return {
            self.setting: f"{self.run.id}@{self.step}{':inverse' if self.inverse else ''}{words}",
            named: list(units),
            of_layer: layer,
        }

    def _cells(self) -> list[Cell]:
        """Return the newest version's results on this very checkpoint."""
        info = next((info for info in self.run.checkpoints if info.step == self.step), None)
        if info is None:
            raise UnknownName("step", str(self.step), map(str, self.run.steps), f"in {self.run.path}")
        cells = [
            cell
            for key, cell in self.run.cells().items()
            if key.measure in self._finders and key.checkpoint == info.sha256 and self._fits(cell)
        ]
        newest: dict[str, int] = {}
        for cell in cells:
            newest[cell.key.measure] = max(newest.get(cell.key.measure, 0), cell.key.version)
        return [cell for cell in cells if cell.key.version == newest[cell.key.measure]]

    @cached_property
    def _finders(self) -> dict[str, Registered]:
        """The measures that find such sub-networks, by id."""
        return {found.id: found for found in load_plugins().with_arrays(GROUPS, SYNERGISTIC)}

    def _fits(self, cell: Cell) -> bool:
        given = self._given(cell)
        return all(_text(given.get(name)) == value.lower() for name, value in self.where.items())

    def _given(self, cell: Cell) -> dict[str, Any]:
        """Return what a result was computed with; what came later than the result had its default."""
        declared = self._finders[cell.key.measure].measure.parameters
        defaults = {name: each.default for name, each in declared.items() if each.param.later}
        return {**defaults, **json.loads(cell.key.parameters)}

    def _meant(self, cell: Cell) -> tuple[str | None, tuple[int, ...], int] | None:
        """Return the layer, its units to mask or to drop, and how many it has; None without a multiplet."""
        import numpy as np

        roles = self._finders[cell.key.measure].measure.array_roles
        arrays = cell.rows[0].arrays if cell.rows else {}
        multiplet = arrays.get(roles[SYNERGISTIC], ())
        if not len(multiplet):
            return None
        inside = np.isin(arrays[roles[GROUPS]], multiplet)
        others = self.inverse != (self.setting == "subnetwork")  # a sub-network masks all but its own
        meant = np.flatnonzero(~inside if others else inside)
        return self._given(cell).get("layer"), tuple(meant.tolist()), len(inside)

    def _choices(self) -> list[str]:
        given = [self._given(cell) for cell in self._cells()]
        return sorted(
            {
                f":{name}={_text(parameters[name])}"
                for parameters in given
                for name in parameters
                if any(other.get(name) != parameters[name] for other in given)
            }
        )


def find_sources(training: Mapping[str, Any]) -> tuple[Source, ...]:
    """Return what `subnetwork` and `synergistic_dropout` of `training` name, where it is to be looked up.

    It is not where there is no such setting, or where the units that it stands for are already there.

    Raises SettingError for text of another form, RunError when RUN is no run.
    """
    return tuple(
        _source(setting, str(training[setting]))
        for setting, (units, _) in UNITS.items()
        if str(training.get(setting, "none")).lower() != "none" and training.get(units) is None
    )


def _source(setting: str, text: str) -> Source:
    path, at, rest = text.rpartition("@")
    step, *words = rest.split(":")
    if not at or not path or not (step.isascii() and step.isdigit()):
        raise SettingError(f"training.{setting} must be {FORM}, got {text!r}")
    where = dict(word.split("=", 1) for word in words if "=" in word)
    if any(word != "inverse" and "=" not in word for word in words):
        raise SettingError(f"training.{setting} must be {FORM}, got {text!r}")
    return Source(setting, Run.open(path), int(step), "inverse" in words, where)


def _text(value: Any) -> str:
    return "none" if value is None else json.dumps(value).strip('"').lower()
