"""The papers' figures anew: what each needs is trained or found, measured, drawn, and its claim checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import SettingError, UnknownName
from grokscope.figure import Figure, Reading
from grokscope.statistics.judging import Decision, decide_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from grokscope.registry import Plugins
    from grokscope.reproduce.checking import Part
    from grokscope.results import Comparison


def find_figure(name: str, figures: Mapping[str, Figure]) -> Figure:
    """Return the figure of that name. Raises UnknownName with near matches."""
    if name not in figures:
        raise UnknownName("figure", name, figures, "grokscope reproduce --list shows all")
    return figures[name]


def find_figures(names: Iterable[str], figures: Mapping[str, Figure]) -> list[Figure]:
    """Return the figures of these names, each once: figures, papers (`clauw`: all of its), or `all`.

    Raises UnknownName with near matches.
    """
    found: dict[str, Figure] = {}
    for name in names:
        of_paper = {key: each for key, each in figures.items() if name in ("all", each.paper.key)}
        found |= of_paper or {name: find_figure(name, figures)}
    return list(found.values())


@dataclass(frozen=True)
class Judged:
    """A figure's claim under one reading of its paper.

    Attributes:
        reading: under which.
        found: the measured runs, by group.
        paths: their directories, by group.
        parts: the claim's parts, checked in every seed.
        failures: runs or measures that failed.
    """

    reading: Reading
    found: Mapping[str, Comparison]
    paths: Mapping[str, Sequence[Path]]
    parts: Sequence[Part]
    failures: Sequence[str] = ()

    @property
    def verdict(self) -> Decision:
        """What the claim came to: held when every part held, did not hold when one did not."""
        return decide_all(part.verdict for part in self.parts)


@dataclass(frozen=True)
class Reproduction:
    """A figure as it came out: what stands here is under the first reading that was asked for.

    Attributes:
        figure: what was reproduced.
        quick: whether in its smaller variant.
        judged: the claim under each reading, the paper's primary one first.
        stand_ins: the task that was trained instead, by the task whose data was not at hand.
        caveats: why nothing can be decided.
    """

    figure: Figure
    quick: bool
    judged: Sequence[Judged]
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    caveats: Sequence[str] = ()

    @property
    def reading(self) -> Reading:
        """The reading whose runs are drawn and whose verdict is the headline."""
        return self.judged[0].reading

    @property
    def found(self) -> Mapping[str, Comparison]:
        """The measured runs, by group."""
        return self.judged[0].found

    @property
    def paths(self) -> Mapping[str, Sequence[Path]]:
        """The run directories, by group."""
        return self.judged[0].paths

    @property
    def parts(self) -> Sequence[Part]:
        """The claim's parts, checked in every seed."""
        return self.judged[0].parts

    @property
    def verdict(self) -> Decision:
        """Whether the claim held, did not hold, or is undecided, under the first reading."""
        return self.verdicts[self.reading.name]

    @property
    def verdicts(self) -> dict[str, Decision]:
        """The verdict under each reading, by its name."""
        return {
            each.reading.name: Decision.UNDECIDED if self.caveats else each.verdict for each in self.judged
        }

    @property
    def failures(self) -> list[str]:
        """Runs or measures that failed under any reading, each once."""
        return list(dict.fromkeys(failure for each in self.judged for failure in each.failures))

    @property
    def stand_in_note(self) -> str:
        """What stood in for what, in a sentence, or nothing."""
        return " ".join(
            f"On {instead}, which stands in for {task}: that was not at hand."
            for task, instead in self.stand_ins.items()
        )

    @property
    def seeds(self) -> str:
        """How many seeds the groups have, in words: `5`, or `1 to 3`."""
        return self.seeds_of(self.found)

    def seeds_of(self, groups: Iterable[str]) -> str:
        """Return how many seeds these groups have, in such words."""
        counts = sorted({len(self.found[name].runs) for name in groups})
        return f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0] if counts else 0)

    def draw(self) -> Drawing:
        """Draw the figure in the paper's form. Raises UsageError where matplotlib is missing."""
        from grokscope.report.figures import require_matplotlib

        require_matplotlib()
        from grokscope.report.figures.panels import draw_panels
        from grokscope.reproduce.account import heading, notes

        return draw_panels(self.figure.panels, self.found, heading(self), notes(self))


