"""Which hidden units `subnetwork` and `synergistic_dropout`, RUN@STEP, mean: a multiplet's of another run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
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
DROPPING = "synergistic_dropout"
UNITS = {  # by setting: those that say which units it stands for, and in which layer
    "subnetwork": ("masked_units", "masked_layer"),
    DROPPING: ("dropped_units", "dropped_layer"),
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

        Raises UnknownName for a step without a checkpoint and for a setting that no such measure has,
        SettingError where no multiplet is stored.
        """
        self._check_where()
        cells = self._cells()
        found = {self._meant(cell) for cell in cells} - {None}
        if not found:
            raise self._none_stored(cells)
        if len(found) > 1:
            raise SettingError(
                f"training.{self.setting} must name one result, got {len(found)} different ones at step "
                f"{self.step} of {self.run.path}: {self._ways_out(cells)}"
            )
        layer, units, size = found.pop()  # type: ignore[misc]
        if len(units) in (0, size):
            raise SettingError(
                f"training.{self.setting} must name a multiplet of some units, got all {size} of the layer "
                f"at step {self.step} of {self.run.path}: take another step, or store a smaller one"
            )
        named, of_layer = UNITS[self.setting]
        return {
            self.setting: f"{self.run.id}@{self._rest()}",
            named: list(units),
            of_layer: layer,
        }

    @property
    def text(self) -> str:
        """What was given, the run by where it is."""
        return f"{self.run.path}@{self._rest()}"

    def command(self, **others: str) -> str:
        """Return what stores a multiplet such as this, with `others` in place of its own settings."""
        where = {**self.where, **others}
        named = self._named(*where)
        words = ["grokscope", "analyze", str(self.run.path)]
        words += ["--measure", ",".join(found.title for found in named), "--steps", str(self.step)]
        for found in named:
            words += [word for pair in where.items() for word in ("--set", f"{found.title}.{'='.join(pair)}")]
        return f"`{shlex.join(words)}`"

    @property
    def _parameters(self) -> set[str]:
        return {name for found in self._finders.values() for name in found.measure.parameters}

    def _named(self, *parameters: str) -> list[Registered]:
        """Return the measures that have all of these parameters."""
        return [each for each in self._finders.values() if each.measure.parameters.keys() >= set(parameters)]

    def _rest(self) -> str:
        words = "".join(f":{name}={value}" for name, value in sorted(self.where.items()))
        return f"{self.step}{':inverse' if self.inverse else ''}{words}"

    def _check_where(self) -> None:
        """Refuse settings that no such measure has, and values that none of these takes."""
        titles = ", ".join(found.title for found in self._finders.values())
        if not titles:
            raise SettingError(
                f"training.{self.setting} must be left out where no measure of sub-networks is "
                "installed: `grokscope plugins` shows what is"
            )
        for name, value in self.where.items():
            if not self._named(name):
                raise UnknownName(
                    f"parameter of {titles}", name, self._parameters, f"see training.{self.setting}"
                )
            for found in self._named(name):
                found.measure.parameters[name].coerce(value, found.title)

    def _none_stored(self, cells: Sequence[Cell]) -> SettingError:
        """Return what to say where there is no multiplet: none was looked for so, or there is none."""
        if cells:
            why = next((cell.note for cell in cells if cell.note), "too few units vary, or all are singular")
            return SettingError(
                f"training.{self.setting} must name a step with a synergistic multiplet, got {self.text}, "
                f"where there is none ({why}): take another step"
            )
        so = "".join(f" with {name}={value}" for name, value in sorted(self.where.items()))
        return SettingError(
            f"training.{self.setting} - {self.run.path} must have a synergistic multiplet stored at step "
            f"{self.step}, got none{so}: run {self.command()} first"
        )

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
        given, declared = self._given(cell), self._finders[cell.key.measure].measure.parameters
        return self.where.keys() <= declared.keys() and all(
            _text(given.get(name)) == _text(declared[name].coerce(value))
            for name, value in self.where.items()
        )

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

    def _ways_out(self, cells: Sequence[Cell]) -> str:
        """Return how to say which of several results is meant."""
        given = [self._given(cell) for cell in cells]
        choices = sorted(
            {
                f":{name}={_text(each[name])}"
                for each in given
                for name in each.keys() & self._parameters
                if any(other.get(name) != each[name] for other in given)
            }
        )
        return f"add one of {', '.join(choices)}" if choices else "take another step"


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
    if len(where) + ("inverse" in words) < len(words):
        raise SettingError(f"training.{setting} must say each thing once, got {text!r}")
    return Source(setting, Run.open(path), int(step), "inverse" in words, where)


def _text(value: Any) -> str:
    return "none" if value is None else json.dumps(value).strip('"').lower()
