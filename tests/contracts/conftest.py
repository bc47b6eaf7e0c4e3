"""`pytest tests/contracts --rewrite-golden` writes the golden numbers anew; look at the diff then."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from grokscope import Probe
from grokscope.testing import probe_of
from grokscope.testing.examples import example_probe, example_probes

# Sampling at its own length would take minutes; that it converges is tested in its family.
QUICK = {
    "geometry:llc": {"draws": 8, "burn_in": 0, "chains": 2},
    "geometry:ntk_distance": {"samples": 12},
    "robustness:sharpness": {"accuracy": 0.3, "max_probes": 16},
    "progress:dropout_robustness": {"repeats": 2},
    "landscape:hessian_spectrum": {"steps": 3, "starts": 2, "points": 5},
    "landscape:commutator_defect": {"pairs": 2, "batch_size": 10},
    "landscape:jacobian_alignment": {"samples": 6},
}

# The contract asks for an answer a hundred times, and not how good it is.
BRIEF = {
    **QUICK,
    "progress:circuit_complexity": {"repeats": 2},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write tests/contracts/golden/*.json anew")


# What differentiates for each example, class and word is asked on few of them: its contract knows no numbers.
FEW = {
    "robustness:sharpness": 8,
    "landscape:hessian_spectrum": 20,
    "geometry:ntk_distance": 12,
}
WORDS = 3


@pytest.fixture(scope="session")
def probes() -> Callable[[str], list[Probe] | None]:
    """The probes that a `plugin:measure` is to be checked on; None: the usual ones."""

    def of(name: str) -> list[Probe] | None:
        return [_of_few(probe, FEW[name]) for probe in example_probes()] if name in FEW else None

    return of


def _of_few(probe: Probe, count: int) -> Probe:
    if probe.model.kind == "transformer":
        probe = example_probe("transformer")  # of 13 classes instead of 23
    task = probe.task
    few = torch.cat([task.train[:count], task.test[:count]])
    task = replace(
        task,
        inputs=task.inputs[few][:, :WORDS] if task.kind == "text" else task.inputs[few],
        labels=task.labels[few],
        train=torch.arange(count),
        test=torch.arange(count, len(few)),
    )
    return probe_of(probe.model, task, loss=probe.loss_name, step=probe.step)


@pytest.fixture(scope="session")
def quick() -> dict[str, dict[str, Any]]:
    """Parameters at which costly measures are quick, by `plugin:measure`."""
    return QUICK


@pytest.fixture(scope="session")
def brief() -> dict[str, dict[str, Any]]:
    """Parameters at which measures answer soon, by `plugin:measure`."""
    return BRIEF
