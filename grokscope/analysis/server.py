"""The server that forks processes to compute: what it has loaded, and when it is started.

Imports no multiprocessing by itself: most commands find all that they want stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.run.config import RUN_FILE
from grokscope.run.sites import Site
from grokscope.surroundings import signals_blocked

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

PRELOADED = ["grokscope.analysis.preloaded"]


def context() -> BaseContext:
    """Return how processes are started: forked from a server that has torch loaded, where there is such."""
    import multiprocessing

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(PRELOADED)
    with signals_blocked():  # also those that reach the whole group
        forkserver.ensure_running()
    return forking


def foresee(runs: Iterable[Site], results: Site | None) -> None:
    """Start the server already where nothing is stored of a run: it loads torch while this process plans.

    `results` is where results are kept, if not in the run.
    """
    if any(_is_unmeasured(run, results or run / "results") for run in runs):
        context()


def _is_unmeasured(run: Site, results: Site) -> bool:
    if not (isinstance(run, Path) and isinstance(results, Path)):  # to look costs more than is gained
        return False
    return (run / RUN_FILE).exists() and not any(results.glob("*.h5"))
