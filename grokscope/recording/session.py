"""One call that begins a recording: it checks all that is given, and finds or makes the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from grokscope.recording import ranks
from grokscope.recording.live import Live
from grokscope.recording.recorder import Recorder
from grokscope.recording.schedule import Schedule
from grokscope.run import Run

log = logging.getLogger("grokscope")


def record(
    out: str | Path,
    *,
    model: nn.Module,
    train: Any,
    test: Any,
    loss: str = "cross_entropy",
    checkpoint_every: str | int = "log:60",
    steps: int | None = None,
    evaluate: bool = True,
    settings: Mapping[str, Any] | None = None,
    by: str = "loop",
    notify: Callable[[str], None] | None = None,
) -> Recorder:
    notify = notify or log.warning
    live = Live(model)
    schedule = Schedule(str(checkpoint_every), steps)
    task = own_task(train, test)
    twin = Plain(live.twin(), *task.examples("train"))
    config = {
        "recipe": "recorded",
        "task": {"name": "own"},
        "model": {"name": "own"},
        "recorded": {"by": by},
        "training": {
            "loss": loss,
            "checkpoint_every": str(checkpoint_every),
            "dtype": live.dtype,
            **(settings or {}),
            **({} if steps is None else {"steps": steps}),
        },
    }
    run = None

    def begin() -> int | None:
        nonlocal run
        run = Run.create(out, config)
        return max(run.steps, default=None)

    last = ranks.by_first(begin)
    look = lambda state: {}
    if evaluate:

        def look(state):
            twin.load_state_dict(dict(state))
            return evaluate_on(twin, task, loss)

    return Recorder(run, last, live, schedule, look, notify)


import torch

from grokscope.models.plain import Plain
from grokscope.tasks.task import Task


def own_task(train, test):
    inputs = torch.cat([train[0], test[0]])
    labels = torch.cat([train[1], test[1]])
    n = len(train[0])
    return Task(
        "own", "own", inputs, labels, int(labels.max()) + 1, torch.arange(n), torch.arange(n, len(inputs))
    )


def evaluate_on(network, task, loss):
    from grokscope import objective

    found = {}
    with torch.no_grad():
        for split in ("train", "test"):
            inputs, labels = task.examples(split)
            logits = network(inputs)
            found[f"{split}_loss"] = objective.loss(loss, logits.double(), labels).item()
            found[f"{split}_accuracy"] = objective.accuracy(logits, labels)
    return found
