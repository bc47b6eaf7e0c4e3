"""What a run has already: importing again adds what is new to it, and what has changed is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grokscope.errors import DamagedFile, RunError
from grokscope.importing.plan import Checked, Problem
from grokscope.importing.reader import Reader, steps_in_words
from grokscope.run import Run, glue, imported
from grokscope.run.config import IMPORTED, RUN_FILE, checked_config, first_difference
from grokscope.run.imported import Record, contents
from grokscope.run.listing import refuse_foreign
from grokscope.run.sites import Site
from grokscope.run.store import exists


@dataclass(frozen=True)
class Known:
    """The imported run at a place, if there is one.

    Attributes:
        run: it; None where it is to be made.
        records: where its checkpoints came from, by step; none where its table of them is lost.
    """

    run: Run | None = None
    records: Mapping[int, Record] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any] | None:
        """The run's configuration: that of its first import."""
        return self.run.config if self.run else None

    @property
    def linked(self) -> set[str]:
        """The hashes of the files that are linked into it."""
        return {record.sha256 for record in self.records.values() if record.linked}

    def new(
        self, found: Sequence[Checked], reader: Reader, code: str = ""
    ) -> tuple[list[Checked], list[Problem]]:
        """Return what is to be written of `found`, and what is wrong: other weights at a step that is there.

        Where the network's `code` is not what it was, all that is found is written anew, with its losses.

        Raises RunError where the run is of another task, network or training, or had curves and has none now.
        """
        run = self.run
        if not run:
            return list(found), []
        _check_same(run, reader)
        if not self.records:
            _check_first(run, found)
        there = set(run.steps)
        anew = not self.has_losses_of(code)
        if anew and run.config[IMPORTED].get("curves") and not reader.has_curves:
            raise RunError(
                f"{run.path} was imported with `curves`: give them again, as losses are written anew"
            )
        new = [item for item in found if anew or not self.records or item.record.step not in there]
        changed = [item for item in found if self._is_other(item, there)]
        return new, [Problem(_changed(run, changed))] if changed else []

    def has_losses_of(self, code: str) -> bool:
        """Whether the losses in the run are those that this code of the user's own gives; "" for none."""
        return not code or self.run is None or glue.of_losses(self.run.path) == code

    def _is_other(self, item: Checked, there: set[int]) -> bool:
        """Whether the run has, or had, something else at the step of `item`."""
        from grokscope.training.loop import digest

        step = item.record.step
        before = self.records.get(step)
        if not self.run or (before is None and step not in there):
            return False
        if before and before.is_of(item.record.sha256, item.record.position):
            return False
        return step not in there or digest(self.run.weights(step)) != item.weights

    def joined(self, new: Sequence[Record]) -> list[Record]:
        """Return the records of all checkpoints, with those `new`, by step."""
        added = bool(self.records)
        mine = {record.step: record for record in new}
        for step, before in self.records.items():
            mine[step] = imported.renewed(mine[step], before) if step in mine else before
        return [
            record if not added or record.step in self.records else imported.as_added(record)
            for _, record in sorted(mine.items())
        ]

    def remarks(self, new: Sequence[Checked]) -> list[str]:
        """Return what is said of a run that is added to."""
        if not self.run or not self.records:
            return []
        steps = [item.record.step for item in new if item.record.step not in self.records]
        anew = [item.record.step for item in new if item.record.step in self.records]
        said = (
            [f"{steps_in_words(steps)} {'are' if len(steps) > 1 else 'is'} added to the run"] if steps else []
        )
        if anew:
            said.append(f"losses and accuracies at {steps_in_words(anew)} are written anew")
        return said or ["nothing is new: the run has all these checkpoints"]


def known_at(out: Site, link: bool, curves: bool = False) -> Known:
    """Return what is at `out`. Raises RunError where it is something else, or a run of another kind."""
    if not exists(out / RUN_FILE):
        refuse_foreign(out)
        return Known()
    run = Run.open(out)
    if not run.is_imported:
        raise RunError(f"{out} holds a run that was not imported; choose another directory")
    about = run.config[IMPORTED]
    if bool(about.get("link")) != link:
        how = "linked" if about.get("link") else "copied"
        raise RunError(
            f"the checkpoints in {out} are {how}: those that are added must be {how}, too (`link`)"
        )
    if curves and not about.get("curves"):
        raise RunError(
            f"{out} was imported without `curves`: import all of it with them into another directory"
        )
    try:
        table = imported.read(out / imported.FILE, about.get("contents", ""))
    except (DamagedFile, FileNotFoundError):
        return Known(run)
    return Known(run, table.records)


def _check_same(run: Run, reader: Reader) -> None:
    """Check that what is read now is of the run's task, network and training."""
    settled = {**reader.setup.config, "training": {**reader.setup.config["training"], "dtype": reader.dtype}}
    own, other = _identity(run.config), _identity(checked_config(settled))
    difference = first_difference(own, other)
    if not difference and run.config[IMPORTED].get("link"):
        rules = [str(rule) for rule in reader.renaming.rules]
        if rules != run.config[IMPORTED].get("rename"):
            difference = "names are rearranged otherwise there"
    if difference:
        raise RunError(f"{run.path} holds another run: {difference}; choose another directory")


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables without what an import that has grown says of the first."""
    training = {name: value for name, value in config["training"].items() if name != "steps"}
    return {"task": config["task"], "model": config["model"], "training": training}


def _check_first(run: Run, found: Sequence[Checked]) -> None:
    """Check that `found` is what was imported first: the table that would tell more is lost."""
    if contents([item.record for item in found]) != run.config[IMPORTED].get("contents"):
        raise RunError(
            f"{run.path / imported.FILE} is missing or damaged, and these are not the checkpoints that were "
            "imported first: import those again before others"
        )


def _changed(run: Run, changed: Sequence[Checked]) -> RunError:
    steps = steps_in_words([item.record.step for item in changed])
    return RunError(
        f"{run.path} holds other weights at {steps} than {changed[0].path}, which was changed or is of "
        "another training: nothing is added; choose another directory"
    )
