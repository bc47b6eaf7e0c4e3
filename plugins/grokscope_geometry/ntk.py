"""The empirical neural tangent kernel, traced over outputs: closed form for MLPs, gradients elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

Layers = Sequence[tuple[torch.Tensor, torch.Tensor | None]]
Logits = Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]
Logit = Callable[[Mapping[str, torch.Tensor], torch.Tensor, torch.Tensor], torch.Tensor]


def mlp_ntk(layers: Layers, inputs: torch.Tensor) -> torch.Tensor:
    """Return the kernel (n, n) float64 of a ReLU MLP: `K_ij = sum_c <grad f_c(x_i), grad f_c(x_j)>`.

    The gradient of one Linear's weight is an outer product, so that its part of K is `(A A^T + 1) o sum_c D_c
    D_c^T`: A the layer's inputs, D_c the gradients of logit c by its outputs, 1 for the bias. The test
    compares it with `jacobian_ntk`.

    Args:
        layers: weight (out, in) and bias, or None, of each Linear.
        inputs: (n, d) encoded inputs.
    """
    layers = [(weight.double(), None if bias is None else bias.double()) for weight, bias in layers]
    entering, masks = [inputs.double()], []
    for weight, bias in layers[:-1]:
        pre = torch.nn.functional.linear(entering[-1], weight, bias)
        entering.append(pre.relu())
        masks.append((pre > 0).double())
    n, outputs = len(inputs), len(layers[-1][0])
    deltas = torch.eye(outputs, dtype=torch.float64, device=inputs.device).expand(n, outputs, outputs)
    kernel = torch.zeros(n, n, dtype=torch.float64, device=inputs.device)
    for index in reversed(range(len(layers))):
        weight, bias = layers[index]
        by_weight = entering[index] @ entering[index].T + (0 if bias is None else 1)
        kernel += by_weight * (deltas.flatten(1) @ deltas.flatten(1).T)
        if index:
            deltas = (deltas @ weight) * masks[index - 1][:, None]
    return kernel


def jacobian_ntk(
    logits_of: Logits,
    weights: Mapping[str, torch.Tensor],
    inputs: torch.Tensor,
    place: torch.Tensor | None = None,
    *,
    vectorised: bool = True,
) -> torch.Tensor:
    """Return the same kernel of any network, one output at a time.

    Memory: one output's gradients at every input, n x parameters x 4 bytes; never n x K x parameters.

    Args:
        logits_of: weights and inputs (n, ...) to logits (rows, K).
        weights: parameters by name.
        inputs: (n, ...).
        place: (n,) which of its rows counts of each input; the first, where there is but one.
        vectorised: all inputs' gradients at once by vmap, which some operations (LSTM) do not have.
    """
    place = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device) if place is None else place
    gradients = _gradients_at_once if vectorised else _gradients_one_by_one
    kernel = torch.zeros(len(inputs), len(inputs), dtype=torch.float64, device=inputs.device)
    for output in range(logits_of(weights, inputs[:1]).shape[1]):

        def logit(
            at: Mapping[str, torch.Tensor], x: torch.Tensor, row: torch.Tensor, output: int = output
        ) -> torch.Tensor:
            return logits_of(at, x[None])[:, output].gather(0, row[None])[0]

        jacobian = gradients(logit, weights, inputs, place)
        kernel += (jacobian @ jacobian.T).double()
    return kernel


def _gradients_at_once(
    logit: Logit, weights: Mapping[str, torch.Tensor], inputs: torch.Tensor, place: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of one logit by all parameters at each input, (n, parameters)."""
    fixed = {name: weight.detach() for name, weight in weights.items()}
    gradients = torch.func.vmap(torch.func.grad(logit), in_dims=(None, 0, 0))(fixed, inputs, place)
    return torch.cat([gradients[name].flatten(1) for name in weights], dim=1)


def _gradients_one_by_one(
    logit: Logit, weights: Mapping[str, torch.Tensor], inputs: torch.Tensor, place: torch.Tensor
) -> torch.Tensor:
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    rows = []
    for x, row in zip(inputs, place, strict=True):
        gradients = torch.autograd.grad(logit(leaves, x, row), list(leaves.values()), materialize_grads=True)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return torch.stack(rows)


def centred_kernel(kernel: torch.Tensor) -> torch.Tensor:
    """Return the kernel of the gradients less their mean over examples: rows and columns sum to 0."""
    kernel = kernel - kernel.mean(dim=0)
    return kernel - kernel.mean(dim=1, keepdim=True)


def kernel_distance(kernel: torch.Tensor, start: torch.Tensor) -> float:
    """Return `1 - <K, K0> / (|K|_F |K0|_F)`: 0 when only the scale differs; NaN when one is zero.

    Fort et al. 2020, equation 4; Kumar et al. 2023 use it to tell lazy from rich training.

    >>> kernel_distance(3 * torch.eye(2), torch.eye(2)) < 1e-15
    True
    """
    k, k0 = kernel.double(), start.double()
    norms = (k.norm() * k0.norm()).item()
    if norms == 0:
        return math.nan
    return max(0.0, 1 - (k * k0).sum().item() / norms)
