"""A task: examples with labels, split once into train and test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grokscope.errors import UnknownName

if TYPE_CHECKING:
    import torch

    from grokscope.tasks.packing import Part

SPLITS = ("train", "test", "all")
NO_PAPERS_NOISE = ("own", "permutation", "clusters", "polynomial")
IGNORED = -100  # the label of a position that does not count, as in torch's losses


@dataclass(frozen=True, eq=False)
class Task:
    """Examples and their split.

    Attributes:
        name: the task's name, for example `modadd`.
        kind: what the inputs are: `modular`, `images`, `text`, `parity`, `permutation`, `clusters`,
            `polynomial`, or `own`. Measures choose their default noise by it, see `papers_noise`.
        inputs: all N examples; tokens (N, length) int64 when `vocabulary` > 0, else vectors (N, d) float32;
            of `own` ones numbers of any shape, (N, ...), several inputs side by side where `parts` says so.
        labels: (N,) int64 in [0, classes), or numbers (N, k) float32 to be predicted. Of `own` ones also
            (N, ...) per position, -100 where it does not count.
        classes: number of classes; 0 where numbers are to be predicted.
        train: (n_train,) int64 indices into `inputs`.
        test: (n_test,) int64 indices into `inputs`.
        vocabulary: number of distinct tokens; 0 when inputs are vectors.
        symmetric: True when the label of (a, b) is the label of (b, a) by definition.
        data_sha256: digest of the data that the task was read from; empty when it is computed.
        data_dir: the folder that it was read from, if it was.
        picture: channels, height and width of what an example's vector is a picture of; empty where it is of
            none, or already has that shape.
        parts: what an example's inputs are made of where a network takes several; the first is its main one.
    """

    name: str
    kind: str
    inputs: torch.Tensor
    labels: torch.Tensor
    classes: int
    train: torch.Tensor
    test: torch.Tensor
    vocabulary: int = 0
    symmetric: bool = False
    data_sha256: str = ""
    data_dir: str = ""
    picture: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def papers_noise(self) -> bool:
        """Whether noise on the inputs has a size that papers set, and is not relative to the inputs' own."""
        return self.kind not in NO_PAPERS_NOISE

    @property
    def outputs(self) -> int:
        """How many numbers a network has to give for a label: a logit per class, or what is predicted."""
        return self.classes or int(self.labels.shape[1])

    def indices(self, split: str) -> torch.Tensor | slice:
        """Return what selects `split` (train, test or all) from inputs and labels."""
        if split not in SPLITS:
            raise UnknownName("split", split, SPLITS)
        return slice(None) if split == "all" else {"train": self.train, "test": self.test}[split]

    def examples(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and labels of `split`."""
        chosen = self.indices(split)
        return self.inputs[chosen], self.labels[chosen]

    def parted(self, split: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return each input of `split` by its name, and the labels."""
        from grokscope.tasks.packing import unpacked

        inputs, labels = self.examples(split)
        return unpacked(inputs, self.parts), labels

    def to(self, device: str | torch.device) -> Task:
        """Return the task with all tensors on `device`."""
        moved = {key: getattr(self, key).to(device) for key in ("inputs", "labels", "train", "test")}
        return replace(self, **moved)
