"""`grokscope predict`: which column foretells whether and when runs grok; the papers' own claims, tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokscope.cli.measuring import Wanted, end, measured
from grokscope.cli.options import Json, Measuring, Names, Output, PerLayer, Thresholds, shared
from grokscope.cli.terminal import (
    data_width,
    present,
    print_data,
    print_json,
    ready_for,
    say,
    stdout_to_stderr,
)
from grokscope.run.sites import site_of

if TYPE_CHECKING:
    from grokscope.registry import Plugins
    from grokscope.results import Comparison
    from grokscope.statistics.predict import Prediction
    from grokscope.statistics.verdicts import Verdict


@shared
def predict(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...", help="Run directories, of a sweep.", show_default=False, parser=site_of
        ),
    ] = None,
    *,
    measure: Names = None,
    until: Annotated[
        int | None,
        typer.Option(
            metavar="STEP", help="Look at values up to STEP instead of each run's memorisation step."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="STEP",
            help="A run groks if it does by STEP; `own`: as far as each was trained. "
            "Default: the largest step for which that is known of every run.",
        ),
    ] = None,
    train_loss: Annotated[
        bool, typer.Option("--train-loss", help="Also the training loss itself, and how it swings.")
    ] = False,
    thresholds: Thresholds,
    per_layer: PerLayer = False,
    file: Output = None,
    json: Json = False,
    list_: Annotated[bool, typer.Option("--list", help="List the hypotheses, and do nothing else.")] = False,
    asked: Measuring,
) -> None:
    """Early warning: which measure, before grokking shows, tells the runs that will grok, and when.

    Then the papers' own hypotheses, each with a verdict. It wants many runs, some of which do not grok.

    Examples:
        grokscope predict decay/*
        grokscope predict decay/* -m pmi,oinfo --until 500
        grokscope predict --list
    """
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins

        plugins = load_plugins()
    if list_ and json:
        from grokscope.report.described import hypothesis_as_dict

        print_json([hypothesis_as_dict(name, each) for name, each in plugins.hypotheses.items()])
        return
    if list_:
        from grokscope.report.predictions import hypotheses_table

        print_data(hypotheses_table(plugins.hypotheses))
        return
    if not runs:
        from grokscope.errors import UsageError

        raise UsageError("predict needs run directories, those of a sweep: grokscope predict RUN...")
    for problem in plugins.problems:
        say(problem, asked.quiet)
    ready_for(file)
    wanted = Wanted.of(measure, plugins)
    found = measured(runs, wanted.measures, asked, plugins=plugins)
    failed = False
    if found.runs:
        from grokscope.statistics.predict import predict
        from grokscope.statistics.verdicts import verdicts

        prediction = predict(
            wanted.only(found),
            until=until,
            budget=_budget(budget),
            train=thresholds.train_threshold,
            test=thresholds.test_threshold,
            train_loss=train_loss,
            per_layer=per_layer,
        )
        with stdout_to_stderr():
            came_out = verdicts(
                found,
                plugins.hypotheses,
                train=thresholds.train_threshold,
                test=thresholds.test_threshold,
            )
        _print(prediction, came_out, lambda: _settings(found, plugins), file, json)
        failed = _report_failures(came_out)
    end(found)
    if failed:
        raise typer.Exit(3)


def _budget(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.isdecimal() else given


def _settings(found: Comparison, plugins: Plugins) -> dict[str, str]:
    """Return what each run is a seed of."""
    from grokscope.reproduce.league import setting_of

    return {run: setting_of(results.config, plugins) for run, results in found.runs.items()}


def _print(
    prediction: Prediction,
    came_out: list[Verdict],
    settings: Callable[[], dict[str, str]],
    file: str | None,
    json: bool,
) -> None:
    from grokscope.report import predictions

    present(
        file,
        json,
        csv=lambda: predictions.prediction_csv(prediction),
        plain=lambda: predictions.as_dict(prediction, came_out, settings()),
        table=lambda: [
            predictions.prediction_table(prediction, data_width()),
            "",
            predictions.verdicts_table(came_out),
        ],
    )


def _report_failures(came_out: list[Verdict]) -> bool:
    """Name the hypotheses that raised; return whether any did."""
    failures = [verdict for verdict in came_out if verdict.failures]
    for verdict in failures:
        say(f"failed: hypothesis {verdict.name}: {verdict.text}")
    return bool(failures)
