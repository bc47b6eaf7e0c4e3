"""`weights` are the parameters, each once: whoever wrote the checkpoint, and whatever else is in it."""

import math
import re
import types

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn
from torch.nn import functional as F

from grokscope import (
    Network,
    Run,
    UsageError,
    analyze,
    hookimpl,
    import_checkpoints,
    load_plugins,
    model,
    train,
)
from grokscope.declare import Factory
from grokscope.run.kinds import kinds_of

P, WIDTH = 7, 6
SETTINGS = {"task.p": P}


class Everything(Network):
    """Tokens through an embedding, batch norm and a readout that is the embedding again; a causal mask."""

    kind = "everything"
    hidden = ("fc_post",)
    outputs = P

    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(P, WIDTH)
        self.fc = nn.Linear(2 * WIDTH, WIDTH)
        self.bn = nn.BatchNorm1d(WIDTH)
        self.head = nn.Linear(WIDTH, P, bias=False)
        self.head.weight = self.tok.weight
        self.register_buffer("mask", torch.ones(40, 40).tril())

    def encode(self, inputs):
        return self.tok(inputs)

    def trace(self, encoded):
        pre = self.bn(self.fc(encoded.flatten(1)))
        return {
            "first": encoded.flatten(1),
            "fc_pre": pre,
            "fc_post": F.relu(pre),
            "logits": self.head(F.relu(pre)),
        }


@model
def everything(task):
    """A network with all that is saved beside parameters."""
    return Everything()


PLUGIN = types.ModuleType("everything_plugin")
PLUGIN.grokscope_models = hookimpl(lambda: [everything])
PLUGIN.grokscope_models.__name__ = "grokscope_models"
PLUGINS = load_plugins(extra=[PLUGIN])
MEASURES = [entry.measure for entry in PLUGINS.registered if "weights" in entry.measure.inputs]


def state_at(step):
    """A state dict as a training loop would have it: the counter is the step, the weights shrink."""
    torch.manual_seed(0)
    network = Everything()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 - step / 20000)
    network.bn.num_batches_tracked.fill_(step)
    network.bn.running_mean.fill_(float(step))
    return network.state_dict()


def parameters_at(step):
    network = Everything()
    network.load_state_dict(state_at(step))
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def bring(tmp_path, pattern, **options):
    return import_checkpoints(
        tmp_path / "run",
        str(tmp_path / pattern),
        task="modadd",
        model="everything",
        settings=SETTINGS,
        step_from=r"(\d+)",
        tasks=PLUGINS.tasks,
        models=PLUGINS.models,
        notify=lambda sentence: None,
        **options,
    )


@pytest.fixture(params=["pt", "safetensors", "tied once", "linked", "of before"])
def run(request, tmp_path):
    """The same checkpoints, as each way of writing keeps them."""
    for step in (0, 5000, 10000):
        state = state_at(step)
        if request.param == "pt":
            torch.save(state, tmp_path / f"{step}.pt")
        elif request.param in ("tied once", "linked"):
            network = Everything()
            network.load_state_dict(state)
            save_model(network, str(tmp_path / f"{step}.safetensors"))
        else:
            copies = {name: value.clone() for name, value in state.items()}
            save_file(copies, tmp_path / f"{step}.safetensors")
    made = bring(tmp_path, "*.*", link=request.param == "linked")
    if request.param == "of before":
        for step in made.steps:
            made.save_checkpoint(step, state_at(step), {})
    return Run.open(made.path)


def test_there_are_nine_of_them_and_the_norm():
    assert {measure.name for measure in MEASURES} == {
        *("weight_norm", "weight_distance", "weight_entropy", "effective_rank", "stable_rank"),
        *("participation_ratio", "condition_number", "gini", "hoyer", "heavy_tail"),
    }


def test_every_measure_of_weights_sees_the_parameters(run):
    results = analyze(run, [measure.name for measure in MEASURES], plugins=PLUGINS)
    assert (results.failures, results.damaged) == ((), ())
    layers = {name.partition(":")[2] for name in results.columns if ":" in name}
    assert layers == set(parameters_at(0))
    first = parameters_at(0)
    for place, step in enumerate(results.steps):
        squares = [w.double().square().sum().item() for w in parameters_at(step).values()]
        assert results.columns["weight_norm.l2_all"][place] == pytest.approx(math.sqrt(sum(squares)))
        matrices = [w.double().abs() for w in parameters_at(step).values() if w.ndim > 1]
        entropy = sum(torch.special.entr(w).sum().item() for w in matrices)
        assert results.columns["weight_entropy.total"][place] == pytest.approx(entropy)
        moved = [(w.double() - first[name].double()).norm().item() for name, w in parameters_at(step).items()]
        assert results.columns["weight_distance.l2"][place] == pytest.approx(math.hypot(*moved))
    spectrum = torch.linalg.svdvals(parameters_at(0)["fc.weight"].double())
    shares = spectrum / spectrum.sum()
    rank = torch.special.entr(shares).sum().exp().item()
    assert results.columns["effective_rank.effective_rank:fc.weight"][0] == pytest.approx(rank)


