"""What is exported: the values of runs with where they come from, measured just now or stored before."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.analysis.plan import select_steps
from grokscope.discovery import load_plugins
from grokscope.measure import Column
from grokscope.results import Comparison, Results
from grokscope.results.comparison import run_labels, settings_as_text
from grokscope.results.names import bare
from grokscope.run import Run
from grokscope.run.config import TABLES
from grokscope.run.tidy import Value

if TYPE_CHECKING:
    import numpy as np

CURVE = "curve"  # what the losses and accuracies of training are called beside measures

Exported = Comparison | Results | Run | str | Path | Iterable[Run | str | Path]
Variant = tuple[str | None, str, str | None]  # plugin, measure, parameters


@dataclass(frozen=True)
class Share:
    """One run's share.

    Attributes:
        run: what the run is called.
        config: its recipe and the tables task, model and training.
        steps: the steps of the checkpoints that are exported.
        curve: step, losses and accuracies, finer than the checkpoints unless steps were selected.
        memorisation_step, grokking_step: None when never reached.
        values: numbers and words by step.
    """

    run: str
    config: Mapping[str, Any]
    steps: Sequence[int]
    curve: Mapping[str, np.ndarray]
    memorisation_step: int | None
    grokking_step: int | None
    values: Sequence[Value]


@dataclass(frozen=True)
class Origin:
    """Where a measure's numbers come from, as far as the installed plugins say."""

    distribution: str = ""
    distribution_version: str = ""
    source: str = ""
    columns: Sequence[Column] = ()


@dataclass(frozen=True)
class Collected:
    """The shares of all runs.

    Attributes:
        shares: each run's.
        settings: the settings in which the runs differ, each with one value for every run.
        origins: where measures come from, by (plugin, measure).
        notes: what was left out, or is easily mistaken, a sentence each.
    """

    shares: Sequence[Share]
    settings: Mapping[str, Sequence[Any]]
    origins: Mapping[tuple[str | None, str], Origin]
    notes: Sequence[str] = ()

    def values(self) -> Iterator[Value]:
        """Yield the values of all runs."""
        for share in self.shares:
            yield from share.values

    def variants(self) -> dict[Variant, str]:
        """Return what tells measures apart, `pmi`, in the order in which they come.

        Where two plugins have a measure of one name it is `plugin:measure`. Where one was computed with
        several sets of parameters, those that differ are named: `oinfo[clusters=8]`.
        """
        found = list(dict.fromkeys((v.plugin, v.measure, v.parameters) for v in self.values()))
        plugins = Counter(name for _, name in {(plugin, name) for plugin, name, _ in found})
        titles = {}
        for plugin, name, parameters in found:
            shared = plugins[name] > 1 or name == CURVE
            others = [other for *home, other in found if home == [plugin, name]]
            titles[plugin, name, parameters] = (f"{plugin}:{name}" if shared else name) + _told(
                parameters, others
            )
        return titles


def _told(parameters: str | None, others: Sequence[str | None]) -> str:
    """The parameters in which one set differs from any other, in brackets; nothing when there is one set."""
    if len(others) < 2:
        return ""
    own, *rest = (json.loads(each or "{}") for each in (parameters, *others))
    differing = [name for name in own if any(other.get(name) != own[name] for other in rest)]
    words = {name: own[name] if isinstance(own[name], str) else json.dumps(own[name]) for name in differing}
    return f"[{','.join(f'{name}={word}' for name, word in words.items())}]"


def collect(found: Exported | Collected, steps: str = "all") -> Collected:
    """Return what is to be exported: of a Comparison or Results what was measured, of runs what is stored.

    Nothing is computed. Of a measure that is stored in several versions the newest is taken.

    Raises RunError for what is no run, UsageError for steps that are not there.
    """
    if isinstance(found, Collected):
        return found
    if isinstance(found, Results):
        found = Comparison({found.run: found}, {}, {})
    if isinstance(found, Comparison):
        return _of_comparison(found, steps)
    if isinstance(found, (Run, str, Path)):
        found = [found]
    return _of_runs([each if isinstance(each, Run) else Run.open(each) for each in found], steps)


