"""A callback of transformers' Trainer that records its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grokscope.extras import from_extra
from grokscope.recording import Recorder as LoopRecorder
from grokscope.recording import record

with from_extra("hub", __name__):
    from transformers import TrainerCallback


class Recorder(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Records the network that a Trainer trains: `Trainer(callbacks=[Recorder(...)])`.

    Steps are the optimiser's. Where the Trainer goes on from a checkpoint of its own, so does the recording.

    Args:
        out: the run directory.
        train, test: the examples to evaluate and measure on, as for `grokscope.record`; the Trainer's own
            data sets will do, or for a causal language model `(tokens[:, :-1], tokens[:, 1:])`.
        **options: what else `grokscope.record` takes.

    Attributes:
        recorder: the recorder while the Trainer trains and after it; None before.
    """

    def __init__(self, out: str | Path, *, train: Any, test: Any, **options: Any) -> None:
        self._out, self._given = out, {"train": train, "test": test, "by": "transformers", **options}
        self.recorder: LoopRecorder | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Begin, or go on where the Trainer does."""
        self.recorder = record(self._out, model=model, **self._given)
        self.recorder.step(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the step; Trainer calls this after an update, not after every batch."""
        assert self.recorder is not None
        self.recorder.step(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the last step."""
        assert self.recorder is not None
        self.recorder.close()
