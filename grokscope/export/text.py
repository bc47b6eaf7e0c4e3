"""What `analyze` prints of its results as CSV and as JSON."""

from __future__ import annotations

from typing import Any

from grokscope.report.text import csv_of
from grokscope.results import Comparison, Results


def csv_text(found: Results | Comparison, long: bool = False) -> str:
    """Return the results as CSV: one row per step, or one per number; of several runs, with the run and the
    settings in which they differ."""
    settings = list(found.settings) if isinstance(found, Comparison) else []
    tidy = ["run", *settings, "step", "measure", "layer", "column", "value"]
    header = tidy if long else list(found.columns)
    rows = found.long() if long else found.rows()
    return csv_of(header, ([row[name] for name in header] for row in rows))


def as_dict(found: Results | Comparison) -> dict[str, Any]:
    """Return the results as a JSON object: columns, transitions, notes and failures, of each run."""
    if isinstance(found, Comparison):
        runs = [
            {**as_dict(results), "run": run, "settings": found.settings_of(run)}
            for run, results in found.runs.items()
        ]
        return {
            "settings": list(found.settings),
            "runs": runs,
            "failed": {run: str(error) for run, error in found.failed.items()},
        }
    return {
        "run": found.run,
        "memorisation_step": found.memorisation_step,
        "grokking_step": found.grokking_step,
        "columns": dict(found.columns),
        "notes": dict(found.notes),
        "failures": [str(failure) for failure in found.failures],
    }
