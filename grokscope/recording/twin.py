"""A copy of a network in training, on which what was recorded is evaluated and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from grokscope.evaluation import evaluate
from grokscope.models.glue import fingerprint
from grokscope.models.network import Network
from grokscope.models.plain import Plain
from grokscope.objective import Objective
from grokscope.surroundings import kept
from grokscope.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Twin:
    """A network like the one in training, that shares nothing with it.

    Attributes:
        network: the copy, seen as any network is that is measured, in evaluation mode.
        task: what it is evaluated on, on the same device.
        judged: the loss and the accuracy that are computed.
        made_by: the user's own code that made it, where that is known.
    """

    network: Network
    task: Task
    judged: Objective
    made_by: tuple[Any, ...] = ()

    @property
    def module(self) -> nn.Module:
        """The copy itself."""
        return self.network.inner if isinstance(self.network, Plain) else self.network

    def fingerprint(self) -> str:
        """Return what results that need the network are kept under, see `grokscope.models.glue`."""
        return fingerprint(self.network, self.made_by)

    def evaluate(self, state: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """Return losses and accuracies of the network in that state.

        Whatever the loop has switched on, autocast for example, does not count here, and random states of the
        process are afterwards as they were.
        """
        device = self.task.inputs.device
        with kept(), torch.autocast(device.type, enabled=False):
            self.network.load_state_dict(dict(state))
            return evaluate(self.network, self.task, self.judged)
