"""The exact Hessian trace and Jacobian norms of a ReLU MLP, from layer-wise norms; no Jacobian is stored.

For layers z_l = W_l a_{l-1} + b_l and one example, the gradient of a scalar with respect to W_l is the outer
product delta_l a_{l-1}^T, whose squared norm is ||delta_l||^2 ||a_{l-1}||^2; a bias adds ||delta_l||^2.
Summed over the columns of a square root S of the loss's Hessian in the logits, that is the trace of the
Gauss-Newton matrix. With ReLU the logits are piecewise linear in each single weight, so the residual term of
the Hessian has a zero diagonal and the Gauss-Newton trace is the Hessian's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from grokscope import numbers
from grokscope_robustness.output_root import OutputRoot, output_root

Layer = tuple[torch.Tensor, torch.Tensor | None]
CHUNK_VALUES = 1 << 21  # float64 values of the widest layer per chunk: 16 MB
MASKS = 512  # of examples, taken to float64 at once
DELTA_VALUES = 1 << 18  # values of a layer's deltas, of all classes, per chunk: they stay in a core's cache


class SquaredNorms(NamedTuple):
    """Means over examples of ||S^T df/dW||_F^2, all parameters, and of ||S^T df/dx||_F^2."""

    parameters: float
    inputs: float


def hessian_trace(layers: Sequence[Layer], inputs: torch.Tensor, loss: str) -> float:
    """Return the exact Hessian trace of the risk of a ReLU MLP.

    Tan & Huang 2023: S(W) = Tr of the Hessian of (1/2n) sum_i ||f(x_i) - y_i||^2 (`mse`) or of the
    mean cross-entropy (`cross_entropy`; a single logit stands for the classes (0, z)). It does not depend on
    the labels: for MSE it is (1/n) sum_i ||grad_W f(x_i)||_F^2.

    Args:
        layers: (weight (out, in), bias (out,) or None) of each layer; ReLU between.
        inputs: (n, in).
        loss: `mse` or `cross_entropy`.

    Tested equal to the brute-force Hessian by autograd and to BackPACK's; invariant under permuting hidden
    units and examples. Cost: one forward pass, and one backward pass per class where there is more than one
    hidden layer. All but the logits is in the weights' own type: what is summed up are squares, which float32
    gives to 1e-6.

    >>> layers, inputs = [(torch.tensor([[3.0, 4.0]]), None)], torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    >>> round(hessian_trace(layers, inputs, "mse"), 9)
    3.0
    """
    return _mean_norms(layers, inputs, loss, with_inputs=False).parameters


def jacobian_norms(layers: Sequence[Layer], inputs: torch.Tensor) -> SquaredNorms:
    """Return (1/n) sum_i ||grad_W f(x_i)||_F^2 and (1/n) sum_i ||grad_x f(x_i)||_F^2 of a ReLU MLP, exactly.

    The quantities of Tan & Huang 2023, Lemma 4.1; the first is `hessian_trace(..., "mse")`. Shapes as there.
    Tested against finite differences and autograd.

    >>> jacobian_norms([(torch.tensor([[3.0, 4.0]]), None)], torch.tensor([[1.0, 2.0]]))
    SquaredNorms(parameters=5.0, inputs=25.0)
    """
    return _mean_norms(layers, inputs, "mse", with_inputs=True)


def forward(layers: Sequence[Layer], inputs: torch.Tensor) -> torch.Tensor:
    """Return the logits of Linear -> ReLU -> ... -> Linear, (n, K)."""
    return _forward(layers, inputs, with_logits=True)[-1]


def _mean_norms(
    layers: Sequence[Layer], inputs: torch.Tensor, loss: str, *, with_inputs: bool
) -> SquaredNorms:
    below = _Below([weight for weight, _ in layers], loss)
    widest = max(max(weight.shape) for weight, _ in layers)
    parts = [
        _summed_norms(layers, below, chunk.to(layers[0][0].dtype), loss, with_inputs=with_inputs)
        for chunk in inputs.split(max(1, CHUNK_VALUES // widest))
    ]
    return SquaredNorms(*(sum(column) / len(inputs) for column in zip(*parts, strict=True)))


def _summed_norms(
    layers: Sequence[Layer], below: _Below, inputs: torch.Tensor, loss: str, *, with_inputs: bool
) -> SquaredNorms:
    squares, masks, logits = _forward(layers, inputs, with_logits=loss != "mse")
    root = output_root(logits, loss)
    energies, input_energy = _energies(layers, below, masks, root, with_inputs=with_inputs)
    parameters = sum(
        torch.dot(square.double() + (bias is not None), energy).item()
        for square, energy, (_, bias) in zip(squares, energies, layers, strict=True)
    )
    return SquaredNorms(parameters, input_energy)


def _forward(
    layers: Sequence[Layer], inputs: torch.Tensor, *, with_logits: bool
) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Return ||a_{l-1}||^2 of each layer's input, the ReLU masks as numbers, and the logits in float64.

    Without logits zeros stand for them: the Hessian of a squared distance is the same everywhere.
    """
    squares, masks, values = [], [], inputs
    for index, (weight, bias) in enumerate(layers):
        if index:
            values = values.clamp(min=0)
            masks.append(values.sign())
        squares.append(torch.linalg.vector_norm(values, dim=1).square())
        if index == len(layers) - 1:
            if not with_logits:
                return squares, masks, values.new_zeros(len(values), len(weight), dtype=torch.float64)
            values, weight, bias = values.double(), weight.double(), None if bias is None else bias.double()
        values = torch.nn.functional.linear(values, weight, bias)
    return squares, masks, values


