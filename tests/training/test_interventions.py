"""Each intervention is its definition: training with it is the textbook loop with its formula written out."""

import math

import pytest
import torch
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.models.factories import lstm, mlp, transformer
from grokscope.run import Run
from grokscope.tasks import modadd
from grokscope.testing import example_task
from grokscope.training import train
from grokscope.training.interventions import (
    Abelian,
    GrokfastMA,
    OrthogonalGradient,
    Perturbed,
    scale_parameters,
    zero_last_layer,
)

LR, DECAY, STEPS = 0.02, 1.5, 30


def by_hand(task, network, *, loss, change_gradients=None, change_weights=None):
    """The textbook loop in float64, from the same initialisation as a run of seed 3."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=DECAY)
    inputs, labels = task.examples("train")
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(inputs, labels).backward()
        if change_gradients:
            change_gradients()
        optimizer.step()
        if change_weights:
            with torch.no_grad():
                change_weights()
    return network.state_dict()


def start(name="mlp", **task):
    torch.manual_seed(3)
    task = modadd.build(p=11, **task)
    if name == "mlp":
        return task, mlp.build(task, hidden=[12], last_bias=False).double()
    return task, transformer.build(task, d_model=8, heads=2, d_head=4, d_mlp=12).double()


def plain(network):
    return lambda inputs, labels: F.cross_entropy(network.trace(network.encode(inputs))["logits"], labels)


def trained(trainer, model="mlp", **settings):
    """The weights after the same number of steps of `train` with `settings`."""
    run = trainer(
        model=model,
        training__seed=3,
        training__lr=LR,
        training__weight_decay=DECAY,
        training__dtype="float64",
        training__warmup_steps=0,
        **{f"training__{name}": value for name, value in settings.items()},
    )
    return run.weights(STEPS)


def assert_same(weights, expected, tolerance=1e-11):
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        assert (value - expected[name]).abs().max() < tolerance, name


@pytest.mark.parametrize("model", ["mlp", "transformer"])
def test_perturbed_training_is_the_loss_of_noised_inputs(trainer, model):
    task, network = start(model)

    def loss(inputs, labels):
        right = network.trace(network.encode(inputs))["logits"].argmax(1) == labels
        sigma = max(0.9 * (1 - right.double().mean().item()), 0.2)
        encoded = network.encode(inputs)
        noised = encoded + sigma * torch.randn(encoded.shape, dtype=torch.float64)
        return F.cross_entropy(network.trace(noised)["logits"], labels)

    assert_same(trained(trainer, model, perturb="0.9,0.2"), by_hand(task, network, loss=loss))


def test_sigma_follows_train_accuracy_down_to_its_floor():
    task, network = start()
    inputs, _ = task.examples("train")
    inputs = inputs[:40]
    answers = network(inputs).argmax(dim=1)
    perturbed = Perturbed(network, 0.5, 0.2)
    for right, sigma in [(0, 0.5), (10, 0.375), (24, 0.2), (40, 0.2)]:
        labels = torch.cat([answers[:right], (answers[right:] + 1) % 11])
        assert perturbed.sigma(inputs, labels) == pytest.approx(sigma, abs=1e-12)
    assert network.training


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_abelian_training_adds_the_distance_of_mirror_images(trainer, reduction):
    task, network = start()

    def loss(inputs, labels):
        of = lambda pairs: network.trace(network.encode(pairs))["logits"]  # noqa: E731
        there, back = of(inputs), of(inputs[:, [1, 0]])
        squares = [getattr((x - y).pow(2), reduction)() for x, y in zip(there, back, strict=True)]
        return F.cross_entropy(there, labels) + 7.0 * sum(squares) / len(inputs)

    run = trained(trainer, abelian=7, abelian_reduction=reduction)
    assert_same(run, by_hand(task, network, loss=loss))


def test_the_abelian_term_is_a_mean_over_pairs_and_over_logits_or_their_sum():
    task, network = start()
    inputs, _ = task.examples("train")
    logits = network(inputs)
    swapped = network(inputs.flip(1))
    mean, total = (
        Abelian(task, 100, how).loss(torch.zeros(()), logits, network, inputs).item()
        for how in ("mean", "sum")
    )
    assert mean == pytest.approx(100 * F.mse_loss(logits, swapped).item())
    assert total == pytest.approx(100 * (logits - swapped).square().sum().item() / len(inputs))
    assert total == pytest.approx(mean * task.classes)


def test_a_task_that_is_not_symmetric_refuses_abelian_training(tmp_path):
    for operation in ("subtract", "random"):
        with pytest.raises(SettingError, match=r"training\.abelian must be left out.*is not symmetric"):
            train(
                "modadd",
                settings={"task.p": 11, "task.operation": operation, "training.abelian": 100},
                out=tmp_path / "run",
            )
    assert list(tmp_path.iterdir()) == []


def test_anti_norm_subtracts_the_squared_norm_from_the_loss(trainer):
    task, network = start()

    def loss(inputs, labels):
        weights = torch.cat([weight.reshape(-1) for weight in network.parameters()])
        return plain(network)(inputs, labels) - 1e-3 * (weights @ weights)

    assert_same(trained(trainer, anti_norm=1e-3), by_hand(task, network, loss=loss))


def test_stablemax_trains_by_its_formula(trainer):
    task, network = start()

    def loss(inputs, labels):
        z = network.trace(network.encode(inputs))["logits"]
        s = torch.where(z < 0, 1 / (1 - z), z + 1)
        share = s[torch.arange(len(labels)), labels] / s.sum(dim=1)
        return -share.log().mean()

    assert_same(trained(trainer, loss="stablemax_cross_entropy"), by_hand(task, network, loss=loss))


def test_dropout_drops_hidden_activations_and_scales_the_rest(trainer):
    task, network = start()

    def loss(inputs, labels):
        first, last = network.layers
        post = F.relu(first(network.encode(inputs)))
        return F.cross_entropy(last(F.dropout(post, 0.3)), labels)

    assert_same(trained(trainer, dropout=0.3), by_hand(task, network, loss=loss))


def test_dropout_of_some_units_drops_them_alone_and_scales_the_rest_of_them(trainer):
    task, network = start()
    units, share = [0, 3, 4], 0.3

    def loss(inputs, labels):
        first, last = network.layers
        post = F.relu(first(network.encode(inputs)))
        parts = list(post.unbind(1))
        dropped = F.dropout(post[:, units], share)
        for place, unit in enumerate(units):
            parts[unit] = dropped[:, place]
        return F.cross_entropy(last(torch.stack(parts, dim=1)), labels)

    found = trained(trainer, dropped_units=units, synergistic_dropout_share=share)
    assert_same(found, by_hand(task, network, loss=loss))


def test_losses_and_accuracies_of_a_run_with_dropout_are_those_without(trainer):
    run = trainer(training__dropout=0.5, training__dtype="float64")
    task, network = start()
    info = run.checkpoints[-1]
    network.load_state_dict(run.weights(info.step))
    for split in ("train", "test"):
        inputs, labels = task.examples(split)
        assert getattr(info, f"{split}_loss") == pytest.approx(
            plain(network)(inputs, labels).item(), rel=1e-12
        )


@pytest.mark.parametrize("which", ["all", "weights"])
def test_constrained_norm_is_the_same_after_each_step(trainer, which):
    task, network = start()
    kept = [w for w in network.parameters() if which == "all" or w.ndim == 2]
    norm = lambda: math.sqrt(sum(w.detach().pow(2).sum().item() for w in kept))  # noqa: E731
    first = norm()

    def rescale():
        factor = first / norm()
        for weight in kept:
            weight.mul_(factor)

    expected = by_hand(task, network, loss=plain(network), change_weights=rescale)
    assert_same(trained(trainer, constrain_norm=which, checkpoint_every="1"), expected)
    run = Run.open(trainer.folder / "run")
    for step in run.steps:
        weights = [w for w in run.weights(step).values() if which == "all" or w.ndim == 2]
        assert math.sqrt(sum(w.square().sum().item() for w in weights)) == pytest.approx(first, rel=1e-12)
    assert len(run.steps) == STEPS + 1


def test_the_norm_can_be_that_of_the_weights_as_drawn(trainer):
    """Before the last layer was set to zero, and before units were masked."""
    drawn = trainer("drawn", stop_at=0, training__init_scale=4, training__init_scale_only="weights")
    norm = math.sqrt(sum(w.square().sum().item() for w in drawn.weights(0).values() if w.ndim == 2))
    run = trainer(
        "held",
        training__init_scale=4,
        training__init_scale_only="weights",
        training__init_zero="last_layer",
        training__masked_units=[0, 3, 4, 11],
        training__constrain_norm="drawn",
        training__checkpoint_every="1",
    )
    found = [
        math.sqrt(sum(w.square().sum().item() for w in run.weights(step).values() if w.ndim == 2))
        for step in run.steps
    ]
    assert found[0] < 0.9 * norm
    assert found[1:] == pytest.approx([norm] * (len(run.steps) - 1), rel=1e-6)


def grokfast_ema(named, alpha, lamb):
    """The released filter: mu starts as the first gradient, which is then averaged with itself."""
    mu = {}

    def change():
        for name, weight in named:
            g = weight.grad.clone()
            mu[name] = mu.get(name, g) * alpha + g * (1 - alpha)
            weight.grad = g + mu[name] * lamb

    return change


def grokfast_ma(named, window, lamb):
    """The released filter: nothing until the window is full."""
    seen = {name: [] for name, _ in named}

    def change():
        for name, weight in named:
            seen[name] = [*seen[name], weight.grad.clone()][-window:]
            if len(seen[name]) == window:
                weight.grad = weight.grad + sum(seen[name]) / window * lamb

    return change


@pytest.mark.parametrize(
    ("setting", "value", "filtered"),
    [
        ("grokfast_ema", "0.9,2", lambda named: grokfast_ema(named, 0.9, 2.0)),
        ("grokfast_ma", "7,5", lambda named: grokfast_ma(named, 7, 5.0)),
        ("grokfast_ma", "100,5", lambda named: lambda: None),
    ],
)
def test_grokfast_is_its_released_filter(trainer, setting, value, filtered):
    task, network = start()
    change = filtered(list(network.named_parameters()))
    expected = by_hand(task, network, loss=plain(network), change_gradients=change)
    assert_same(trained(trainer, **{setting: value}), expected)


def test_the_grokfast_window_forgets_what_is_older():
    weight = torch.nn.Linear(1, 1, bias=False)
    grokfast = GrokfastMA(weight, 2, 10.0)
    found = []
    for gradient in (1.0, 2.0, 4.0):
        weight.weight.grad = torch.tensor([[gradient]])
        grokfast.change_gradients()
        found.append(weight.weight.grad.item())
    assert found == [1.0, 2.0 + 10 * 1.5, 4.0 + 10 * 3.0]


def along_weights_removed(network, scope):
    weights = list(network.parameters())

    def project(g, w):
        return g - (w @ g) / (w @ w) * w

    def change():
        if scope == "network":
            g, w = (torch.cat([t.detach().reshape(-1) for t in ts]) for ts in zip(*pairs(), strict=True))
            parts = project(g, w).split([weight.numel() for weight in weights])
            for weight, part in zip(weights, parts, strict=True):
                weight.grad = part.view_as(weight)
            return
        for weight in weights:
            g = weight.grad.reshape(-1)
            rest = project(g, weight.detach().reshape(-1))
            weight.grad = (rest * g.norm() / rest.norm()).view_as(weight)

    def pairs():
        return [(weight.grad, weight) for weight in weights]

    return change


@pytest.mark.parametrize("scope", ["tensor", "network"])
def test_orthogonal_gradient_is_the_projection(trainer, scope):
    task, network = start()
    change = along_weights_removed(network, scope)
    expected = by_hand(task, network, loss=plain(network), change_gradients=change)
    assert_same(trained(trainer, orthogonal_gradient=scope), expected)


@pytest.mark.parametrize("scope", ["tensor", "network"])
def test_orthogonal_gradients_are_orthogonal_and_keep_their_length_by_tensor(scope):
    task, network = start("transformer")
    plain(network)(*task.examples("train")).backward()
    before = [weight.grad.norm().item() for weight in network.parameters()]
    OrthogonalGradient(network, scope).change_gradients()
    products = [(weight * weight.grad).sum().item() for weight in network.parameters()]
    after = [weight.grad.norm().item() for weight in network.parameters()]
    total = math.fsum(products)
    assert abs(total) < 1e-14
    if scope == "tensor":
        assert max(map(abs, products)) < 1e-14
        assert after == pytest.approx(before, rel=1e-9)
    else:
        assert math.fsum(g * g for g in after) < math.fsum(g * g for g in before)


def test_a_gradient_along_the_weights_leaves_nothing_of_rounding():
    network = torch.nn.Linear(3, 1, bias=False)
    network.weight.grad = -0.7 * network.weight.detach()
    OrthogonalGradient(network, "tensor").change_gradients()
    assert not network.weight.grad.any()


def test_init_scale_can_spare_biases_and_the_last_layer_can_start_at_zero(trainer):
    one = trainer("plain", stop_at=0).weights(0)
    settings = {"training__init_scale_only": "weights", "training__init_zero": "last_layer"}
    run = trainer("scaled", stop_at=0, training__init_scale=8, **settings)
    scaled = run.weights(0)
    assert torch.equal(scaled["layers.0.weight"], 8 * one["layers.0.weight"])
    assert torch.equal(scaled["layers.0.bias"], one["layers.0.bias"])
    assert not scaled["layers.1.weight"].any()


def test_the_last_layer_is_the_one_that_makes_the_logits():
    torch.manual_seed(0)
    for kind, factory, task in (
        ("layers.1", mlp, example_task()),
        ("unembed", transformer, example_task()),
        ("head", lstm, example_task("text")),
    ):
        network = factory.build(task)
        scale_parameters(network, 2.0)
        before = {name: weight.clone() for name, weight in network.named_parameters()}
        zero_last_layer(network)
        for name, weight in network.named_parameters():
            last = name.startswith(f"{kind}.")
            assert torch.equal(weight, torch.zeros_like(weight) if last else before[name])
