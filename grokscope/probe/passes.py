"""Forward passes over a split, so many examples at a time: always as many, whatever memory there is.

How much may be kept decides whether a tensor is computed again, and never how.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from grokscope.errors import MeasureError
from grokscope.numbers import all_finite

if TYPE_CHECKING:
    from grokscope.memory import Memory
    from grokscope.probe import Probe

SOME = 16  # examples, beside random inputs, on which it is proven what a network is
CHUNK_VALUES = 1 << 22  # encoded values per forward pass: 16 MB in float32
ROWS = 16  # a chunk's examples are a multiple of it: torch draws noise so many numbers at a time
MOST_VALUES = 1 << 30  # of the hidden layers of a split, of networks of one's own: 4 GB in float32


class Passes:
    """The forward passes of one probe."""

    def __init__(self, probe: Probe, budget: Memory) -> None:
        self._probe, self._budget = probe, budget
        self._task, self._model = probe.task, probe.model

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return raw inputs encoded."""
        with torch.no_grad():
            return self._model.encode(inputs).detach()

    def noised(self, split: str, sigma: float) -> torch.Tensor:
        """Return all encoded inputs of a split with noise."""
        encoded = self._probe.encoded(split)
        return encoded + sigma * self._probe._noise.draw(split, sigma, encoded)

    def some(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return some examples, encoded and raw."""
        inputs = self._probe.inputs("all")[:SOME]
        return self._probe.shared(("encoded", "some"), lambda: self.encode(inputs)), inputs

    def sample(self) -> Mapping[str, torch.Tensor]:
        """Return the trace of some examples: it says what there is, and how large."""

        def run() -> dict[str, torch.Tensor]:
            with torch.no_grad():
                return self._model.trace_from(*self.some())

        return self._probe.shared(("trace", "some"), run)

    def names(self) -> tuple[str, ...]:
        """Return the names in the trace."""
        if self._size("train") is None:
            self.traced("logits", "train", 0.0)  # all that there is, and it is noted what that is
        return self._probe.shared(("trace", "names"), lambda: tuple(self.sample()))

    def traced(self, name: str, split: str, sigma: float) -> torch.Tensor:
        """Return one tensor of the trace; what the same pass gives is kept too, as far as there is room."""
        if self._size(split) is not None:
            name = self._one_name(name)

        def compute() -> torch.Tensor:
            found = find()  # and whether it is finite, which many ask, is noted while it is there
            self._probe.shared(("finite", name, split, sigma), lambda: all_finite(found))
            return found

        def find() -> torch.Tensor:
            if split == "all" and sigma == 0 and self._divided():
                return self._joined(name)
            if sigma == 0 and self._kept(name, "all") and self._divided():
                return self.traced(name, "all", sigma)[self._task.indices(split)]
            found = self._run(split, sigma, self._along(name, split, sigma))
            for other in found.keys() - {name}:
                self._probe.shared(("trace", split, sigma, other), partial(found.__getitem__, other))
            return found[name]

        together = 0  # train and test put together must have room beside these
        if split == "all" and self._size(split) is not None and self._divided():
            together = self._bytes_of(split, [name])
        return self._probe.shared(("trace", split, sigma, name), compute, together=together)

    def _kept(self, name: str, split: str) -> bool:
        return ("trace", split, 0.0, name) in self._probe._memory

    def _along(self, name: str, split: str, sigma: float) -> Collection[str] | None:
        """Return which tensors a pass for one of them gives: all (None), it and some layers, or it alone."""
        if self._size(split) is None:
            return None
        layers = ("first",) if sigma else self._model.hidden
        for names in (self.names(), layers):
            together = {self._one_name(each) for each in (name, *names)}
            if self._budget.fits(self._bytes_of(split, together)):
                return together
        return [name]

    def scale(self) -> float:
        """Return the standard deviation of all encoded values of the training split."""
        parts = self.parts("train", 0.0)
        first = next(parts)[0].double()
        if len(first) == len(self._task.train):
            return first.std(correction=0).item()
        values = first[0].numel() * len(self._task.train)
        sums = [first.sum().item(), *(encoded.double().sum().item() for encoded, _ in parts)]
        mean = math.fsum(sums) / values
        squares = ((encoded.double() - mean).square().sum() for encoded, _ in self.parts("train", 0.0))
        return math.sqrt(math.fsum(each.item() for each in squares) / values)

    def parts(self, split: str, sigma: float) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the encoded and the raw inputs of a split, so many examples at a time."""
        if self._size(split) is None:
            yield self._probe.encoded(split, sigma), self._probe.inputs(split)
            return
        like, ends = self.some()[0], self._ends(split)
        size = self._examples(split) * like[0].numel() * like.element_size()
        kept = self._budget.fits((3 if sigma else 1) * size)  # the noise, and the inputs with it and without
        whole = self._probe.encoded(split, sigma) if kept else None
        shapes = [(end - start, *like.shape[1:]) for start, end in pairwise([0, *ends])]
        noises = self._probe._noise.parts(split, sigma, shapes, like) if whole is None and sigma else None
        for end, inputs in zip(ends, self._raw_parts(split), strict=True):
            if whole is None:
                encoded = self.encode(inputs)
                yield encoded if noises is None else encoded + sigma * next(noises), inputs
            else:
                yield whole[end - len(inputs) : end], inputs

    def _raw_parts(self, split: str) -> Iterator[torch.Tensor]:
        """Yield the raw inputs of a split, so many examples at a time."""
        every = self._task.indices(split)
        for start, end in pairwise([0, *self._ends(split)]):
            yield self._task.inputs[slice(start, end) if isinstance(every, slice) else every[start:end]]

    def _trace_parts(
        self, split: str, sigma: float
    ) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        """Yield the trace of so many examples of a split at a time, and their raw inputs."""
        of_raw = ((inputs,) for inputs in self._raw_parts(split))
        run: Callable[..., dict[str, torch.Tensor]] = (
            self._model.trace_from if sigma else self._model.trace_raw
        )
        for given in self.parts(split, sigma) if sigma else of_raw:
            with torch.no_grad():
                part = run(*given)
            yield part, given[-1]

    def _ends(self, split: str) -> list[int]:
        """Return up to which example each part of a split goes."""
        count, size = self._examples(split), self._size(split)
        return [count] if size is None else [*range(size, count - ROWS + 1, size), count]

    def _size(self, split: str) -> int | None:
        """Return how many examples of a split pass at a time; None is all."""
        encoded, inputs = self.some()
        each = encoded.numel() // max(1, len(inputs)) + self._model.values_per_example
        size = max(1, CHUNK_VALUES // max(1, each) // ROWS) * ROWS
        return None if self._examples(split) < size + ROWS else size

    def _examples(self, split: str) -> int:
        every = self._task.indices(split)
        return len(self._task.inputs) if isinstance(every, slice) else len(every)

    def _one_name(self, name: str) -> str:
        """Return the first of the names that a tensor of the trace has."""
        sample = self.sample()
        return next((each for each in sample if sample[each] is sample.get(name)), name)

    def _bytes_of(self, split: str, names: Collection[str]) -> int:
        """Return how large these tensors of the trace of a split are."""
        sample = self.sample()
        rows = (sample[name] for name in names if name in sample)
        some = sum(each.numel() * each.element_size() for each in rows)
        return some * self._examples(split) // max(1, len(self.some()[1]))

    def _divided(self) -> bool:
        """Return whether every example is in just one of train and test, and is one row of every layer."""
        return self._probe.shared(("trace", "divided"), self._is_divided)

    def _is_divided(self) -> bool:
        parts = torch.cat([self._task.train, self._task.test])
        whole = len(parts) == len(self._task.labels) == len(parts.unique())
        if not whole or self._probe.counted("train") is not None:
            return False
        if self._size("train") is not None:
            return {len(each) for each in self.sample().values()} == {len(self.some()[1])}
        every = (self.traced(name, "train", 0.0) for name in ("logits", *self.names()))
        return {len(rows) for rows in every} == {len(self._task.train)}

    def _run(self, split: str, sigma: float, names: Collection[str] | None = None) -> dict[str, torch.Tensor]:
        """Return some tensors of the trace, or all."""
        noted, count = self._model.values_per_example, self._examples(split)
        if count * noted > MOST_VALUES:
            raise MeasureError(
                f"the hidden layers of {count} examples hold {count * noted:.2g} numbers, and "
                f"{MOST_VALUES:.2g} are kept at most: choose fewer layers (`layers` of an import) or examples"
            )
        counted, done = self._probe.counted(split), 0
        gathered: dict[str, _Rows] = {}
        for part, inputs in self._trace_parts(split, sigma):
            if counted is not None:
                each = len(counted) // count
                own = counted[done * each : (done + len(inputs)) * each]
                part = {name: rows[own] if len(rows) == len(own) else rows for name, rows in part.items()}
            for name in part if names is None else names:
                rows = gathered.setdefault(name, _Rows(count))
                rows.add(part[name], len(inputs), known=counted is None)
            done += len(inputs)
        self._probe.shared(("trace", "names"), lambda: tuple(part))
        return {name: rows.together() for name, rows in gathered.items()}

    def _joined(self, name: str) -> torch.Tensor:
        """Put train and test together instead of running every example once more."""
        found: torch.Tensor | None = None
        for split in ("train", "test"):
            done, examples = 0, getattr(self._task, split)
            for rows in self._in_parts(name, split):
                if found is None:
                    found = rows.new_empty((len(self._task.labels), *rows.shape[1:]))
                found[examples[done : done + len(rows)]] = rows
                done += len(rows)
        assert found is not None
        return found

    def _in_parts(self, name: str, split: str) -> Iterator[torch.Tensor]:
        """Yield the rows of a tensor of the trace; what is not kept is held so many examples at a time."""
        if self._kept(name, split) or self._size(split) is None:
            yield self.traced(name, split, 0.0)
            return
        for part, _ in self._trace_parts(split, 0.0):
            yield part[name]


class Trace(Mapping[str, torch.Tensor]):
    """What a network names, on a split and with noise, by name."""

    def __init__(self, passes: Passes, split: str, sigma: float) -> None:
        self._passes, self._split, self._sigma = passes, split, sigma

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._passes.traced(name, self._split, self._sigma)

    def __iter__(self) -> Iterator[str]:
        return iter(self._passes.names())

    def __len__(self) -> int:
        return len(self._passes.names())


class _Rows:
    """The rows of a tensor as they come, in one piece of memory where their number is known."""

    def __init__(self, examples: int) -> None:
        self._examples, self._done = examples, 0
        self._parts: list[torch.Tensor] = []
        self._whole: torch.Tensor | None = None

    def add(self, rows: torch.Tensor, examples: int, *, known: bool) -> None:
        """Take the rows of the next examples; `known` says that all give as many."""
        if not known or examples == self._examples:
            self._parts.append(rows)
            return
        if self._whole is None:
            each = len(rows) // examples
            self._whole = rows.new_empty((each * self._examples, *rows.shape[1:]))
        self._whole[self._done : self._done + len(rows)] = rows
        self._done += len(rows)

    def together(self) -> torch.Tensor:
        """Return all rows."""
        if self._whole is not None:
            return self._whole
        return self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts)
