"""Options that several commands share: each is declared once, and a decorator puts them on a command."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from grokscope.cli import completing
from grokscope.errors import SettingError, UnknownName, UsageError
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT
from grokscope.run.sites import site_of

CODE = "Code that no plugin brings"

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="Run directories, or their URLs, such as s3://bucket/runs/x.",
        show_default=False,
        autocompletion=completing.runs,
        parser=site_of,
    ),
]


def _names(given: list[str] | None) -> list[str] | None:
    """Return the names in what was given, of which each may be several, separated by commas."""
    return [name.strip() for names in given for name in names.split(",")] if given else None


def names(default: str) -> Any:
    """Return `--measure` as an option, which is `default` where it is not given."""
    return typer.Option(
        "--measure",
        "-m",
        metavar="NAMES",
        help="Measures, families, globs, `all`, or columns (MEASURE.COLUMN, or COLUMN where that is clear), "
        f"separated by commas; may be repeated. Default: {default}.",
        callback=_names,
        autocompletion=completing.measure_names,
    )


def output(what: str, *others: str, callback: Callable[..., Any] | None = None) -> Any:
    """Return the option for a file that a command writes; `others` are flags that mean the same."""
    return typer.Option("--output", "-o", *others, metavar="FILE", help=what, callback=callback)


def _no_parquet(file: str | None) -> str | None:
    if file is not None and file.lower().endswith(".parquet"):
        raise UsageError(
            f"-o must be a file for CSV or JSON, got {file}: `grokscope export -o` writes Parquet"
        )
    return file


Names = Annotated[list[str] | None, names("every measure that is not expensive")]
PerLayer = Annotated[bool, typer.Option("--per-layer", help="The columns by layer of the measures too.")]
Output = Annotated[
    str | None,
    output(
        "Write what is found to a file: JSON where its name ends in .json, else CSV; - is CSV on stdout. "
        "--csv is the same.",
        "--csv",
        callback=_no_parquet,
    ),
]
Watched = Annotated[
    bool, typer.Option("--watch", help="Go on with checkpoints as they come, until the runs end.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages but errors.")]
Finished = Annotated[
    bool, typer.Option("--finished", help="Train nothing: take the runs that are finished already.")
]
_MADE_IN = "The directory that run directories are made in."
RunsFolder = Annotated[Path, typer.Option("--out", help=_MADE_IN)]
RunsSite = Annotated[Path, typer.Option("--out", help=f"{_MADE_IN} Or a URL.", parser=site_of)]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, ...")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where the task's data lies, if not where the run found it; else $GROKSCOPE_DATA_DIR or data/."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes, one thread each. Default: the cores, where it is worth it."),
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Compute on a Dask cluster: the address of its scheduler or the file that it writes; `local` "
        "starts one on this machine.",
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory that all processes take at most, such as 2GB; else $GROKSCOPE_MAX_MEMORY or a quarter "
        "of the machine. What does not fit is computed again.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="Stop a measure that takes longer at one checkpoint; it counts as failed."
    ),
]
NoPlugins = Annotated[
    list[str] | None,
    typer.Option(
        "--no-plugins",
        metavar="NAME",
        help="Leave a plugin out, as $GROKSCOPE_DISABLE_PLUGINS does; may be repeated.",
        autocompletion=completing.plugin_names,
    ),
]


def _repeated(what: str, kind: str) -> Any:
    """Return the option that repeats the name of the user's own code in a run, a `kind` that makes `what`."""
    return typer.Option(
        metavar=f"PACKAGE.MODULE:{kind}",
        help=f"Repeat the {what} that the run names, to have it imported.",
        rich_help_panel=CODE,
    )


Model = Annotated[str | None, _repeated("network", "FACTORY")]
Data = Annotated[str | None, _repeated("task", "FACTORY")]
Loss = Annotated[str | None, _repeated("loss", "FUNCTION")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Import whatever code the run names.", rich_help_panel=CODE)
]