def _of_comparison(found: Comparison, steps: str) -> Collected:
    shares = []
    origins: dict[tuple[str | None, str], Origin] = {}
    for run, results in found.runs.items():
        chosen = select_steps(steps, results.steps)
        wanted = set(chosen)
        values = [v._replace(run=run) for v in results.tidy() if v.step in wanted]
        shares.append(
            Share(
                run,
                _tables(results.config),
                chosen,
                _curve(results.curve, chosen, steps),
                results.memorisation_step,
                results.grokking_step,
                values,
            )
        )
        for title, from_ in results.provenance.items():
            declared = [results.declared[name] for name in results.measured if name.measure == title]
            key = (from_.plugin, bare(title))
            known = origins[key].columns if key in origins else ()
            origins[key] = Origin(
                from_.distribution,
                from_.distribution_version,
                from_.source,
                list({column.name: column for column in (*known, *declared)}.values()),
            )
    return Collected(shares, found.settings, origins)


def _of_runs(runs: Sequence[Run], steps: str) -> Collected:
    labels = run_labels(runs)
    stored = [list(run.values()) for run in runs]
    newest: dict[tuple[str | None, str], int] = {}
    for value in (value for values in stored for value in values):
        home = value.plugin, value.measure
        newest[home] = max(newest.get(home, 0), value.version or 0)
    shares, notes = [], []
    for run, label, values in zip(runs, labels, stored, strict=True):
        chosen = select_steps(steps, run.steps)
        fresh = [value for value in values if value.version == newest[value.plugin, value.measure]]
        wanted = set(chosen)
        shares.append(
            Share(
                label,
                _tables(run.config),
                chosen,
                _curve(run.curves, chosen, steps),
                run.memorisation_step(),
                run.grokking_step(),
                [value._replace(run=label) for value in fresh if value.step in wanted],
            )
        )
        if not values:
            notes.append(f"{label}: no measures are stored; `measures`, or grokscope analyze, computes them")
        old = dict.fromkeys((value.measure, value.version) for value in set(values).difference(fresh))
        notes += [
            f"{label}: {measure} is left out in version {version}, which a newer one has replaced"
            for measure, version in sorted(old)
        ]
    found = Collected(shares, settings_as_text(runs), _installed(newest))
    return Collected(found.shares, found.settings, found.origins, [*notes, *_sets(found.variants())])


def _sets(variants: Mapping[Variant, str]) -> Iterator[str]:
    """Yield a sentence for each measure that is stored with several sets of parameters."""
    count = Counter((plugin, measure) for plugin, measure, _ in variants)
    for (plugin, measure), number in count.items():
        if number > 1:
            names = [title for (p, m, _), title in variants.items() if (p, m) == (plugin, measure)]
            yield f"{measure} is stored with {number} sets of parameters: {', '.join(names)}"


def _installed(wanted: Iterable[tuple[str | None, str]]) -> dict[tuple[str | None, str], Origin]:
    """What the installed plugins say of measures; nothing of those that are no longer installed."""
    known = {(entry.plugin, entry.measure.name): entry for entry in load_plugins().registered}
    return {
        home: Origin(entry.distribution, entry.version, entry.measure.source, entry.measure.columns)
        for home in wanted
        if (entry := known.get((home[0] or "", home[1])))
    }


def _tables(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what only concerns the machine that trained."""
    return {name: config[name] for name in ("recipe", *TABLES) if name in config}


def _curve(curve: Mapping[str, np.ndarray], chosen: Sequence[int], steps: str) -> dict[str, np.ndarray]:
    import numpy as np

    if not len(curve.get("step", ())):
        return {}
    kept = slice(None) if steps == "all" else np.isin(curve["step"], list(chosen))
    return {name: values[kept] for name, values in curve.items()}


def finite_points(curve: Mapping[str, np.ndarray]) -> Iterator[tuple[str, int, float]]:
    """Yield (name, step, value) of every loss and accuracy that is there."""
    for name, values in curve.items():
        if name == "step":
            continue
        for step, value in zip(curve["step"].tolist(), values.tolist(), strict=True):
            if not math.isnan(value):
                yield name, step, value
