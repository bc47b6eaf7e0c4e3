"""Every measure on every kind of network: a number, which brute force confirms, or a sentence why not."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from grokscope import load_plugins
from grokscope.declare import canonical_json, resolve
from grokscope.errors import MeasureError, NotApplicable
from grokscope.measure import call_measure
from grokscope.models.network import Network
from grokscope.models.plain import Plain
from grokscope.models.watching import plain_arithmetic
from grokscope.objective import Objective
from grokscope.probe import generator_for
from grokscope.tasks.task import IGNORED
from grokscope.testing import probe_of

PLUGINS = load_plugins()
QUICK = {
    "batch_size": 8,
    "max_probes": 16,
    "accuracy": 1,
    "draws": 8,
    "burn_in": 1,
    "chains": 2,
    "samples": 4,
    "repeats": 2,
    "per_matrix": False,
    "directions": 3,
    "steps": 3,
    "starts": 2,
    "pairs": 2,
}
CHAIN = {"local_complexity", "effective_sparsity", "input_gradient"}
PAIRS = {"abelian", "fourier", "embedding_ipr"}
ATTENTION = {"attention_entropy"}
CLASSES = {
    *("circuit_complexity", "linear_probe", "neural_collapse", "pc", "cd", "pmi_label", "softmax_collapse"),
    "predicted_accuracy",
    "margin",
    "dropout_robustness",
}
REFUSED = {
    "cnn": CHAIN | PAIRS | ATTENTION,
    "residual": CHAIN | PAIRS | ATTENTION,
    "mlp": CHAIN | PAIRS | ATTENTION,
    "gpt": CHAIN | PAIRS,
    "lstm": CHAIN | PAIRS | CLASSES | ATTENTION,
    "mixer": CHAIN | PAIRS | ATTENTION,
    "chain": PAIRS | ATTENTION,
    "one block, rms": CHAIN,
    "two blocks, layer, tied": CHAIN,
    "built cnn": CHAIN | PAIRS | ATTENTION,
    "committee": CHAIN | PAIRS | CLASSES | ATTENTION | {"pe", "mid", "ed", "pmi"},
}


def rows(name, probe, **given):
    registered = next(each for each in PLUGINS.registered if each.measure.name == name)
    declared = registered.measure.parameters
    parameters = resolve(declared, {**{k: v for k, v in QUICK.items() if k in declared}, **given}, name)
    return call_measure(
        registered.measure,
        parameters,
        weights=lambda: probe.weights,
        probe=lambda: probe,
        baseline=lambda: probe,
        rng=lambda: generator_for("measure", registered.id, canonical_json(parameters)),
    )


def refusals(probe) -> dict[str, str]:
    """Ask every measure: by name the sentences of those that do not apply; all others give numbers."""
    refused = {}
    for registered in PLUGINS.registered:
        try:
            found = rows(registered.measure.name, probe)
        except (NotApplicable, MeasureError) as reason:
            refused[registered.measure.name] = str(reason)
            continue
        numbers = [value for row in found for value in row.values.values() if not isinstance(value, str)]
        assert any(map(math.isfinite, numbers)), registered.id
    assert all(len(reason) > 20 for reason in refused.values())
    return refused


@pytest.mark.parametrize("name", REFUSED)
def test_each_measure_gives_numbers_or_says_why_not(own, built, name):
    assert set(refusals({**own, **built}[name].probe())) == REFUSED[name]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gpt2", "gpt_neox"])
def test_transformers_networks_are_networks_too(own, model):
    transformers = pytest.importorskip("transformers")
    small = {"vocab_size": 6, "bos_token_id": 0, "eos_token_id": 0}
    makers = {
        "gpt2": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_layer=2, n_embd=8, n_head=2, n_positions=8, **small)
        ),
        "gpt_neox": lambda: transformers.GPTNeoXForCausalLM(
            transformers.GPTNeoXConfig(
                num_hidden_layers=2, hidden_size=8, num_attention_heads=2, intermediate_size=16, **small
            )
        ),
    }
    task = own["gpt"].task
    probe = probe_of(Plain(makers[model](), task.inputs, task.labels), task)
    assert [name.rpartition(".")[2] for name in probe.model.hidden] == ["act", "act"]
    assert set(refusals(probe)) == CHAIN | PAIRS
    (found,) = rows("sharpness", probe, accuracy=0.1, max_probes=16)
    exact = dense_trace(probe)
    assert found.values["trace"] == pytest.approx(exact, abs=6 * found.values["stderr"] + 1e-4 * exact)


def dense_trace(probe, smoothing=0.0) -> float:
    """The Hessian's diagonal in float64, one second derivative after the other."""
    network = getattr(probe.model, "inner", probe.model).double()
    labels = probe.task.labels[probe.task.train]
    inputs = probe.inputs("train")
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    with plain_arithmetic():
        own = isinstance(network, Network)  # whose quick pass has no second derivatives
        logits = network.trace(network.encode(inputs))["logits"] if own else network(inputs)
        logits = getattr(logits, "logits", logits)
        if labels.is_floating_point():
            risk = (logits - labels).square().sum() / 2 / len(labels)
        else:
            risk = F.cross_entropy(logits.movedim(-1, 1), labels, label_smoothing=smoothing)
        slopes = torch.autograd.grad(risk, list(network.parameters()), create_graph=True)
        total = 0.0
        for weight, slope in zip(network.parameters(), slopes, strict=True):
            for place, each in enumerate(slope.flatten()):
                (second,) = torch.autograd.grad(each, weight, retain_graph=True, allow_unused=True)
                total += 0.0 if second is None else second.flatten()[place].item()
    network.float()
    return total


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "two blocks, layer, tied"])
def test_sharpness_is_the_trace_of_the_dense_hessian(own, built, name):
    probe = {**own, **built}[name].probe()
    (found,) = rows("sharpness", probe, accuracy=0.05, max_probes=16)
    exact = dense_trace(probe)
    assert found.values["trace"] == pytest.approx(exact, abs=6 * found.values["stderr"] + 1e-4 * exact)


