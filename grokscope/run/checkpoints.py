"""Which of a run's checkpoints can be believed, and what each of them says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from grokscope.errors import DamagedFile, StorageError, UnknownName
from grokscope.run import checkpoint, imported
from grokscope.run.checkpoint import Checkpoint, CheckpointInfo
from grokscope.run.config import IMPORTED, config_hash, run_id, seed_of
from grokscope.run.copied import unchanged
from grokscope.run.curves import CURVE_COLUMNS, read_curve
from grokscope.run.files import sha256_hex
from grokscope.run.index import Listed
from grokscope.run.listing import checkpoint_files
from grokscope.run.sites import Site
from grokscope.run.store import read_bytes


class Checkpoints:
    """The folder `checkpoints` of the run at `path`, listed once, when first asked for.

    Attributes:
        problems: what could not be believed and was left out, a sentence each; the keys of a dict.
        remarks: likewise, which files are no checkpoints.
    """

    def __init__(
        self, path: Site, config: Mapping[str, Any], remembered: Callable[[], Mapping[str, Listed]] = dict
    ) -> None:
        """Look at the run at `path`; `remembered` returns what its index says of files, by name."""
        self.path = path
        self.problems: dict[str, None] = {}
        self.remarks: dict[str, None] = {}
        self._config = config
        self._remembered = remembered
        self._listed: dict[int, Listed] | None = None
        self._before: dict[str, Listed] = {}

    def listed(self, remembered: Mapping[str, Listed] | None = None) -> dict[int, Listed]:
        """Return the sound checkpoints by step.

        Hash and header come from the index where a file's size and time are still those recorded there:
        from `remembered`, who has read it already.
        """
        if self._listed is None:
            known = self._remembered() if remembered is None else remembered
            self._listed = {entry.info.step: entry for entry in self._sound(known)}
        return self._listed

    def _sound(self, remembered: Mapping[str, Listed]) -> Iterable[Listed]:
        there = checkpoint_files(self.path)
        self.problems |= dict.fromkeys(there.problems)
        self.remarks |= dict.fromkeys(there.remarks)
        known = {**remembered, **self._before}
        known = {**remembered, **unchanged(self.path, there.files, known, self.stamp)}
        for file, status in there.files:
            entry = known.get(file)
            if not entry or entry.stamp() != (file, status.st_size, status.st_mtime_ns):
                entry = self._inspect(file, status.st_mtime_ns)
            if entry:
                yield entry

    def _inspect(self, file: str, mtime_ns: int) -> Listed | None:
        try:
            return self.read(file, mtime_ns)
        except FileNotFoundError:
            return None
        except (DamagedFile, StorageError) as error:
            self.problems[str(error)] = None
            return None

    def add(self, entry: Listed) -> None:
        """Take in a checkpoint that was just written."""
        listed, step = self.listed(), entry.info.step
        in_order = step in listed or step > next(reversed(listed), -1)
        listed = {**listed, step: entry}
        self._listed = listed if in_order else dict(sorted(listed.items()))

    def forget(self, *, imports: bool = False) -> None:
        """List the folder anew when next asked; with `imports`, read the table of imports anew, too."""
        self._before = {entry.info.file: entry for entry in (self._listed or {}).values()}
        self._listed = None
        if imports:
            self.__dict__.pop("_imported", None)

    def read(self, file: str, mtime_ns: int = 0) -> Listed:
        """Return the checkpoint `file` as its own bytes show it. Raises DamagedFile, FileNotFoundError."""
        path, step = self.path / file, int(Path(file).stem)
        data = read_bytes(path, checkpoint.FILE_CAP, follow=True)
        if step in self._links:
            record = self._links[step]
            imported.check_link(data, path, record)
            info = CheckpointInfo(step, file, len(data), record.sha256, *record.point)
            return Listed(info, mtime_ns, record.curve)
        words = checkpoint.verify(data, path)
        for name, expected in self.stamp(step).items():
            if words.get(name) != expected:
                raise DamagedFile(f"{path} is foreign: its {name} must be {expected}, got {words.get(name)}")
        try:
            metrics = [float(words[name]) for name in CURVE_COLUMNS]
            curve = read_curve(words["curve"])
        except (KeyError, ValueError) as error:
            raise DamagedFile(f"{path} is damaged: its losses and accuracies cannot be read") from error
        return Listed(CheckpointInfo(step, file, len(data), sha256_hex(data), *metrics), mtime_ns, curve)

    def load(self, step: int) -> Checkpoint:
        """Return the checkpoint at `step`: its tensors, and which of them are parameters.

        Raises UnknownName for a step without a checkpoint, DamagedFile when its bytes are not those recorded.
        """
        entry = self.listed().get(step)
        if entry is None:
            near = sorted(self.listed(), key=lambda known: abs(known - step))[:3]
            raise UnknownName("step", str(step), map(str, near))
        return self.load_listed(entry)

    def load_listed(self, entry: Listed) -> Checkpoint:
        """Return what the file of `entry` holds. Raises DamagedFile when its bytes are not those recorded."""
        path = self.path / entry.info.file
        try:
            data = read_bytes(path, checkpoint.FILE_CAP, follow=True)
        except FileNotFoundError as error:
            raise DamagedFile(f"{path} is no longer there") from error
        if sha256_hex(data) != entry.info.sha256:
            raise DamagedFile(f"{path} is damaged, or was replaced: its sha256 is not the recorded one")
        if entry.info.step in self._links:
            dtype = str(self._config["training"].get("dtype", "float32"))
            return imported.decode_link(data, path, self._config[IMPORTED], dtype, self._imported.kinds)
        return checkpoint.decode(data, path, entry.info.sha256)

    def stamp(self, step: int) -> dict[str, str]:
        """Return what the header of the checkpoint at `step` must say: whose it is, and which."""
        return {"step": str(step), **self._whose}

    @cached_property
    def _whose(self) -> dict[str, str]:
        own = self._config
        return {"run": run_id(own), "config": config_hash(own), "seed": str(seed_of(own))}

    @property
    def _links(self) -> dict[int, imported.Record]:
        """The checkpoints that are links to foreign files, by step; any other foreign file is refused."""
        return self._imported.links

    @cached_property
    def _imported(self) -> imported.Table:
        about = self._config.get(IMPORTED, {})
        if not about.get("link"):
            return imported.Table({})
        try:
            return imported.read(self.path / imported.FILE, about.get("contents", ""))
        except (DamagedFile, StorageError, FileNotFoundError) as error:
            self.problems[f"{error}; the same `grokscope import` writes it again"] = None
            return imported.Table({})


def file_of(step: int) -> str:
    """Return the name, from the run's directory, of the checkpoint at `step`."""
    return f"checkpoints/{step:08d}.safetensors"
