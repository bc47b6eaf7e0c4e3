"""Any nn.Module as a network: what is its encoded input, its hidden layers, its logits, and what a row is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import nn

from grokscope.errors import PluginError, SettingError, described
from grokscope.models.network import Network
from grokscope.models.watching import FoundInput, Pass, Softmaxes, matches, plain_arithmetic, watched
from grokscope.tasks.packing import Part, arguments, unpacked

Positions = Literal["auto", "flatten", "rows", "last", "mean"]
WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "AveragedModel": "module",
}
LOOKED_AT = 5  # examples of the pass that finds the layers
_MOST_NAMED = 12  # layers in a sentence


class Plain(Network):
    """A module of anybody's, seen from outside: `encode`, `trace` and `hidden` are found by watching it run.

    It holds the module's own tensors under the module's own names, and is in evaluation mode.

    - Encoded input: float inputs as they are; of tokens the first embedding's output or, where there is none,
      what the first linear map is given.
    - Hidden layers: the outputs of the non-linearities in the order of their calls, named by their module
      (`features.1`), or by the module that calls a function and the function (`block.0.relu`); further calls
      are `name#2`, ... Recurrent modules give their output. `layers` chooses by glob among these and all
      modules' outputs instead.
    - `first`: the output of the first linear map or convolution; of tokens and where something recurrent
      comes first, the encoded input. All values of an example, or of a position where each is a row.
    - `logits`: what the module returns: a tensor, `.logits`, or the first of a tuple.

    Where labels are one per position, (n, t), each position is a row, (n t, units). Elsewhere each example
    is one, and `positions` says what becomes of what has several in a layer, (n, t, d) or (n, c, h, w):

    - `flatten`: all values of an example are its units;
    - `rows`: each position is a row of its own, (n t, d) or (n h w, c);
    - `last`: the last position alone, (n, d), of sequences; also of the logits and their labels;
    - `mean`: the mean over positions, (n, d) or (n, c);
    - `auto`: `last` where the logits are a sequence and the labels are not, else `flatten`.

    Args:
        module: the module; wrappers of torch.compile, DDP and FSDP are taken off.
        inputs: (n, ...) some inputs, of any task that it is for.
        labels: (n, ...) their labels.
        layers: globs of the names of hidden layers; every non-linearity when not given.
        positions: see above.
        parts: what `inputs` is made of where the module takes several: it is called with each. The first is
            the one that is encoded, all others are passed on.

    Raises:
        PluginError: the module cannot be run on the inputs, or gives no logits that fit the labels.
        SettingError: `layers` names nothing.
    """

    kind = "plain"

    def __init__(
        self,
        module: nn.Module,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        layers: Sequence[str] = (),
        positions: Positions = "auto",
        parts: tuple[Part, ...] = (),
    ) -> None:
        super().__init__()
        if positions not in get_args(Positions):
            raise SettingError(
                f"positions must be one of {', '.join(get_args(Positions))}, got {positions!r}"
            )
        module = unwrapped(module)
        self.inner = module
        for shared in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            setattr(self, shared, getattr(module, shared))
        self.eval()
        self._parts = parts
        self._tokens = not (parts[0].dtype if parts else inputs.dtype).is_floating_point
        self._sample = inputs[:1].clone()
        self._copied = False
        self._look(inputs[:LOOKED_AT], labels[:LOOKED_AT], layers, positions)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what is this network's and not the module's: a part of the module may be called `hidden`."""
        object.__setattr__(self, name, value)

    def train(self, mode: bool = True) -> Plain:
        """Set the mode of the module and all its parts."""
        self.inner.train(mode)
        self.training = mode
        return self

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Return the module's own state dict."""
        return self.inner.state_dict(*args, **options)

    def load_state_dict(self, *args: Any, **options: Any) -> Any:
        """Load a state dict of the module's."""
        return self.inner.load_state_dict(*args, **options)

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the encoded input, (n, ...) float in the weights' type."""
        if not self._tokens:
            return next(iter(self._named(inputs).values()))
        noted = self._pass(inputs, only_input=True)
        with suppress(FoundInput):
            self._run(noted, inputs)
        if noted.entered is None:
            raise PluginError(
                "the network takes whole numbers, and neither an embedding nor a linear map was called on "
                "what it makes of them: there is no encoded input for noise"
            )
        return noted.entered

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run from encoded inputs alone; the tokens, where there are any, are those of one example."""
        return self.trace_from(encoded, self._sample.expand(len(encoded), *self._sample.shape[1:]))

    def trace_from(self, encoded: torch.Tensor, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run on inputs with `encoded` in the place of what they become."""
        noted = self._pass(inputs, wanted=frozenset(self.hidden), copied=self._copied)
        noted.encoded = encoded if self._tokens else None
        logits = self._answer(self._run(noted, inputs, None if self._tokens else encoded))
        missing = [name for name in self.hidden if name not in noted.layers]
        if missing:
            raise PluginError(f"the network did not compute {missing[0]}, as it did on other examples")
        first = encoded if noted.first is None or self._tokens else noted.first
        named = {name: _as_rows(noted.layers[name], self._positions) for name in self.hidden}
        by_row = self._by_position and not self._last
        return {"first": _as_rows(first, "rows" if by_row else "flatten"), **named, "logits": logits}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of raw inputs, (rows, outputs)."""
        with plain_arithmetic():
            by_place, by_keyword = arguments(self._named(inputs))
            return self._answer(logits_of(self.inner(*by_place, **by_keyword)))

    def logits_at(
        self, parameters: Mapping[str, torch.Tensor], inputs: torch.Tensor, *, quick: bool = False
    ) -> torch.Tensor:
        """Return the logits of raw inputs with other parameters in the place of the module's."""
        with plain_arithmetic():
            by_place, by_keyword = arguments(self._named(inputs))
            output = torch.func.functional_call(self.inner, dict(parameters), tuple(by_place), by_keyword)
            return self._answer(logits_of(output))

    def logits_with(self, factors: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of raw inputs with the units of some hidden layers times factors of their own."""
        changes = {name: partial(_scaled, factor, self._positions) for name, factor in factors.items()}
        noted = self._pass(inputs, wanted=frozenset(), changes=changes)
        return self._answer(self._run(noted, inputs))

    def attention(self, encoded: torch.Tensor, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return every softmax over positions by the module that computes it, without its gradients."""
        noted = self._pass(inputs, wanted=frozenset())
        noted.encoded = encoded if self._tokens else None
        with torch.no_grad(), Softmaxes(noted):
            logits = self._run(noted, inputs, None if self._tokens else encoded)
        return {name: read for name, read in noted.attention.items() if read.data_ptr() != logits.data_ptr()}

    def mixes_heads(self, layer: str, heads: int, encoded: torch.Tensor, inputs: torch.Tensor) -> bool:
        """Return whether a layer is what so many heads mix: whether each head moves its own units alone."""
        if layer not in self.hidden:
            return False
        seen = self.attention(encoded, inputs)
        before = self._with_louder(None, layer, encoded, inputs)
        own = torch.arange(before.shape[1], device=before.device) * heads // before.shape[1]

        def moves_its_own(name: str, head: int) -> bool:
            moved = (self._with_louder((name, head), layer, encoded, inputs) != before).any(dim=0)
            return bool(moved.any() and (own[moved] == head).all())

        made = (name for name, reads in seen.items() if reads.shape[1] == heads)
        return not before.shape[1] % heads and any(
            all(moves_its_own(name, head) for head in range(heads)) for name in made
        )

    def _with_louder(
        self, louder: tuple[str, int] | None, layer: str, encoded: torch.Tensor, inputs: torch.Tensor
    ) -> torch.Tensor:
        """Return a layer as rows, one head of an attention made louder."""
        noted = self._pass(inputs, wanted=frozenset([layer]), copied=self._copied, louder=louder)
        noted.encoded = encoded if self._tokens else None
        with torch.no_grad(), Softmaxes(noted):
            self._run(noted, inputs, None if self._tokens else encoded)
        return _as_rows(noted.layers[layer], self._positions)

    def every_hidden(self) -> tuple[str, ...]:
        """Return the names of the outputs of all non-linearities."""
        return self._every

    def row_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the label of each row of the logits."""
        if labels.is_floating_point() or labels.ndim == 1:
            return labels
        return labels[:, -1] if self._last else labels.flatten()

    def _pass(self, inputs: torch.Tensor, **options: Any) -> Pass:
        return Pass(len(inputs), tokens=self._tokens, **options)

    def _run(self, noted: Pass, inputs: torch.Tensor, encoded: torch.Tensor | None = None) -> torch.Tensor:
        """Run the module on inputs, the main one of which is `encoded` where that is given."""
        named = self._named(inputs)
        if encoded is not None:
            named[next(iter(named))] = encoded
        by_place, by_keyword = arguments(named)
        with watched(self.inner, noted):
            return logits_of(self.inner(*by_place, **by_keyword))

    def _type(self) -> torch.dtype:
        found = (each.dtype for each in self.parameters() if each.is_floating_point())
        return next(found, torch.get_default_dtype())

    def _named(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return each input by its name, numbers in the type of the weights."""
        found, kind = unpacked(inputs, self._parts), self._type()
        return {name: each.to(kind) if each.is_floating_point() else each for name, each in found.items()}

    def _look(
        self, inputs: torch.Tensor, labels: torch.Tensor, layers: Sequence[str], positions: Positions
    ) -> None:
        """Run the module once and settle what its layers are and what a row is."""
        self._last = self._by_position = False
        self._positions, self._classes_at = "flatten", -1
        every, noted = self._pass(inputs), self._pass(inputs, globs=layers)
        try:
            with torch.no_grad():
                self._run(every, inputs)
                logits = self._run(noted, inputs)
        except Exception as error:  # a module of somebody's own may raise anything
            raise PluginError(f"the network cannot be run on its data ({described(error)})") from error
        if not isinstance(logits, torch.Tensor) or logits.ndim < 1 or len(logits) != len(inputs):
            raise PluginError(
                "the network must return logits: a tensor (n, ...), an object with .logits, or a tuple "
                f"that begins with one; got {_described(logits)} for {len(inputs)} examples"
            )
        self._copied = noted.was_changed
        self._every = tuple(every.layers)
        self.hidden = tuple(name for name, value in noted.layers.items() if value is not logits)
        self._check_named(layers, list(noted.layers))
        self._settle(logits, labels, positions)
        self.outputs = self._answer(logits).shape[1]
        self.values_per_example = sum(noted.layers[name][0].numel() for name in self.hidden)

    def _check_named(self, layers: Sequence[str], found: Sequence[str]) -> None:
        """Raise SettingError for a glob that names none of what was `found`, or the logits alone."""
        wrong = [glob for glob in layers if not any(matches(name, [glob]) for name in found)]
        wrong = wrong or ([] if self.hidden else list(layers))
        if not wrong:
            return
        there = list(dict.fromkeys([*self._every, *(name for name, _ in self.inner.named_modules() if name)]))
        near = difflib.get_close_matches(wrong[0], there, n=3, cutoff=0.6)
        more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
        shown = f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(there[:_MOST_NAMED])}"
        raise SettingError(
            "layers must name hidden modules of the network, and none is called "
            f"{' or '.join(wrong)}: {shown}{'' if near else more}"
        )

    def _settle(self, logits: torch.Tensor, labels: torch.Tensor, positions: Positions) -> None:
        spread = tuple(labels.shape[1:])
        if labels.is_floating_point():
            if logits.shape[1:].numel() != labels.shape[1:].numel():
                raise PluginError(_unfit(logits, labels))
            self._positions = "flatten" if positions == "auto" else positions
            return
        sequence = logits.ndim > 2
        if spread and logits.shape[1:-1] != spread:
            if logits.shape[2:] != spread:
                raise PluginError(_unfit(logits, labels))
            self._classes_at = 1
        if not spread and sequence:
            if positions not in ("auto", "last") or logits.ndim != 3:
                raise PluginError(_unfit(logits, labels))
            positions = "last"
        self._by_position = bool(spread)
        self._last = sequence and positions == "last"
        self._positions = ("rows" if spread else "flatten") if positions == "auto" else positions

    def _answer(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits as rows, (rows, outputs)."""
        if logits.ndim == 1:
            return logits[:, None]
        if self._last:
            return logits.movedim(self._classes_at, -1)[:, -1]
        if self._by_position:
            return logits.movedim(self._classes_at, -1).flatten(0, -2)
        return logits.flatten(1)


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside wrappers that add nothing but a prefix to its names."""
    while type(module).__name__ in WRAPPERS:
        module = getattr(module, WRAPPERS[type(module).__name__])
    return module


def logits_of(output: Any) -> Any:
    """Return the logits in what a module returned."""
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, Mapping) and "logits" in output:
        return output["logits"]
    return output[0] if isinstance(output, (tuple, list)) and output else output


