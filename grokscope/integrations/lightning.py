"""A Lightning callback that records the run of a Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from grokscope.errors import UsageError
from grokscope.extras import from_extra
from grokscope.recording import Recorder as LoopRecorder
from grokscope.recording import record

with from_extra("lightning", __name__):
    from lightning.pytorch import Callback


class Recorder(Callback):  # type: ignore[misc, unused-ignore]
    """Records the network that a Trainer trains: `Trainer(callbacks=[Recorder(...)])`.

    Steps are the optimiser's. Where the Trainer goes on from a checkpoint of its own, so does the recording.

    Args:
        out: the run directory.
        train, test: the examples to evaluate and measure on, as for `grokscope.record`.
        network: the attribute of the LightningModule that holds the network, `model` for example; the whole
            module when not given, whose `forward` must then give logits.
        **options: what else `grokscope.record` takes.

    Attributes:
        recorder: the recorder while the Trainer fits and after it; None before.
    """

    def __init__(
        self, out: str | Path, *, train: Any, test: Any, network: str | None = None, **options: Any
    ) -> None:
        self._given = {"train": train, "test": test, "by": "lightning", **options}
        self._out, self._network = out, network
        self._step = -1
        self.recorder: LoopRecorder | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, or go on where the Trainer does."""
        self.recorder = record(self._out, model=self._find(trainer, pl_module), **self._given)
        self._step = trainer.global_step
        self.recorder.step(self._step)

    def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """Tell the step, unless gradients were only accumulated."""
        assert self.recorder is not None
        if trainer.global_step > self._step:
            self._step = trainer.global_step
            self.recorder.step(self._step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last step."""
        assert self.recorder is not None
        self.recorder.close()

    def _find(self, trainer: Any, pl_module: Any) -> nn.Module:
        """Return the network; as the strategy wrapped it where the wrapper spreads its parameters."""
        if self._network is None:
            wrapped = trainer.strategy.model
            return wrapped if type(wrapped).__name__ == "FullyShardedDataParallel" else pl_module
        found = pl_module
        for name in self._network.split("."):
            found = getattr(found, name, None)
        if not isinstance(found, nn.Module):
            raise UsageError(
                f"network must name a module in {type(pl_module).__name__}, got {self._network!r}, which is "
                f"{type(found).__name__}"
            )
        return found
