"""Computes missing cells in this process, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grokscope.analysis.engine import Bench, compute_checkpoint, isolation, look_for_data
from grokscope.analysis.ledger import Ledger
from grokscope.analysis.plan import PlannedCell
from grokscope.analysis.watched import Watched
from grokscope.errors import DataError, RunError


def look(bench: Bench, cells: Sequence[PlannedCell], ledger: Ledger) -> None:
    """Note where the data that cells need is not there: their run is in trouble then."""
    try:
        with isolation():
            look_for_data(bench, cells)
    except (DataError, RunError) as error:
        ledger.trouble = error


def execute(
    bench: Bench, missing: Mapping[int, Sequence[PlannedCell]], ledger: Ledger, watched: Watched
) -> None:
    """Compute all missing cells; what is done is stored also when it is interrupted."""
    try:
        with isolation() as isolated:
            look_for_data(bench, [cell for cells in missing.values() for cell in cells])
            for step in sorted(missing):
                done = iter(missing[step])
                found = compute_checkpoint(bench, missing[step], isolated, foretold=watched.foretold)
                for outcome in found:
                    ledger.take(outcome)
                    watched.finished(next(done))
                ledger.checkpoint_done()
                if ledger.trouble:
                    return
    except (DataError, RunError) as error:
        ledger.trouble = error
    finally:
        ledger.store()
