"""One checkpoint brought to life: what measures ask for is computed once and shared by all of them."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch

from grokscope.errors import MeasureError, NotApplicable
from grokscope.memory import Memory, Shelf
from grokscope.models.chain import Chain, is_linear_in, relu_chain
from grokscope.models.network import Network
from grokscope.numbers import all_finite, gram, moments, require_finite
from grokscope.objective import Objective, predictions
from grokscope.probe.noise import NoiseSource, generator_for
from grokscope.probe.passes import Passes, Trace
from grokscope.tasks.pairs import pairs_of
from grokscope.tasks.task import IGNORED, Task

__all__ = ["NoiseSource", "Probe", "generator_for"]

T = TypeVar("T")
DROWNING = 5.0  # standard deviations of the encoded input, from which on noise on it is remarked on


class Probe:
    """One checkpoint's network on its task; everything is computed when first asked for, then kept.

    Splits are `train`, `test` and `all`. Tensors carry no gradient history and must not be changed in place.
    `sigma` is the standard deviation of Gaussian noise on the encoded input; the noise is drawn once per
    (run, split, sigma) and is the same for every checkpoint and measure.

    Attributes:
        step: optimiser updates done.
        task: the task, with its split.
        model: the network, in evaluation mode, holding the checkpoint's weights.
        loss_name: `cross_entropy`, `mse`, `stablemax_cross_entropy`, or what a loss of the user's own is
            called.
        weights: parameters by name.
    """

    def __init__(
        self,
        *,
        step: int,
        task: Task,
        model: Network,
        weights: Mapping[str, torch.Tensor],
        loss_name: str,
        noise: NoiseSource,
        judged: Objective | None = None,
        memory: Memory | None = None,
        of_task: Shelf | None = None,
        foretold: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.step = step
        self.task = task
        self.model = model
        self.weights = dict(weights)
        self.loss_name = loss_name
        self._judged = judged or Objective(loss_name)
        self._noise = noise
        self._budget = memory or Memory()
        self._memory = Shelf(self._budget, _told_to(self))
        self._of_task = of_task
        self._foretold = foretold

    def shared(self, key: Hashable, compute: Callable[[], T], *, together: int = 0) -> T:
        """Return `compute()`, run once per checkpoint and `key`, whichever measure asks first.

        Begin the key with your plugin's name. Where memory is short it is run again for who asks later.
        `together` are the bytes of all the values that are asked for in turn, if there are many: where these
        have no room, each would push out the next before it is asked for again, and none is kept.
        """
        return self._memory.shared(key, compute) if self._budget.fits(together) else compute()

    def of_task(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return `compute()`, run once for all checkpoints: what depends on the task and its noise alone."""
        if self._of_task is None:
            return self.shared(key, compute)
        shelf = self._of_task
        return self.shared(key, lambda: shelf.shared(key, compute))

    def foretell(self, seconds: float) -> None:
        """Say that what the measure does from here on takes about so many seconds.

        Who waits for it is told, where that is long, how long all of the run's checkpoints will take.
        """
        self._foretold(seconds)

    def _let_go(self, key: Hashable) -> None:
        """A shared value has to go, since memory is short."""

    @property
    def _passes(self) -> Passes:
        # Made anew, as a probe that held it would be in a circle: its memory would wait for Python to look.
        return Passes(self, self._budget)

    @property
    def classifies(self) -> bool:
        """Whether labels are classes, and not numbers to be predicted."""
        return not self.task.labels.is_floating_point()

    def inputs(self, split: str) -> torch.Tensor:
        """Return the raw inputs of `split`.

        Tokens (n, length), vectors (n, d), or whatever a network of one's own takes.
        """
        return self.task.inputs[self.task.indices(split)]

    def labels(self, split: str) -> torch.Tensor:
        """Return the labels of `split`, (n,) int64, or numbers (n, k).

        Where labels are one per position each position that counts is a row, here and in the logits and
        activations: n is the number of rows, and may be more than that of the inputs.
        """
        labels, counted = self._row_labels(split), self.counted(split)
        return labels if counted is None else labels[counted]

    def counted(self, split: str) -> torch.Tensor | None:
        """Return which of the rows that `logits_at` gives for `inputs(split)` count, (rows,) bool.

        Those of positions that have a label; None where all do.
        """
        return self.shared(("counted", split), lambda: self._find_counted(split))

    def logits_at(
        self, weights: Mapping[str, torch.Tensor], inputs: torch.Tensor, *, quick: bool = False
    ) -> torch.Tensor:
        """Return the logits (rows, outputs) of raw inputs with these weights, by name.

        One row per example or, where each position is a row, that many per example. The weights stand in
        place of the checkpoint's own.

        They can be differentiated by the weights, twice; not so with `quick`, which may be the quicker way.
        """
        return self.model.logits_at(weights, inputs, quick=quick)

    def encoded(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the encoded inputs, (n, ...) float, with noise of standard deviation `sigma`."""
        keep = self.of_task if self.model.fixed_encoding else self.shared
        if sigma == 0:
            return keep(("encoded", split), lambda: self._passes.encode(self.inputs(split)))
        return keep(("encoded", split, sigma), lambda: self._passes.noised(split, sigma))

    def encoded_some(self, split: str, chosen: torch.Tensor) -> torch.Tensor:
        """Return the encoded inputs of some examples of a split: `chosen` (m,) among `inputs(split)`."""
        if ("encoded", split) in self._memory:
            return self.encoded(split)[chosen]
        every = self.task.indices(split)
        return self._passes.encode(self.task.inputs[chosen if isinstance(every, slice) else every[chosen]])

    def encoded_parts(self, split: str) -> Iterator[torch.Tensor]:
        """Yield the encoded inputs of a split, so many examples at a time."""
        return (encoded for encoded, _ in self._passes.parts(split, 0.0))

    def scale(self) -> float:
        """Return the standard deviation of the training split's encoded inputs over all their values.

        Noise on them is large or small against it.
        """
        keep = self.of_task if self.model.fixed_encoding else self.shared
        return keep(("scale",), self._passes.scale)

    def noise(self, sigma: float | None, paper: float, share: float) -> tuple[float, dict[str, Any]]:
        """Return the noise that a measure takes, and what its columns `sigma` and `note` say of it.

        Args:
            sigma: what was asked for; taken as it is, and noted where it is many times the `scale`.
            paper: what is taken when nothing was asked for, on tasks that a paper is about.
            share: what is taken on tasks of one's own then, as a share of the `scale`; both columns say it.
        """
        if sigma is None and self.task.papers_noise:
            return paper, {}
        if sigma is None:
            sigma = share * self.scale()
            return sigma, {
                "sigma": sigma,
                "note": f"noise of {share:g} times the standard deviation of the encoded inputs",
            }
        times = sigma / scale if (scale := self.scale()) > 0 else 0.0
        if times < DROWNING:
            return sigma, {}
        return sigma, {
            "note": f"sigma {sigma:g} is {times:.2g} times the standard deviation of the encoded inputs, "
            f"{scale:.2g}: little is left of them"
        }

    def trace(self, split: str, sigma: float = 0.0) -> Mapping[str, torch.Tensor]:
        """Return every tensor that the network names, from a forward pass in chunks.

        Where memory is short each is computed when it is asked for, and by the same steps.
        """
        return Trace(self._passes, split, float(sigma))

    def logits(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the logits, (n, outputs)."""
        return self.trace(split, sigma)["logits"]

    def activations(self, split: str, sigma: float = 0.0) -> dict[str, torch.Tensor]:
        """Return the hidden layers' activations after the non-linearity, (n, units) by layer name."""
        return {name: self.trace(split, sigma)[name] for name in self.model.hidden}

    def all_finite(self, name: str, split: str, sigma: float = 0.0) -> bool:
        """Return whether every value of a tensor of the trace is a finite number."""
        key = ("finite", name, split, float(sigma))
        return self.shared(key, lambda: all_finite(self.trace(split, sigma)[name]))

    def require_finite(self, what: str, name: str, split: str, sigma: float = 0.0) -> None:
        """Raise MeasureError with the sentence that `what`, a tensor of the trace, must be finite."""
        require_finite(what, 0.0 if self.all_finite(name, split, sigma) else math.nan)

    def moments(self, layer: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean (d,) and the scatter matrix (d, d) of a hidden layer's activations, float64.

        The scatter matrix is the sum over examples of (h - mean)(h - mean)^T. Raises MeasureError where there
        is no room for it.
        """

        def compute() -> tuple[torch.Tensor, torch.Tensor]:
            values = self.activations(split)[layer]
            self.require_room(f"the products of the units of {layer}", values.shape[1])
            return moments(values)

        return self.shared(("moments", layer, split), compute)

    def gram(self, layer: str, split: str) -> torch.Tensor:
        """Return the products of all pairs of a hidden layer's activations less their mean, (n, n) float64.

        Smaller than the scatter matrix where there are more units than examples. Raises MeasureError where
        there is no room for it.
        """

        def compute() -> torch.Tensor:
            values = self.activations(split)[layer]
            self.require_room(f"the products of the examples' activations in {layer}", len(values))
            return gram(values)

        return self.shared(("gram", layer, split), compute)

    def require_room(self, what: str, side: int, matrices: int = 3) -> None:
        """Raise MeasureError where so many float64 matrices (side, side) are more than may be taken.

        Args:
            what: what they hold, for the sentence.
            side: their rows, and columns.
            matrices: how many there are at once.
        """
        size = matrices * 8 * side**2
        if self._budget.whole is not None and size > self._budget.whole:
            raise MeasureError(
                f"{what}, {side} x {side}, take {size / 1e9:.2g} GB, and this process may take "
                f"{self._budget.whole / 1e9:.2g} GB: give it more by `max_memory`, or choose other layers or "
                "fewer examples"
            )

    def first_layer(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the first layer of the matrix information measures, (n, d).

        An MLP's first Linear before its ReLU, a transformer's noised operand embeddings, an LSTM's
        time-averaged noised embedding.
        """
        return self.trace(split, sigma)["first"]

    def last_layer(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the logits, (n, outputs): the last layer of the matrix information measures."""
        return self.logits(split, sigma)

    def relu_chain(self) -> Chain | None:
        """Return the Linear layers of a network proven to be Linear -> ReLU -> ... -> Linear, else None.

        Closed forms for ReLU networks may rest on it, whatever the network calls itself.
        """
        return self.shared(("relu chain",), lambda: relu_chain(self.model, *self._passes.some()))

    def require_chain(self) -> Chain:
        """Return `relu_chain()`. Raises NotApplicable where there is none."""
        chain = self.relu_chain()
        if chain is None:
            raise NotApplicable(
                "it needs a network of Linear and ReLU layers only (Flatten, Dropout and BatchNorm in "
                f"evaluation aside), and this one ({self.model.kind}) is not, as its own layers show"
            )
        return chain

    def require_hidden(self) -> tuple[str, ...]:
        """Return the hidden layers' names. Raises NotApplicable where there is none."""
        if not self.model.hidden:
            raise NotApplicable("the network has no hidden layer: it calls no non-linearity by itself")
        return self.model.hidden

    def require_classes(self) -> None:
        """Raise NotApplicable where labels are numbers to be predicted, and no classes."""
        if not self.classifies:
            raise NotApplicable("it is about classes, and this run's labels are numbers to be predicted")

    def require_pairs(self) -> torch.Tensor:
        """Return the two tokens that each example of the task is an operation on, (N, 2) int64.

        They are found also inside a longer sequence such as `a + b =`. Raises NotApplicable where there are
        none, or a pair is there twice.
        """
        return self.of_task(("pairs",), lambda: pairs_of(self.task.inputs, self.task.labels))

    def require_rows(self, split: str, rows: torch.Tensor) -> None:
        """Raise NotApplicable unless a layer has a row for each label of the split."""
        if len(rows) != len(self.labels(split)):
            raise NotApplicable(
                f"it compares each row of a layer with its label, and the {split} split has {len(rows)} rows "
                f"and {len(self.labels(split))} labels: import the run with other positions than rows"
            )

    def is_linear_in(self, layer: str, weight: torch.Tensor) -> bool:
        """Return whether the logits are linear in a layer of the trace, with slope `weight` (K, units).

        It is seen in their gradients at some examples.
        """
        encoded, inputs = self._passes.some()
        return is_linear_in(self.model, encoded, layer, weight, inputs)

    def places(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each row of `labels(split)` its example, and its place in it, (n,) int64 each.

        Places are 0, 1, 2, ... and 0 wherever an example is one row.
        """
        rows, counted = len(self._row_labels(split)), self.counted(split)
        index = torch.arange(rows) if counted is None else counted.nonzero()[:, 0]
        each = rows // max(1, len(self.inputs(split)))
        return index // max(1, each), index % max(1, each)

    def loss_at(
        self,
        weights: Mapping[str, torch.Tensor],
        split: str,
        chosen: torch.Tensor | None = None,
        *,
        quick: bool = True,
    ) -> torch.Tensor:
        """Return the run's loss with these weights, by name, in the place of the checkpoint's.

        The mean over the examples `chosen` (m,) of `inputs(split)`, or all. It can be differentiated by the
        weights, twice only if it is not `quick`, see `logits_at`.
        """
        inputs, labels = self._examples(split, chosen)
        logits, rows = self.logits_at(weights, inputs, quick=quick), self.model.row_labels(labels)
        if self.classifies and labels.ndim > 1:
            logits, rows = logits[rows != IGNORED], rows[rows != IGNORED]
        return self.loss_of(logits, rows)

    def _examples(self, split: str, chosen: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        if chosen is None:
            return self.of_task(("examples", split), lambda: self.task.examples(split))
        of = self.task.indices(split)
        places = chosen if isinstance(of, slice) else of[chosen]
        return self.task.inputs[places], self.task.labels[places]

    def loss_of(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the run's loss of these logits (rows, outputs), the mean over rows; of labels as `labels`.

        Raises PluginError where it is the user's own, and cannot be computed.
        """
        return self._judged.loss(logits, labels)

    def loss_over(self, parts: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
        """Return the run's loss of logits and labels that come in parts, the mean over all their rows."""
        return self._judged.loss_over(parts)

    def doubled(self) -> Probe:
        """Return this checkpoint with a copy of its network in float64, for what cancels in float32."""
        return self.shared(("doubled",), self._double)

    def loss(self, split: str) -> float:
        """Return the mean loss on `split`, accumulated in float64."""
        return self.shared(
            ("loss", split), lambda: self._judged.mean_loss(self.logits(split), self.labels(split))
        )

    def predictions(self, split: str) -> torch.Tensor:
        """Return the class that each row of the logits answers, (n,) int64; -1 where they are not finite.

        As `objective.predictions`; they are kept where the logits have no room.
        """
        return self.shared(("predictions", split), lambda: predictions(self.logits(split)))

    def accuracy(self, split: str) -> float:
        """Return the share of `split` whose largest logit is at its label.

        Of labels or, where the run says so, of sequences with all their labels. NaN if a logit is not finite,
        or numbers are to be predicted.
        """
        if not self.classifies or not self.all_finite("logits", split):
            return math.nan
        return self._judged.share_of(self.predictions(split), self.labels(split), self.places(split)[0])

    def accuracy_of(self, logits: torch.Tensor, split: str) -> float:
        """Return what `accuracy` is of other logits, (n, outputs), in the place of the network's own."""
        return self._judged.share_right(logits, self.labels(split), self.places(split)[0])

    def _double(self) -> Probe:
        model = copy.deepcopy(self.model).double()
        return Probe(
            step=self.step,
            task=self.task,
            model=model,
            weights={name: weight.detach() for name, weight in model.named_parameters()},
            loss_name=self.loss_name,
            noise=self._noise,
            judged=self._judged,
            memory=self._budget,
        )

    def _row_labels(self, split: str) -> torch.Tensor:
        return self.model.row_labels(self.task.labels[self.task.indices(split)])

    def _find_counted(self, split: str) -> torch.Tensor | None:
        if not self.classifies or self.task.labels.ndim == 1:
            return None
        counted = self._row_labels(split) != IGNORED
        return None if counted.all() else counted


def _told_to(probe: Probe) -> Callable[[Hashable], None]:
    """Return what tells a probe of a value that has to go, and does not keep the probe alive."""
    known = weakref.ref(probe)

    def tell(key: Hashable) -> None:
        if (there := known()) is not None:
            there._let_go(key)

    return tell
