"""The square root S of a loss's Hessian in the logits, H_f = S S^T, without losing digits as p -> 1."""

from __future__ import annotations

from typing import NamedTuple

import torch


class OutputRoot(NamedTuple):
    """S of each example, (n, K, K), as what it is made of.

    `scale` (n, 1) times the identity where `probabilities` is None, else diag(sqrt p) - p sqrt(p)^T, of which
    `complement` holds 1 - p, (n, K).
    """

    scale: torch.Tensor
    outputs: int
    probabilities: torch.Tensor | None = None
    complement: torch.Tensor | None = None

    def column_energy(self) -> torch.Tensor:
        """Return ||S e_c||^2 of each example and class, (n, K).

        For the softmax p_c [(1 - p_c)^2 + sum_{i != c} p_i^2]: a sum of squares, because sum_c p_c (1 - p_c)
        has no digits left once p is within rounding of 1.
        """
        p, complement = self.probabilities, self.complement
        if p is None or complement is None:
            return self.scale.square().expand(-1, self.outputs)
        top = p.argmax(dim=1, keepdim=True)
        below = p.scatter(1, top, 0).square().sum(dim=1, keepdim=True)
        others = (below + p.gather(1, top).square() - p.square()).clamp(min=0).scatter(1, top, below)
        return p * (complement.square() + others)

    def columns(self, examples: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Return S e_c of each of these examples and its class, both (m,): (m, K)."""
        p, complement = self.probabilities, self.complement
        place = torch.arange(len(examples), device=examples.device), categories
        if p is None or complement is None:
            columns = self.scale.new_zeros(len(examples), self.outputs)
            columns[place] = self.scale[examples, 0]
            return columns
        columns = -p[examples]
        columns[place] = complement[examples, categories]
        return p[examples, categories, None].sqrt() * columns


def output_root(logits: torch.Tensor, loss: str) -> OutputRoot:
    """Return S for logits (n, K) and `mse` (1/2 ||f - y||^2) or `cross_entropy` (one logit z: classes 0, z).

    Tested: S S^T equals the loss's Hessian by autograd, and stays exact for p within 1e-20 of 1.
    """
    logits = logits.double()
    outputs, one = logits.shape[1], torch.ones_like(logits[:, :1])
    if loss == "mse":
        return OutputRoot(one, outputs)
    if outputs == 1:
        return OutputRoot((logits.sigmoid() * (-logits).sigmoid()).sqrt(), outputs)
    p = logits.softmax(dim=1)
    top = p.argmax(dim=1, keepdim=True)
    rest = p.scatter(1, top, 0).sum(dim=1, keepdim=True)
    return OutputRoot(one, outputs, p, (1 - p).scatter(1, top, rest))
