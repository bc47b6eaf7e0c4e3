"""Each optimiser is torch's, on the parameters that it is for; a stopped run's is tested in test_loop."""

import pytest
import torch
from torch import optim
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.models.factories import lstm, mlp, transformer
from grokscope.models.network import Network
from grokscope.tasks import modadd
from grokscope.testing import example_task
from grokscope.training.config import resolve_config
from grokscope.training.optimizers import Optimizer
from grokscope.training.recipes import recipe_text

ADAM = {"betas": (0.8, 0.9), "eps": 1e-7}
TEXTBOOK = {
    "adamw": lambda named: [optim.AdamW(named.values(), 0.02, weight_decay=0.5, **ADAM)],
    "adam": lambda named: [optim.Adam(named.values(), 0.02, weight_decay=0.5, **ADAM)],
    "sgd": lambda named: [optim.SGD(named.values(), 0.02, momentum=0.7, weight_decay=0.5, nesterov=True)],
    "muon": lambda named: [
        optim.Muon(
            [named.pop("layers.0.weight"), named.pop("layers.1.weight")],
            lr=0.05,
            weight_decay=0.5,
            momentum=0.8,
            nesterov=False,
            ns_steps=4,
            adjust_lr_fn="match_rms_adamw",
        ),
        optim.AdamW(named.values(), 0.02, weight_decay=0.5, **ADAM),
    ],
}
SETTINGS = {
    "sgd": {"momentum": 0.7, "nesterov": True},
    "muon": {
        "muon_lr": 0.05,
        "muon_momentum": 0.8,
        "muon_nesterov": False,
        "muon_ns_steps": 4,
        "muon_adjust_lr": "match_rms_adamw",
    },
}


def network_of(task):
    torch.manual_seed(2)
    return mlp.build(task, hidden=[12, 10]).double()


@pytest.mark.parametrize("name", TEXTBOOK)
def test_training_is_torchs_own_optimiser_on_the_parameters_that_it_is_for(trainer, name):
    given = {"lr": 0.02, "weight_decay": 0.5, **SETTINGS.get(name, {}), **({} if name == "sgd" else ADAM)}
    run = trainer(
        model__hidden=[12, 10],
        model__last_bias=True,
        training__optimizer=name,
        training__seed=2,
        training__dtype="float64",
        **{f"training__{key}": value for key, value in given.items()},
    )
    task = modadd.build(p=11)
    network = network_of(task)
    optimizers = TEXTBOOK[name](dict(network.named_parameters()))
    inputs, labels = task.examples("train")
    for _ in range(30):
        network.zero_grad()
        F.cross_entropy(network(inputs), labels).backward()
        for optimizer in optimizers:
            optimizer.step()
    for key, value in network.state_dict().items():
        # Muon orthogonalises in bfloat16, where the last bit of a gradient may be seen.
        assert (run.weights(30)[key] - value).abs().max() < (1e-2 if name == "muon" else 1e-11)


def test_warm_up_scales_the_rate_of_both_parts_of_muon():
    network = network_of(modadd.build(p=11))
    settings = {"optimizer": "muon", "muon_lr": 0.4, "warmup_steps": 2}
    made = Optimizer(network, resolve_config("modadd", settings=settings)["training"])
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    network(torch.tensor([[1, 2]])).sum().backward()
    made.step(1)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    made.step(2)
    rates = [group["lr"] for part, _, _ in made._parts for group in part.param_groups]
    assert rates == [0.2, 0.015]


@pytest.mark.parametrize(
    ("network", "matrices"),
    [
        (mlp.build(modadd.build(p=5), hidden=[4]), ["layers.0.weight"]),
        (
            transformer.build(modadd.build(p=5), d_model=4, heads=2, d_head=2, d_mlp=4),
            [f"blocks.0.{name}" for name in ("attn.W_O", "mlp.W_in", "mlp.W_out")],
        ),
        (
            lstm.build(example_task("text"), d_embedding=3, d_state=4, layers=1),
            ["lstm.weight_ih_l0", "lstm.weight_hh_l0"],
        ),
    ],
    ids=["mlp", "transformer", "lstm"],
)
def test_muon_has_the_matrices_of_hidden_layers_alone(network, matrices):
    assert list(network.hidden_matrices()) == matrices


def test_muon_is_refused_where_it_has_nothing_to_do():
    class Linear(Network):
        kind, hidden = "linear", ()

        def __init__(self):
            super().__init__()
            self.only = torch.nn.Linear(3, 2)

    with pytest.raises(SettingError, match="another than muon with model linear"):
        Optimizer(Linear(), resolve_config("modadd", settings={"optimizer": "muon"})["training"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"momentum": 0.5}, "`momentum` must be given with `optimizer` sgd, got adamw"),
        (
            {"optimizer": "sgd", "muon_lr": 0.1},
            "`muon_lr` must be given with `optimizer` muon, got sgd: it has no effect otherwise",
        ),
        ({"optimizer": "sgd", "momentum": 0, "nesterov": True}, "with a `momentum` above 0, got 0.0"),
        ({"optimizer": "muon", "muon_ns_steps": 100}, "training.muon_ns_steps must be int >= 1, <= 99"),
    ],
)
def test_what_an_optimiser_does_not_have_is_refused(settings, words):
    with pytest.raises(SettingError) as caught:
        resolve_config("modadd", settings=settings)
    assert words in str(caught.value)


def test_what_is_off_and_what_holds_anyway_says_nothing_of_another_optimiser():
    plain = resolve_config("modadd")
    assert resolve_config("modadd", settings={"nesterov": False, "muon_lr": "none"}) == plain
    sgd = resolve_config("modadd", settings={"optimizer": "sgd"})
    given = {**sgd["training"], "betas": "0.9,0.98"}  # as who trains a stored configuration again
    assert resolve_config("modadd", settings={f"training.{n}": v for n, v in given.items()}) == sgd


@pytest.mark.parametrize(("recipe", "task"), [("muon", "modadd"), ("polynomial", "polynomial")])
def test_a_recipes_settings_of_its_optimiser_go_with_it(recipe, task):
    own = resolve_config(task, recipe=recipe)["training"]
    other = resolve_config(task, recipe=recipe, settings={"optimizer": "adam"})["training"]
    gone = {"muon_lr"} if recipe == "muon" else {"momentum"}
    assert other == {**{name: value for name, value in own.items() if name not in gone}, "optimizer": "adam"}


def test_a_recipe_that_does_not_take_the_optimiser_of_its_settings_is_refused(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(recipe_text("muon").replace('optimizer = "muon"', 'optimizer = "adam"'))
    with pytest.raises(SettingError, match="`muon_lr` must be given with `optimizer` muon, got adam"):
        resolve_config("modadd", recipe=str(path))
