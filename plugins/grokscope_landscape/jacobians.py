"""The rows of many Jacobians as they come: what they span is summed up, and few of them are held at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from grokscope import NotApplicable, Probe, numbers
from grokscope_landscape.functional import largest_share

SIDE = 4096  # of the largest matrix of products: 134 MB in float64
HELD_VALUES = 1 << 25  # numbers of rows held at once: 134 MB in float32
GRAPH_VALUES = 1 << 25  # numbers that a pass through a network makes at once
ROWS = 1024  # multiplied at once
SMALL_VALUES, SMALL_PASSES = 1 << 17, 1 << 34  # of inputs, and of weights times rows: a moment
A_VALUE, A_PASS = 100, 10**7  # operations in whose time a number is made, and a pass is begun

GIGA = 10**9

Part = tuple[torch.Tensor, torch.Tensor]  # rows (m, d), and of which input each is, (m,)
Rows = Callable[[], Iterator[Part]]


def spread(rows: Rows, count: int, inputs: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Return the share of the first principal component of all rows, and their sums by input, (n, d) float64.

    By the d x d scatter matrix of `count` rows or, where that is smaller, their Gram matrix.

    Args:
        rows: gives them; once more for each part of the columns where `HELD_VALUES` do not hold all.
        count: how many there are.
        inputs: (n, d).
    """
    sums = torch.zeros_like(inputs, dtype=torch.float64)
    products = (_scatter if count >= inputs.shape[1] else _gram)(rows, count, inputs, sums)
    numbers.require_finite("jacobian_alignment: the Jacobian", products, sums)
    mean = sums.sum(dim=0) / count
    return largest_share(products, count * mean.square().sum().item()), sums


