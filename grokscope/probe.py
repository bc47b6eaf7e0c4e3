"""One checkpoint brought to life: what measures ask for is computed once and shared by all of them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import torch

from grokscope.errors import MeasureError, NotApplicable
from grokscope.models.chain import Chain, is_linear_in, relu_chain
from grokscope.models.network import Network
from grokscope.numbers import moments
from grokscope.objective import Objective
from grokscope.tasks.pairs import pairs_of
from grokscope.tasks.task import IGNORED, Task

T = TypeVar("T")
PROVEN_ON = 16  # examples, beside random inputs
CHUNK_VALUES = 1 << 25  # encoded values per forward pass: 128 MB in float32
DROWNING = 5.0  # standard deviations of the encoded input, from which on noise on it is remarked on
MOST_VALUES = 1 << 30  # of the hidden layers of a split, of networks of one's own: 4 GB in float32


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
    ) -> None:
        self.step = step
        self.task = task
        self.model = model
        self.weights = dict(weights)
        self.loss_name = loss_name
        self._judged = judged or Objective(loss_name)
        self._noise = noise
        self._memory: dict[Hashable, Any] = {}

    def shared(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return `compute()`, run once per checkpoint and `key`, whichever measure asks first.

        Begin the key with your plugin's name.
        """
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]

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
        if sigma == 0:
            return self.shared(("encoded", split), lambda: self._encode(split))
        return self.shared(
            ("encoded", split, sigma),
            lambda: self.encoded(split) + sigma * self._noise.draw(split, sigma, self.encoded(split)),
        )

    def scale(self) -> float:
        """Return the standard deviation of the training split's encoded inputs over all their values.

        Noise on them is large or small against it.
        """
        return self.shared(("scale",), lambda: self.encoded("train").double().std(correction=0).item())

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
        """Return every tensor that the network names, from one forward pass in chunks."""
        compute = self._join if split == "all" and sigma == 0 and self._divided else self._run
        return self.shared(("trace", split, float(sigma)), lambda: compute(split, sigma))

    def logits(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the logits, (n, outputs)."""
        return self.trace(split, sigma)["logits"]

    def activations(self, split: str, sigma: float = 0.0) -> dict[str, torch.Tensor]:
        """Return the hidden layers' activations after the non-linearity, (n, units) by layer name."""
        return {name: self.trace(split, sigma)[name] for name in self.model.hidden}

    def moments(self, layer: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean (d,) and the scatter matrix (d, d) of a hidden layer's activations, float64.

        The scatter matrix is the sum over examples of (h - mean)(h - mean)^T.
        """
        return self.shared(("moments", layer, split), lambda: moments(self.activations(split)[layer]))

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
        return self.shared(("relu chain",), lambda: relu_chain(self.model, *self._some()))

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
        return self.shared(("pairs",), lambda: pairs_of(self.task.inputs, self.task.labels))

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
        encoded, inputs = self._some()
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
        every: torch.Tensor | slice = slice(None) if chosen is None else chosen
        labels = self.task.labels[self.task.indices(split)][every]
        logits, rows = (
            self.logits_at(weights, self.inputs(split)[every], quick=quick),
            self.model.row_labels(labels),
        )
        if self.classifies and labels.ndim > 1:
            logits, rows = logits[rows != IGNORED], rows[rows != IGNORED]
        return self.loss_of(logits, rows)

    def loss_of(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the run's loss of these logits (rows, outputs), the mean over rows; of labels as `labels`.

        Raises PluginError where it is the user's own, and cannot be computed.
        """
        return self._judged.loss(logits, labels)

    def doubled(self) -> Probe:
        """Return this checkpoint with a copy of its network in float64, for what cancels in float32."""
        return self.shared(("doubled",), self._double)

    def loss(self, split: str) -> float:
        """Return the mean loss on `split`, accumulated in float64."""
        return self._judged.mean_loss(self.logits(split), self.labels(split))

    def accuracy(self, split: str) -> float:
        """Return the share of `split` whose largest logit is at its label.

        Of labels or, where the run says so, of sequences with all their labels. NaN if a logit is not finite,
        or numbers are to be predicted.
        """
        return self.accuracy_of(self.logits(split), split)

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
        )

    def _row_labels(self, split: str) -> torch.Tensor:
        return self.model.row_labels(self.task.labels[self.task.indices(split)])

    def _find_counted(self, split: str) -> torch.Tensor | None:
        if not self.classifies or self.task.labels.ndim == 1:
            return None
        counted = self._row_labels(split) != IGNORED
        return None if counted.all() else counted

    def _some(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return some examples, encoded and raw: what a network is, is proven on them."""
        return self.encoded("all")[:PROVEN_ON], self.inputs("all")[:PROVEN_ON]

    def _encode(self, split: str) -> torch.Tensor:
        with torch.no_grad():
            return self.model.encode(self.inputs(split)).detach()

    @property
    def _divided(self) -> bool:
        """Whether every example is in just one of train and test, and is one row of every layer."""
        parts = torch.cat([self.task.train, self.task.test])
        whole = len(parts) == len(self.task.labels) == len(parts.unique())
        return whole and all(len(rows) == len(self.task.train) for rows in self.trace("train").values())

    def _join(self, split: str, sigma: float) -> dict[str, torch.Tensor]:
        """Put the traces of train and test together instead of running every example once more."""
        train, test = self.trace("train"), self.trace("test")
        order = torch.cat([self.task.train, self.task.test]).argsort()
        return {name: torch.cat([train[name], test[name]])[order] for name in train}

    def _run(self, split: str, sigma: float) -> dict[str, torch.Tensor]:
        encoded, noted = self.encoded(split, sigma), self.model.values_per_example
        if len(encoded) * noted > MOST_VALUES:
            raise MeasureError(
                f"the hidden layers of {len(encoded)} examples hold {len(encoded) * noted:.2g} numbers, and "
                f"{MOST_VALUES:.2g} are kept at most: choose fewer layers (`layers` of an import) or examples"
            )
        size = max(1, CHUNK_VALUES * len(encoded) // max(1, encoded.numel() + len(encoded) * noted))
        pairs = zip(encoded.split(size), self.inputs(split).split(size), strict=True)
        with torch.no_grad():
            parts = [self.model.trace_from(*pair) for pair in pairs]
        named = parts[0]
        if len(parts) > 1:
            named = {name: torch.cat([part[name] for part in parts]) for name in named}
        counted = self.counted(split)
        if counted is None:
            return named
        return {name: rows[counted] if len(rows) == len(counted) else rows for name, rows in named.items()}


class NoiseSource:
    """The run's noise: one standard normal draw per (split, sigma), the same for every checkpoint."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.draws: dict[tuple[str, float, tuple[int, ...]], torch.Tensor] = {}

    def draw(self, split: str, sigma: float, like: torch.Tensor) -> torch.Tensor:
        """Return the standard normal draw in the shape, type and place of `like`."""
        key = (split, float(sigma), tuple(like.shape))
        if key not in self.draws:
            generator = generator_for("noise", self.seed, split, repr(float(sigma)))
            drawn = torch.randn(like.shape, generator=generator, dtype=torch.float32)
            self.draws[key] = drawn.to(like.device, like.dtype)
        return self.draws[key]


def generator_for(*words: str) -> torch.Generator:
    """Return a CPU generator seeded by `words`: equal words, equal numbers, on every machine."""
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
