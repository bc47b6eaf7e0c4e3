"""`verify`: a run held against its own files and against the network that its configuration makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.errors import GrokscopeError
from grokscope.run import Run
from grokscope.run.sites import Site, site_of
from grokscope.run.verify import Finding, verify_run

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.registry import Plugins


def verify(
    path: str | Path,
    *,
    repair: bool = False,
    plugins: Plugins | None = None,
    notify: Callable[[str], None] = lambda sentence: None,
) -> list[Finding]:
    """Return what is amiss in the run at `path`, nothing where it is sound; nothing is computed or measured.

    Checkpoints are read whole and held against their seal, their header and the run's network; segments
    against their name and the checkpoints that their results are of; index.h5 against both; the resume state
    against its seal, its checkpoint and the network. Links that are not followed and temporary files that
    killed processes left are found too.

    Args:
        path: the run directory.
        repair: sweep the temporary files, move damaged segments and those with results of changed or missing
            checkpoints to results/quarantine (what else they hold is stored anew first), and make index.h5
            anew. Checkpoints are never touched, and nothing is deleted that is not provably temporary.
        plugins: who makes the task and the network; the installed ones when not given.
        notify: called with a sentence where the network cannot be made, for example because the task's data
            is not there: then checkpoints are only held against the first of them.

    Raises:
        RunError: there is no run.toml, so it is no run.
        StorageError: with `repair`, the run is read-only or the disk is full.
    """
    return verify_run(path, _network(site_of(path), plugins, notify), repair)


def _network(
    path: Site, plugins: Plugins | None, notify: Callable[[str], None]
) -> Mapping[str, Tensor] | None:
    """The state dict of the run's network; None where it cannot be made, or the run cannot be opened."""
    from grokscope.analysis.engine import Bench
    from grokscope.discovery import load_plugins

    try:
        run = Run.open(path, path / "results")  # nothing is written into it
    except GrokscopeError:
        return None  # verify_run says why
    plugins = plugins or load_plugins()
    try:
        return Bench(run, plugins.tasks, plugins.models).expected
    except GrokscopeError as error:
        notify(f"{path}: checkpoints are held against the first of them, not against the network: {error}")
        return None
