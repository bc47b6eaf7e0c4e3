"""Is everything in a run directory as it was written, and does it fit together? What is not, a finding each.

Nothing is believed here that can be computed: not the index, not a size, not a time.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grokscope.errors import GrokscopeError, RunError, StorageError
from grokscope.run import imported, index
from grokscope.run.checkpoint import Checkpoint
from grokscope.run.checkpoints import Checkpoints
from grokscope.run.config import IMPORTED, RUN_FILE, read_config
from grokscope.run.differing import apart, furthest
from grokscope.run.directory import INDEX_FILE, RESUME_FILE, Run
from grokscope.run.files import is_abandoned, is_foreign
from grokscope.run.image import opened
from grokscope.run.index import Listed
from grokscope.run.kinds import differences, untied, wrong_types
from grokscope.run.listing import FOLDERS, check_folders, checkpoint_files
from grokscope.run.results import Cell, CellKey, fingerprint, in_order, merge, read_cells
from grokscope.run.segments import Segments, is_damage
from grokscope.run.sites import Site, site_of
from grokscope.run.store import atomic_write, exists, scan, sweep
from grokscope.run.tidy import BASELINE

if TYPE_CHECKING:
    from torch import Tensor

STATES = (
    "exp_avg",
    "exp_avg_sq",
    "momentum_buffer",
)  # of the optimiser, shaped as the parameter they belong to


@dataclass(frozen=True)
class Finding:
    """One thing that is amiss in a run.

    Attributes:
        file: where, relative to the run.
        kind: `run`, `folder`, `checkpoint`, `segment`, `result`, `resume`, `index` or `temporary`.
        problem: what is amiss, and what follows from it.
        repaired: what was done about it; empty when nothing was.
    """

    file: str
    kind: str
    problem: str
    repaired: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}" + (f"; repaired: {self.repaired}" if self.repaired else "")


def verify_run(
    path: str | Site, network: Mapping[str, Tensor] | None = None, repair: bool = False
) -> list[Finding]:
    """Return what is amiss in the run at `path`; nothing is written unless `repair`.

    Every checkpoint is read and held against its seal, its header, and the network; every segment against
    its name and the checkpoints; index.h5 against both; the resume state against its seal, its checkpoint
    and the network. Links that are not followed and temporary files of killed processes are found.

    Args:
        path: the run directory.
        network: the state dict of the run's network, with any values; without it the checkpoints are held
            against the first of them.
        repair: sweep temporary files, move damaged segments and those with results of changed checkpoints to
            results/quarantine (their other results are stored again first), and make index.h5 anew. Nothing
            else is changed, and nothing deleted that is not provably temporary.

    Raises:
        RunError: there is no run.toml, so it is no run.
        StorageError: it cannot be repaired, because it is read-only or the disk is full.
    """
    path = site_of(path)
    try:
        run = Run(path, read_config(path))
    except RunError as error:
        if not exists(path / RUN_FILE):
            raise
        return [Finding(RUN_FILE, "run", f"{_without(error, path / RUN_FILE)}; nothing else was looked at")]
    if repair and not run.writable:
        raise StorageError(f"{path} is read-only: nothing can be repaired there")
    return list(_Inspection(run, network, repair).findings())


class _Inspection:
    """One run looked at, part after part: each part needs what those before it found sound."""

    def __init__(self, run: Run, network: Mapping[str, Tensor] | None, repair: bool) -> None:
        self.run = run
        self.path = run.path
        self.network = network
        self.repair = repair
        self.listed: dict[int, Listed] = {}
        self.segments = Segments(self.path / "results", lambda: False, inside=self.path)
        self.names: frozenset[str] = frozenset()  # of all sound segments
        self.cells: list[Cell] = []
        self.moved = False

    def findings(self) -> Iterator[Finding]:
        """Yield what is amiss, in the order in which it matters."""
        yield from self._temporaries()
        try:
            check_folders(self.path)
        except RunError as error:
            yield self._left_out(error, "folder", " must ")
            return
        yield from self._checkpoints()
        yield from self._results()
        yield from self._resume()
        yield from self._index()

    def _left_out(self, sentence: object, kind: str, verb: str = " is ") -> Finding:
        """A sentence that begins with a path of the run as a finding there."""
        place, _, rest = str(sentence).partition(verb)
        return Finding(os.path.relpath(place, str(self.path)), kind, (verb + rest).strip())

    def _temporaries(self) -> Iterator[Finding]:
        for folder in (".", *FOLDERS):
            swept = sweep(self.path / folder) if self.repair else []
            for name in swept:
                yield Finding(_joined(folder, name), "temporary", _LEFT, "deleted")
            for entry in _entries(self.path / folder):
                if is_abandoned(entry):
                    yield Finding(_joined(folder, entry.name), "temporary", _LEFT)
                elif is_foreign(entry):
                    yield Finding(_joined(folder, entry.name), "temporary", _ELSEWHERE)

    def _checkpoints(self) -> Iterator[Finding]:
        """Find what is amiss with checkpoints; `listed` are the sound ones."""
        there, checkpoints = checkpoint_files(self.path), Checkpoints(self.path, self.run.config)
        for sentence in (*there.problems, *there.remarks):
            yield self._left_out(sentence, "checkpoint")
        for file, _ in there.files:
            try:
                entry = checkpoints.read(file)
                stored = checkpoints.load_listed(entry)
            except FileNotFoundError:
                continue
            except GrokscopeError as error:
                yield Finding(file, "checkpoint", _without(error, self.path / file))
                continue
            if problem := self._misfit(stored):
                yield Finding(file, "checkpoint", problem)
            else:
                self.listed[entry.info.step] = entry
        if self.run.is_imported:
            yield from self._imported()

    def _misfit(self, stored: Checkpoint) -> str:
        """Return in words why a checkpoint is not one of this run's network; "" when it is."""
        if self.network is None:
            self.network = stored.weights
        _, problem = differences(self.network, stored.weights)
        if problem:
            return f"its tensors are not this run's network: {problem}"
        if stored.kinds is None:  # an earlier grokscope did not say which are parameters
            return ""
        return wrong_types(stored.kinds.of(stored.weights)) or untied(stored.kinds, stored.weights)

    def _imported(self) -> Iterator[Finding]:
        path = self.path / imported.FILE
        try:
            imported.read(path, str(self.run.config[IMPORTED].get("contents", "")))
        except FileNotFoundError:
            yield Finding(imported.FILE, "checkpoint", f"it is missing{_AGAIN}")
        except GrokscopeError as error:
            yield Finding(imported.FILE, "checkpoint", _without(error, path) + _AGAIN)

    def _results(self) -> Iterator[Finding]:
        """Find damaged segments, and results of checkpoints that are not there."""
        self.names, self.cells = self.segments.read()
        for name, error in self.segments.refused.items():
            moved = self._set_aside(name) if is_damage(error) else ""
            yield Finding(f"results/{name}", "segment", _without(error, self.path / "results" / name), moved)
        for sentence in (*self.segments.links, *self.segments.remarks):
            yield self._left_out(sentence, "segment")
        for name in sorted(self.names):
            cells = self.segments.of(name)
            own = [cell for cell in cells if self._is_own(cell)]
            if len(own) < len(cells):
                lost = [cell for cell in cells if not self._is_own(cell)]
                yield Finding(f"results/{name}", "result", self._told(lost), self._split(name, own))
        for key, variants in merge(filter(self._is_own, self.cells)).items():
            if len(variants) > 1:
                problem = f"{key.measure} at step {variants[0].step} {apart(furthest(variants))}"
                yield Finding("results", "result", problem)

    def _is_own(self, cell: Cell) -> bool:
        """Whether a result is of this run, and of checkpoints that are there."""
        steps = {entry.info.sha256: step for step, entry in self.listed.items()}
        compared = json.loads(cell.key.parameters).get(BASELINE, cell.key.checkpoint)
        return (
            steps.get(cell.key.checkpoint) == cell.step
            and compared in steps
            and (cell.key.data, cell.key.noise) == (self.run.data_hash, self.run.noise_seed)
        )

    def _told(self, lost: Sequence[Cell]) -> str:
        steps = sorted({cell.step for cell in lost})
        shown = ", ".join(map(str, steps[:5])) + (", ..." if len(steps) > 5 else "")
        one = len(lost) == 1
        return (
            f"{len(lost)} result{' is' if one else 's are'} of checkpoints that were changed, are damaged or "
            f"are no longer there (step{'s' if len(steps) > 1 else ''} {shown}); "
            f"{'it is' if one else 'they are'} left out"
        )

    def _set_aside(self, name: str) -> str:
        if self.repair and self.segments.quarantine(name):
            self.moved = True
            return "moved to results/quarantine"
        return ""

    def _split(self, name: str, own: Sequence[Cell]) -> str:
        """Store what a segment holds of this run anew, and set the segment aside; only in this order."""
        if self.repair and own:
            Segments(self.path / "results", lambda: True, inside=self.path).add(own)
        return self._set_aside(name) + (", its other results are stored anew" if self.repair and own else "")

    def _resume(self) -> Iterator[Finding]:
        try:
            found = self.run.load_resume()
            if found is None:
                return
            tensors, words = found
            problem = self._resume_problem(tensors, words)
        except (GrokscopeError, ValueError) as error:
            problem = _without(error, self.path / RESUME_FILE)
        if problem:
            yield Finding(RESUME_FILE, "resume", f"{problem}; `train` begins again at step 0")

    def _resume_problem(self, found: Mapping[str, Tensor], words: Mapping[str, str]) -> str:
        step = words.get("step", "")
        if not step.isdecimal() or int(step) not in self.listed:
            return f"it belongs to step {step or '?'}, and there is no sound checkpoint of that step"
        states = [
            (f"optimizer.{name}.{state}", tensor)
            for name, tensor in (self.network or {}).items()
            for state in STATES
        ]
        wanted = {name: tensor for name, tensor in states if name in found}
        return differences(wanted, {name: found[name] for name in wanted})[1]

    def _index(self) -> Iterator[Finding]:
        problem = self._index_problem()
        if self.repair and (problem or self.moved):
            self._write_index()
        if problem:
            done = "made anew from the checkpoints and results" if self.repair else ""
            yield Finding(INDEX_FILE, "index", problem, done)

    def _index_problem(self) -> str:
        path = self.path / INDEX_FILE
        try:
            found = index.read_index(path)
            with opened(index.read_sealed(path), path) as file:
                shown = _content(read_cells(file["results"]))
        except FileNotFoundError:
            return "it is missing"
        except index.Unsealed:
            return "" if index.is_earlier(path) else "another program wrote to it"
        except index.OtherFormat:  # an earlier grokscope's, or held open: no damage
            return ""
        except GrokscopeError as error:
            return _without(error, path)
        if _in_text(found.listed.values()) != _in_text(self.listed.values()):
            return "it lists other checkpoints than there are"
        if found.segments != self.names:
            return "it lists other segments than there are"
        if shown - _content(self.cells) or _content(filter(self._is_own, self.cells)) - shown:
            return "it shows other results than the segments hold"
        return ""

    def _write_index(self) -> None:
        segments, cells = Segments(self.path / "results", lambda: False, inside=self.path).read()
        own = in_order(merge(filter(self._is_own, cells)))
        data = index.encode(self.listed.values(), segments, own, self.run.id)
        atomic_write(self.path / INDEX_FILE, data)


_AGAIN = "; the same `grokscope import` writes it again"
_LEFT = "a temporary file that a killed process left; the next command sweeps it"
_ELSEWHERE = (
    "a temporary file of another machine, or from before a restart; delete it if nobody writes to this run"
)


def _in_text(listed: Iterable[Listed]) -> list[str]:
    """Entries as text, in which NaN equals NaN; times do not count: copies have others."""
    return sorted(repr(entry._replace(mtime_ns=0)) for entry in listed)


def _content(cells: Iterable[Cell]) -> Counter[tuple[CellKey, str]]:
    return Counter((cell.key, fingerprint(cell)) for variants in merge(cells).values() for cell in variants)


def _without(error: object, path: Site) -> str:
    """The sentence without the path that it begins with."""
    return str(error).removeprefix(str(path)).lstrip(" :")


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _entries(folder: Site) -> list[os.DirEntry[str]]:
    try:
        with scan(folder) as entries:
            return list(entries)
    except OSError:
        return []
