"""How the state dicts of files become weights of one network, with their losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.errors import UnknownName, UsageError, described
from grokscope.importing.beside import as_transformers
from grokscope.importing.carried import Carried
from grokscope.importing.curvefiles import Curve
from grokscope.importing.layouts import Naming, Renaming, choose, complaint
from grokscope.importing.setup import Setup
from grokscope.importing.sources import Source, read
from grokscope.models.hf import NAME
from grokscope.run.kinds import Kinds, kinds_of
from grokscope.run.rename import as_type

if TYPE_CHECKING:
    from torch import Tensor


class Reader:
    """Reads files, and turns their state dicts into weights of the one network that all are of.

    The renaming is chosen at the first state dict and holds for all.
    """

    def __init__(
        self, setup: Setup, naming: Naming, curve: Curve, *, at: str = "", links: bool = False
    ) -> None:
        """Read for the network of `setup`, the states under the key `at`; `curve` is the training's own."""
        self.setup = setup
        self._naming = naming
        self._carried = Carried(curve)
        self._at, self._links = at, links
        self._last: Source | None = None
        self._cannot_run = False
        self._numbers: set[str] = set()
        self._infinite: dict[int, str] = {}
        self._remarks: list[str] = []
        self.kinds: Kinds
        self.renaming: Renaming
        self.dtype = ""

    @property
    def has_curves(self) -> bool:
        """Whether the training's own curve is given."""
        return bool(self._carried.curve.points)

    @property
    def stored(self) -> str:
        """The types of the parameters in the files, in words."""
        return " and ".join(sorted(self._numbers))

    @property
    def remarks(self) -> list[str]:
        """What the user should know of what was read, a sentence each."""
        said = [*self._remarks, *self._carried.remarks(self.setup.config)]
        if self.stored != self.dtype:
            said.append(f"the checkpoints hold {self.stored} numbers; they are measured in {self.dtype}")
        if self._infinite:
            steps = sorted(self._infinite)
            said.append(
                f"the weights at {steps_in_words(steps)} are not finite ({self._infinite[steps[0]]}): there "
                "is no accuracy where logits are not"
            )
        return said

    def read(self, path: Path) -> Source:
        """Return what `path` holds; the file read last is kept, since one file may hold all."""
        if self._last is None or self._last.path != path:
            self._last = None
            self._last = read(path, self._at)
        return self._last

    def note_others(self, source: Source) -> None:
        """Remember what else in a file holds states."""
        if source.found.others:
            others = ", ".join(source.found.others[:4])
            self.note(
                f"the states under {source.found.key} in {source.path} are taken; there are others under "
                f"{others} (`at`)"
            )

    def compare(self, source: Source, steps: Sequence[int], place: int, metrics: Mapping[str, str]) -> None:
        """Compare losses and accuracies with what the file says of them."""
        self._carried.compare(source, steps, place, metrics)

    @property
    def has_begun(self) -> bool:
        """Whether the renaming is chosen."""
        return bool(self.dtype)

    def begin(self, state: Mapping[str, Tensor], where: str) -> None:
        """Choose the renaming by the first state dict, and the network's settings that nobody gave.

        Raises UsageError when it does not fit.
        """
        if self.setup.config["model"]["name"] == NAME:
            self._naming = as_transformers(self._naming, state, self.setup.network, where)
        self.setup, self.renaming = self._fitting(state, where)
        self.kinds = kinds_of(self.setup.network)
        parameters = self.kinds.of(self.renaming.apply(state, self.kinds))
        if self.renaming.taken:
            self.note(f"names are taken without {self.renaming.taken}, as in {where}")
        self.dtype = "float64" if _has_float64(parameters) else "float32"
        network = self.setup.network
        network.double() if self.dtype == "float64" else network.float()
        for rule in self.renaming.rules:
            if rule.new == "unembed.weight" and rule.steps == (".T", "[:-1]"):
                outputs = state[rule.old].shape[1]
                self.note(
                    f"{rule.old} has {outputs} logits, the task {outputs - 1} classes: the last, that of =, "
                    f"is left out, as in Nanda et al.'s analysis; losses are over the {outputs - 1} classes"
                )

    def note(self, sentence: str) -> None:
        """Remember what the user should know, once."""
        if sentence not in self._remarks:
            self._remarks.append(sentence)

    def _fitting(self, state: Mapping[str, Tensor], where: str) -> tuple[Setup, Renaming]:
        """Return the setup whose network the tensors are of.

        It is as it was asked for, else with open settings turned round, where just one way of turning the
        fewest fits.
        """
        try:
            return self.setup, self._choose(self.setup, state, where)
        except UnknownName:
            raise
        except UsageError as error:
            refusal = error
        fitting: list[tuple[str, Setup, Renaming]] = []
        for words, other in self.setup.others():
            if fitting and words.count("=") > fitting[0][0].count("="):
                break
            with suppress(UsageError):
                fitting.append((words, other, self._choose(other, state, where)))
        if not fitting:
            raise refusal
        if len(fitting) > 1:
            ways = " or ".join(words for words, _, _ in fitting)
            raise UsageError(f"{where} fits the network with {ways}: say which with `settings`") from refusal
        ((words, setup, renaming),) = fitting
        self.note(f"{words} is taken, because the tensors in {where} are those of that network")
        return setup, renaming

    def _choose(self, setup: Setup, state: Mapping[str, Tensor], where: str) -> Renaming:
        return choose(state, setup.network, self._naming, where)

    def weights(self, state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
        """Return the state dict. Raises UsageError with names and shapes when it is not the network's."""
        found = self._renamed(state, where).apply(state, self.kinds)
        parameters = self.kinds.of(found)
        if self.dtype == "float32" and _has_float64(parameters):
            raise UsageError(f"{where} holds float64 numbers, and the checkpoints before it float32")
        self._numbers |= {str(value.dtype).removeprefix("torch.") for value in parameters.values()}
        return as_type(found, self.dtype)

    def _renamed(self, state: Mapping[str, Tensor], where: str) -> Renaming:
        """Return the renaming: that of the first file, or another where wrappers differ from file to file."""
        wrong, words = complaint(state, self.renaming, self.setup.network)
        if not wrong:
            return self.renaming
        if not self._links:
            with suppress(UsageError):
                return self._choose(self.setup, state, where)
        raise UsageError(f"{where} does not fit the network (layout {self.renaming.layout}): {words}")

    def note_infinite(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Remember parameters that are not finite."""
        found = [name for name, value in self.kinds.of(weights).items() if not value.isfinite().all()]
        if found:
            self._infinite[step] = found[0] + (f" and {len(found) - 1} more" if len(found) > 1 else "")

    def metrics(self, weights: Mapping[str, Tensor], where: str) -> dict[str, str]:
        """Return losses and accuracies on both splits as text; none, and a remark, where it cannot be run."""
        from grokscope.evaluation import evaluate

        try:
            self.setup.network.load_state_dict(dict(weights))
            self.setup.network.eval()
            found = evaluate(self.setup.network, self.setup.task, self.setup.judged)
        except Exception as error:  # a network of the user's own may raise anything
            if not self._cannot_run:
                reason = described(error)
                self.note(f"the network cannot be run, so there are no losses, at {where}: {reason}")
            self._cannot_run = True
            return {}
        return {name: repr(value) for name, value in found.items()}


def steps_in_words(steps: Sequence[int], most: int = 4) -> str:
    """Return "steps 1, 2 and 3 more"."""
    more = f" and {len(steps) - most} more" if len(steps) > most else ""
    return f"{'steps' if len(steps) > 1 else 'step'} {', '.join(map(str, steps[:most]))}{more}"


def _has_float64(tensors: Mapping[str, Tensor]) -> bool:
    import torch

    return any(tensor.dtype == torch.float64 for tensor in tensors.values())
