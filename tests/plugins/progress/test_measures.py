"""The measures of the family `progress` on real networks: which weights, which examples, which rows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import grokscope_progress.measures as progress
from grokscope.errors import MeasureError, NotApplicable
from grokscope.models.lstm import LSTM
from grokscope.models.mlp import MLP
from grokscope.models.network import Network
from grokscope.probe import NoiseSource, Probe, generator_for
from grokscope.tasks.task import Task


def probe_of(network: Network, task: Task) -> Probe:
    weights = {name: value.detach() for name, value in network.named_parameters()}
    noise = NoiseSource("test")
    return Probe(
        step=0, task=task, model=network.eval(), weights=weights, loss_name="cross_entropy", noise=noise
    )


def modular(p: int = 7, training: int = 20) -> Task:
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(0))
    train, test = order[:training], order[training:]
    return Task("modadd", "modular", pairs, pairs.sum(1) % p, p, train, test, vocabulary=p, symmetric=True)


@pytest.fixture
def mlp() -> Probe:
    torch.manual_seed(0)
    return probe_of(MLP(inputs=14, hidden=(12, 5), outputs=7, vocabulary=7), modular())


@pytest.fixture
def lstm() -> Probe:
    torch.manual_seed(0)
    inputs = torch.randint(0, 9, (16, 6), generator=torch.Generator().manual_seed(1))
    task = Task(
        "text", "text", inputs, inputs[:, 0] % 2, 2, torch.arange(10), torch.arange(10, 16), vocabulary=9
    )
    return probe_of(LSTM(vocabulary=9, outputs=1, d_embedding=4, d_state=5, layers=2), task)


def rows(measure, *inputs, **parameters):
    """Return the measure's checked values by row label, "" for the row without one."""
    found = measure.collect(measure(*inputs, **parameters))
    return {row.labels[0] if row.labels else "": row.values for row in found}


def complexity(probe: Probe, **parameters):
    return rows(progress.circuit_complexity, probe, generator_for("test"), **parameters)


class TestActivationSparsity:
    @pytest.mark.parametrize("split", ["train", "test", "all"])
    def test_is_the_share_of_zeros_after_relu(self, mlp, split):
        found = rows(progress.activation_sparsity, mlp, split=split)
        first = mlp.model.layers[0](mlp.model.encode(mlp.inputs(split)))
        second = mlp.model.layers[1](first.relu())
        shares = [(values <= 0).double().mean().item() for values in (first, second)]
        assert found["layers.0_post"] == {"sparsity": pytest.approx(shares[0])}
        assert found["layers.1_post"] == {"sparsity": pytest.approx(shares[1])}
        assert found[""] == {"mean": pytest.approx(sum(shares) / 2)}

    def test_looks_at_both_signs_of_lstm_states(self, lstm):
        states = lstm.activations("train")["lstm.1_state"]
        tau = states.abs().quantile(0.2).item()
        expected = (states.abs() < tau).double().mean().item()
        found = rows(progress.activation_sparsity, lstm, tau=tau)["lstm.1_state"]
        assert found == {"sparsity": pytest.approx(expected)}
        assert expected < (states < tau).double().mean().item()

    def test_refuses_an_empty_split(self):
        probe = probe_of(MLP(inputs=14, hidden=(3,), outputs=7, vocabulary=7), modular(training=49))
        with pytest.raises(NotApplicable, match="test split is empty"):
            list(progress.activation_sparsity(probe, split="test"))

    def test_does_not_count_what_is_no_number(self, mlp):
        with torch.no_grad():
            mlp.model.layers[1].weight[0, 0] = math.nan
        with pytest.raises(MeasureError, match=r"layers\.1_post must be finite"):
            list(progress.activation_sparsity(mlp))


class TestWeightEntropy:
    def test_takes_matrices_and_leaves_biases(self):
        weights = {
            "w": torch.tensor([[0.5, -0.5]]),
            "b": torch.tensor([9.0]),
            "heads": torch.full((2, 1, 2), 0.25),
        }
        found = rows(progress.weight_entropy, weights)
        log2 = math.log(2)
        assert set(found) == {"", "w", "heads"}
        assert found["w"] == {"entropy": pytest.approx(log2), "normalised": pytest.approx(log2)}
        assert found["heads"] == {"entropy": pytest.approx(2 * log2), "normalised": pytest.approx(2 * log2)}
        assert found[""]["total"] == pytest.approx(3 * log2)

    def test_normalises_all_weights_as_one_distribution(self, mlp):
        every = (
            torch.cat([value.flatten() for value in mlp.weights.values() if value.dim() == 2]).abs().double()
        )
        found = rows(progress.weight_entropy, mlp.weights)
        shares = every / every.sum()
        assert found[""]["normalised"] == pytest.approx(-(shares * shares.log()).sum().item(), rel=1e-12)
        assert found[""]["total"] == pytest.approx(
            sum(found[f"layers.{i}.weight"]["entropy"] for i in range(3))
        )

    def test_zero_weights_have_entropy_0_and_no_distribution(self):
        found = rows(progress.weight_entropy, {"w": torch.zeros(2, 3), "v": torch.ones(2, 1)})
        assert found["w"]["entropy"] == 0
        assert math.isnan(found["w"]["normalised"])
        assert found[""]["normalised"] == pytest.approx(math.log(2))
        assert math.isnan(rows(progress.weight_entropy, {"w": torch.zeros(2, 3)})[""]["normalised"])

    def test_refuses_networks_without_matrices_and_weights_without_value(self):
        with pytest.raises(NotApplicable, match="two or more dimensions"):
            list(progress.weight_entropy({"b": torch.ones(3)}))
        with pytest.raises(MeasureError, match="weights of w must be finite"):
            list(progress.weight_entropy({"w": torch.tensor([[1.0, math.inf]])}))


