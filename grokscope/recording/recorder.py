"""The recorder: what a loop of anybody's says at every step, and what of it becomes a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import torch

from grokscope.analysis import analyze
from grokscope.errors import DamagedFile, RunError, UsageError
from grokscope.recording.live import Live
from grokscope.recording.points import Points
from grokscope.recording.schedule import Schedule
from grokscope.recording.twin import Twin
from grokscope.results import Results
from grokscope.run import Run
from grokscope.run.holding import WRITING, hold
from grokscope.training.loop import digest

NEVER = sys.maxsize  # a step that no loop reaches


class Recorder:
    """Writes the run of a loop that somebody else wrote; made by `grokscope.record`.

    The network is recorded when the loop calls `step` at a step of the schedule, or `save`. It is only read:
    the loop goes on as if nobody had looked. In processes that train one network together every one calls
    the same methods, and the first writes.

    Attributes:
        run: the run, None in processes that do not write.
    """

    def __init__(
        self,
        run: Run | None,
        last_step: int | None,
        live: Live,
        schedule: Schedule,
        *,
        twin: Twin | None,
        evaluates: bool,
        factory: str | None,
        notify: Callable[[str], None],
    ) -> None:
        self.run = run
        self._hold = hold(run.path / WRITING, alone=False) if run else None
        self._last_step = last_step
        self._live, self._schedule, self._notify = live, schedule, notify
        self._twin, self._evaluates, self._factory = twin, evaluates, factory
        self._points = Points()
        self._start = _copied(live.state())
        self._at = -1
        self._saved = -1
        self._due = 0

    @property
    def last_step(self) -> int | None:
        """The newest step that is recorded, None when none is.

        `range((recorder.last_step or 0) + 1, ...)` are the steps that are left.
        """
        return self._last_step

    def step(self, step: int) -> None:
        """Say that `step` updates are done; where the schedule says so, the network is recorded.

        Raises:
            RunError: at the run's first step another network was recorded: the run is another training's.
            StorageError: a file cannot be written.
        """
        if step <= self._at or self._at < 0:
            self._begin(step)
        self._points.reach(step)
        self._at = step
        if step >= self._due:
            self.save(step)

    def save(self, step: int) -> None:
        """Record the network at `step`, whatever the schedule says; raises as `step` does."""
        state = self._live.state()
        if self.run is not None:
            self._write(step, state)
        self._at = self._saved = step
        self._last_step = max(step, self._last_step or 0)
        self._due = _or_never(self._schedule.after(step))

    def log(self, **metrics: Any) -> None:
        """Hand over losses and accuracies of the update that the next `step` counts.

        They become points of the run's curve, and where they are not evaluated those of a checkpoint. Names
        are train_loss, test_loss, train_accuracy and test_accuracy; values are numbers, or tensors of one.

        Raises UnknownName for another name.
        """
        self._points.tell(metrics)

    def measure(self, measures: str | Iterable[str] | None = None, **options: Any) -> Results | None:
        """Measure what is recorded so far, as `grokscope.analyze` does: what is stored is not computed again.

        Args:
            measures: names, families or globs; every measure that is not expensive when not given.
            **options: those of `grokscope.analyze`, such as `steps="last"` and `settings`.

        Returns:
            The results; None in processes that do not write.

        Raises:
            As `grokscope.analyze`; UsageError where the network is spread over processes and `record` was not
            told what makes it.
        """
        if self.run is None:
            return None
        if self._twin is None:
            raise UsageError(
                "measuring a network that is spread over processes takes record(..., factory=...)"
            )
        return analyze(
            self.run,
            measures,
            model=self._factory or self._twin.module,
            loss=self._twin.judged.own,
            **options,
        )

    def close(self) -> None:
        """End the recording: the step reached is recorded if it is not yet, and the index is written."""
        if self._at > self._saved:
            self.save(self._at)
        self._end()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:  # in the middle of a step the weights are of no step
            self._end()

    def _end(self) -> None:
        if self.run is not None:
            self.run.refresh_index()
        if self._hold:
            self._hold.release()

    def _begin(self, step: int) -> None:
        """A loop begins, or goes back: what it was before the first step is step 0, if that is step 1."""
        self._due = _or_never(self._schedule.after(step - 1))
        start, self._start = self._start, {}
        if self._at >= 0 or self.run is None:
            return
        if step == 1 and start:
            self._write(0, start)
        elif step > 1 and not self.run.steps:
            self._notify(
                f"the first step told is {step}: the network as it was before is not recorded; if it had not "
                "been trained, call recorder.step(0) ahead of the loop"
            )

    def _write(self, step: int, state: Mapping[str, torch.Tensor]) -> None:
        assert self.run is not None
        if step in self.run.steps and self._is_there(step, state):
            self._points.take(step)
            return
        metrics = self._points.at(step)
        if self._twin and self._evaluates:
            metrics |= self._twin.evaluate(state)
        kinds = self._live.kinds(state)
        self.run.save_checkpoint(step, state, metrics, self._points.take(step), kinds)

    def _is_there(self, step: int, state: Mapping[str, torch.Tensor]) -> bool:
        """Whether the run has these weights at `step`; what else it has there is said, and replaced."""
        assert self.run is not None
        try:
            if digest(self.run.weights(step)) == digest(state):
                return True
        except DamagedFile:
            pass
        if step == self.run.steps[0] and self._saved < 0:
            raise RunError(
                f"{self.run.path} began with other weights at step {step}: it is of another training; record "
                "into another directory, or begin with the same weights (the same seed)"
            )
        self._notify(
            f"step {step} was recorded before with other weights, as where training goes on from an earlier "
            "step and its bits come out differently: it is replaced"
        )
        return False


def _copied(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.items()}


def _or_never(step: int | None) -> int:
    return NEVER if step is None else step