def reproduce(
    figure: str | Figure,
    *,
    quick: bool = False,
    seeds: int | None = None,
    readings: str | Sequence[str] | None = None,
    out: str | Path = "runs",
    data_dir: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = 1,
    dask: Any = None,
    isolate: bool = False,
    timeout: float | None = None,
    finished: bool = False,
    plugins: Plugins | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Reproduction | None:
    """Train or find the runs of a paper's figure, measure them, and check the paper's claim.

    Runs are those of `sweep` with the same settings, in directories of the same names, and results are stored
    in them: the same call again computes only what is missing, and goes on where it was interrupted. Returns
    None when `stop` ended it before everything was trained.

    Args:
        figure: a paper's figure, or its name among those of the plugins, for example `clauw-2`.
        quick: one seed, fewer checkpoints and, for the transformer, a smaller task.
        seeds: how many seeds, from 0, instead of the figure's own.
        readings: the readings of the paper under which the claim is judged: `primary`, `all`, or names, as a
            sequence or with commas. Not given: all, and with `quick` the primary one. Each run is trained
            once, and each result computed once, whatever number of readings shares it.
        out: the directory of the run directories.
        data_dir: where MNIST's or IMDb's files lie; where none is said and they are not in the default place,
            what a figure has for that stands in, such as `digits`, and `stand_ins` says so.
        device: where to train and measure; another than `cpu` makes other runs.
        workers: processes; more than one needs a script with a `__main__` guard. None is one for every core.
        dask: train and measure on a Dask cluster instead, as for `sweep`.
        isolate, timeout: as for `analyze`.
        finished: train nothing: take the runs that are finished, of those that would be trained.
        plugins: from `load_plugins`; loaded when not given.
        progress: called with words, done and total.
        stop: asked all the time in training; True ends it with a checkpoint.
        notify: called with a sentence that the user should know.

    Raises:
        UnknownName: no such figure, or reading.
        DataError: the data is not in `data_dir`.
        GrokscopeError: the Dask scheduler is gone. The same call goes on from there.
    """
    from grokscope.cluster import reached
    from grokscope.discovery import load_plugins
    from grokscope.reproduce.checking import check
    from grokscope.reproduce.runs import Wanted, gather

    plugins, notify = plugins or load_plugins(), notify or (lambda sentence: None)
    if isinstance(figure, str):
        figure = find_figure(figure, plugins.figures)
    if seeds is not None and seeds < 1:
        raise SettingError(f"seeds must be at least 1, got {seeds}")
    chosen = choose_readings(figure, readings, quick)
    for sentence in plugins.slow:
        notify(sentence)
    judged: list[Judged] = []
    stand_ins: dict[str, str] = {}
    with reached(dask, workers, notify) as cluster:
        wanted = Wanted(
            quick,
            seeds,
            Path(out),
            None if data_dir is None else Path(data_dir),
            device,
            workers,
            plugins,
            progress or (lambda words, done, total: None),
            stop or (lambda: False),
            notify,
            isolate,
            timeout,
            cluster,
            finished,
        )
        for reading in chosen:
            gathered = gather(figure.under(reading).groups, wanted, figure.name)
            if gathered.stopped:
                return None
            parts = check(figure, gathered.found)
            failures = [*gathered.failures, *(failure for part in parts for failure in part.failures)]
            judged.append(Judged(reading, gathered.found, gathered.paths, parts, failures))
            stand_ins |= gathered.stand_ins
    return Reproduction(figure, quick, judged, stand_ins, beyond(figure, quick, bool(stand_ins)))


def beyond(figure: Figure, quick: bool, stand_in: bool) -> list[str]:
    """Return why nothing can be decided of a figure under these circumstances."""
    holds = {"quick": quick, "stand-in": stand_in}
    return [f"undecided: {reason}" for circumstance, reason in figure.beyond.items() if holds[circumstance]]


def choose_readings(
    figure: Figure, asked: str | Sequence[str] | None, quick: bool = False
) -> tuple[Reading, ...]:
    """Return the readings of a figure that were asked for, in the figure's order; see `reproduce`.

    Raises UnknownName for one that the figure has not, SettingError for none.
    """
    asked = asked or ("primary" if quick else "all")
    names = [name.strip() for name in asked.split(",")] if isinstance(asked, str) else list(asked)
    known = {reading.name: reading for reading in figure.readings}
    chosen = set()
    for name in filter(None, names):
        if name not in {*known, "primary", "all"}:
            raise UnknownName("reading", name, known, f"of {figure.name}; or primary, or all")
        chosen |= set(known) if name == "all" else {next(iter(known)) if name == "primary" else name}
    if not chosen:
        raise SettingError(
            f"readings must name some of {', '.join(known)}, or primary, or all, got {asked!r}"
        )
    return tuple(reading for reading in figure.readings if reading.name in chosen)
