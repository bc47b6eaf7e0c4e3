"""Any module is a network: its layers are found by watching it, and nothing about it changes."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope import objective
from grokscope.errors import NotApplicable, PluginError, SettingError
from grokscope.models.plain import Plain
from grokscope.models.watching import plain_arithmetic
from grokscope.tasks.task import IGNORED

HIDDEN = {
    "cnn": ("2",),
    "residual": ("relu", "relu#2"),
    "mlp": ("2", "4"),
    "gpt": ("blocks.0.mlp.1", "blocks.1.mlp.1"),
    "lstm": ("lstm",),
    "mixer": ("tokens.1", "channels.2"),
    "chain": ("2", "5"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_layers_are_the_non_linearities_in_their_order(own, name):
    assert own[name].network().hidden == HIDDEN[name]


def test_a_watched_pass_computes_what_the_module_does(kind):
    torch.manual_seed(0)
    module = kind.make().eval()
    network, inputs = kind.network(), kind.task.inputs
    with torch.no_grad(), plain_arithmetic():
        expected = module(inputs)
        traced = network.trace_from(network.encode(inputs), inputs)
    rows = expected.flatten(0, -2)
    assert torch.equal(traced["logits"], rows)
    assert torch.equal(network(inputs), rows)
    assert torch.equal(network.logits_at(dict(network.named_parameters()), inputs), rows)


def test_the_tensors_are_the_modules_own_and_no_hook_stays(kind):
    torch.manual_seed(0)
    module = kind.make()
    network = Plain(module, kind.task.inputs, kind.task.labels)
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in module.named_parameters()]
    assert network.state_dict().keys() == module.state_dict().keys()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert not module.training


def test_a_tied_matrix_is_one_parameter(own):
    names = dict(own["gpt"].network().named_parameters())
    assert "embed.weight" in names
    assert "head.weight" not in names


def test_a_copy_is_a_network_of_its_own(own):
    network = own["residual"].network()
    twin = copy.deepcopy(network)
    with torch.no_grad():
        twin.get_parameter("stem.weight").zero_()
    assert network.get_parameter("stem.weight").abs().sum() > 0
    assert twin.double()(own["residual"].task.inputs).dtype == torch.float64


def test_activations_are_those_of_forward_hooks(own):
    """By hand, on modules: what each GELU gave."""
    network, tokens, seen = own["gpt"].network(), own["gpt"].task.inputs, {}
    for name in network.hidden:
        module = network.inner.get_submodule(name)
        module.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
    with torch.no_grad():
        network.inner(tokens)
        traced = network.trace_from(network.encode(tokens), tokens)
    for name in network.hidden:
        assert torch.equal(traced[name], seen[name].flatten(0, 1))


def test_what_is_written_into_later_is_kept_as_it_was(own):
    network, images = own["residual"].network(), own["residual"].task.inputs
    with torch.no_grad():
        stem = F.relu(network.inner.stem(images))
        assert torch.equal(network.trace_from(images, images)["relu"], stem.flatten(1))

    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x):
            x = F.relu(self.layer(x))
            x += 1
            return self.head(x)

    writes = Plain(Writes(), own["mlp"].task.inputs, own["mlp"].task.labels)
    with torch.no_grad():
        found = writes.trace(own["mlp"].task.inputs)["relu"]
    assert found.min() == 0


def test_noise_enters_where_tokens_become_vectors(own):
    network, tokens = own["gpt"].network(), own["gpt"].task.inputs
    embedded = network.encode(tokens)
    assert torch.equal(embedded, network.inner.embed(tokens))
    moved = network.trace_from(embedded + 0.1, tokens)["logits"]
    with torch.no_grad():
        positions = network.inner.position(torch.arange(tokens.shape[1]))
        wanted = network.inner.head(network.inner.norm(network.inner.blocks(embedded + 0.1 + positions)))
    torch.testing.assert_close(moved, wanted.flatten(0, 1))


def test_noise_enters_one_hot_tokens_too():
    class OneHot(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Linear(12, 4), nn.Linear(4, 6)

        def forward(self, tokens):
            return self.head(F.relu(self.first(F.one_hot(tokens, 6).flatten(1).float())))

    tokens = torch.tensor([[0, 1], [2, 3], [4, 5]])
    network = Plain(OneHot(), tokens, tokens[:, 0])
    assert torch.equal(network.encode(tokens), F.one_hot(tokens, 6).flatten(1).float())


@pytest.mark.parametrize(
    ("positions", "shape"), [("auto", 32), ("flatten", 32), ("mean", 2), ("rows", (24 * 16, 2))]
)
def test_positions_become_units_or_rows(own, positions, shape):
    network, images = own["residual"].network(positions=positions), own["residual"].task.inputs
    found = network.trace(images)["relu"]
    assert tuple(found.shape) == (shape if isinstance(shape, tuple) else (24, shape))
    plain = F.relu(network.inner.stem(images))
    ways = {"mean": plain.mean((2, 3)), "rows": plain.permute(0, 2, 3, 1).reshape(-1, 2)}
    torch.testing.assert_close(found, ways.get(positions, plain.flatten(1)))


def test_the_last_position_answers_where_a_sequence_has_one_label(own):
    tokens = own["gpt"].task.inputs
    torch.manual_seed(0)
    network = Plain(own["gpt"].make(), tokens, tokens[:, 0])
    with torch.no_grad(), plain_arithmetic():
        assert torch.equal(network(tokens), network.inner(tokens)[:, -1])
    assert network.trace_from(network.encode(tokens), tokens)["blocks.0.mlp.1"].shape == (24, 8)


def test_positions_without_a_label_do_not_count(own):
    probe = own["gpt"].probe()
    labels = probe.task.labels[probe.task.train]
    with torch.no_grad():
        logits = probe.model.inner(probe.inputs("train"))
    wanted = F.cross_entropy(logits.transpose(1, 2).double(), labels).item()
    assert probe.loss("train") == pytest.approx(wanted, rel=1e-6)
    assert len(probe.logits("train")) == len(probe.labels("train")) == (labels != IGNORED).sum()
    assert probe.accuracy("train") == ((logits.argmax(-1) == labels).sum() / (labels != IGNORED).sum()).item()
    assert probe.loss_at(probe.weights, "train").item() == pytest.approx(wanted, rel=1e-5)
    chosen = torch.tensor([3, 1])
    some = objective.loss(
        "cross_entropy", logits[chosen][:, :-1].flatten(0, 1), labels[chosen][:, :-1].flatten()
    )
    assert probe.loss_at(probe.weights, "train", chosen).item() == pytest.approx(some.item(), rel=1e-5)


def test_numbers_are_predicted_without_an_accuracy(own):
    probe = own["lstm"].probe()
    with torch.no_grad():
        error = (probe.model.inner(probe.inputs("test")) - probe.labels("test")).square().mean().item()
    assert probe.loss("test") == pytest.approx(error, rel=1e-6)
    assert not probe.accuracy("test") >= 0
    with pytest.raises(NotApplicable, match="numbers to be predicted"):
        probe.require_classes()


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("blocks.*", ("blocks.0", "blocks.1")),
        ("blocks.1.mlp.?", ("blocks.1.mlp.0", "blocks.1.mlp.1", "blocks.1.mlp.2")),
        ("**.out", ("blocks.0.out", "blocks.1.out")),
    ],
)
def test_layers_are_chosen_by_the_names_of_modules(own, glob, names):
    network, tokens = own["gpt"].network(layers=[glob]), own["gpt"].task.inputs
    assert network.hidden == names
    assert network.every_hidden() == HIDDEN["gpt"]
    assert set(names) <= network.trace_from(network.encode(tokens), tokens).keys()


def test_a_name_that_no_module_has_is_said(own):
    with pytest.raises(SettingError, match="none is called nothing"):
        own["gpt"].network(layers=["nothing"])


def test_a_network_that_does_not_fit_its_data_is_said(own):
    images, labels = own["cnn"].task.inputs, own["cnn"].task.labels
    with pytest.raises(PluginError, match="cannot be run on its data"):
        Plain(nn.Linear(3, 3), images, labels)
    with pytest.raises(PluginError, match="do not fit labels"):
        Plain(nn.Conv2d(1, 3, 1), images, labels)
    with pytest.raises(PluginError, match="must return logits"):
        Plain(type("Odd", (nn.Module,), {"forward": lambda self, x: {"y": x}})(), images, labels)


def test_a_chain_is_found_in_a_sequential(own):
    chain = own["chain"].probe().require_chain()
    assert chain.whole
    assert chain.hidden == ("2", "5")


@pytest.mark.parametrize("before", [True, False])
def test_batch_norm_in_evaluation_is_taken_into_the_chain(own, before):
    torch.manual_seed(1)
    norm = nn.BatchNorm1d(6)
    for values in (norm.running_mean, norm.weight.data, norm.bias.data):
        nn.init.normal_(values)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    bend = [norm, nn.ReLU()] if before else [nn.ReLU(), norm]
    module = nn.Sequential(nn.Linear(5, 6), *bend, nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    network, inputs = Plain(module, own["mlp"].task.inputs, own["mlp"].task.labels), own["mlp"].task.inputs
    from grokscope import relu_chain

    chain = relu_chain(network, inputs)
    assert chain is not None
    assert not chain.whole
    torch.testing.assert_close(chain.values(inputs)[-1], network(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["cnn", "residual", "mlp", "gpt", "lstm", "mixer"])
def test_nothing_else_is_taken_for_a_chain(own, name):
    with pytest.raises(NotApplicable, match="Linear and ReLU layers only"):
        own[name].probe().require_chain()