class Softmax(Network):
    """Logits W x: circuit complexity is a sum that can be written out."""

    kind, hidden = "softmax", ()

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.weight = nn.Parameter(torch.randn(outputs, 3, generator=torch.Generator().manual_seed(3)))

    def encode(self, inputs):
        return inputs

    def trace(self, encoded):
        return {"logits": encoded @ self.weight.t()}


def vectors(classes: int) -> Task:
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(8) % classes
    return Task("vectors", "images", inputs, labels, classes, torch.arange(5), torch.arange(5, 8))


class TestCircuitComplexity:
    def test_a_single_logit_stands_for_two_classes(self):
        """All weights zeroed: q = 1/2 for each, so KL = log 2 - H(sigmoid(z))."""
        probe = probe_of(Softmax(1), vectors(2))
        p = probe.logits("train").double().sigmoid()
        expected = (math.log(2) - torch.special.entr(p) - torch.special.entr(1 - p)).sum().item()
        found = complexity(probe, fraction=1.0, repeats=3)
        assert found[""]["kl_sum"] == pytest.approx(expected, rel=1e-6)
        assert found[""]["kl_mean"] == pytest.approx(expected / 5, rel=1e-6)
        assert found[""]["stderr"] == pytest.approx(0, abs=1e-12)

    def test_reports_one_row_for_all_and_one_per_matrix(self, mlp):
        found = complexity(mlp, repeats=4)
        assert set(found) == {"", "layers.0.weight", "layers.1.weight", "layers.2.weight"}
        assert all(row["kl_sum"] == pytest.approx(20 * row["kl_mean"]) for row in found.values())
        assert all(row["kl_sum"] > 0 and row["stderr"] > 0 for row in found.values())
        assert complexity(mlp, repeats=4, per_matrix=False) == {"": found[""]}

    def test_equals_torch_s_own_divergence_on_a_pruned_copy(self, mlp):
        """One mask, recovered by comparing the replaced weights with the network's own."""
        torch.manual_seed(0)
        copy = MLP(inputs=14, hidden=(12, 5), outputs=7, vocabulary=7)
        asked = []
        original = torch.func.functional_call

        def spy(model, replaced, inputs):
            asked.append(dict(replaced))
            return original(model, replaced, inputs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.func, "functional_call", spy)
            found = complexity(mlp, repeats=1, per_matrix=False)
        zeroed = {name: int((value == 0).sum()) for name, value in asked[1].items()}
        assert zeroed == {"layers.0.weight": 17, "layers.1.weight": 6, "layers.2.weight": 4}
        copy.load_state_dict({**copy.state_dict(), **asked[1]})
        log_p, log_q = (m(mlp.inputs("train")).double().log_softmax(1) for m in (mlp.model, copy))
        expected = F.kl_div(log_q, log_p, reduction="sum", log_target=True).item()
        assert found[""]["kl_sum"] == pytest.approx(expected, rel=1e-6)
        assert math.isnan(found[""]["stderr"])

    @pytest.mark.parametrize("kind", ["mlp", "lstm"])
    def test_leaves_the_network_as_it_was(self, kind, request):
        probe = request.getfixturevalue(kind)
        before = {name: value.clone() for name, value in probe.model.state_dict().items()}
        logits = probe.model(probe.inputs("all")).detach()
        complexity(probe, repeats=2)
        assert all(torch.equal(value, before[name]) for name, value in probe.model.state_dict().items())
        assert all(torch.equal(value, before[name]) for name, value in probe.weights.items())
        assert torch.equal(probe.model(probe.inputs("all")), logits)

    def test_prunes_every_matrix_of_an_lstm(self, lstm):
        """PyTorch's LSTM keeps a second list of its weights: a replaced one must reach it."""
        found = complexity(lstm, fraction=0.5, repeats=3)
        assert len(found) == 1 + 6
        assert all(row["kl_sum"] > 0 for row in found.values())

    def test_is_the_same_again_and_with_other_chunks(self, mlp, monkeypatch):
        found = complexity(mlp)
        assert complexity(mlp) == found
        monkeypatch.setattr(progress, "CHUNK", 7)
        for label, row in complexity(mlp).items():
            assert row == pytest.approx(found[label], rel=1e-4)

    def test_standard_error_is_that_of_kl_mean(self, mlp):
        """Two values x, y have mean (x + y) / 2 and standard error |x - y| / 2."""
        one, two = complexity(mlp, repeats=1)[""], complexity(mlp, repeats=2)[""]
        assert one["kl_mean"] != two["kl_mean"]
        assert two["stderr"] == pytest.approx(abs(one["kl_mean"] - two["kl_mean"]), rel=1e-9)

    def test_standard_error_shrinks_and_covers(self, mlp):
        few, many = complexity(mlp, repeats=10)[""], complexity(mlp, repeats=160)[""]
        assert few["stderr"] > 2 * many["stderr"]
        assert abs(few["kl_mean"] - many["kl_mean"]) < 4 * math.hypot(few["stderr"], many["stderr"])

    def test_refuses_what_has_no_number(self, mlp):
        probe = probe_of(MLP(inputs=14, hidden=(3,), outputs=7, vocabulary=7), modular(training=0))
        with pytest.raises(NotApplicable, match="train split is empty"):
            complexity(probe)
        with torch.no_grad():
            mlp.model.layers[0].bias.fill_(math.inf)
        with pytest.raises(MeasureError, match="logits must be finite"):
            complexity(mlp)
