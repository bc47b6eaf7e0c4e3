"""The type in which the loss is taken: float64 keeps what float32 loses of a small loss."""

import pytest
import torch
from torch.nn import functional as F

from grokscope import analyze
from grokscope.models.factories import mlp
from grokscope.run import Run
from grokscope.tasks import modadd
from grokscope.training.config import resolve_config
from grokscope.training.moments import Interventions
from grokscope.training.recipes import load_recipes

LR, DECAY, STEPS = 0.01, 2.0, 30


def plain_loop(loss_of_logits):
    """The weights of the plain loop in float32, fused AdamW, from the initialisation of a run of seed 0."""
    torch.manual_seed(0)
    task = modadd.build(p=11)
    network = mlp.build(task, hidden=[12])
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=DECAY, fused=True
    )
    inputs, labels = task.examples("train")
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of_logits(network(inputs), labels).backward()
        optimizer.step()
    return network.state_dict()


def trained(trainer, name="run", **settings):
    return trainer(name, model__last_bias=True, model__hidden_bias=True, **settings)


@pytest.mark.parametrize(
    ("settings", "loss"),
    [
        ({}, F.cross_entropy),
        ({"training__loss_dtype": "float32"}, F.cross_entropy),
        (
            {"training__loss_dtype": "float64"},
            lambda logits, labels: F.cross_entropy(logits.double(), labels),
        ),
        (
            {"training__loss_dtype": "float64", "training__loss": "mse"},
            lambda logits, labels: F.mse_loss(logits.double(), F.one_hot(labels, 11).double()),
        ),
    ],
    ids=["by default", "float32", "float64", "float64, mse"],
)
def test_training_is_the_plain_loop_with_the_loss_in_that_type_to_the_bit(trainer, settings, loss):
    weights = trained(trainer, **settings).weights(STEPS)
    assert all(value.dtype == torch.float32 for value in weights.values())
    expected = plain_loop(loss)
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())


def test_a_wider_network_stays_as_wide(trainer):
    plain, told = (
        trained(trainer, name, training__dtype="float64", **beside).weights(STEPS)
        for name, beside in (("plain", {}), ("told", {"training__loss_dtype": "float64"}))
    )
    assert all(torch.equal(value, told[name]) for name, value in plain.items())


def test_it_is_recorded_and_its_default_is_not(trainer):
    """Runs of before have no such word: they keep their configuration, and so their names."""
    wide = trained(trainer, "wide", training__loss_dtype="float64")
    assert Run.open(wide.path).config["training"]["loss_dtype"] == "float64"
    assert 'loss_dtype = "float64"' in (wide.path / "run.toml").read_text()
    told = trained(trainer, "told", training__loss_dtype="float32")
    assert (told.path / "run.toml").read_text().find("loss_dtype") == -1
    assert "loss_dtype" not in resolve_config("modadd")["training"]


@pytest.mark.parametrize("loss_dtype", ["float32", "float64"])
def test_recorded_losses_are_those_that_fit_measures(trainer, loss_dtype):
    """Evaluation takes logits of either kind of run in float64, and so does `fit`."""
    run = trained(trainer, training__loss_dtype=loss_dtype)
    results = analyze(run, "fit")
    for split in ("train", "test"):
        recorded = [getattr(info, f"{split}_loss") for info in run.checkpoints]
        assert results.columns[f"fit.{split}_loss"] == pytest.approx(recorded, rel=1e-12)


def gradient(loss_dtype, logits, labels):
    """The loss's gradient by the logits, as training takes it."""
    logits = logits.clone().requires_grad_()
    Interventions(torch.nn.Identity(), "cross_entropy", (), loss_dtype).objective(logits, labels).backward()
    return logits.grad


def test_a_small_loss_keeps_its_gradient_in_float64_and_in_float32_pushes_the_mean_logit():
    """softmax - onehot sums to zero; in float32 1 - 1e-8 is 1, and what is left draws all logits down."""
    logits, labels = torch.zeros(1, 113), torch.tensor([7])
    logits[0, 7] = 24.0
    single, double = (gradient(dtype, logits, labels) for dtype in (torch.float32, torch.float64))
    assert single[0, 7] == 0
    assert single.sum() == pytest.approx(112 * torch.tensor(-24.0).exp().item(), rel=1e-5)
    assert double[0, 7] == pytest.approx(-112 * torch.tensor(-24.0).exp().item(), rel=1e-5)
    assert abs(double.sum().item()) < 1e-6 * abs(double[0, 7].item())
    assert double.dtype == torch.float32


def test_nandas_recipes_take_the_loss_in_float64_and_one_says_what_float32_does():
    types = {
        name: resolve_config(recipe.task, recipe=name)["training"].get("loss_dtype", "float32")
        for name, recipe in load_recipes().items()
        if name.startswith("nanda")
    }
    assert types.pop("nanda-float32") == "float32"
    assert set(types.values()) == {"float64"}
    nanda, single = (
        {**resolve_config("modadd", recipe=name)["training"], "loss_dtype": None}
        for name in ("nanda", "nanda-float32")
    )
    assert nanda == single
    assert "Prieto" in load_recipes()["nanda-float32"].source