def test_a_trained_run_says_it_and_needs_no_network(tmp_path, monkeypatch):
    steps = {"training.steps": 4, "training.checkpoint_every": "2", "model": "everything"}
    known = {"tasks": PLUGINS.tasks, "models": PLUGINS.models}
    run = train("modadd", settings={**SETTINGS, **steps}, out=tmp_path / "run", **known)
    kinds = run.load_checkpoint(4).kinds
    assert set(kinds.parameters) == set(parameters_at(0))
    assert kinds.ties == {"head.weight": "tok.weight"}
    assert "mask" in kinds.buffers
    assert run.weights(4)["bn.num_batches_tracked"] == 4
    monkeypatch.setattr(Factory, "build", lambda *given, **settings: pytest.fail("a network was built"))
    results = analyze(run, "weight_norm,gini", plugins=PLUGINS)
    assert not results.failures


def test_training_goes_on_over_ties_and_buffers(tmp_path):
    steps = {"training.steps": 6, "training.checkpoint_every": "2", "model": "everything"}
    known = {"tasks": PLUGINS.tasks, "models": PLUGINS.models, "notify": pytest.fail}
    whole = train("modadd", settings={**SETTINGS, **steps}, out=tmp_path / "whole", **known)
    calls = iter([False] * 4 + [True] * 9)
    parted = {"settings": {**SETTINGS, **steps}, "out": tmp_path / "parted", **known}
    train("modadd", stop=lambda: next(calls), **parted)
    again = train("modadd", **parted)
    assert again.steps[-1] == 6
    assert [info.sha256 for info in again.checkpoints if info.step in whole.steps] == [
        info.sha256 for info in whole.checkpoints
    ]


def test_the_network_is_built_once_for_checkpoints_that_do_not_say(run, monkeypatch):
    built, build = [], Factory.build

    def noted(self, *given, **settings):
        built.append(self.kind)
        return build(self, *given, **settings)

    monkeypatch.setattr(Factory, "build", noted)
    analyze(run, "weight_norm,gini,hoyer", plugins=PLUGINS)
    says = run.load_checkpoint(0).kinds is not None
    assert built == ([] if says else ["task", "model"])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fc.bias", torch.ones(WIDTH, dtype=torch.int32), "fc.bias must hold numbers like torch.float32"),
        ("fc.bias", torch.ones(WIDTH, dtype=torch.bool), "got torch.bool"),
        ("fc.bias", torch.ones(WIDTH, dtype=torch.complex64), "got torch.complex64"),
        ("fc.weight", torch.ones(2, 2), r"fc.weight must be \(6, 12\), got \(2, 2\)"),
        ("more", torch.ones(2), r"unknown: more \(2,\)"),
        ("head.weight", torch.ones(P, WIDTH), "head.weight and tok.weight are one parameter"),
    ],
)
def test_what_is_not_the_networks_is_refused_before_any_measure(tmp_path, name, value, words):
    torch.save(state_at(0), tmp_path / "0.pt")
    run = bring(tmp_path, "*.pt")
    run.save_checkpoint(5, {**state_at(0), name: value}, {})
    for measures in ("weight_norm", "weight_norm,weight_distance"):
        results = analyze(Run.open(run.path), measures, plugins=PLUGINS)
        (failure,) = results.failures
        assert (failure.measure, failure.step) == ("checkpoint", 5)
        assert failure.message.startswith("checkpoints/00000005.safetensors: ")
        assert re.search(words, failure.message)
    torch.save({**state_at(0), name: value}, tmp_path / "9.pt")
    with pytest.raises(UsageError, match=words):
        bring(tmp_path, "*.pt")


def test_a_checkpoint_that_says_it_is_checked_as_well(tmp_path):
    torch.save(state_at(0), tmp_path / "0.pt")
    run = bring(tmp_path, "*.pt")
    kinds = kinds_of(Everything())
    whole = {**state_at(0), "fc.bias": torch.ones(WIDTH, dtype=torch.int64)}
    run.save_checkpoint(5, whole, {}, kinds=kinds)
    run.save_checkpoint(6, {**state_at(0), "fc.bias": torch.ones(3)}, {}, kinds=kinds)
    found = analyze(run, "weight_norm", steps="5", plugins=PLUGINS).failures[0].message
    assert found.endswith("parameters must hold real floating-point numbers, got fc.bias torch.int64")
    results = analyze(run, "weight_norm,fit", steps="6", plugins=PLUGINS)
    assert [failure.measure for failure in results.failures] == ["checkpoint"]
    assert results.failures[0].message.endswith("fc.bias must be (6,), got (3,)")


def test_without_a_network_that_knows_nothing_is_guessed(run):
    if run.load_checkpoint(0).kinds:
        results = analyze(run, "weight_norm")  # by plugins that do not bring the network
        assert not results.failures
        return
    results = analyze(run, "weight_norm")
    assert {failure.step for failure in results.failures} == set(run.steps)
    assert "does not say which of its tensors are parameters" in results.failures[0].message
