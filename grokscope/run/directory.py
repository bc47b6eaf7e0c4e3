"""A run directory as a whole: what is in it, which of it can be believed, and how it is added to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import RunError, StorageError
from grokscope.run import checkpoint, examples, glue, imported, index
from grokscope.run.checkpoint import Checkpoint, CheckpointInfo
from grokscope.run.checkpoints import Checkpoints, file_of
from grokscope.run.config import (
    BESIDE,
    IMPORTED,
    RECORDED,
    RUN_FILE,
    checked_config,
    config_hash,
    default_directory,
    first_difference,
    hash_of,
    read_config,
    require_run,
    run_id,
    seed_of,
    still_there,
    tells_partly,
    to_toml,
)
from grokscope.run.curves import (
    CURVE_COLUMNS,
    GROKKED_AT,
    LAST_STEP,
    MEMORISED_AT,
    as_arrays,
    curve_of,
    curve_text,
    joined,
    points,
)
from grokscope.run.differing import differing
from grokscope.run.files import sha256_hex
from grokscope.run.index import Index, Listed
from grokscope.run.kinds import Kinds
from grokscope.run.listing import FOLDERS, check_folders, refuse_foreign
from grokscope.run.outcome import OUTCOME, Goal, goals_of, in_a_row
from grokscope.run.results import Cell, CellKey, in_order, merge
from grokscope.run.segments import Segments
from grokscope.run.sites import Site, Url, site_of
from grokscope.run.store import (
    atomic_write,
    exists,
    holds,
    is_writable,
    link_file,
    make_folder,
    status,
    sweep,
    write_new,
)
from grokscope.run.tidy import Value, stored_course, tidy_values, values_frame

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from torch import Tensor

__all__ = ["Run", "default_directory"]

RESUME_FILE, INDEX_FILE = "resume.safetensors", "index.h5"


class Run:
    """One training: its configuration, checkpoints, curve and results, in one directory.

    Made by `Run.open` or `Run.create`. Checkpoints are listed once, when first asked for; open the run again
    to see those that another process has added since. Results are always those there now.

    Attributes:
        path: where it lies: a directory, as pathlib.Path, or a URL, such as s3://bucket/runs/x.
        config: `recipe`, the tables `task`, `model` and `training`, `local` (where data was) if any, and
            `imported` or `recorded` where the checkpoints were not trained here.
        seed: the training seed.
        config_hash: sha256 of the tables without the training seed.
        id: the same for the same tables and seed, wherever the run lies.
        data_hash: sha256 of the task table.
        noise_seed: seeds the noise of the run's measures.
    """

    def __init__(self, path: Site, config: dict[str, Any], results: Site | None = None) -> None:
        self.path = path
        self.config = config
        self.seed = seed_of(config)
        self.config_hash = config_hash(config)
        self.id = run_id(config)
        self.data_hash = hash_of(config["task"])
        self.noise_seed = self.id
        self._segments = Segments(path / "results", lambda: self.writable, inside=path)
        self._elsewhere = None if results is None else Segments(results, lambda: True)
        self._checkpoints = Checkpoints(path, config, lambda: self._read_index().listed)
        self._index_trouble = ""
        self._merged: tuple[frozenset[str], dict[CellKey, list[Cell]]] | None = None
        self._drawn: tuple[Mapping[int, Listed], dict[str, np.ndarray]] | None = None
        self._counted: tuple[frozenset[str], dict[str, int]] | None = None

    @classmethod
    def create(cls, path: str | Site, config: Mapping[str, Any]) -> Run:
        """Make the run at `path`, or open the one that is there when it has the same configuration.

        Raises RunError, and leaves everything untouched, when there is another run or anything else.
        """
        path, config = site_of(path), checked_config(config)
        new = not exists(path / RUN_FILE)
        if new:
            refuse_foreign(path)
            make_folder(path)
            new = write_new(path / RUN_FILE, to_toml(config))
        run = cls.open(path)
        for table in BESIDE:
            if table in run.config and table not in config:
                raise RunError(
                    f"{path} holds {table} checkpoints, which cannot be trained on; "
                    "choose another directory with `out`"
                )
        difference = first_difference(run.config, config)
        if difference:
            raise RunError(f"{path} holds another run: {difference}; choose another directory with `out`")
        if config.get(OUTCOME, run.config.get(OUTCOME)) != run.config.get(OUTCOME):
            run.config[OUTCOME] = config[OUTCOME]
            atomic_write(path / RUN_FILE, to_toml(run.config))
        for name in FOLDERS if run._is_local_and_writable else ():
            make_folder(path / name, inside=path)
        if new:
            run._write_index()
        return run

    @classmethod
    def open(cls, path: str | Site, results: str | Site | None = None) -> Run:
        """Open the run at `path`; with `results`, new results go to that folder and the run stays untouched.

        Raises RunError when it is no run.
        """
        path = site_of(path)
        run = cls(path, read_config(path), None if results is None else site_of(results))
        check_folders(path)
        for name in (".", *FOLDERS) if run._is_local_and_writable else ():
            sweep(path / name)
        return run

    @cached_property
    def writable(self) -> bool:
        """False on read-only ground, and where results are kept elsewhere.

        Then nothing is written into the run, no cache either.
        """
        return self._elsewhere is None and is_writable(self.path)

    @property
    def _is_local_and_writable(self) -> bool:
        return not isinstance(self.path, Url) and self.writable

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.resolve().name

    @property
    def is_imported(self) -> bool:
        """True when the checkpoints were trained by something else; such a run is finished."""
        return IMPORTED in self.config

    @property
    def is_recorded(self) -> bool:
        """True when somebody else's loop writes the checkpoints; it may go on at any time."""
        return RECORDED in self.config

    @property
    def problems(self) -> list[str]:
        """What could not be believed and was left out, a sentence each."""
        self._checkpoints.listed()
        elsewhere = self._elsewhere.problems if self._elsewhere else ()
        return [*self._checkpoints.problems, *self._segments.problems, *elsewhere]

    @property
    def remarks(self) -> list[str]:
        """Files that lie among checkpoints and results and are neither, a sentence each."""
        self._checkpoints.listed()
        self._segments.names()
        elsewhere = self._elsewhere.remarks if self._elsewhere else ()
        return [*self._checkpoints.remarks, *self._segments.remarks, *elsewhere]

    @property
    def keeps_results(self) -> bool:
        """False when there is nowhere to store results: read-only ground, and no other folder given."""
        return self.writable or self._elsewhere is not None

    @property
    def checkpoints(self) -> tuple[CheckpointInfo, ...]:
        """The sound checkpoints by step; others are named in `problems`."""
        return tuple(entry.info for entry in self._checkpoints.listed().values())

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of the checkpoints, ascending."""
        return tuple(self._checkpoints.listed())

    def weights(self, step: int) -> dict[str, Tensor]:
        """Return the state dict at `step`, parameters and buffers; raises as `load_checkpoint` does."""
        return self.load_checkpoint(step).weights

    def load_checkpoint(self, step: int) -> Checkpoint:
        """Return the checkpoint at `step`: its tensors, and which of them are parameters.

        Raises UnknownName for a step without a checkpoint, DamagedFile when its bytes are not those recorded.
        """
        return self._checkpoints.load(step)

    def save_checkpoint(
        self,
        step: int,
        weights: Mapping[str, Tensor],
        metrics: Mapping[str, float],
        curve: Mapping[str, Sequence[float]] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        """Store the weights after `step` updates, durably; nothing is written when they are there already.

        Args:
            step: optimiser updates done, at most 99 999 999.
            weights: the network's state dict.
            metrics: train_loss, test_loss, train_accuracy, test_accuracy; one that is left out is NaN.
            curve: the finer curve since the checkpoint before: `step` and metrics, one list each.
            kinds: which of `weights` are parameters, `kinds_of(network)`; where it is not given, measuring
                them takes the network.
        """
        if not 0 <= step <= LAST_STEP:
            raise ValueError(f"a checkpoint's step must be within 0 and {LAST_STEP}, got {step}")
        point = points({"step": [step], **{name: [value] for name, value in metrics.items()}})[0]
        finer = points(curve or {})
        words = {name: repr(value) for name, value in zip(CURVE_COLUMNS, point[1:], strict=True)}
        words |= {
            **self._checkpoints.stamp(step),
            "curve": curve_text(finer),
            **(kinds.words() if kinds else {}),
        }
        data = checkpoint.encode(kinds.stored(weights) if kinds else weights, words)
        file = file_of(step)
        with still_there(self.path, self.id):
            if not holds(self.path / file, data):
                self.check_writable()
                make_folder(self.path / "checkpoints", inside=self.path)
                atomic_write(self.path / file, data)
            written = status(self.path / file).st_mtime_ns
        info = CheckpointInfo(step, file, len(data), sha256_hex(data), *point[1:])
        self._checkpoints.add(Listed(info, written, finer))

    def keep_examples(self, data: bytes) -> None:
        """Write the examples of the user's own data, whose sha256 the configuration has, durably."""
        self.check_writable()
        with still_there(self.path, self.id):
            atomic_write(self.path / examples.FILE, data)

    def save_import(self, records: Sequence[imported.Record], kinds: Kinds | None = None) -> None:
        """Write the table of where imported checkpoints came from and what their tensors are, durably."""
        self.check_writable()
        with still_there(self.path, self.id):
            atomic_write(self.path / imported.FILE, imported.encode(records, kinds))
        self._checkpoints.forget(imports=True)

    def link_checkpoint(self, step: int, source: Path) -> None:
        """Make the safetensors file `source`, which the import table has, the checkpoint of `step` by a link.

        Raises StorageError where the file system does not link the two, DamagedFile when the file is not the
        one in the table.
        """
        self.check_writable()
        with still_there(self.path, self.id):
            make_folder(self.path / "checkpoints", inside=self.path)
            link_file(source, self.path / file_of(step))
        self._checkpoints.forget()
        self._checkpoints.read(file_of(step))

    def save_resume(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        """Replace the state that training goes on from, durably."""
        self.check_writable()
        with still_there(self.path, self.id):
            atomic_write(self.path / RESUME_FILE, checkpoint.encode(tensors, {**metadata, "run": self.id}))

    def load_resume(self) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """Return the state that training goes on from, None when there is none. Raises DamagedFile."""
        return checkpoint.read_resume(self.path / RESUME_FILE, self.id)

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """Step, losses and accuracies: the finer curve kept with checkpoints, and the checkpoints' own."""
        listed = self._checkpoints.listed()
        if self._drawn is None or self._drawn[0] is not listed:
            entries = listed.values()
            pieces = [*(entry.curve for entry in entries), *(entry.own_point() for entry in entries)]
            self._drawn = listed, as_arrays(joined(pieces))
        return {name: values.copy() for name, values in self._drawn[1].items()}

    def memorisation_step(self, threshold: float = MEMORISED_AT) -> int | None:
        """Return the first step from which train accuracy is >= `threshold` three times in a row.

        Where the run has an outcome of its own it is that of `goals_of`, and of imported runs with few
        checkpoints `in_a_row`; None where it is never reached, or there is no such thing.
        """
        return self._first_step(goals_of(self.config, train=threshold)[0])

    def grokking_step(self, threshold: float = GROKKED_AT) -> int | None:
        """Return likewise the first step from which test accuracy is >= `threshold`, or the outcome there."""
        return self._first_step(goals_of(self.config, test=threshold)[1])

    def _first_step(self, goal: Goal | None) -> int | None:
        if goal is None:
            return None
        if goal.column in CURVE_COLUMNS:
            steps, values = self.curve_of(goal.column)
        else:
            stored, lie = self._own_cells()
            steps, values = stored_course(stored, goal.column, lie, glue.remembered(self.path))
        return goal.first_step(steps, values, self.asked_in_a_row)

    @property
    def goals(self) -> tuple[Goal | None, Goal]:
        """What counts as having memorised, if anything does, and as having generalised."""
        return goals_of(self.config)

    @property
    def asked_in_a_row(self) -> int:
        """How many evaluations in a row must be beyond a goal, see `in_a_row`."""
        return in_a_row(len(self.curves["step"]), self.is_imported)

    def curve_of(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps and values of a metric on the finer curve.

        Points that do not tell it, as the curve of a recorded loop may have them, are left out.
        """
        return curve_of(self.curves, metric, partly=tells_partly(self.config))

    def cells(self) -> dict[CellKey, Cell]:
        """Return every stored result by its key; of differing results for one key always the same one."""
        return {key: variants[0] for key, variants in self._variants()[1].items()}

    def measured(self) -> dict[str, int]:
        """Return at how many checkpoints each measure is stored; where index.h5 fits no result is read."""
        if self._counted is None or self._counted[0] != self._segments.names() or self._elsewhere:
            return index.measured(self.cells(), (info.sha256 for info in self.checkpoints))
        return self._counted[1]

    def results(self) -> pandas.DataFrame:
        """Return everything that is stored as a tidy DataFrame, one row per number or word; computes nothing.

        Columns: run, step, measure, layer, column, value (a number, or NaN where `text` has a word), text,
        plugin, version, parameters (JSON), baseline (the step compared with, if any). Results of every
        version and of all parameters are there; arrays and missing values are not.

        Raises UsageError where pandas is missing.
        """
        return values_frame(self.values())

    def values(self) -> Iterator[Value]:
        """Yield every stored number and word of the checkpoints that are there, by step and measure.

        Of every version, set of parameters and baseline.
        """
        return tidy_values(self.name, *self._own_cells())

    def _own_cells(self) -> tuple[list[Cell], dict[str, int]]:
        """Return the results of the checkpoints that are there, in order, and the steps of these."""
        steps = {checkpoint.sha256: checkpoint.step for checkpoint in self.checkpoints}
        own = (self.data_hash, self.noise_seed)
        found = self.cells().items()
        mine = {
            key: [cell] for key, cell in found if key.checkpoint in steps and (key.data, key.noise) == own
        }
        return list(in_order(mine)), steps

    def store(self, cells: Sequence[Cell]) -> None:
        """Store `cells` durably as one immutable segment. Raises StorageError."""
        (self._elsewhere or self._segments).store(cells)

    def gather(self) -> None:
        """Join what was stored bit by bit, so that it is quickly read. Raises StorageError."""
        (self._elsewhere or self._segments).gather()

    @property
    def conflicts(self) -> list[str]:
        """The keys that have differing results, a sentence each that says how far they are apart."""
        return differing(self._variants()[1])

    def refresh_index(self) -> str:
        """Rebuild index.h5 when it does not fit the run's files; nothing happens on read-only ground.

        Returns a sentence when it was missing or damaged, or could not be written, else "".
        """
        if not (isinstance(self.path, Url) or self.writable):  # of a URL that costs more than to look
            return ""
        found = self._read_index()
        trouble = self._index_trouble
        self._checkpoints.forget()
        listed = {entry.stamp() for entry in self._checkpoints.listed(found.listed).values()}
        same = {entry.stamp() for entry in found.listed.values()} == listed
        fits = same and found.segments == self._segments.names() and not trouble
        self._counted = (found.segments, found.measured) if fits else None
        if self._counted or not self.writable:
            return ""
        failure = self._write_index()
        if trouble and not failure:
            return f"{INDEX_FILE} was {trouble}; it was rebuilt from the checkpoints and results"
        return failure

    def _write_index(self) -> str:
        """Write index.h5; a cache that cannot be written is a sentence and no failure."""
        segments, variants = self._variants()
        data = index.encode(self._checkpoints.listed().values(), segments, in_order(variants), self.id)
        try:
            atomic_write(self.path / INDEX_FILE, data)
        except StorageError as error:
            return f"{error}; everything else is stored, and {INDEX_FILE} is rebuilt later"
        self._index_trouble = ""
        return ""

    def _read_index(self) -> Index:
        found, trouble = index.look_at(self.path / INDEX_FILE)
        self._index_trouble = trouble or self._index_trouble
        return found

    def _variants(self) -> tuple[frozenset[str], dict[CellKey, list[Cell]]]:
        """Return the segments there now and their different results by key.

        A result of a checkpoint that lies at another step is left out: whoever says so is not believed.
        """
        elsewhere = self._elsewhere.names() if self._elsewhere else frozenset()
        if self._merged is None or self._merged[0] != self._segments.names() | elsewhere:
            present, cells = self._segments.read()
            others, more = self._elsewhere.read() if self._elsewhere else (frozenset[str](), [])
            steps = {info.sha256: info.step for info in self.checkpoints}
            own = (cell for cell in [*cells, *more] if steps.get(cell.key.checkpoint, cell.step) == cell.step)
            self._merged = present | others, merge(own)
        return self._merged

    def check_writable(self) -> None:
        """Raise StorageError unless this is still the run that it was, and can be written to."""
        if not self.writable:
            raise StorageError(f"{self.path} is read-only: nothing can be written to this run")
        require_run(self.path, self.id)