@dataclass(frozen=True)
class Measuring:
    """How runs are measured: the options of every command that measures."""

    steps: Annotated[
        str,
        typer.Option(
            metavar="STEPS", help="all, first, last, every:N[:K], log:N, A:B or steps, with commas."
        ),
    ] = "all"
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="MEASURE.PARAM=VALUE", help="Set a measure's parameter; may be repeated."
        ),
    ] = None
    baseline: Annotated[
        str | None,
        typer.Option(
            help="first, last, previous or a step, for measures that compare two checkpoints.",
            autocompletion=lambda: ["first", "last", "previous"],
        ),
    ] = None
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep results in this directory, for runs that are read-only.", parser=site_of
        ),
    ] = None
    device: Device = "cpu"
    data_dir: DataDir = None
    workers: Workers = None
    timeout: Timeout = None
    max_memory: MaxMemory = None
    quiet: Quiet = False
    model: Model = None
    data: Data = None
    loss: Loss = None
    trust: Trust = False

    def given(self) -> list[str]:
        """Return the flags of the options that are not at their default."""
        changed = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        return ["--set" if name == "settings" else f"--{name.replace('_', '-')}" for name in changed]


def ready_for_dask(dask: str | None, workers: int | None) -> None:
    """Raise UsageError where what `--dask` needs is missing, or `--workers` has nothing to say beside it."""
    if dask is None:
        return
    from grokscope.cluster import LOCAL, require_dask

    require_dask()
    if workers and dask != LOCAL:
        raise UsageError(
            f"--workers must be left out with --dask {dask}: the cluster computes as much at a time as its "
            "workers have threads"
        )


@dataclass(frozen=True)
class Thresholds:
    """From which accuracies on a run counts as having memorised, and as having grokked."""

    train_threshold: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Train accuracy that counts as memorised, three evaluations in a row."
        ),
    ] = MEMORISED_AT
    test_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Test accuracy that counts as grokked, likewise.")
    ] = GROKKED_AT


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """Put the options of a class of options, such as `Measuring`, where a parameter is of that class."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {each.name: each.annotation for each in own if is_dataclass(each.annotation)}

    @functools.wraps(command)
    def run(**options: Any) -> None:
        for name, kind in groups.items():
            options[name] = kind(**{field.name: options.pop(field.name) for field in fields(kind)})
        command(**options)

    parts = [_options_of(groups[each.name]) if each.name in groups else [each] for each in own]
    return with_parameters(run, [each for part in parts for each in part])


def _options_of(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [keyword(field.name, hints[field.name], field.default) for field in fields(kind)]


def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """Return a parameter as typer reads it from a signature."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_parameters(
    command: Callable[..., None], parameters: Iterable[inspect.Parameter]
) -> Callable[..., None]:
    """Let `command` look as if it had been written with these parameters; typer makes options of them."""
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def with_plugins(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that loads plugins the option to leave some out."""
    own = inspect.signature(command, eval_str=True).parameters.values()

    @functools.wraps(command)
    def run(*, no_plugins: list[str] | None = None, **options: Any) -> None:
        with left_out(no_plugins or []):
            command(**options)

    return with_parameters(run, [*own, keyword("no_plugins", NoPlugins, None)])


@contextmanager
def left_out(names: Iterable[str]) -> Iterator[None]:
    """Leave plugins out for the block, whoever loads them. Raises UnknownName."""
    names = [name.strip() for given in names for name in given.split(",")]
    if not names:
        yield
        return
    from grokscope.discovery import left_out as left_out_before
    from grokscope.discovery import plugin_names
    from grokscope.registry import LEFT_OUT

    known = plugin_names()
    for name in names:
        if name not in known:
            raise UnknownName("plugin", name, known)
    before = os.environ.get(LEFT_OUT)
    os.environ[LEFT_OUT] = ",".join([*left_out_before(), *names])
    try:
        yield
    finally:
        if before is None:
            del os.environ[LEFT_OUT]
        else:
            os.environ[LEFT_OUT] = before


def key_values(pairs: Iterable[str], flag: str) -> dict[str, str]:
    """Return `name=value` texts as a dict.

    Raises SettingError for one without a name or equals sign, and for a name that comes twice.
    """
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise SettingError(f"{flag} must be NAME=VALUE, got {pair!r}")
        if name.strip() in given:
            raise SettingError(f"{flag} {name.strip()} must be given once, got it twice")
        given[name.strip()] = value.strip()
    return given
