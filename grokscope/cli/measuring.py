"""How commands that need measured runs get them: progress, messages, exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from grokscope.cli.options import Measuring, key_values
from grokscope.cli.progress import cells_progress
from grokscope.cli.terminal import Stopped, on_signal, say, stdout_to_stderr, stop_by_exception
from grokscope.device import cores
from grokscope.errors import UnknownName, further

if TYPE_CHECKING:
    from grokscope.registry import Plugins
    from grokscope.results import Comparison, Results

MOST_WORKERS = 8  # each holds its own torch


def measured(
    paths: Iterable[Path],
    measures: str | Iterable[str] | None,
    asked: Measuring,
    *,
    plugins: Plugins | None = None,
    **others: Any,
) -> Comparison:
    """Return the runs measured, missing cells computed and stored, with progress and messages on stderr.

    They are computed in processes of their own, so that no measure can end this one. `others` are arguments
    of `analyze_many` that only one command has. Raises the error of a single run that cannot be measured.
    """

    def interrupted(signum: int) -> None:
        progress.stop()
        stop_by_exception(signum)

    paths = list(paths)
    with stdout_to_stderr(), cells_progress(asked.quiet) as progress, on_signal(interrupted):
        from grokscope.analysis import analyze_many
        from grokscope.analysis.server import foresee
        from grokscope.discovery import load_plugins

        if not others.get("dask"):
            foresee(paths, asked.results)

        plugins = plugins or load_plugins()
        say_slow(plugins, asked.quiet)
        try:
            found = analyze_many(
                paths,
                measures,
                steps=asked.steps,
                settings=key_values(asked.settings or [], "--set"),
                baseline=asked.baseline,
                device=asked.device,
                workers=asked.workers or _worthwhile_workers(asked.device),
                isolate=True,
                timeout=asked.timeout,
                max_memory=asked.max_memory,
                notify=lambda sentence: say(sentence, asked.quiet),
                out=asked.results,
                data_dir=asked.data_dir,
                model=asked.model,
                data=asked.data,
                loss=asked.loss,
                trust=asked.trust,
                plugins=plugins,
                progress=progress.update,
                **others,
            )
        except Stopped:
            say("stopped: what was computed is stored, and the same command goes on from there")
            raise
    if len(paths) == 1:
        for error in found.failed.values():
            raise error
    for run, results in found.runs.items():
        for message in [*results.messages, *results.damaged]:
            say(_of(found, run, message))
    return found


def rounds(
    paths: Iterable[Path],
    measures: str | Iterable[str] | None,
    asked: Measuring,
    *,
    watch: bool,
    dask: str | None = None,
    plugins: Plugins | None = None,
    **others: Any,
) -> Iterator[Comparison]:
    """Yield what `measured` returns: once or, to `watch`, whenever checkpoints came, until the runs end."""
    paths = list(paths)
    if not watch:
        yield measured(paths, measures, asked, plugins=plugins, dask=dask, **others)
        return
    from grokscope.analysis.watching import Watch
    from grokscope.cluster import reached
    from grokscope.run.holding import by_turns

    looking = Watch(paths)
    with on_signal(stop_by_exception), reached(dask, asked.workers, say) as cluster:
        while looking.look():
            with by_turns(paths):
                found = measured(paths, measures, asked, plugins=plugins, dask=cluster, **others)
            others["refresh"] = False
            yield found


def say_slow(plugins: Plugins, quiet: bool) -> None:
    """Name the plugins that hold every command up."""
    for sentence in plugins.slow:
        say(sentence, quiet)


@dataclass(frozen=True)
class Wanted:
    """What `--measure` asks for.

    Attributes:
        measures: the titles of the measures to compute.
        names: what was asked for where columns are among it; None where whole measures are.
    """

    measures: list[str]
    names: list[str] | None = None

    @classmethod
    def of(cls, names: list[str] | None, plugins: Plugins) -> Wanted:
        """Return what names stand for. Raises UnknownName, UsageError and PluginError."""
        try:
            return cls([registered.title for registered in plugins.select(names)])
        except UnknownName:
            giving = [registered.title for registered in plugins.giving(names or ())]
            if not giving:  # accuracies and losses alone, which training has measured
                raise
            return cls(giving, names)

    def and_of(self, *columns: str) -> list[str]:
        """Return the measures, and those of `columns`."""
        from grokscope.results import ColumnName

        return list(dict.fromkeys([*self.measures, *(ColumnName.read(each).measure for each in columns)]))

    def columns(self, found: Comparison, per_layer: bool) -> list[str]:
        """Return the columns of what was found that this asks for, and that are shown."""
        from grokscope.results.columns import chosen_columns, shown_columns

        if self.names is None:
            return [name for name in shown_columns(found, per_layer) if name.measure in self.measures]
        return [name for name in chosen_columns(found, self.names, per_layer) if name in found.declared]

    def only(self, found: Comparison, *others: str) -> Comparison:
        """Return what was found without the columns that nobody asked for.

        `others` stay too, and what says when a run has generalised.
        """
        if self.names is None:
            return found
        outcomes = {results.goals[1].column for results in found.runs.values()}
        return found.only([*self.columns(found, True), *others, *outcomes])


def end(found: Comparison) -> None:
    """Say what failed, and exit accordingly: 3 when some of it did; nothing happens when all is well."""
    for run, results in found.runs.items():
        _report_failures(found, run, results)
    if any(results.failures for results in found.runs.values()):
        say("the other results are stored; the same command tries the failed ones again")
    for path, error in found.failed.items():
        say(f"failed: {error}" if path in str(error) else f"failed: {path}: {error}")
    if not found.runs:
        raise typer.Exit(max(error.exit_code for error in found.failed.values()))
    if found.failed or any(results.failures or results.damaged for results in found.runs.values()):
        raise typer.Exit(3)


def _worthwhile_workers(device: str) -> int:
    """The cores this process may use; a GPU is shared badly."""
    return min(cores(), MOST_WORKERS) if device == "cpu" else 1


def _of(found: Comparison, run: str, message: str) -> str:
    return message if len(found.runs) + len(found.failed) == 1 else f"{run}: {message}"


def _report_failures(found: Comparison, run: str, results: Results) -> None:
    grouped: dict[tuple[str, bool], list[Any]] = {}
    for failure in results.failures:
        grouped.setdefault((failure.measure, failure.tried), []).append(failure)
    for failures in grouped.values():
        say(f"failed: {_of(found, run, str(failures[0]))}{further(len(failures) - 1)}")
        if os.environ.get("GROKSCOPE_DEBUG") and failures[0].detail:
            say(failures[0].detail)
