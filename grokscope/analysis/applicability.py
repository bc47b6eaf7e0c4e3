"""Which measures apply to a run: each is tried on its last checkpoint, for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grokscope.analysis import Progress, analyze
from grokscope.discovery import load_plugins
from grokscope.registry import Plugins
from grokscope.run import Run

SECONDS = 30.0  # after which a measure that has said nothing against it applies


def applicability(
    run: Run | str | Path,
    *,
    seconds: float = SECONDS,
    device: str = "cpu",
    data_dir: str | Path | None = None,
    model: str | None = None,
    data: str | None = None,
    loss: Any = None,
    trust: bool = False,
    plugins: Plugins | None = None,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Return by measure why it does not apply to the run; "" where it does.

    Each measure is asked for the run's last checkpoint, by its defaults, and what it answers is stored. One
    that is still at work after `seconds` has found nothing against it.

    Args:
        run: a run or its directory.
        seconds: how long a measure is tried.
        device, data_dir, model, data, loss, trust, plugins, progress: as for `analyze`.

    Raises:
        GrokscopeError: as `analyze`.
    """
    plugins = plugins or load_plugins()
    found = analyze(
        run,
        "all",
        steps="last",
        timeout=seconds,
        device=device,
        data_dir=data_dir,
        model=model,
        data=data,
        loss=loss,
        trust=trust,
        plugins=plugins,
        progress=progress,
    )
    failed = {failure.measure: failure.message for failure in found.failures}
    answers = {}
    for each in plugins.select(["all"]):
        said = failed.get(each.measure.name, "")
        answers[each.title] = found.notes.get(each.title, "" if "the timeout" in said else said)
    return answers
