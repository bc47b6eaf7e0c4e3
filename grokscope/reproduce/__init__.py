"""The papers' figures anew: what each needs is trained or found, measured, drawn, and its claim checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.errors import SettingError, UnknownName
from grokscope.reproduce.figure import (
    HELD,
    NOT_HELD,
    UNDECIDED,
    Figure,
    Part,
    verdict_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from grokscope.analysis import Comparison
    from grokscope.plugins import Plugins

__all__ = [
    "HELD",
    "NOT_HELD",
    "UNDECIDED",
    "Figure",
    "Part",
    "Reproduction",
    "figures",
    "find_figure",
    "reproduce",
]


def figures() -> dict[str, Figure]:
    """Return every figure of the three papers, by its id: `tan-1` ... `tan-16`, `clauw-1` ... `clauw-9`,
    `golechha-1` ... `golechha-4`."""
    from grokscope.reproduce import clauw, golechha, tan

    return {figure.id: figure for figure in (*tan.FIGURES, *clauw.FIGURES, *golechha.FIGURES)}


def find_figure(name: str) -> Figure:
    """Return the figure of that id. Raises UnknownName with near matches."""
    known = figures()
    if name not in known:
        raise UnknownName("figure", name, known, "grokscope reproduce --list shows all")
    return known[name]


@dataclass(frozen=True)
class Reproduction:
    """A figure as it came out.

    Attributes:
        figure: what was reproduced.
        quick: whether in its smaller variant.
        found: the measured runs, by group.
        paths: their directories, by group.
        parts: the claim's parts, checked in every seed.
        stand_ins: the task that was trained instead, by the task whose data was not at hand.
        caveats: why nothing can be decided.
        failures: runs or measures that failed.
    """

    figure: Figure
    quick: bool
    found: Mapping[str, Comparison]
    paths: Mapping[str, Sequence[Path]]
    parts: Sequence[Part]
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    caveats: Sequence[str] = ()
    failures: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """Whether the claim held, did not hold, or is undecided; see `Part.verdict` for the rule."""
        return UNDECIDED if self.caveats else verdict_of(self.parts)

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
        counts = sorted({len(found.runs) for found in self.found.values()})
        return f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0] if counts else 0)

    def draw(self) -> Drawing:
        """Draw the figure in the paper's form. Raises UsageError where matplotlib is missing."""
        from grokscope.report.figures import require_matplotlib

        require_matplotlib()
        from grokscope.reproduce.drawing import draw

        return draw(self)


def reproduce(
    figure: str | Figure,
    *,
    quick: bool = False,
    seeds: int | None = None,
    out: str | Path = "runs",
    data_dir: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = 1,
    isolate: bool = False,
    timeout: float | None = None,
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
        figure: its id, for example `clauw-2`; see `figures`.
        quick: one seed, fewer checkpoints and, for the transformer, a smaller task.
        seeds: how many seeds, from 0, instead of the figure's own.
        out: the directory of the run directories.
        data_dir: where MNIST's or IMDb's files lie; where none is said and they are not in the default place,
            `digits` stands in, and `stand_ins` says so.
        device: where to train and measure; another than `cpu` makes other runs.
        workers: processes; more than one needs a script with a `__main__` guard. None is one for every core.
        isolate, timeout: as for `analyze`.
        plugins: from `load_plugins`; loaded when not given.
        progress: called with words, done and total.
        stop: asked all the time in training; True ends it with a checkpoint.
        notify: called with a sentence that the user should know.

    Raises:
        UnknownName: no such figure.
        DataError: the data is not in `data_dir`.
    """
    if isinstance(figure, str):
        figure = find_figure(figure)
    if seeds is not None and seeds < 1:
        raise SettingError(f"seeds must be at least 1, got {seeds}")
    from grokscope.plugins import load_plugins
    from grokscope.reproduce.runs import Wanted, gather

    plugins, notify = plugins or load_plugins(), notify or (lambda sentence: None)
    for sentence in plugins.slow:
        notify(sentence)
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
    )
    gathered = gather(figure, wanted)
    if gathered.stopped:
        return None
    holds = {"quick": quick, "stand-in": bool(gathered.stand_ins)}
    beyond = [reason for circumstance, reason in figure.beyond.items() if holds[circumstance]]
    return Reproduction(
        figure,
        quick,
        gathered.found,
        gathered.paths,
        figure.check(gathered.found),
        gathered.stand_ins,
        [f"undecided: {reason}" for reason in beyond],
        gathered.failures,
    )
