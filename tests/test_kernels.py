"""The operations of a training step are torch's own, by another way: gradients too, to 1e-12 in float64."""

import pytest
import torch
from torch.nn import functional as F

from grokscope.kernels import Picks, picked_columns, picked_sums, picks_of, relu_linear
from grokscope.models.factories import mlp, transformer
from grokscope.tasks import modadd


def drawn(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same(ours, plain, *tensors):
    """Values and gradients, by each tensor and in a fixed random direction, are the same."""
    found = []
    for way in (ours, plain):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        value = way(*leaves)
        slope = drawn(*value.shape, seed=1)
        found.append((value, *torch.autograd.grad(value, leaves, slope)))
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= 1e-12 * other.abs().max()


# Row 3 is picked by none, row 5 twice by one sum, the last row is the last.
ROWS = torch.tensor([[0, 4], [5, 5], [2, 6], [0, 6], [1, 5]])


def test_picked_sums_and_the_shares_are_differentiated():
    picks = Picks(ROWS, 7)

    def plain(table, shares=None):
        each = table[ROWS]
        return each.sum(dim=1) if shares is None else (shares[:, :, None] * each).sum(dim=1)

    table, shares = drawn(7, 3), drawn(5, 2, seed=2)
    same(lambda table: picked_sums(table, picks), plain, table)
    same(lambda table, shares: picked_sums(table, picks, shares), plain, table, shares)
    same(lambda shares: picked_sums(table, picks, shares), lambda shares: plain(table, shares), shares)
    same(lambda table: picked_sums(table, picks, shares), lambda table: plain(table, shares), table)
    # As a sum over picks, of which the gradient is one number that is not stored for each.
    same(lambda t, s: picked_sums(t, picks, s).sum(), lambda t, s: plain(t, s).sum(), table, shares)


def test_picked_columns_are_a_linear_layer_of_one_hot_vectors():
    tokens = torch.tensor([[0, 2], [1, 1], [0, 0], [2, 1]])
    picks = Picks(tokens + torch.tensor([0, 3]), 6, first=3)
    one_hot = F.one_hot(tokens, 3).flatten(1).double()
    weight, bias = drawn(4, 6), drawn(4, seed=2)
    same(lambda w, b: picked_columns(w, b, picks), lambda w, b: F.linear(one_hot, w, b), weight, bias)
    same(lambda w: picked_columns(w, None, picks), lambda w: F.linear(one_hot, w), weight)


@pytest.mark.parametrize("plus", [None, drawn(3, seed=3), drawn(5, 3, seed=3)], ids=["none", "bias", "sums"])
def test_relu_linear_is_linear_after_relu_and_leaves_what_it_read(plus):
    values, weight = drawn(5, 4), drawn(3, 4, seed=2)
    given = () if plus is None else (plus,)

    def plain(values, weight, plus=0.0):
        return values.relu() @ weight.t() + plus

    def ours(values, weight, plus=None):
        return relu_linear(values.clone(), weight, plus)

    same(ours, plain, values, weight, *given)
    kept = values.clone()
    relu_linear(values, weight, plus)
    assert torch.equal(values, kept.relu())


@pytest.mark.parametrize(
    "way",
    [
        lambda x: picked_sums(x, Picks(ROWS, 7)),
        lambda x: picked_columns(x.t(), None, Picks(ROWS, 7)),
        lambda x: relu_linear(x.clone(), drawn(2, 3), None),
    ],
    ids=["sums", "columns", "relu"],
)
def test_second_derivatives_are_refused(way):
    values = drawn(7, 3).requires_grad_()
    with pytest.raises(RuntimeError, match="no second derivatives: take `logits_at` without quick"):
        torch.autograd.grad(way(values).square().sum(), values, create_graph=True)


def test_a_batch_is_sorted_once_while_it_is_there_and_unchanged():
    tokens, made = torch.tensor([[0, 1]]), []

    def make():
        made.append(Picks(tokens.clone(), 3))
        return made[-1]

    assert picks_of(tokens, "a", make) is picks_of(tokens, "a", make)
    assert picks_of(tokens, "b", make) is not picks_of(tokens, "a", make)
    tokens += 1
    assert picks_of(tokens, "a", make).rows.tolist() == [[1, 2]]
    assert len(made) == 3
    other = tokens.clone()
    assert picks_of(other, "a", make) is made[-1] is not picks_of(tokens, "a", make)


def _mlp(task):
    return mlp.build(task, hidden=[4])


def _transformer(layers):
    return lambda task: transformer.build(task, d_model=4, heads=2, d_head=2, d_mlp=4, layers=layers)


@pytest.mark.parametrize(
    "build", [_mlp, _transformer(1), _transformer(2)], ids=["mlp", "1 block", "2 blocks"]
)
def test_torch_func_passes_through_a_network_as_through_its_trace(build):
    task = modadd.build(p=5)
    network = build(task).double().eval()
    inputs, labels = (part[:3] for part in task.examples("train"))
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    name = next(iter(weights))

    def found(logits):
        def loss(weights, inputs, labels):
            return F.cross_entropy(logits(weights, inputs), labels)

        each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
        along = torch.func.jvp(lambda given: loss(given, inputs, labels), (weights,), (weights,))
        twice = torch.func.hessian(lambda given: loss({**weights, name: given}, inputs, labels))(
            weights[name]
        )
        return each(weights, inputs[:, None], labels[:, None]), along, twice

    torch.testing.assert_close(
        found(lambda given, inputs: torch.func.functional_call(network, given, (inputs,))),
        found(network.logits_at),
    )
