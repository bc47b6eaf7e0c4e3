"""What DeMoss et al. 2024 claim: complexity rises with memorisation and falls with generalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope import courses, hypothesis

if TYPE_CHECKING:
    from grokscope import Results

    Found = tuple[float | None, dict[str, float]]

COMPLEXITY = "compression.packed_bytes"
PAPER = "DeMoss et al. 2024"


@hypothesis(
    claim="Complexity rises as a network memorises, then falls as it generalises.",
    columns=[COMPLEXITY],
    source=f"{PAPER}, sections 1 and 5, figure 2",
    groups="that grok",
    group=courses.groks,
)
def complexity_rises_and_falls(results: Results) -> Found:
    """Mean complexity from memorisation to half of the rise is above its first and its last value."""
    between = results.values(COMPLEXITY, courses.memorised(results), courses.rise(results))
    first, last = courses.at(results, COMPLEXITY, results.steps[0]), courses.last(results, COMPLEXITY)
    if not len(between):
        return None, {"bytes at first": first, "at the end": last}
    mean = float(between.mean())
    found = {"bytes at first": first, "between memorising and generalising": mean, "at the end": last}
    return courses.least(mean - first, mean - last) / mean if mean > 0 else 0.0, found


@hypothesis(
    claim="Networks that generalise lose complexity again; those that do not stay as complex as they were.",
    columns=[COMPLEXITY],
    about="grokking",
    source=f"{PAPER}, section 5, figures 1 and 3",
)
def complexity_fall_tells(results: Results) -> float | None:
    """What share of their complexity at memorisation is gone at the end."""
    memorised = results.memorisation_step
    if memorised is None:
        return None
    course = results.values(COMPLEXITY, memorised)
    return float(1 - course[-1] / course[0]) if len(course) > 1 and course[0] > 0 else None
