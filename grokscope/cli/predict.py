"""`grokscope predict`: which column foretells whether and when runs grok; the papers' own claims, tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokscope.cli.measuring import (
    Baseline,
    DataDir,
    Device,
    Kept,
    Names,
    Settings,
    Steps,
    Timeout,
    Workers,
    end,
    measured,
)
from grokscope.cli.options import Quiet
from grokscope.cli.terminal import data_width, deliver, print_data, print_json, say, stdout_to_stderr
from grokscope.cli.trusting import names_code

if TYPE_CHECKING:
    from grokscope.statistics.predict import Prediction
    from grokscope.statistics.verdicts import Verdict


@names_code
def predict(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN...", help="Run directories, of a sweep.", show_default=False),
    ] = None,
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
    train_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Train accuracy that counts as memorised.")
    ] = 0.99,
    test_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Test accuracy that counts as grokked.")
    ] = 0.95,
    steps: Steps = "all",
    settings: Settings = None,
    baseline: Baseline = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="The columns by layer too.")] = False,
    csv_file: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write the table as CSV; - is stdout.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the hypotheses, and do nothing else.")] = False,
    out: Kept = None,
    device: Device = "cpu",
    data_dir: DataDir = None,
    workers: Workers = None,
    timeout: Timeout = None,
    quiet: Quiet = False,
) -> None:
    """Early warning: which measure, before grokking shows, tells the runs that will grok, and when.

    Then the papers' own hypotheses, each with a verdict. It wants many runs, some of which do not grok.
    """
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins

        plugins = load_plugins()
    if list_:
        from grokscope.report.predictions import hypotheses_table

        print_data(hypotheses_table(plugins.hypotheses))
        return
    if not runs:
        from grokscope.errors import UsageError

        raise UsageError("predict needs run directories, those of a sweep: grokscope predict RUN...")
    for problem in plugins.problems:
        say(problem, quiet)
    found = measured(
        runs,
        quiet=quiet,
        measures=measure,
        steps=steps,
        settings=settings,
        baseline=baseline,
        out=out,
        device=device,
        data_dir=data_dir,
        workers=workers,
        timeout=timeout,
        plugins=plugins,
    )
    failed = False
    if found.runs:
        from grokscope.statistics.predict import predict
        from grokscope.statistics.verdicts import verdicts

        prediction = predict(
            found,
            until=until,
            budget=_budget(budget),
            train=train_threshold,
            test=test_threshold,
            per_layer=per_layer,
        )
        with stdout_to_stderr():
            came_out = verdicts(found, plugins.hypotheses, train=train_threshold, test=test_threshold)
        _print(prediction, came_out, csv_file, json)
        failed = _report_failures(came_out)
    end(found)
    if failed:
        raise typer.Exit(3)


def _budget(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.isdecimal() else given


def _print(prediction: Prediction, came_out: list[Verdict], csv_file: str | None, json: bool) -> None:
    from grokscope.report import predictions

    if csv_file is not None:
        deliver(predictions.prediction_csv(prediction), csv_file)
    if json:
        print_json(predictions.as_dict(prediction, came_out))
    elif csv_file != "-":
        print_data(predictions.prediction_table(prediction, data_width()))
        print_data("")
        print_data(predictions.verdicts_table(came_out))


def _report_failures(came_out: list[Verdict]) -> bool:
    """Name the hypotheses that raised; return whether any did."""
    failures = [verdict for verdict in came_out if verdict.failures]
    for verdict in failures:
        say(f"failed: hypothesis {verdict.name}: {verdict.text}")
    return bool(failures)
