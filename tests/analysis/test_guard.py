"""What measures are given cannot be changed by them: it is noticed, named, and the next gets clean inputs."""

import numpy as np
import pytest
import torch

from grokscope import analyze


def first(weights):
    return next(iter(weights.values()))


VANDALS = {
    # Counted by torch.
    "a weight": (lambda weights: first(weights).add_(1), "the weights"),
    "a row of a weight": (lambda weights: first(weights).__setitem__(0, 5.0), "the weights"),
    "out= a weight": (lambda weights: torch.neg(first(weights), out=first(weights)), "the weights"),
    "a weight in inference mode": (
        lambda weights: torch.inference_mode()(first(weights).mul_)(2),
        "the weights",
    ),
    "logits": (lambda probe: probe.logits("train").zero_(), "activations and logits of train"),
    "one activation": (
        lambda probe: probe.activations("test")["layers.0_post"].view(-1).__setitem__(3, 1e9),
        "activations and logits of test",
    ),
    "noised inputs": (
        lambda probe: probe.encoded("train", 0.4).mul_(2),
        "encoded inputs of train at sigma 0.4",
    ),
    "labels": (lambda probe: probe.labels("all").fill_(0), "the task"),
    "a shared value": (
        lambda probe: probe.shared(("mine", 1), lambda: {"kept": torch.zeros(3)})["kept"].add_(1),
        "the shared value ('mine', 1)",
    ),
    "the baseline": (lambda baseline: baseline.logits("train").zero_(), "of the baseline, the activations"),
    # Past the counters.
    "numpy": (lambda probe: probe.logits("train").numpy().__setitem__((0, 0), 7), "logits of train"),
    "numpy of a view": (
        lambda probe: np.random.default_rng(0).shuffle(probe.labels("all")[3:].numpy()),
        "the task",
    ),
    "asarray of a weight": (lambda weights: np.asarray(first(weights)).__imul__(2), "the weights"),
    "dlpack": (
        lambda probe: np.asarray(torch.from_dlpack(probe.logits("train"))).fill(1),
        "logits of train",
    ),
    "data of a weight": (lambda weights: first(weights).data.zero_(), "the weights"),
    "data of logits": (lambda probe: probe.logits("train").data.zero_(), "logits of train"),
    "storage": (lambda probe: probe.logits("train").untyped_storage().fill_(0), "logits of train"),
    "a shared array": (
        lambda probe: probe.shared(("mine", 2), lambda: np.zeros(3)).__setitem__(0, 1),
        "the shared value ('mine', 2)",
    ),
    # The network.
    "parameters": (
        lambda probe: [parameter.data.mul_(2) for parameter in probe.model.parameters()],
        "the network's weights",
    ),
    "parameters' memory": (
        lambda probe: next(probe.model.parameters()).detach().numpy().fill(0),
        "the network's weights",
    ),
    "a training mode": (lambda probe: probe.model.train(), "the network (its mode"),
    "a hook": (lambda probe: probe.model.register_forward_hook(lambda *_: None), "the network (its mode"),
    "a gradient": (
        lambda probe: probe.model(probe.inputs("train")).sum().backward(),
        "the network (its mode",
    ),
    "a function": (lambda probe: setattr(probe.model, "trace", lambda encoded: {}), "the network (its mode"),
    "a list of layers": (lambda probe: setattr(probe.model, "hidden", ()), "the network (its mode"),
    # What holds all this.
    "a step": (lambda probe: setattr(probe, "step", -1), "the probe itself"),
    "a method": (lambda probe: setattr(probe, "loss", lambda split: 0.0), "the probe itself"),
    "the probe's weights": (lambda probe: probe.weights.clear(), "the probe itself"),
    "a field of the task": (
        lambda probe: object.__setattr__(probe.task, "labels", torch.zeros(169, dtype=torch.long)),
        "the task",
    ),
}