def test_sharpness_of_a_loss_of_one_s_own_is_that_of_the_loss(own, monkeypatch):
    """Chunks of examples count by their labels, which are unequally many: the same probes give the same."""
    known = own["gpt"]
    labels = known.task.labels.clone()
    labels[3:7, 1:] = IGNORED
    task = replace(known.task, labels=labels)
    smooth = Objective("mine:smooth", lambda logits, rows: F.cross_entropy(logits, rows, label_smoothing=0.2))
    probe = probe_of(known.network(), task, loss=smooth)
    (found,) = rows("sharpness", probe, accuracy=0.02, max_probes=90)
    exact = dense_trace(probe, smoothing=0.2)
    assert 0 < found.values["stderr"] < 0.1 * exact
    assert found.values["trace"] == pytest.approx(exact, abs=4 * found.values["stderr"])
    few = {"accuracy": 0.02, "max_probes": 16}
    (whole,) = rows("sharpness", probe, **few)
    monkeypatch.setattr("grokscope_robustness.hessian_estimate.CHUNK_TOKENS", 20)
    (chunked,) = rows("sharpness", probe, **few)
    assert chunked.values["trace"] == pytest.approx(whole.values["trace"], rel=1e-4)
    with pytest.raises(NotApplicable, match="this run's loss is mine:smooth"):
        rows("pc", probe)


def test_the_kernel_is_that_of_every_position_s_gradient(own):
    from grokscope_geometry.landscape import _empirical_kernel

    probe = own["gpt"].probe()
    kernel = _empirical_kernel(probe, 6)
    example, place = probe.places("train")
    chosen = torch.linspace(0, len(example) - 1, 6).long()
    gradients = []
    for row in chosen.tolist():
        tokens = probe.inputs("train")[example[row]][None]
        logits = probe.logits_at({n: w.requires_grad_() for n, w in probe.weights.items()}, tokens)[
            place[row]
        ]
        grads = [torch.autograd.grad(z, list(probe.weights.values()), retain_graph=True) for z in logits]
        gradients.append(torch.stack([torch.cat([g.flatten() for g in each]) for each in grads]))
    wanted = torch.einsum("icp,jcp->ij", torch.stack(gradients), torch.stack(gradients)).double()
    torch.testing.assert_close(kernel, wanted, rtol=1e-4, atol=1e-6)


def test_circuit_complexity_is_the_divergence_of_what_is_labelled(own):
    """With all weights of every matrix zeroed there is one mask, and it can be done by hand."""
    probe = own["gpt"].probe()
    (found,) = rows("circuit_complexity", probe, fraction=1.0)
    pruned = {n: torch.zeros_like(w) if w.ndim > 1 else w for n, w in probe.weights.items()}
    with torch.no_grad():
        counted = probe.counted("train")
        q = probe.logits_at(pruned, probe.inputs("train"))[counted].double().log_softmax(1)
        p = probe.logits("train").double().log_softmax(1)
    wanted = (p.exp() * (p - q)).sum(1)
    assert found.values["kl_mean"] == pytest.approx(wanted.mean().item(), rel=1e-5)
    assert found.values["kl_sum"] == pytest.approx(wanted.sum().item(), rel=1e-5)


def test_default_noise_is_in_the_scale_of_the_encoding_and_said(own):
    probe = own["gpt"].probe()
    scale = probe.encoded("train").std(correction=0).item()
    for name, share in (("pe", 0.1), ("pmi", 0.1), ("perturbation_error", 0.04), ("pc", 0.04)):
        (found,) = rows(name, probe)
        assert found.values["sigma"] == pytest.approx(share * scale, rel=1e-5)
        (asked,) = rows(name, probe, sigma=found.values["sigma"])
        assert not {"sigma", "note"} & set(asked.values)
        assert all(asked.values[column] == found.values[column] for column in asked.values)
        assert found.values["note"] == f"noise of {share} times the standard deviation of the encoded inputs"
        (drowned,) = rows(name, probe, sigma=20 * scale)
        assert "is 20 times the standard deviation of the encoded inputs" in drowned.values["note"]


def test_a_layer_by_positions_is_not_compared_with_labels_by_example(own):
    probe = own["residual"].probe(positions="rows")
    with pytest.raises(NotApplicable, match="256 rows and 16 labels"):
        rows("linear_probe", probe)
    assert rows("cka", probe)
    assert rows("oinfo", probe)
