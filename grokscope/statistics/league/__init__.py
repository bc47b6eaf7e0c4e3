"""The league: every column of every measure on one table, by how early and how surely it foretells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grokscope.results import ColumnName
from grokscope.statistics import CONFIDENCE
from grokscope.statistics.league.columns import CONTROLS
from grokscope.statistics.league.places import FEWEST_SETTINGS, RULE, SIGNIFICANT, Place, places
from grokscope.statistics.league.sightings import Sighting, sightings

__all__ = ["CONTROLS", "RULE", "League", "Place", "Sighting", "league", "sightings"]


@dataclass(frozen=True)
class League:
    """What came out.

    Attributes:
        places: every column, the best first; the controls among them.
        grok, never: the settings of the runs that grok and of those that never do, with their number of runs.
        excluded: the runs that do not take part, and why.
        absent: by measure the settings in some of whose runs it has no value, and why.
        confidence: of the intervals.
    """

    places: Sequence[Place]
    grok: Mapping[str, int]
    never: Mapping[str, int]
    excluded: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    confidence: float = CONFIDENCE

    @property
    def settings(self) -> list[tuple[str, bool]]:
        """Every setting and whether it groks; those that do come first."""
        return [*((name, True) for name in self.grok), *((name, False) for name in self.never)]

    @property
    def columns(self) -> int:
        """How many columns there are without the controls."""
        return sum(not place.control for place in self.places)

    @property
    def tested(self) -> int:
        """How many columns Holm's correction is over, the controls among them."""
        return sum(place.ranked for place in self.places)

    @property
    def least_auroc_p(self) -> float:
        """The smallest p that an AUROC can have after the correction; NaN where there is none."""
        first, other = len(self.grok), len(self.never)
        tests = sum(not math.isnan(of.p) for place in self.places for of in (place.value, place.moved))
        return (
            min(1.0, tests * (1 + (first == other)) / math.comb(first + other, first)) if tests else math.nan
        )

    @property
    def foretelling(self) -> list[Place]:
        """The columns that foretell, without the controls."""
        return [place for place in self.places if place.foretells and not place.control]

    def place(self, column: str) -> int:
        """Return where a column stands: 1 is the best, ties aside."""
        return 1 + [place.column for place in self.places].index(ColumnName.read(column))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        return {
            "rule": RULE,
            "columns": self.columns,
            "tested": self.tested,
            "grok": dict(self.grok),
            "never": dict(self.never),
            "excluded": dict(self.excluded),
            "absent": {measure: dict(why) for measure, why in self.absent.items()},
            "confidence": self.confidence,
            "notes": self.notes,
            "places": [
                {**place.as_dict(), "settings": [vars(cell) for cell in place.cells]} for place in self.places
            ],
        }

    @property
    def notes(self) -> list[str]:
        """What must be known to read the table."""
        return list(_notes(self))


def league(
    rows: Sequence[Sighting],
    excluded: Mapping[str, str] | None = None,
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> League:
    """Rank all columns that were sighted, see `RULE`.

    Args:
        rows: from `sightings`.
        excluded: likewise.
        confidence: of the intervals.
        seed: of resampling.
    """
    return League(
        places(rows, confidence, seed),
        _settings(rows, True),
        _settings(rows, False),
        excluded or {},
        _absent(rows),
        confidence,
    )


def _settings(rows: Sequence[Sighting], groks: bool) -> dict[str, int]:
    runs: dict[str, set[str]] = {}
    for row in rows:
        if row.fate.groks is groks:
            runs.setdefault(row.fate.setting, set()).add(row.run)
    return {setting: len(known) for setting, known in runs.items()}


def _absent(rows: Sequence[Sighting]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.absent:
            found.setdefault(str(row.column), {}).setdefault(row.fate.setting, row.absent)
    return found


def _notes(found: League) -> Any:
    few = [
        f"{len(settings)} that {what}"
        for settings, what in ((found.grok, "grok"), (found.never, "never do"))
        if len(settings) < FEWEST_SETTINGS
    ]
    if few:
        yield (
            f"there are no ranks: {' and '.join(few)} are too few settings; {FEWEST_SETTINGS} of each are "
            "needed"
        )
    elif unranked := sum(not place.ranked for place in found.places):
        yield f"{unranked} columns have a value in fewer than {FEWEST_SETTINGS} settings of a kind: no rank"
    if found.least_auroc_p > SIGNIFICANT:
        yield (
            f"of {len(found.grok)} settings that grok and {len(found.never)} that never do no AUROC can have "
            f"p below {found.least_auroc_p:.2g} after the correction: none proves anything here"
        )
    both = sorted(set(found.grok) & set(found.never))
    if both:
        yield f"some runs grok and some do not in {', '.join(both)}: counted in both kinds"
    reasons: dict[str, list[str]] = {}
    for run, why in found.excluded.items():
        reasons.setdefault(why, []).append(run)
    for why, runs in reasons.items():
        yield f"left out: {', '.join(runs)}: {why}"
    for measure, settings in found.absent.items():
        without: dict[str, list[str]] = {}
        for setting, why in settings.items():
            without.setdefault(why, []).append(setting)
        for why, named in without.items():
            yield f"{measure} has no value in {'; '.join(named)}: {why}"
