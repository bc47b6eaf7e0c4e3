"""When a run that another process writes has something new to measure, and when it has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from grokscope.errors import GrokscopeError
from grokscope.run import Run
from grokscope.run.holding import is_written
from grokscope.run.listing import checkpoint_files
from grokscope.run.sites import Site, Url

PAUSE = 1.0  # seconds between two looks


class Watch:
    """Looks after runs while they are written.

    A run has ended when it has the checkpoint at its last step, when it was imported or, where its loop is
    recorded, when no process on this machine records it; at a URL nobody knows, and that it has not.
    """

    def __init__(self, runs: Sequence[Site], pause: float = PAUSE) -> None:
        self._runs, self._pause = list(runs), pause
        self._seen: dict[Site, frozenset[str]] = {}

    def look(self) -> bool:
        """Wait for checkpoints that were not there before; return whether there are any.

        False when every run has ended and nothing is new. A run that cannot be read has ended.
        """
        while True:
            over = all(_has_ended(run) for run in self._runs)  # first: what comes after is still new
            now = {run: _names(run) for run in self._runs}
            if now != self._seen:
                self._seen = now
                return True
            if over:
                return False
            time.sleep(self._pause)


def _names(run: Site) -> frozenset[str]:
    try:
        return frozenset(name for name, _ in checkpoint_files(run).files)
    except GrokscopeError:
        return frozenset()


def _has_ended(path: Site) -> bool:
    try:
        run = Run.open(path)
    except GrokscopeError:
        return True
    if run.is_recorded:
        return not isinstance(path, Url) and not is_written(path)
    return run.is_imported or run.config["training"].get("steps") in run.steps
