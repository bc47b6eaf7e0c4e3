"""Where each column stands in the league, and by which rule."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from grokscope.results import ColumnName
from grokscope.statistics.estimates import Estimate
from grokscope.statistics.league.columns import CONTROLS
from grokscope.statistics.league.separating import separated
from grokscope.statistics.league.sightings import Sighting
from grokscope.statistics.over_runs import Mean, difference, holm

FEWEST_SETTINGS = 3  # that grok, and that never do, for a rank
SIGNIFICANT = 0.05

RULE = (
    "Columns are ranked by foresight: the share of the way from memorisation to test accuracy's own change, "
    "in log steps, that was left when the column had changed - 0 where it had not surely changed before - as "
    "the mean over settings that grok; less the same share, of the way to the end of training, as the mean "
    "over settings that never grok. A change counts if it is clear, and of the shape that it has in most "
    "runs of the other settings that grok. A column that knows nothing has 0 at most on average, and so has "
    "a copy of test accuracy; 1 is the most. Columns whose intervals overlap are tied: a rank is one more "
    "than the number of columns whose interval lies above. A column foretells if its foresight is above 0 "
    "after Holm's correction over all columns."
)


@dataclass(frozen=True)
class Share:
    """In how many runs something happened, and in how many settings it did in most runs."""

    runs: int = 0
    of_runs: int = 0
    settings: int = 0
    of_settings: int = 0

    @property
    def value(self) -> float:
        """The share of the runs."""
        return self.runs / self.of_runs if self.of_runs else math.nan


@dataclass(frozen=True)
class Cell:
    """One column in one setting, of which the runs have one fate.

    Attributes:
        setting, groks: which.
        foreseen: the mean share of the way that was left when the column had changed.
        warned, runs: in how many runs it had, of how many.
    """

    setting: str
    groks: bool
    foreseen: float
    warned: int
    runs: int


@dataclass(frozen=True)
class Place:
    """One column of the league.

    Attributes:
        column: which.
        foresight: what it is ranked by, see `RULE`.
        p, p_adjusted: that it is not 0 (Welch's test over settings), and corrected over the columns that
            have a rank; NaN without one.
        ahead: by how many log10 steps its change comes before test accuracy's own, in the runs that grok in
            which it changes so that it counts, see `RULE`.
        changes: in how many of the runs that grok that is, before test accuracy or after.
        first: where it changes before test accuracy, of the runs that grok.
        alarms: where it changes likewise, of the runs that never grok.
        partial: rank correlation with test accuracy in the runs that grok, those of weight norm and train
            loss taken out.
        value, moved: AUROC of "will grok" by the value at memorisation, and by how far it has moved since
            the start, both settings of every pair left out; `p` corrected over the columns and both.
        shape: how it changes in most runs that grok.
        ms: milliseconds that its measure took at a checkpoint, the mean over settings.
        resolution: log10 steps from one of its values to the next on the way, the mean over settings: what
            lies closer together cannot be told apart.
        cells: setting by setting.
        rank: None where there are too few settings in which it has a value.
    """

    column: ColumnName
    foresight: Mean
    p: float
    ahead: Mean
    changes: Share
    first: Share
    alarms: Share
    partial: Mean
    value: Estimate
    moved: Estimate
    shape: str
    ms: float
    resolution: float
    cells: Sequence[Cell] = field(repr=False)
    rank: int | None = None
    p_adjusted: float = math.nan

    @property
    def control(self) -> bool:
        """Whether it is one of the controls."""
        return self.column in CONTROLS

    @property
    def ranked(self) -> bool:
        """Whether enough settings have it for a rank."""
        return min(self.first.of_settings, self.alarms.of_settings) >= FEWEST_SETTINGS

    @property
    def foretells(self) -> bool:
        """Whether its foresight is surely above 0, in these settings."""
        return self.foresight.mean > 0 and self.p_adjusted <= SIGNIFICANT

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values by name."""
        return {
            "rank": self.rank,
            "column": str(self.column),
            **self.foresight.named("foresight"),
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "foretells": self.foretells,
            **self.ahead.named("ahead"),
            **_named("changes", self.changes),
            **_named("first", self.first),
            **_named("alarms", self.alarms),
            **self.partial.named("partial"),
            **_estimated("auroc", self.value),
            **_estimated("moved_auroc", self.moved),
            "shape": self.shape,
            "ms": self.ms,
            "resolution": self.resolution,
        }


def _named(name: str, share: Share) -> dict[str, int]:
    return {
        f"{name}_runs": share.runs,
        f"{name}_of_runs": share.of_runs,
        f"{name}_settings": share.settings,
        f"{name}_of_settings": share.of_settings,
    }


def _estimated(name: str, of: Estimate) -> dict[str, float]:
    return {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high, f"{name}_p_adjusted": of.p}


def places(rows: Sequence[Sighting], confidence: float, seed: int) -> list[Place]:
    """Return the place of every column, the best first; those without a rank are last."""
    by_column: dict[ColumnName, list[Sighting]] = {}
    for row in rows:
        if not row.absent:
            by_column.setdefault(row.column, []).append(row)
    found = [_place(column, mine, confidence, seed) for column, mine in by_column.items()]
    found = _adjusted(found)
    found.sort(key=lambda place: (not place.ranked, -_known(place.foresight.mean), str(place.column)))
    lows = [place.foresight.low for place in found if place.ranked]
    return [
        replace(place, rank=1 + sum(low > place.foresight.high for low in lows)) if place.ranked else place
        for place in found
    ]


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _adjusted(found: Sequence[Place]) -> list[Place]:
    """Correct p over the columns that have a rank, and those of the AUROCs over all of these."""
    ranked = [place.p if place.ranked else math.nan for place in found]
    told = holm([of.p for place in found for of in (place.value, place.moved)])
    return [
        replace(
            place,
            p=p,
            p_adjusted=adjusted,
            value=replace(place.value, p=value),
            moved=replace(place.moved, p=moved),
        )
        for place, p, adjusted, value, moved in zip(
            found, ranked, holm(ranked), told[::2], told[1::2], strict=True
        )
    ]


def _place(column: ColumnName, rows: Sequence[Sighting], confidence: float, seed: int) -> Place:
    grok, never = ([row for row in rows if row.fate.groks is groks] for groks in (True, False))
    shapes = {row.fate.setting: usual_shape(grok, row.fate.setting) for row in rows}
    seen, false = ([row.foreseen(shapes[row.fate.setting]) for row in kind] for kind in (grok, never))
    groups = [row.fate.setting for row in grok], [row.fate.setting for row in never]
    foresight, p = difference(seen, false, groups, confidence)
    cells = [*_cells(grok, seen), *_cells(never, false)]
    leads = [row.ahead_in(shapes[row.fate.setting]) for row in grok]
    changing = _cells(grok, [float(not math.isnan(lead)) for lead in leads])

    def mean(name: str) -> Mean:
        return Mean.of((getattr(row, name) for row in grok), confidence, groups[0])

    def usual(name: str) -> float:
        every = [row.fate.setting for row in rows]
        return Mean.of((getattr(row, name) for row in rows), confidence, every).mean

    return Place(
        column=column,
        foresight=foresight,
        p=p,
        ahead=Mean.of(leads, confidence, groups[0]),
        changes=_share(changing),
        first=_share(cell for cell in cells if cell.groks),
        alarms=_share(cell for cell in cells if not cell.groks),
        partial=mean("partial").within(-1, 1),
        value=separated(rows, "value", confidence, seed),
        moved=separated(rows, "moved", confidence, seed),
        shape=usual_shape(grok),
        ms=usual("ms"),
        resolution=usual("resolution"),
        cells=cells,
    )


def usual_shape(rows: Iterable[Sighting], but: str = "") -> str:
    """Return the shape of most runs' changes, those of the setting `but` left out; of equals the first.

    Empty where nothing changes, or there is no other setting.
    """
    shapes = Counter(row.shape for row in rows if row.shape and row.fate.setting != but)
    return min(shapes, key=lambda shape: (-shapes[shape], shape), default="")


def _cells(rows: Sequence[Sighting], seen: Sequence[float]) -> list[Cell]:
    by_setting: dict[str, list[float]] = {}
    for row, share in zip(rows, seen, strict=True):
        by_setting.setdefault(row.fate.setting, []).append(share)
    groks = bool(rows) and rows[0].fate.groks
    return [
        Cell(setting, groks, math.fsum(shares) / len(shares), sum(share > 0 for share in shares), len(shares))
        for setting, shares in by_setting.items()
    ]


def _share(cells: Iterable[Cell]) -> Share:
    counted = list(cells)
    return Share(
        sum(cell.warned for cell in counted),
        sum(cell.runs for cell in counted),
        sum(2 * cell.warned > cell.runs for cell in counted),
        len(counted),
    )
