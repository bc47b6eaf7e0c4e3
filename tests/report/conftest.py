"""Comparisons made of known numbers, without training: for pages and pictures of them."""

import math
from dataclasses import asdict, dataclass, field

import numpy as np
import pytest

from grokscope.measure import Column
from grokscope.results import Comparison, Provenance, Results


def _config(seed, decay):
    return {
        "recipe": "clauw",
        "task": {"name": "modadd", "p": 97, "train_fraction": 0.4},
        "model": {"name": "mlp", "hidden": [250], "last_bias": False},
        "training": {"lr": 0.03, "weight_decay": decay, "seed": seed, "dropout": None},
    }


def _sigmoid(steps, middle):
    return 1 / (1 + np.exp(-(np.log1p(steps) - math.log1p(middle)) * 6))


def _results(name, names, steps, seed, decay, rng):
    shift = 1 + 0.2 * seed
    train, test = _sigmoid(steps, steps[-1] * 0.02 * shift), _sigmoid(steps, steps[-1] * 0.3 * shift)
    curve = {
        "step": steps,
        "train_loss": 4.6 * (1 - train) + 0.01,
        "test_loss": 4.6 * (1 - test) + 3 * train * (1 - test) + 0.02,
        "train_accuracy": train,
        "test_accuracy": test,
    }
    columns = {"step": steps.tolist()}
    for at, column in enumerate(names):
        course = _sigmoid(steps, steps[-1] * 0.03 * (at + 1) * shift) * 10.0 ** (at - 2)
        columns[column] = (course * (1 + 0.02 * rng.standard_normal(len(steps)))).tolist()
    declared = {
        column: Column(column.partition(".")[2], f"what {column} is", role=ROLES.get(column, ""))
        for column in names
    }
    measures = dict.fromkeys(column.partition(".")[0] for column in names)
    origin = Provenance("family", "grokscope", "0.1.0", 3, {"sigma": 0.1, "clusters": 10}, "A & B 2024")
    return Results(
        run=name,
        columns=columns,
        declared=declared,
        curve=curve,
        config=_config(seed, decay),
        provenance=dict.fromkeys(measures, origin),
    )


ROLES = {"oinfo.synergy": "synergy", "oinfo.redundancy": "redundancy", "weight_norm.l2_all": "control"}
COLUMNS = tuple(ROLES)


@pytest.fixture
def comparison_of():
    """Make a comparison of runs with known courses: `comparison_of(runs=8, points=1000)`."""

    def make(runs=4, names=COLUMNS, points=60, labels=None):
        rng = np.random.default_rng(0)
        steps = np.arange(points) * 5
        labels = labels or [f"modadd-clauw-{at:08x}-s{at}" for at in range(runs)]
        seeds, decays = list(range(runs)), [2.0 if at < (runs + 1) // 2 else 10.0 for at in range(runs)]
        found = {
            label: _results(label, list(names), steps, seed, decay, rng)
            for label, seed, decay in zip(labels, seeds, decays, strict=True)
        }
        settings = {"seed": seeds, "weight_decay": decays} if runs > 1 else {}
        return Comparison(runs=found, settings=settings, failed={})

    return make


@dataclass(frozen=True)
class FakeScore:
    run: str
    column: str
    memorisation_step: int | None = 10
    grokking_step: int | None = 100
    transition_step: int | None = 50
    lead: float = 50.0
    log_lead: float = 0.3
    spearman: float = 0.9
    kendall: float = 0.8
    partial: float = 0.4


@dataclass(frozen=True)
class FakeSummary:
    column: str
    lead: float
    verdict: str
    runs: int = 4
    censored: int = 0
    lead_low: float = -0.1
    lead_high: float = 0.5
    sign_p: float = 0.06
    sign_p_adjusted: float = 0.12
    spearman: float = 0.9
    partial: float = 0.4
    partial_low: float = 0.2
    partial_high: float = 0.6
    ahead: float = math.nan
    ahead_low: float = -0.05
    ahead_high: float = 0.2
    p_adjusted: float = 0.03
    why: str = ""

    def as_dict(self):
        return asdict(self)


@dataclass(frozen=True)
class FakeScores:
    rows: list = field(default_factory=list)
    summaries: list = field(default_factory=list)
    control: str = "weight_norm.l2_all"
    confidence: float = 0.95
    notes: tuple = ()


@dataclass(frozen=True)
class FakePhase:
    name: str
    start: int
    end: int


@dataclass(frozen=True)
class FakePhases:
    found: tuple = ()
    rule: str = ""
    note: str = ""


@pytest.fixture
def scored():
    """Scores with one summary per (column, lead, verdict)."""

    def make(*summaries, runs=("a", "b")):
        rows = [FakeScore(run, column) for column, *_ in summaries for run in runs]
        return FakeScores(rows, [FakeSummary(*each) for each in summaries])

    return make


@pytest.fixture
def phased():
    """Phases of one run, of (name, start, end)."""

    def make(*phases, note=""):
        return FakePhases(tuple(FakePhase(*each) for each in phases), "Where synergy turns.", note)

    return make