def _energies(
    layers: Sequence[Layer], below: _Below, masks: list[torch.Tensor], root: OutputRoot, *, with_inputs: bool
) -> tuple[list[torch.Tensor], float]:
    """Return sum_c ||delta_{l,c}||^2 of each layer l, (n,) each, and the total of ||S^T df/dx||_F^2.

    The last two layers have closed forms; only what lies below takes a backward pass per class.
    """
    weights = [weight.double() for weight, _ in (layers if len(layers) < 3 else layers[-1:])]
    last = root.column_energy().sum(dim=1)
    if not masks:
        return [last], len(last) * weights[0].square().sum().item()
    top = _top_energy(weights[-1], masks[-1], root)
    if len(masks) > 1:
        energies, total = below.energies(masks, root, with_inputs=with_inputs)
        return [*energies, top, last], total
    if not with_inputs:
        return [top, last], 0.0
    metric = (weights[0] @ weights[0].t()) * (weights[1].t() @ weights[1])
    together = numbers.products(masks[0])  # whole numbers
    return [top, last], torch.sum(metric * together).item()


def _top_energy(weight: torch.Tensor, mask: torch.Tensor, root: OutputRoot) -> torch.Tensor:
    """Return sum_c ||S_c^T W||^2 over the units of a mask, (n,): for the softmax a variance of W's rows.

    With w the row of the most probable class t, and q = p - e_t, of which no digit is lost as p -> 1, the
    variance under p is sum_c q_c W_c^2 - u (u + 2 w), u = sum_c q_c W_c. From the mean row, so that it is not
    a small difference of large numbers.
    """
    p = root.probabilities
    if p is None or root.complement is None:
        squares = weight.square().sum(dim=0)
        return root.scale[:, 0].square() * torch.cat([some.double() @ squares for some in mask.split(MASKS)])
    mask = mask.double()
    weight = weight - weight.mean(dim=0)
    top = p.argmax(dim=1)
    q = p.scatter(1, top[:, None], -root.complement.gather(1, top[:, None]))
    u = q @ weight
    linear = torch.linalg.vecdot(q, mask @ weight.square().t())
    return linear - torch.linalg.vecdot(mask, u.add(weight[top], alpha=2).mul_(u))


class _Below:
    """Backward passes of all classes through the layers below the last two, in the weights' own type.

    They start at W's rows, for the softmax at their differences from the first: sum_c ||S_c^T J||^2 is the
    variance of J's rows under p, which is sum_{c < c'} p_c p_c' ||J_c - J_c'||^2. That has no digits to lose
    as p -> 1, and one row less. Each matrix is divided by its largest entry, so that no power of them leaves
    what float32 can hold.
    """

    def __init__(self, weights: Sequence[torch.Tensor], loss: str) -> None:
        last = weights[-1].double()
        softmax = loss == "cross_entropy" and len(last) > 1
        self.rows, self.scale = _scaled(last[1:] - last[:1] if softmax else last, weights[-1].dtype)
        self.inner = [_scaled(weight, weight.dtype) for weight in weights[1:-1]]
        self.first = weights[0]

    def energies(
        self, masks: list[torch.Tensor], root: OutputRoot, *, with_inputs: bool
    ) -> tuple[list[torch.Tensor], float]:
        """Return sum_c ||delta_{l,c}||^2 of each layer below, (n,) each, and the total at the input."""
        energies = [root.scale.new_zeros(len(mask)) for mask in masks[:-1]]
        widest = max(mask.shape[1] for mask in masks)
        size = max(1, DELTA_VALUES // (len(self.rows) * widest))
        metric, total = self.first @ self.first.t() if with_inputs else None, 0.0
        for start in range(0, len(masks[0]), size):
            part = slice(start, start + size)
            gates = [mask[part, None] for mask in masks]
            deltas, factor = self.rows * gates[-1], self.scale
            for layer in reversed(range(len(energies))):
                weight, scale = self.inner[layer]
                deltas, factor = (deltas @ weight).mul_(gates[layer]), factor * scale
                energies[layer][part] = factor**2 * _spread(deltas, root, part)
            if metric is not None:
                total += factor**2 * torch.sum(deltas @ metric * deltas, dtype=torch.float64).item()
        return energies, total


def _scaled(matrix: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, float]:
    """Return a matrix with entries up to 1, and what it was divided by."""
    largest = matrix.abs().max().item() or 1.0
    return (matrix / largest).to(dtype), largest


def _spread(deltas: torch.Tensor, root: OutputRoot, part: slice) -> torch.Tensor:
    """Return sum_c ||S_c^T J||^2 of J (rows, K, h), or of its differences for the softmax, (rows,)."""
    if root.probabilities is None:
        return root.scale[part, 0].square() * deltas.flatten(1).square().sum(dim=1)
    products = torch.nn.functional.pad((deltas @ deltas.mT).double(), (1, 0, 1, 0))
    squares, p = products.diagonal(dim1=1, dim2=2), root.probabilities[part, :, None]
    distances = squares[:, :, None] + squares[:, None] - 2 * products
    return (p * (distances @ p)).sum(dim=(1, 2)) / 2
