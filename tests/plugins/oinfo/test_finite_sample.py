"""How much of Omega of single units is the finite sample's: the numbers on the measure's page, measured anew.

`sh tests/run.sh -m slow tests/plugins/oinfo/test_finite_sample.py -s` prints them.
"""

import numpy as np
import pytest
import torch

from grokscope import analyze, train
from grokscope.declare import resolve
from grokscope.tasks import TASKS
from grokscope_oinfo.functional import bias, copula_correlation, o_information
from grokscope_oinfo.measures import oinfo

pytestmark = pytest.mark.slow
LATE = range(150, 251, 10)  # steps in which clauw has its synergy peak, whatever its last bits are


@pytest.fixture(scope="module", params=range(3))
def units(request, tmp_path_factory):
    """The 250 hidden units of clauw at its synergy peak, on the 3763 training pairs and on all 9409."""
    settings = {"training.seed": request.param, "training.steps": LATE[-1], "training.checkpoint_every": "10"}
    run = train("modadd", recipe="clauw", settings=settings, out=tmp_path_factory.mktemp("clauw") / "run")
    found = analyze(run, ["oinfo"], steps=f"{LATE[0]}:{LATE[-1]}")
    peak = found.steps[int(found.course("oinfo.synergy").argmax())]
    jumps = np.abs(np.diff(found.course("oinfo.synergy")))
    print("the peak is at step", peak, "and the largest jump", round(float(jumps.max()), 3))
    task = TASKS["modadd"].build(**{k: v for k, v in run.config["task"].items() if k != "name"})
    into = run.weights(peak)["layers.0.weight"].double()
    first, second = task.inputs.T
    values = torch.relu(into[:, first] + into[:, into.shape[1] // 2 + second]).T
    return {"train": values[task.train], "all": values}


@pytest.fixture
def measured(probe_with):
    def row_of(values, **given):
        [row] = oinfo.collect(oinfo(probe_with(values), **resolve(oinfo.parameters, given, "oinfo")))
        print({name: round(row.values[name], 3) for name in ("synergy", "redundancy")}, len(values), given)
        return row

    return row_of


def test_omega_of_200_units_is_hardly_the_finite_samples(units, measured):
    values = units["train"]
    draw = torch.Generator().manual_seed(0)
    row = measured(values)
    synergy = row.values["synergy"]
    assert 2.5 < synergy < 4

    alone = torch.stack([column[torch.randperm(len(column), generator=draw)] for column in values.T], dim=1)
    independent = measured(alone).values  # the same search where no unit knows of another
    assert 0.05 < independent["synergy"] < 0.15
    assert independent["redundancy"] < 0.01

    assert 0.03 < synergy - measured(values, bias_correction=True).values["synergy"] < 0.07

    # The same units on half of the examples, and on all pairs: no search, so nothing else changes.
    inside = torch.from_numpy(np.isin(row.arrays["cluster"], row.arrays["synergy_multiplet"]))
    halves = [values[torch.randperm(len(values), generator=draw)[: len(values) // 2]] for _ in range(3)]
    half = [-o_information(copula_correlation(chosen[:, inside])).item() for chosen in halves]
    whole = -o_information(copula_correlation(units["all"][:, inside])).item()
    print("the same multiplet:", [round(found, 3) for found in half], "on halves,", round(whole, 3), "on all")
    assert all(0.9 < found / synergy < 1.2 for found in half)
    assert whole / synergy == pytest.approx(1, abs=0.1)

    # Clusters found anew are others, and move the optimum by far more than the sample's size does.
    anew = [measured(chosen).values["synergy"] for chosen in halves]
    assert all(0.65 < found / synergy < 1.1 for found in anew)


def test_the_correction_is_what_independent_units_show():
    """For one set of 200 independent Gaussian variables: the mean of Omega over draws is the closed form."""
    draw = torch.Generator().manual_seed(1)
    found = [
        o_information(copula_correlation(torch.randn(3763, 200, generator=draw, dtype=torch.float64))).item()
        for _ in range(8)
    ]
    expected = bias(torch.tensor([200]), 3763).item()
    spread = torch.tensor(found).std().item() / len(found) ** 0.5
    assert sum(found) / len(found) == pytest.approx(expected, abs=4 * spread)
