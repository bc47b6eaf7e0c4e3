"""The adapters: which numbers they give on which networks, and what they say where there are none."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import grokscope_robustness
from grokscope.errors import MeasureError, NotApplicable
from grokscope.models.mlp import MLP
from grokscope.probe import NoiseSource, Probe
from grokscope.tasks.task import Task
from grokscope.testing import check_measure, example_probe
from grokscope_robustness import curvature, functional, gauss_newton, noise

NETWORKS = [
    ("mlp", "cross_entropy"),
    ("mlp", "mse"),
    ("transformer", "cross_entropy"),
    ("transformer", "mse"),
]
NETWORKS += [("lstm", "cross_entropy")]

MEASURES = {made.name: made for made in grokscope_robustness.grokscope_measures()}


def run(measure, probe, **parameters):
    given = {"weights": probe.weights, "probe": probe, "rng": torch.Generator().manual_seed(0)}
    return measure.collect(measure(*(given[name] for name in measure.inputs), **parameters))


def values(measure, probe, **parameters):
    return run(measure, probe, **parameters)[0].values


def probe_of(model, inputs, labels, *, loss="mse", step=0, kind="images"):
    n = len(inputs)
    task = Task(
        name="small",
        kind=kind,
        inputs=inputs,
        labels=labels,
        classes=model.outputs,
        train=torch.arange(n // 2),
        test=torch.arange(n // 2, n),
    )
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    noise = NoiseSource("test")
    return Probe(step=step, task=task, model=model.eval(), weights=weights, loss_name=loss, noise=noise)


@pytest.fixture
def small():
    return probe_of(MLP(inputs=4, hidden=[6, 5], outputs=3), torch.rand(40, 4) + 0.1, torch.arange(40) % 3)


@pytest.mark.slow
def test_sharpness_keeps_the_contract_by_its_own_defaults():
    """tests/contracts asks for less accuracy, on fewer examples."""
    check_measure(MEASURES["sharpness"])


def test_weight_norm_counts_matrices_apart():
    weights = {"w": torch.tensor([[3.0, -4.0]]), "b": torch.tensor([-12.0])}
    whole, *layers = MEASURES["weight_norm"].collect(MEASURES["weight_norm"](weights))
    assert whole.values == {"l2_all": 13, "l2_weights": 5, "l1_all": 19}
    assert [(row.labels, row.values["l2"]) for row in layers] == [(("w",), 5), (("b",), 12)]


def test_weight_norm_of_weights_that_are_not_finite_is_refused():
    with pytest.raises(MeasureError, match="the parameter w must be finite"):
        list(MEASURES["weight_norm"]({"w": torch.tensor([math.inf])}))


@pytest.mark.parametrize(("kind", "loss"), NETWORKS)
def test_noise_measures_on_every_network(kind, loss):
    probe = example_probe(kind, loss=loss)
    error = values(noise.perturbation_error, probe)
    moved = probe.logits("train", 0.04).double() - probe.logits("train").double()
    assert error["sum"] == pytest.approx(moved.square().sum().item(), rel=1e-12)
    assert error["mean"] == pytest.approx(error["sum"] / len(moved), rel=1e-12)
    confidence = {
        sigma: values(noise.pc, probe, sigma=sigma)["pc"] for sigma in (0.0, noise._confidence_sigma(probe))
    }
    assert values(noise.pc, probe)["pc"] == max(confidence.items())[1]
    assert values(noise.cd, probe)["cd"] == pytest.approx(abs(confidence[0.0] - max(confidence.items())[1]))


def test_noise_is_the_papers_by_kind_of_task():
    modular, images, text = example_probe("mlp"), example_probe("mlp", task="images"), example_probe("lstm")
    assert [noise._confidence_sigma(probe) for probe in (modular, images, text)] == [0.1, 0.04, 0.04]
    assert values(noise.pc, modular) == values(noise.pc, modular, sigma=0.1)
    assert values(noise.pc, images) == values(noise.pc, images, sigma=0.04)
    for probe in (modular, images):
        default = values(noise.perturbation_error, probe)
        assert default == values(noise.perturbation_error, probe, sigma=0.04)


def test_no_noise_changes_nothing(small):
    assert values(noise.perturbation_error, small, sigma=0.0)["sum"] == 0
    assert values(noise.cd, small, sigma=0.0)["cd"] == 0


def test_a_single_logit_under_mse_has_no_confidence():
    with pytest.raises(NotApplicable, match="single logit"):
        run(noise.pc, example_probe("lstm", loss="mse"))


@pytest.mark.parametrize("measure", ["pc", "cd"])
def test_another_loss_than_the_papers_has_no_confidence(measure):
    probe = example_probe("mlp")
    probe.loss_name = "stablemax_cross_entropy"
    with pytest.raises(NotApplicable, match="this run's loss is stablemax_cross_entropy"):
        run(MEASURES[measure], probe)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_sharpness_of_an_mlp_is_exact_and_the_estimate_agrees(loss):
    probe = example_probe("mlp", loss=loss, task="images")
    exact = values(curvature.sharpness, probe)
    assert exact["method"] == "exact"
    assert exact["stderr"] == 0
    estimate = values(curvature.sharpness, probe, method="estimate", accuracy=0.05)
    assert estimate["method"].startswith("estimate")
    assert 0 < estimate["stderr"] <= 0.05 * estimate["trace"]
    assert estimate["trace"] == pytest.approx(exact["trace"], abs=4 * estimate["stderr"])


def test_sharpness_of_a_modular_mlp_can_be_estimated_too():
    """Its own forward pass picks embedding rows, which cannot be differentiated twice."""
    probe = example_probe("mlp")
    estimate = values(curvature.sharpness, probe, method="estimate", accuracy=0.1)
    exact = values(curvature.sharpness, probe)["trace"]
    assert estimate["trace"] == pytest.approx(exact, abs=4 * estimate["stderr"] + 1e-4 * exact)


def test_sharpness_says_when_the_accuracy_was_not_reached():
    probe = probe_of(TanhMLP(inputs=4, hidden=[6], outputs=3), torch.rand(40, 4), torch.arange(40) % 3)
    words = values(curvature.sharpness, probe, accuracy=0.001, max_probes=16)["method"]
    assert words == "estimate: 60 gradients, 16 Hessian products; accuracy not reached"


class TanhMLP(MLP):
    """Calls itself `mlp` and is none of ReLU."""

    def trace(self, encoded):
        hidden = self.layers[0](encoded).tanh()
        return {"first": hidden, "layers.0_post": hidden, "logits": self.layers[1](hidden)}


def test_an_mlp_that_is_not_relu_is_not_taken_for_one():
    probe = probe_of(TanhMLP(inputs=4, hidden=[6], outputs=3), torch.rand(40, 4), torch.arange(40) % 3)
    assert values(curvature.sharpness, probe, accuracy=0.1)["method"].startswith("estimate")
    with pytest.raises(NotApplicable, match="ReLU"):
        run(curvature.input_gradient, probe)


@pytest.mark.parametrize("task", ["modadd", "images"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_lemma_holds_and_its_quantities_are_what_they_say(task, loss):
    probe = example_probe("mlp", loss=loss, task=task)
    row = values(curvature.input_gradient, probe)
    layers = [(layer.weight, layer.bias) for layer in probe.model.layers]
    norms = gauss_newton.jacobian_norms(layers, probe.encoded("train"))
    weight = sum(tensor.double().square().sum().item() for tensor in probe.weights.values())
    smallest = probe.encoded("train").double().square().sum(dim=1).min().item()
    assert row["lhs"] == pytest.approx(norms.inputs, rel=1e-12)
    assert row["rhs"] == pytest.approx(weight * norms.parameters / smallest, rel=1e-12)
    assert row["slack"] == row["rhs"] - row["lhs"] > 0


def test_lemma_by_hand():
    """f = v relu(w x + b) at x = 1 with w = 3, b = 0, v = 1: grad_x = 3, grad_W = (1, 1, 3), ||W||^2 = 10."""
    model = MLP(inputs=1, hidden=[1], outputs=1, last_bias=False)
    with torch.no_grad():
        for tensor, value in zip(model.parameters(), (3.0, 0.0, 1.0), strict=True):
            tensor.fill_(value)
    row = values(curvature.input_gradient, probe_of(model, torch.ones(4, 1), torch.ones(4).long()))
    assert row["lhs"] == pytest.approx(9, rel=1e-12)
    assert row["rhs"] == pytest.approx(10 * (1 + 1 + 9), rel=1e-12)


def test_interpolation_is_said(small):
    away = values(curvature.input_gradient, small)
    assert (away["interpolates"], away["note"]) == (0, "not an interpolation solution")
    wide = values(curvature.input_gradient, small, tolerance=away["residual"])
    assert (wide["interpolates"], wide["note"]) == (1, "interpolation solution")


def test_an_input_of_zeros_leaves_no_bound(small):
    inputs = small.task.inputs.clone()
    inputs[0] = 0
    probe = probe_of(small.model, inputs, small.task.labels)
    row = values(curvature.input_gradient, probe)
    assert math.isnan(row["rhs"])
    assert math.isnan(row["slack"])
    assert row["lhs"] > 0
    assert values(curvature.predicted_accuracy, probe)["epsilon"] == 0


def test_predicted_accuracy_by_hand(small):
    row = values(curvature.predicted_accuracy, small, lipschitz=2.0)
    bound = values(curvature.input_gradient, small)["rhs"]
    assert row["epsilon"] == pytest.approx(1 / (2 * (math.sqrt(20 * bound) + 2)), rel=1e-12)
    distances = functional.nearest_same_label(
        *(tensor for split in ("train", "test") for tensor in small.task.examples(split))
    )
    assert row["neighbour_bound"] == (distances <= row["epsilon"]).double().mean().item()
    assert row["corollary"] == 0


def by_definition(probe, norm, lipschitz=0.5):
    """Theorem A.1 and Corollary A.2 written out: a sum over single gradients, all pairs of points."""
    train, labels = probe.task.examples("train")
    test, wanted = probe.task.examples("test")
    weights = list(probe.model.parameters())
    trace = 0.0
    for x in train:
        for logit in probe.model(x[None])[0]:
            trace += sum(
                g.double().square().sum().item()
                for g in torch.autograd.grad(logit, weights, retain_graph=True)
            )
    trace /= len(train)
    smallest = min(x.double().square().sum().item() for x in train)
    epsilon = min(1.0, 1 / (2 * (math.sqrt(len(train) / smallest * norm**2 * trace) + lipschitz)))
    near = [
        any(
            y == label and (x.double() - other.double()).norm() <= epsilon
            for other, y in zip(train, labels, strict=True)
        )
        for x, label in zip(test, wanted, strict=True)
    ]
    return epsilon, sum(near) / len(near)


@pytest.mark.parametrize("scale", [1e-3, 0.05, 0.3, 1.0])
def test_the_radii_are_those_of_the_theorem_and_of_corollary_a2(small, scale):
    """From weights so small that every test point is promised to ones that promise none."""
    with torch.no_grad():
        for weight in small.model.parameters():
            weight.mul_(scale)
    row = values(curvature.predicted_accuracy, small)
    flat = torch.cat([weight.detach().double().flatten() for weight in small.model.parameters()])
    for suffix, norm in (("", flat.square().sum().sqrt()), ("_l1", flat.abs().sum())):
        epsilon, near = by_definition(small, norm.item())
        assert row[f"epsilon{suffix}"] == pytest.approx(epsilon, rel=1e-6)
        assert row[f"neighbour_bound{suffix}"] == near
    assert row["epsilon_l1"] <= row["epsilon"]


def test_test_points_that_were_trained_on_are_promised(small):
    inputs = torch.cat([small.task.inputs[:20], small.task.inputs[:10], small.task.inputs[20:30] + 3])
    labels = torch.cat([small.task.labels[:20], small.task.labels[:10], small.task.labels[20:30]])
    assert (
        values(curvature.predicted_accuracy, probe_of(small.model, inputs, labels))["neighbour_bound"] == 0.5
    )


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_without_one_first_matrix_only_the_corollary_is_given(kind):
    probe = example_probe(kind)
    probe.step = 7000
    row = values(curvature.predicted_accuracy, probe)
    assert set(row) == {"corollary", "note"}
    assert row["corollary"] == functional.predicted_curve(7000)
    assert kind in row["note"]
    with pytest.raises(NotApplicable, match=kind):
        run(curvature.input_gradient, probe)


def test_weights_that_are_not_finite_are_said(small):
    with torch.no_grad():
        small.model.layers[0].weight.fill_(math.nan)
    for name in ("perturbation_error", "pc", "cd", "sharpness", "input_gradient", "predicted_accuracy"):
        fresh = probe_of(small.model, small.task.inputs, small.task.labels)
        with pytest.raises(MeasureError, match="must be finite"):
            run(MEASURES[name], fresh)


def test_an_empty_split_is_said(small):
    small.task = replace(small.task, test=torch.arange(0))
    with pytest.raises(NotApplicable, match="test split is empty"):
        run(noise.pc, small, split="test")
    with pytest.raises(NotApplicable, match="test split is empty"):
        run(curvature.predicted_accuracy, small)


FULL_SIZE = """
import resource, torch
from grokscope.models.mlp import MLP
from grokscope.probe import NoiseSource, Probe
from grokscope.tasks.task import Task
from grokscope_robustness import curvature
torch.manual_seed(0)
torch.set_num_threads(1)
model = MLP(inputs=784, hidden=[200, 200], outputs=10)
n = torch.arange(70_000)
task = Task("mnist", "images", torch.rand(70_000, 784), n % 10, 10, n[:60_000], n[60_000:])
weights = dict(model.named_parameters())
noise = NoiseSource("test")
probe = Probe(step=0, task=task, model=model, weights=weights, loss_name="mse", noise=noise)
print(curvature.predicted_accuracy(probe))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_sixty_thousand_by_ten_thousand_images_need_less_than_a_gigabyte():
    """The whole process, with torch, the images and the split's copy of them."""
    done = subprocess.run([sys.executable, "-c", FULL_SIZE], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 1e9
