"""What the measures read from a probe, and where they have no answer."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from grokscope import analyze, load_plugins
from grokscope.errors import NotApplicable
from grokscope.measure import call_measure
from grokscope.models.plain import Plain
from grokscope.probe import NoiseSource, Probe
from grokscope.testing import example_probe, example_task, probe_of
from grokscope_representations.functional import feature_rank as rank_of
from grokscope_representations.functional import ridge_readout
from grokscope_representations.measures import feature_rank, linear_probe, neural_collapse


def rows(measure, probe, **parameters):
    return {row.labels[0]: row.values for row in measure.collect(measure(probe, **parameters))}


def test_the_probe_is_fitted_to_train_and_read_on_both_splits():
    probe = example_probe("mlp")
    found = rows(linear_probe, probe)
    assert list(found) == list(probe.model.hidden)
    for layer, values in probe.activations("train").items():
        readout = ridge_readout(values, probe.labels("train"), probe.task.classes)
        for split in ("train", "test"):
            right = readout.predictions(probe.activations(split)[layer]) == probe.labels(split)
            assert found[layer][split] == pytest.approx(right.double().mean().item())


def wide_probe(seed=0):
    """A convolution of 32 channels on a few pictures: 640 units, 80 examples."""
    task = example_task("own")
    task = replace(task, train=task.train[:80])
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(640, 5))
    return probe_of(Plain(module, task.inputs, task.labels), task)


@pytest.mark.parametrize("name", ["linear_probe", "feature_rank", "neural_collapse", "cka"])
def test_nothing_is_as_large_as_the_products_of_many_units(name, largest):
    """With those of 25 088 it took 5 GB, thrice."""
    measure = {entry.measure.name: entry.measure for entry in load_plugins().registered}[name]
    given = {"probe": wide_probe, "baseline": lambda: wide_probe(1)}
    with largest:
        found = list(call_measure(measure, {}, weights=dict, rng=torch.Generator, **given))
    assert found
    assert largest.numbers <= 240 * 640


def test_random_labels_are_not_read_on_test(tmp_path):
    from grokscope import train

    settings = {
        "task.operation": "random",
        "task.p": 31,
        "training.steps": 300,
        "training.checkpoint_every": "300",
    }
    run = train("modadd", settings=settings, out=tmp_path / "run")
    found = analyze(run, "linear_probe", steps="last")
    assert found.columns["linear_probe.test:layers.0_post"][0] < 0.1
    assert found.columns["linear_probe.train:layers.0_post"][0] > 0.5


def test_collapse_of_a_collapsed_network_is_complete():
    """The last hidden layer is made one-hot by class, the last weight its centred means: a simplex."""
    probe = example_probe("mlp", task="images", loss="mse")
    k = probe.task.classes
    layer = probe.model.hidden[-1]

    class Collapsed(Probe):
        def activations(self, split):
            return {layer: 3 * torch.nn.functional.one_hot(self.labels(split), k).float()}

        def logits(self, split):
            return self.activations(split)[layer] @ self.weights["last"].T

    collapsed = Collapsed(
        step=0,
        task=probe.task,
        model=probe.model,
        weights={"last": torch.eye(k) - 1 / k},
        loss_name="mse",
        noise=NoiseSource(""),
    )
    for values in rows(neural_collapse, collapsed).values():
        # Classes are not equally many, so the mean of all examples is a little off the simplex's middle.
        assert values["nc1"] == pytest.approx(0, abs=1e-12)
        assert values["nc2_norms"] < 0.06
        assert values["nc2_angles"] < 0.06
        assert values["nc3"] < 0.01
        assert values["nc4"] == 1


def test_a_transformer_s_logits_are_no_linear_map_of_its_hidden_layer():
    for values in rows(neural_collapse, example_probe("transformer")).values():
        assert math.isnan(values["nc3"])
        assert values["nc1"] > 0


def test_a_single_logit_has_no_collapse():
    with pytest.raises(NotApplicable, match="single logit"):
        rows(neural_collapse, example_probe("lstm"))


def test_the_last_weight_is_told_by_what_it_does_and_not_by_its_name():
    """nc3 is computed with the weight that makes the logits, biased or not."""
    probe = example_probe("mlp")
    from grokscope_representations.measures import _last_weight

    assert torch.equal(_last_weight(probe, probe.model.hidden[-1]), probe.weights["layers.2.weight"])


def test_ranks_are_of_every_hidden_layer():
    probe = example_probe("lstm")
    found = rows(feature_rank, probe, share=0.1)
    for layer, values in probe.activations("train").items():
        assert (found[layer]["rank"], found[layer]["effective_rank"]) == pytest.approx(rank_of(values, 0.1))
