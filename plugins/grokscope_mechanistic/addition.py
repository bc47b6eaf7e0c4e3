"""Whether a run is about a + b or a - b mod p on all pairs, and which logits are those of the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grokscope import NotApplicable

if TYPE_CHECKING:
    import torch

    from grokscope import Probe


@dataclass(frozen=True, eq=False)
class Addition:
    """Modular addition or subtraction as a network is given it.

    Attributes:
        p: the modulus.
        results: (p^2,) int64: the result of each pair.
        first_token: the token that is the number 0; those of 1, 2, ... follow.
        first_logit: the logit of the result 0; those of 1, 2, ... follow.
        others: how many logits there are beside these p.
    """

    p: int
    results: torch.Tensor
    first_token: int = 0
    first_logit: int = 0
    others: int = 0

    def of_results(self, logits: torch.Tensor) -> torch.Tensor:
        """Return those of a network's logits (n, classes) that are the results', (n, p)."""
        return logits[:, self.first_logit : self.first_logit + self.p]


def addition_of(probe: Probe) -> Addition:
    """Return what the run is about. Raises NotApplicable where it is no addition of all pairs."""
    return probe.shared(
        ("mechanistic", "addition"), lambda: _of_own(probe) if probe.task.kind == "own" else _of_task(probe)
    )


def _of_task(probe: Probe) -> Addition:
    task, p = probe.task, probe.task.classes
    if task.kind != "modular" or tuple(task.inputs.shape) != (p * p, 2):
        raise NotApplicable(f"it needs modular arithmetic on all pairs (a, b); this task is {task.name}")
    a, b = task.inputs[:, 0], task.inputs[:, 1]
    if len((a * p + b).unique()) < p * p or int(a.max()) >= p or int(b.max()) >= p:
        raise NotApplicable("it needs every pair (a, b) exactly once")
    _require_sums(a, b, task.labels, p)
    if probe.model.outputs != p:
        raise NotApplicable(f"it needs a network with one logit per class, {p}, not {probe.model.outputs}")
    return Addition(p, task.labels)


def _of_own(probe: Probe) -> Addition:
    """Numbers are the tokens from the smallest operand on, results the classes from the smallest label on."""
    pairs, labels = probe.require_pairs(), probe.labels("all")
    first_token, first_logit = int(pairs.min()), int(labels.min())
    p = int(pairs.max()) - first_token + 1
    if len(pairs) != p * p:
        raise NotApplicable(
            f"it needs every pair (a, b) exactly once: there are {p * p} of the tokens {first_token} to "
            f"{first_token + p - 1}, and the run has {len(pairs)} (an import keeps as many of a split as "
            "`examples` says)"
        )
    a, b = (pairs - first_token).unbind(dim=1)
    _require_sums(a, b, labels - first_logit, p)
    others = probe.model.outputs - p
    if others < first_logit:
        raise NotApplicable(f"it needs a logit for each of {p} results, not {probe.model.outputs}")
    return Addition(p, labels - first_logit, first_token, first_logit, others)


def _require_sums(a: torch.Tensor, b: torch.Tensor, results: torch.Tensor, p: int) -> None:
    if not (results == (a + b) % p).all() and not (results == (a - b) % p).all():
        raise NotApplicable("it needs a + b or a - b mod p: other operations are not sums of such waves")