def _scatter(rows: Rows, count: int, inputs: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Return the scatter matrix of rows (d, d), and add them to `sums`."""
    d = inputs.shape[1]
    scatter, near = torch.zeros(d, d, dtype=torch.float64, device=sums.device), None
    for some, owners in _gathered(rows()):
        exact = some.double()
        near = exact.mean(dim=0) if near is None else near  # the mean, but for what is put right below
        sums.index_add_(0, owners, exact)
        scatter += numbers.products(exact - near)
    off = sums.sum(dim=0) / count - (0 if near is None else near)
    return scatter.addr_(off, off, alpha=-count)


def _gram(rows: Rows, count: int, inputs: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Return the Gram matrix of centred rows (count, count), and add them to `sums`."""
    gram = torch.zeros(count, count, dtype=torch.float64, device=sums.device)
    for columns in torch.arange(inputs.shape[1]).chunk(_parts(count, inputs.shape[1])):
        part = slice(int(columns[0]), int(columns[-1]) + 1)
        held, done = inputs.new_empty(count, len(columns)), 0
        for some, owners in rows():
            held[done : done + len(some)] = some[:, part]
            sums[:, part].index_add_(0, owners, some[:, part].double())
            done += len(some)
        for each in held.split(ROWS, dim=1):
            exact = each.double()
            gram += numbers.products((exact - exact.mean(dim=0)).T)
    return gram


def _parts(count: int, d: int) -> int:
    """Return how often the rows (count, d) are asked for."""
    return 1 if count >= d else math.ceil(count * d / HELD_VALUES)


def _gathered(rows: Iterator[Part]) -> Iterator[Part]:
    """Yield the same rows, `ROWS` or more at a time."""
    waiting: list[Part] = []
    count = 0
    for some, owners in rows:
        waiting.append((some, owners))
        count += len(some)
        if count >= ROWS:
            yield _together(waiting)
            waiting, count = [], 0
    if waiting:
        yield _together(waiting)


def _together(parts: Sequence[Part]) -> Part:
    some, owners = zip(*parts, strict=True)
    return torch.cat(some), torch.cat(owners)


def require_side(count: int, inputs: torch.Tensor) -> None:
    """Raise NotApplicable where the matrix of products of so many rows would be larger than `SIDE`."""
    n, d = inputs.shape
    if min(count, d) > SIDE:
        raise NotApplicable(
            f"{count} rows of Jacobians by {d} inputs span too much: rows or inputs may be {SIDE} at most",
            **({"samples": fewer} if (fewer := SIDE * n // count) >= 2 else {}),
        )


class Differentiated:
    """The Jacobians of a network's logits at some examples: a backward pass for each logit and place.

    All places that count or, where these take too many operations, evenly spaced ones among them; where one
    does, at half of the examples, or a quarter.

    Attributes:
        inputs: (n, d) the encoded inputs.
        count: how many rows there are.

    Raises:
        NotApplicable: no place counts, or one alone takes too much.
    """

    def __init__(self, probe: Probe, chosen: torch.Tensor, operations: float) -> None:
        self._probe, self._raw = probe, probe.inputs("train")[chosen]
        self._encoded = probe.encoded_some("train", chosen).detach()
        self._effort = _Effort()
        places, self._outputs = self._pass(self._encoded[:1], self._raw[:1])[0].shape[1:]
        counted = probe.counted("train")
        every = chosen.new_ones(len(probe.inputs("train")), places, dtype=torch.bool)
        self._counted = (every if counted is None else counted.view(every.shape))[chosen]
        if not self._is_small():
            with self._effort:
                self._pass(self._encoded[:1], self._raw[:1])
        self._places, apart = self._chosen(operations)
        self._encoded, self._raw, self._counted = (
            each[::apart] for each in (self._encoded, self._raw, self._counted)
        )
        self.inputs = self._encoded.flatten(1)
        self.count = self._rows(self._places)

    def rows(self) -> Iterator[Part]:
        """Yield the rows of one logit and place at a time, of as many examples as a pass takes."""
        size = self._at_once()
        cut = (each.split(size) for each in (self._encoded, self._raw, self._counted))
        for part, (encoded, raw, counted) in enumerate(zip(*cut, strict=True)):
            logits, leaf = self._pass(encoded, raw)
            direction = torch.zeros_like(logits)
            for place in self._places:
                owners = counted[:, place].nonzero()[:, 0]
                for which in direction[:, place].unbind(dim=1) if len(owners) else ():
                    which.fill_(1)
                    yield _slope(logits, leaf, direction).flatten(1)[owners], owners + part * size
                    which.zero_()

    def _pass(self, encoded: torch.Tensor, raw: torch.Tensor) -> Part:
        """Return the logits of examples (m, places, outputs), and what they can be differentiated by."""
        with torch.enable_grad():
            leaf = encoded.clone().requires_grad_()
            logits = self._probe.model.trace_from(leaf, raw)["logits"]
            return logits.unflatten(0, (len(leaf), -1)), leaf

    def _is_small(self) -> bool:
        """Return whether it takes a moment, so that it need not be asked how long: that alone takes one."""
        passes = len(self._encoded) * self._counted.shape[1] * self._outputs
        weights = sum(weight.numel() for weight in self._probe.weights.values())
        return self._encoded.numel() <= SMALL_VALUES and passes * weights <= SMALL_PASSES

    def _at_once(self) -> int:
        return max(1, GRAPH_VALUES // max(1, self._effort.values))

    def _rows(self, places: Sequence[int], apart: int = 1) -> int:
        return self._outputs * int(self._counted[::apart, places].sum())

    def _operations(self, places: int, examples: int, count: int) -> float:
        """Return how many operations so many rows take, infinitely many where they span too much."""
        d = self._encoded[0].numel()
        passes = self._outputs * places * _parts(count, d)
        begun = math.ceil(examples / self._at_once())
        found = passes * (examples * self._effort.operations + begun * A_PASS) + count * d * min(count, d)
        return found if min(count, d) <= SIDE else math.inf

    def _chosen(self, operations: float) -> tuple[list[int], int]:
        """Return which places are looked at, and each how many-th example."""
        there = self._counted.any(dim=0).nonzero()[:, 0].tolist()
        if not there:
            raise NotApplicable("no position of these examples has a label")
        n = len(self._encoded)
        for apart, most in product((1, 2, 4), range(len(there), 0, -1)):
            places = [there[(2 * at + 1) * len(there) // (2 * most)] for at in range(most)]
            needed = self._operations(most, math.ceil(n / apart), self._rows(places, apart))
            if needed <= operations * GIGA:
                return places, apart
        few = math.ceil(n / 4)
        raise NotApplicable(
            f"the derivatives of {self._outputs} logits by {self._encoded[0].numel()} inputs take more than "
            f"{operations:g} x 10^9 operations, or products of more than {SIDE} x {SIDE}, already at one "
            f"position of {few} examples",
            **self._way_out(few),
        )

    def _way_out(self, examples: int) -> dict[str, float]:
        """Return with which settings one position of so many examples, or of fewer, is looked at."""
        fewer = examples if self._encoded[0].numel() <= SIDE else min(examples, SIDE // self._outputs)
        if fewer < 2:
            return {}
        enough = math.ceil(self._operations(1, fewer, fewer * self._outputs) / GIGA)
        return {"operations": enough} if fewer == examples else {"samples": fewer, "operations": enough}


class _Effort(TorchDispatchMode):
    """What is done in the block: numbers made, and operations in whose time all is done."""

    def __init__(self) -> None:
        super().__init__()
        self.values = self.products = 0

    @property
    def operations(self) -> int:
        return self.products + A_VALUE * self.values

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        counted = flop_registry.get(func.overloadpacket)
        self.products += counted(*args, **(kwargs or {}), out_val=found) if counted else 0
        made = found if isinstance(found, (tuple, list)) else [found]
        if not func.is_view:
            self.values += sum(each.numel() for each in made if isinstance(each, torch.Tensor))
        return found


def _slope(logits: torch.Tensor, leaf: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    if not logits.requires_grad:
        return torch.zeros_like(leaf)
    (found,) = torch.autograd.grad(logits, leaf, direction, retain_graph=True, materialize_grads=True)
    return found
