"""Real networks of every kind, and matrix entropies by another route."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grokscope import train
from grokscope.analysis.engine import Bench
from grokscope.models import MODELS
from grokscope.probe import Probe
from grokscope.tasks import TASKS


@pytest.fixture(scope="session")
def reference() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "reference" / "matrix_entropy.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="session")
def brute_entropy() -> Callable[..., float]:
    """H_alpha from singular values, of one feature matrix or of the Khatri-Rao product of several."""

    def entropy(*features: np.ndarray, alpha: float) -> float:
        rows = [
            np.asarray(f, float) / np.linalg.norm(np.asarray(f, float), axis=1)[:, None] for f in features
        ]
        product = rows[0]
        for other in rows[1:]:
            product = np.einsum("ni,nj->nij", product, other).reshape(len(other), -1)
        weights = np.linalg.svd(product, compute_uv=False) ** 2 / len(product)
        weights = weights[weights > 0]
        if alpha == 1:
            return float(-(weights * np.log(weights)).sum())
        return float(np.log((weights**alpha).sum()) / (1 - alpha))

    return entropy


@pytest.fixture(scope="session")
def trained_probes(tmp_path_factory: pytest.TempPathFactory) -> list[Probe]:
    """The checkpoints of a run on addition mod 23, from its initialisation to memorisation."""
    settings = {
        "task.p": 23,
        "model.hidden": [64],
        "training.steps": 60,
        "training.checkpoint_every": "20",
    }
    run = train("modadd", settings=settings, out=tmp_path_factory.mktemp("trained") / "run")
    bench = Bench(run, TASKS, MODELS)
    return [bench.probe(checkpoint, run.weights(checkpoint.step)) for checkpoint in run.checkpoints]
