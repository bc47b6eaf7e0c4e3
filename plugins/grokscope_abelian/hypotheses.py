"""What Tan & Huang (2023, section 5) say of when a network learns that a + b = b + a."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope import hypothesis

if TYPE_CHECKING:
    from grokscope import Results

AGREEMENT = "abelian.agreement:train"
SOURCE = "Tan & Huang 2023, section 5"


def _training(results: Results) -> str | None:
    """Whether a run was trained `perturbed` or `plain`; None where it was trained in yet another way."""
    training = results.config.get("training", {})
    if any(training.get(name) for name in ("abelian", "subnetwork", "dropout", "anti_norm")):
        return None
    return "perturbed" if any(training.get("perturb") or ()) else "plain"


def _at_memorisation(results: Results) -> float | None:
    """Agreement at the first checkpoint from memorisation on."""
    if results.memorisation_step is None:
        return None
    course = results.values(AGREEMENT, results.memorisation_step)
    return float(course[0]) if len(course) else None


@hypothesis(
    claim="Trained plainly, networks learn a + b = b + a late: not when they memorise, but as they grok.",
    columns=[AGREEMENT],
    source=SOURCE,
)
def agreement_late_when_plain(results: Results) -> float | None:
    """Half of the agreement at grokking and at the lowest checkpoint before, together, less the agreement at
    memorisation: positive where less than half of the way was behind it then. Only plainly trained runs that
    grok after memorising."""
    memorised, grokked = results.memorisation_step, results.grokking_step
    if _training(results) != "plain" or memorised is None or grokked is None or grokked <= memorised:
        return None
    before, at = results.values(AGREEMENT, end=grokked - 1), results.values(AGREEMENT, grokked)[:1]
    early = _at_memorisation(results)
    if early is None or not (len(before) and len(at)):
        return None
    return float((before.min() + at[0]) / 2 - early)


@hypothesis(
    claim="Perturbed training teaches a + b = b + a early: agreement at memorisation is higher than plain.",
    columns=[AGREEMENT],
    about="groups",
    groups=("perturbed", "plain"),
    group=_training,
    source=SOURCE,
)
def agreement_early_when_perturbed(results: Results) -> float | None:
    """Agreement on training pairs at the first checkpoint from memorisation on."""
    return _at_memorisation(results)
