"""`grokscope league`: every column of every measure on one table, by what it foretells of grokking."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokscope.cli import completing
from grokscope.cli.measuring import Wanted, end, measured
from grokscope.cli.options import (
    Finished,
    Json,
    Measuring,
    Output,
    RunsFolder,
    Thresholds,
    key_values,
    names,
    shared,
)
from grokscope.cli.progress import staged
from grokscope.cli.terminal import data_width, deliver, present, ready_for, say, stdout_to_stderr
from grokscope.errors import UsageError
from grokscope.run.sites import site_of

if TYPE_CHECKING:
    from grokscope.registry import Plugins
    from grokscope.reproduce.league import Setting
    from grokscope.reproduce.runs import Wanted as Making
    from grokscope.results import ColumnName, Comparison, Results
    from grokscope.statistics.league import League, Sighting

    Rows = tuple[list[Sighting], dict[str, str]]


@shared
def league(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...",
            help="Run directories. Default: the league's own settings, trained where they are not there yet.",
            show_default=False,
            autocompletion=completing.runs,
            parser=site_of,
        ),
    ] = None,
    *,
    measure: Annotated[list[str] | None, names("every measure, those that are expensive too")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three seeds, smaller networks, fewer checkpoints.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many seeds, from 0. Default: 5; 3 with --quick."),
    ] = None,
    finished: Finished = False,
    out: RunsFolder = Path("runs"),
    expensive: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS",
            help="At which of the checkpoints expensive measures are computed, as --steps; none leaves them "
            "out. Default: all; of the league's own runs in full every:2.",
        ),
    ] = None,
    thresholds: Thresholds,
    rows: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write what each run says of each column, all that it is made of."),
    ] = None,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Make the league again of what --rows wrote. Several times: of runs of several machines, "
            "which --rows then writes as one.",
        ),
    ] = None,
    file: Output = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an .html page: settings against measures.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a figure for a talk: png, svg or pdf.")
    ] = None,
    json: Json = False,
    asked: Measuring,
) -> None:
    """Rank every column of every measure by how early and how surely it foretells grokking, or say none does.

    It takes runs of settings that grok and of settings that never do, three of each at least, with several
    seeds. Without RUNs it trains its own; the same command again goes on where it was interrupted.

    White noise, a random walk and a copy of test accuracy are among the columns. The rule is printed below
    the table.

    Examples:
        grokscope league --quick --figure league.svg
        grokscope league runs/* --steps log:40 -o league.csv --page league.html
        grokscope league --from one.csv --from other.csv --rows both.csv
    """
    ready_for(file, rows, page, figure)
    _check(runs, sources, quick or finished or seeds is not None, asked, expensive)
    kind = _drawable(page, figure)
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins

        plugins = load_plugins()
    look = _Look(_wanted(measure, expensive, plugins), thresholds, asked, plugins, expensive)
    found: Comparison | None = None
    if sources:
        from grokscope.report.league import read_rows

        sighted, excluded = read_rows(*sources)
    elif runs:
        found, (sighted, excluded) = look.at_runs(runs)
    else:
        sighted, excluded = look.at_own(quick, seeds, out, finished)
    from grokscope.statistics.league import league as ranked

    if rows is not None:
        from grokscope.report.league import rows_csv

        deliver(rows_csv(sighted, excluded), rows)
    _print(ranked(sighted, excluded), plugins, file, json, page, (figure, kind))
    if found is not None:
        end(found)


NOWHERE = "none"
EVERY, EVERY_SECOND = "all", "every:2"
OF_ALL = ("--set", "--device", "--data-dir", "--workers", "--timeout", "--quiet")  # of runs that are made too


def _check(
    runs: Sequence[Path] | None,
    sources: Sequence[Path] | None,
    of_own: bool,
    asked: Measuring,
    expensive: str | None,
) -> None:
    """Refuse what cannot be, before anything is computed."""
    from grokscope.statistics.transition import require_ruptures

    require_ruptures()
    if sources and runs:
        raise UsageError("league must be given runs or --from, got both")
    if sources and (asked.settings or expensive):
        raise UsageError("--from must be given alone: nothing is measured, so there is nothing to set")
    if (runs or sources) and of_own:
        raise UsageError(
            "--quick, --seeds and --finished must be given without runs: they are about the league's own"
        )
    strange = [flag for flag in asked.given() if flag not in OF_ALL]
    if not runs and strange:
        raise UsageError(f"{strange[0]} must be given with runs: the league's own are measured as declared")


def _wanted(measure: list[str] | None, expensive: str | None, plugins: Plugins) -> Wanted:
    """Return the measures asked for, without those that are expensive where these are left out."""
    wanted = Wanted.of(measure or [EVERY], plugins)
    if expensive != NOWHERE:
        return wanted
    return replace(wanted, measures=[title for title in wanted.measures if title not in dear(plugins)])


def dear(plugins: Plugins) -> set[str]:
    """Return the titles of the measures that declare themselves expensive."""
    return {each.title for each in plugins.registered if each.measure.expensive}


def _drawable(page: Path | None, figure: Path | None) -> str:
    """Refuse a page or figure that cannot be written; return the figure's format."""
    if page is not None:
        from grokscope.report.page import checked_path

        checked_path(page)
    if figure is None:
        return ""
    from grokscope.report.figures import format_of, require_matplotlib

    require_matplotlib()
    return format_of(figure)


@dataclass(frozen=True)
class _Look:
    """How runs are looked at."""

    wanted: Wanted
    thresholds: Thresholds
    asked: Measuring
    plugins: Plugins
    expensive: str | None = None

    def fewer(self, usual: str) -> str:
        """Return at which checkpoints expensive measures are computed; `usual` where that is not said."""
        return usual if self.expensive in (None, NOWHERE) else str(self.expensive)

    @property
    def settings(self) -> dict[str, str]:
        """Parameters by `measure.parameter`."""
        return key_values(self.asked.settings or [], "--set")

    @property
    def control(self) -> ColumnName:
        """The weight norm."""
        from grokscope.statistics.score import CONTROL

        return self.plugins.column_of(CONTROL)

    def at_runs(self, runs: Sequence[Path]) -> tuple[Comparison, Rows]:
        """Return the runs measured, and what each says of each column."""
        from grokscope.reproduce.league import grokked_at, setting_of

        measures, expensive = self.wanted.and_of(self.control), self.fewer(EVERY)
        found = measured(runs, measures, self.asked, plugins=self.plugins, expensive=expensive)
        shown = self.wanted.only(found, self.control)
        settings = {run: setting_of(results.config, self.plugins) for run, results in shown.runs.items()}
        named = {path.resolve().name: path for path in runs}
        paths = {settings[run]: named.get(run, Path(run)) for run in reversed(list(settings))}
        bounds = grokked_at(shown.runs, settings, self.thresholds.test_threshold)
        return found, self._sighted(shown.runs, settings, paths, bounds)

    def at_own(self, quick: bool, seeds: int | None, out: Path, finished: bool) -> Rows:
        """Return what runs of the league's own settings say, trained where they are not there yet."""
        from grokscope.reproduce.league import league_settings, train_league

        own = league_settings(self.wanted.and_of(self.control), self.settings)
        making = self._making(quick, seeds, out, finished)
        if not finished:
            self._foretell(own.values(), making)
        gathered = staged(self.asked.quiet, lambda **watching: train_league(own, making, **watching))
        for failure in gathered.failures:
            say(f"failed: {failure}")
        every = {run: results for found in gathered.found.values() for run, results in found.runs.items()}
        if finished and not every:
            raise UsageError(
                f"--finished must be given where runs of the league's own are finished, got none in {out}: "
                "say with --out where they are, or leave it out to train them"
            )
        settings = {run: name for name, found in gathered.found.items() for run in found.runs}
        paths = {name: each[0] for name, each in gathered.paths.items() if each}
        bounds = {name: min(self.thresholds.test_threshold, each.grokked_at) for name, each in own.items()}
        return self._sighted(every, settings, paths, bounds)

    def _foretell(self, own: Collection[Setting], making: Making) -> None:
        """Say how long it will take."""
        from grokscope.reproduce.league import expensive_minutes, foretold

        runs, minutes = foretold(own, making)
        say(
            f"{runs} runs are left to train and measure: about {minutes:.0f} minutes of one core",
            self.asked.quiet,
        )
        if dear(self.plugins).intersection(self.wanted.measures):
            more = expensive_minutes(own, making)
            say(
                f"expensive measures take about {more:.0f} minutes on all runs, less what is stored: "
                "--expensive says at which checkpoints",
                self.asked.quiet,
            )

    def _making(self, quick: bool, seeds: int | None, out: Path, finished: bool) -> Making:
        from grokscope.reproduce.runs import Wanted as Made

        return Made(
            quick=quick,
            seeds=seeds,
            out=out,
            finished=finished,
            data_dir=self.asked.data_dir,
            device=self.asked.device,
            workers=self.asked.workers,
            plugins=self.plugins,
            progress=lambda words, done, total: None,
            stop=lambda: False,
            notify=lambda sentence: say(sentence, self.asked.quiet),
            isolate=True,
            timeout=self.asked.timeout,
            expensive=self.fewer(EVERY if quick else EVERY_SECOND),
        )

    def _sighted(
        self,
        runs: Mapping[str, Results],
        settings: Mapping[str, str],
        paths: Mapping[str, Path],
        bounds: Mapping[str, float],
    ) -> Rows:
        """Return what each run says of each column, with what measures cost in each setting."""
        from grokscope.reproduce.league import costs
        from grokscope.statistics.league import sightings

        with stdout_to_stderr():
            ms = costs(
                paths,
                self.wanted.measures,
                settings=self.settings,
                device=self.asked.device,
                data_dir=self.asked.data_dir,
                model=self.asked.model,
                data=self.asked.data,
                loss=self.asked.loss,
                trust=self.asked.trust,
                isolate=True,
                timeout=self.asked.timeout,
                plugins=self.plugins,
            )
        train = self.thresholds.train_threshold
        return sightings(runs, settings, self.control, train=train, test=bounds, ms=ms)


def _print(
    found: League,
    plugins: Plugins,
    file: str | None,
    json: bool,
    page: Path | None,
    figure: tuple[Path | None, str],
) -> None:
    from grokscope.report.league import as_dict, knowledge, league_csv, league_table
    from grokscope.run.outputs import write_output

    known = knowledge(plugins)
    present(
        file,
        json,
        csv=lambda: league_csv(found, known),
        plain=lambda: as_dict(found, known),
        table=lambda: [league_table(found, known, data_width())],
    )
    if page is not None:
        from grokscope.report.page.league import league_page

        write_output(page, league_page(found, known).encode("utf-8", "replace"))
    path, kind = figure
    if path is not None:
        from grokscope.report.figures import picture
        from grokscope.report.figures.league import draw_league

        write_output(path, picture(draw_league(found, known), kind))