def _as_rows(value: torch.Tensor, positions: str) -> torch.Tensor:
    """Return a layer's values, (n, d), (n, t, d) or (n, c, h, w), as rows, (rows, units)."""
    sequence = value.ndim == 3
    if value.ndim > 2 and positions == "rows":
        return value.flatten(0, 1) if sequence else value.movedim(1, -1).flatten(0, -2)
    if value.ndim > 2 and positions == "mean":
        return value.mean(dim=1) if sequence else value.flatten(2).mean(dim=2)
    return value[:, -1] if sequence and positions == "last" else value.flatten(1)


def _scaled(factor: torch.Tensor, positions: str, value: torch.Tensor) -> torch.Tensor:
    """Return a layer's values with each unit times its factor, (units,), where `_as_rows` has the units."""
    sequence = value.ndim == 3
    if value.ndim > 2 and positions in ("rows", "mean"):
        return value * (factor if sequence else factor.view(-1, *(1,) * (value.ndim - 2)))
    if sequence and positions == "last":
        return torch.cat([value[:, :-1], value[:, -1:] * factor], dim=1)
    return value * factor.view(value.shape[1:])


def _described(thing: Any) -> str:
    return str(tuple(thing.shape)) if isinstance(thing, torch.Tensor) else type(thing).__name__


def _unfit(logits: torch.Tensor, labels: torch.Tensor) -> str:
    return (
        f"the network's logits {tuple(logits.shape)} do not fit labels {tuple(labels.shape)} of "
        f"{labels.dtype}: (n, K) goes with (n,), (n, t, K) or (n, K, t) with (n, t), and (n, k) with numbers "
        "(n, k); classes must be whole numbers"
    )