def vandal_of(act):
    """A measure that does `act` with the input that it names."""

    def on_weights(weights):
        """Change what it is given."""
        act(weights)
        return {"value": 1.0}

    def on_probe(probe):
        """Change what it is given."""
        act(probe)
        return {"value": 1.0}

    def on_baseline(probe, baseline):
        """Change what it is given."""
        act(baseline)
        return {"value": 1.0}

    return {"weights": on_weights, "probe": on_probe, "baseline": on_baseline}[act.__code__.co_varnames[0]]


def witness(probe, baseline):
    """Add up everything that it is given."""
    parts = [
        *probe.weights.values(),
        probe.logits("train"),
        probe.logits("test"),
        probe.encoded("train", 0.4),
        baseline.logits("train"),
        probe.labels("all").double(),
    ]
    assert not probe.model.training
    assert all(parameter.grad is None for parameter in probe.model.parameters())
    return {"value": sum(float(part.double().abs().sum()) for part in parts) + probe.loss("train")}


@pytest.mark.parametrize("kind", VANDALS)
def test_who_changes_what_others_are_given_fails_and_harms_nobody(kind, run_path, plugin_of):
    act, words = VANDALS[kind]
    vandal = vandal_of(act)
    alone = analyze(run_path, "witness,fit", steps="0,60", plugins=plugin_of(witness), refresh=True)
    plugins = plugin_of(vandal, witness)
    names = f"witness,fit,{vandal.__name__}"
    # Before the others, and after them, when everything that they share is there.
    for order in (names, ",".join(reversed(names.split(",")))):
        found = analyze(run_path, order, steps="0,60", plugins=plugins, refresh=True)
        assert {failure.measure for failure in found.failures} == {vandal.__name__}
        assert len(found.failures) == 2
        assert words in str(found.failures[-1])  # at step 60, whose baseline is another checkpoint
        assert "plugin mine" in str(found.failures[0])
        assert {name: found.columns[name] for name in alone.measured} == {
            name: alone.columns[name] for name in alone.measured
        }


def test_fused_optimisers_are_noticed_though_torch_does_not_count_what_they_write(run_path, plugin_of):
    def trains(probe):
        """Take a step and tidy up."""
        optimizer = torch.optim.AdamW(probe.model.parameters(), lr=0.1, fused=True)
        probe.model(probe.inputs("train")).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        return {"value": 1.0}

    (found,) = analyze(run_path, "trains", steps="60", plugins=plugin_of(trains)).failures
    assert "the network's weights" in str(found)


def test_one_that_raises_after_it_has_written_is_named_for_both(run_path, plugin_of):
    def both(probe):
        """Write and raise."""
        probe.logits("train").zero_()
        raise ValueError("no luck")

    (found,) = analyze(run_path, "both", steps="60", plugins=plugin_of(both)).failures
    assert "ValueError: no luck; it changed the activations and logits of train" in str(found)


def test_reading_in_every_way_is_allowed_and_so_is_putting_the_network_back(run_path, plugin_of):
    import copy

    def reads(probe, baseline, weights):
        """Look at everything."""
        twin = copy.deepcopy(probe.model)
        twin.train()
        twin(probe.inputs("train")).sum().backward()
        for parameter in twin.parameters():
            parameter.data.add_(1)
        with torch.no_grad():
            for parameter in probe.model.parameters():
                kept = parameter.clone()
                parameter.mul_(3)
                parameter.copy_(kept)
        total = sum(np.asarray(weight).sum() for weight in weights.values())
        activations = probe.activations("train")["layers.0_post"].numpy().copy()
        activations -= activations.mean()
        weights.clear()
        probe.own_note = 1
        return {"value": total + activations.sum() + baseline.logits("all").data.sum()}

    assert not analyze(run_path, "reads", plugins=plugin_of(reads)).failures


def test_torch_is_as_it_was_afterwards(run_path):
    before = {
        name: vars(torch.Tensor).get(name) for name in ("numpy", "data", "untyped_storage", "__dlpack__")
    }
    analyze(run_path, "fit", steps="60", refresh=True)
    assert {name: vars(torch.Tensor).get(name) for name in before} == before
