"""The operations that a training step spends its time in, with first gradients written out, and no second."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

_BACK = torch.ops.aten


class Picks:
    """Which rows of a table are summed; what only gradients need is sorted once, when the first asks.

    Args:
        rows: (n, k) whole numbers below `size`, k of them for each of n sums.
        size: how many rows the table has.
        first: each sum picks exactly one of so many first rows; 0 where that is not known.
    """

    def __init__(self, rows: torch.Tensor, size: int, first: int = 0) -> None:
        self.rows, self._size, self.first = rows.contiguous(), size, first

    @cached_property
    def order(self) -> torch.Tensor:
        """The places in `rows`, flattened, sorted by the row that is there, (n k,)."""
        return self.rows.flatten().argsort(stable=True)

    @cached_property
    def readers(self) -> torch.Tensor:
        """The sum that each of these places is of, (n k,)."""
        return self.order // self.rows.shape[1]

    @cached_property
    def starts(self) -> torch.Tensor:
        """Where each row of the table begins in `order`, (size,)."""
        # Not by counting, for whose result a GPU is waited for.
        found = self.rows.flatten()[self.order]
        return torch.searchsorted(found, torch.arange(self._size, device=found.device))

    @cached_property
    def bags(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where each sum begins in `rows`, flattened, (n,), and the sum that each place is of, (n k,)."""
        n, k = self.rows.shape
        sums = torch.arange(n, device=self.rows.device)
        return sums * k, sums.repeat_interleave(k)


def picks_of(tokens: torch.Tensor, kind: Hashable, make: Callable[[], Picks]) -> Picks:
    """Return what `make` gives for these tokens, the same again while the tensor is there and unchanged.

    The full batch is one tensor at every step, so that its picks are sorted once. `kind` says all that they
    depend on beside the tokens.
    """
    if _plainly() or tokens.is_inference():
        return make()
    version, known = _KNOWN.get(tokens, (-1, {}))
    if version != tokens._version:
        known = {}
        _KNOWN[tokens] = tokens._version, known
    if kind not in known:
        known[kind] = make()
    return known[kind]


_KNOWN = WeakIdKeyDictionary()


def picked_sums(table: torch.Tensor, picks: Picks, shares: torch.Tensor | None = None) -> torch.Tensor:
    """Return sum_k shares[i, k] table[rows[i, k]], (n, width); shares (n, k) are 1 when not given.

    Forwards torch's embedding_bag. Its own gradient sorts and scatters at every step; here each row of the
    table reads the gradients of the sums that it is in, which is a sum of picked rows the other way round.
    """
    if _plainly():
        return _sums(table, picks, shares)
    found: torch.Tensor = _PickedSums.apply(table, shares, picks)
    return found


def picked_columns(weight: torch.Tensor, bias: torch.Tensor | None, picks: Picks) -> torch.Tensor:
    """Return the sums of picked columns of a weight (out, size), with a bias (out,), (n, out).

    Each sum picks one of the `picks.first` columns, so that their gradients add up to the bias's.
    """
    if _plainly():
        sums = _sums(weight.t(), picks)
        return sums if bias is None else sums + bias
    found: torch.Tensor = _PickedColumns.apply(weight, bias, picks)
    return found


def relu_linear(values: torch.Tensor, weight: torch.Tensor, plus: torch.Tensor | None) -> torch.Tensor:
    """Return relu(values) @ weight.T + plus, (n, out); `values` (n, in) become relu(values).

    `plus` is a bias (out,), or (n, out). The gradient by the values is masked where it lies, too.
    """
    if _plainly():
        return _plus(F.relu(values), weight, plus)
    found: torch.Tensor = _ReluLinear.apply(values, weight, plus)[0]
    return found


def _plainly() -> bool:
    """Return whether torch's own operations are taken: torch.compile and torch.func know no others."""
    return torch.compiler.is_compiling() or _transformed()


def _transformed() -> bool:
    """Return whether torch.func differentiates or maps."""
    return bool(torch._C._are_functorch_transforms_active())


def _sums(table: torch.Tensor, picks: Picks, shares: torch.Tensor | None = None) -> torch.Tensor:
    if _transformed():
        each = F.embedding(picks.rows, table)
        return (each if shares is None else each * shares[..., None]).sum(dim=1)
    return F.embedding_bag(picks.rows, table.contiguous(), per_sample_weights=shares, mode="sum")


def _back_to_table(slope: torch.Tensor, picks: Picks, shares: torch.Tensor | None = None) -> torch.Tensor:
    mine = None if shares is None else shares.flatten()[picks.order]
    return F.embedding_bag(picks.readers, slope, picks.starts, per_sample_weights=mine, mode="sum")


def _refuse_second() -> None:
    """Raise RuntimeError where a gradient is to be differentiated: not all of it is recorded."""
    if torch.is_grad_enabled():
        raise RuntimeError("no second derivatives: take `logits_at` without quick, or `trace`")


def _plus(values: torch.Tensor, weight: torch.Tensor, plus: torch.Tensor | None) -> torch.Tensor:
    return values @ weight.t() if plus is None else torch.addmm(plus, values, weight.t())


class _PickedSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: torch.Tensor, shares: torch.Tensor | None, picks: Picks) -> torch.Tensor:
        ctx.picks = picks
        ctx.save_for_backward(table if ctx.needs_input_grad[1] else None, shares)
        return _sums(table, picks, shares)

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        _refuse_second()
        picks, (table, shares) = ctx.picks, ctx.saved_tensors
        slope, by_shares = slope.contiguous(), None
        if table is not None:
            flat = _BACK._embedding_bag_per_sample_weights_backward(
                slope, table, picks.rows.flatten(), *picks.bags, 0
            )
            by_shares = flat.view_as(picks.rows)
        return _back_to_table(slope, picks, shares) if ctx.needs_input_grad[0] else None, by_shares, None


class _PickedColumns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, bias: torch.Tensor | None, picks: Picks) -> torch.Tensor:
        ctx.picks = picks
        sums = _sums(weight.t(), picks)
        return sums if bias is None else sums.add_(bias)

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        _refuse_second()
        by_table = _back_to_table(slope.contiguous(), ctx.picks)
        by_bias = by_table[: ctx.picks.first].sum(dim=0) if ctx.needs_input_grad[1] else None
        return by_table.t(), by_bias, None


class _ReluLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, weight: torch.Tensor, plus: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        values.relu_()
        ctx.mark_dirty(values)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(values, weight)
        ctx.ndim = 0 if plus is None else plus.ndim
        return _plus(values, weight, plus), values

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor, _: None) -> tuple[torch.Tensor | None, ...]:
        _refuse_second()
        values, weight = ctx.saved_tensors
        by_values = slope @ weight
        _BACK.threshold_backward.grad_input(by_values, values, 0, grad_input=by_values)
        by_plus = slope.sum(dim=0) if ctx.ndim == 1 else slope
        return by_values, slope.t() @ values, by_plus if ctx.needs_input_grad[2] else None
