"""Trains runs in this process, several as one where that can be; what goes wrong with one costs no other."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

from grokscope.errors import GrokscopeError, described, told
from grokscope.registry import Plugins
from grokscope.run.sites import Site
from grokscope.training.config import resolve_config
from grokscope.training.progress import Progress
from grokscope.training.session import is_finished, prepared, torch_state, train, with_data
from grokscope.training.sweep.account import Accounting, FailedRun, Outcome
from grokscope.training.sweep.grid import PlannedRun
from grokscope.training.sweep.units import ONE_BY_ONE, Unit

if TYPE_CHECKING:
    from grokscope.training.loop import Loop

SECONDS_BETWEEN_WORDS = 0.1  # a step may take less than telling of it
Stop = Callable[[], bool]


def train_unit(unit: Unit, plugins: Plugins, account: Accounting, stop: Stop) -> None:
    """Train the runs of a unit, and tell the account how each has ended."""
    if len(unit.runs) > 1 and not stop():
        try:
            _train_together(unit, plugins, account, stop)
            return
        except _Apart as apart:
            if unit.asked:
                account.said(unit.runs[0].path, f"{ONE_BY_ONE}: {apart}")
    for run in unit.runs:
        account.ended(run.path, False if stop() else _train_one(run, plugins, account, stop))


def _train_one(planned: PlannedRun, plugins: Plugins, account: Accounting, stop: Stop) -> Outcome:
    try:
        run = train(
            planned.task,
            recipe=planned.recipe,
            settings=planned.settings,
            out=str(planned.path),
            tasks=plugins.tasks,
            models=plugins.models,
            progress=_watching(planned.path, account),
            stop=stop,
            notify=lambda message: account.said(planned.path, message),
        )
    except (Exception, SystemExit) as error:  # a plugin's task that calls sys.exit must not end the others
        return _failure(planned.path, error)
    return is_finished(run)


class _Apart(Exception):
    """Says why runs are not trained as one."""


def _train_together(unit: Unit, plugins: Plugins, account: Accounting, stop: Stop) -> None:
    """Train the runs as one. Raises _Apart, before any step, where they cannot be."""
    from grokscope.training.sweep.together import Together, hindrance

    stopping = False  # one answer for all, so that they end at the same step
    with torch_state(unit.runs[0].config, threads=1), ExitStack() as held:
        with _or_apart():
            loops = [_loop(run, len(unit.runs), plugins, account, lambda: stopping) for run in unit.runs]
            if why := hindrance(loops):
                raise _Apart(why)
            begun = [held.enter_context(closing(loop.steps())) for loop in loops]
            step = _common({next(steps, 0) for steps in begun})
        together = Together(loops)
        courses = [_course(*each, account) for each in zip(loops, begun, strict=True)]
        while step:
            try:
                together.update(step)
            except Exception as error:
                for course in courses:
                    with suppress(StopIteration, type(error)):
                        course.throw(error)
            stopping = stop()
            step = max(next(course, 0) for course in courses)


def _loop(planned: PlannedRun, seeds: int, plugins: Plugins, account: Accounting, stop: Stop) -> Loop:
    """Return a run, one of so many, ready to be trained."""
    tasks, models = plugins.tasks, plugins.models
    config = resolve_config(
        planned.task, recipe=planned.recipe, settings=planned.settings, tasks=tasks, models=models
    )
    with torch_state(config, threads=1):
        return prepared(
            planned.path,
            with_data(config, tasks),
            tasks,
            models,
            seeds=seeds,
            progress=_watching(planned.path, account),
            stop=stop,
            notify=lambda message: account.said(planned.path, message),
        )


@contextmanager
def _or_apart() -> Iterator[None]:
    """Raise as _Apart what goes wrong in the block: each run by itself will tell it as its own."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise _Apart(told(error)) from error


def _common(steps: set[int]) -> int:
    """Return the step that all have to do next. Raises _Apart where there is no such."""
    if len(steps) > 1 or 0 in steps:
        raise _Apart("they do not stand at the same step")
    return steps.pop()


def _course(loop: Loop, steps: Iterator[int], account: Accounting) -> Generator[int, None, None]:
    """Yield the steps of a run that are left; tell how it has ended."""
    try:
        yield from steps
        loop.run.refresh_index()
        outcome: Outcome = is_finished(loop.run)
    except Exception as error:
        outcome = _failure(loop.run.path, error)
    account.ended(loop.run.path, outcome)


def _failure(path: Site, error: BaseException) -> FailedRun:
    if isinstance(error, GrokscopeError):
        return FailedRun(path, told(error))
    return FailedRun(path, described(error), "".join(traceback.format_exception(error)))


def _watching(path: Site, account: Accounting) -> Callable[[Progress], None]:
    """Return what tells the account now and then how far a run is."""
    last = time.monotonic()

    def watch(state: Progress) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_WORDS:
            account.reached(path, state.step)
            last = time.monotonic()

    return watch
