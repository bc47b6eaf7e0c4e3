"""The results folder: immutable segments that appear whole, are read with suspicion, joined where many."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence

from grokscope.errors import DamagedFile, GrokscopeError, StorageError
from grokscope.run.files import sha256_hex
from grokscope.run.results import SEGMENT_CAP, Cell, NewerFormat, TooMuch, decode, encode, in_order, merge
from grokscope.run.sites import Site
from grokscope.run.store import atomic_write, delete, make_folder, move, read_bytes, scan

NAME = re.compile(r"[0-9a-f]{64}\.h5")
COMPACT_AT = 64
GATHER_AT = 8  # of one writer's own, when it ends: whoever reads looks at each for a millisecond and more
SMALL = 4 << 20  # bytes


class Segments:
    """The segments of one run.

    Attributes:
        problems: sentences on segments that could not be read; the others go on without them.
        refused: why, by name.
        links: sentences on links, which are no segments.
        remarks: sentences on files that are no segments, and so left out.
    """

    def __init__(self, folder: Site, writable: Callable[[], bool], inside: Site | None = None) -> None:
        """Look at `folder`; `writable` is asked when something is to be written there."""
        self.folder = folder
        self.writable = writable
        self.problems: dict[str, None] = {}
        self.links: dict[str, None] = {}
        self.remarks: dict[str, None] = {}
        self._inside = inside
        self._read: dict[str, list[Cell]] = {}
        self.refused: dict[str, Exception] = {}
        self._stuck: set[str] = set()
        self._own: list[str] = []

    def names(self) -> frozenset[str]:
        """Return the segments there now. A compaction meanwhile is waited out: two listings must agree."""
        before, now = None, self._list()
        while before != now:
            before, now = now, self._list()
        return now - self.refused.keys()

    def _list(self) -> frozenset[str]:
        try:
            with scan(self.folder) as entries:
                return frozenset(entry.name for entry in entries if self._is_segment(entry))
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise StorageError(f"{self.folder} cannot be listed: {error.strerror}") from error

    def _is_segment(self, entry: os.DirEntry[str]) -> bool:
        named = NAME.fullmatch(entry.name) is not None
        if named and entry.is_file(follow_symlinks=False):
            return True
        if named:
            self.links[f"{entry.path} is left out: it must be a file, and a link is not followed"] = None
            self.problems |= self.links
        elif entry.name.endswith(".h5"):
            self.remarks[f"{entry.path} is left out: segments are named by the sha256 of their bytes"] = None
        return False

    def read(self) -> tuple[frozenset[str], list[Cell]]:
        """Return which segments are there and sound, and their cells.

        A segment that vanishes was compacted meanwhile, so the folder is listed again.
        """
        while True:
            names = self.names()
            if all(self._load(name) for name in sorted(names)):
                self._read = {name: self._read[name] for name in names if name in self._read}
                sound = names - self.refused.keys()
                return sound, [cell for name in sorted(sound) for cell in self._read[name]]

    def of(self, name: str) -> list[Cell]:
        """Return the cells of a segment that `read` found sound."""
        return self._read[name]

    def store(self, cells: Sequence[Cell]) -> None:
        """Make durable segments of `cells`, one if they fit; compact when there are many.

        Raises StorageError.
        """
        if not cells:
            return
        self.add(cells)
        small = self._small()
        if len(small) >= COMPACT_AT:
            self.compact(small)

    def gather(self) -> None:
        """Join the small segments that were stored here, where they are several. Raises StorageError."""
        own, self._own = self._own, []
        if len(own) >= GATHER_AT:
            self.compact(own)

    def compact(self, names: Collection[str]) -> None:
        """Replace the segments `names` by their union. Safe beside any number of others doing the same.

        The union gets a name that never was: it cannot be among anyone's inputs before it is durable, so the
        newest file that holds a result is never unlinked.
        """
        inputs = [name for name in sorted(names) if self._load(name) and name in self._read]
        if len(inputs) < 2:
            return
        cells = merge(cell for name in inputs for cell in self._read[name])
        try:
            self.add(in_order(cells), nonce=os.urandom(16).hex())
        except TooMuch:  # a single result that an earlier grokscope wrote: it stays where it is
            return
        for name in inputs:
            try:
                delete(self.folder / name)
            except (OSError, StorageError) as error:
                self._stuck.add(name)
                why = getattr(error, "strerror", None) or error
                self.remarks[
                    f"{self.folder} keeps segments that were compacted, because they cannot be deleted "
                    f"({why}); nothing is lost, and what they hold counts once"
                ] = None
            else:
                del self._read[name]

    def _small(self) -> list[str]:
        """Return the segments worth compacting; large ones stay: nothing is written often."""
        names = self.names() - self._stuck
        if len(names) < COMPACT_AT:
            return []
        with scan(self.folder) as entries:
            return [entry.name for entry in entries if entry.name in names and _size(entry) < SMALL]

    def add(self, cells: Sequence[Cell], nonce: str = "") -> None:
        """Make one durable segment of `cells`, and no compaction. Raises StorageError."""
        if not self.writable():
            raise StorageError(
                f"{self.folder} is read-only: results of this run must be written elsewhere (`results`)"
            )
        make_folder(self.folder, self._inside)
        refused: StorageError | None = None
        waiting = [cells]
        while waiting:
            part = waiting.pop()
            try:
                data = encode(part, nonce)
            except TooMuch as error:
                refused = error if len(part) == 1 else refused
                half = len(part) // 2
                waiting += [part[half:], part[:half]] if half else []
                continue
            if len(data) > SEGMENT_CAP:
                raise StorageError(f"a result segment must be at most {SEGMENT_CAP} bytes, got {len(data)}")
            name = f"{sha256_hex(data)}.h5"
            atomic_write(self.folder / name, data)
            self._read[name] = list(part)  # as reading it would give them
            self._own += [name] if len(data) < SMALL else []
        if refused:
            raise refused

    def _load(self, name: str) -> bool:
        """Have the cells of `name` ready, or refuse it; False when it is no longer there."""
        if name in self._read:
            return True
        path = self.folder / name
        try:
            self._read[name] = believed(read_bytes(path, SEGMENT_CAP), path)
        except FileNotFoundError:
            return False
        except (DamagedFile, StorageError) as error:
            self._refuse(path, error)
        return True

    def _refuse(self, path: Site, error: Exception) -> None:
        self.refused[path.name] = error
        moved = is_damage(error) and self.writable() and self.quarantine(path.name)
        where = "; it was moved to results/quarantine, its results are computed again" if moved else ""
        self.problems[f"{error}{where}"] = None

    def quarantine(self, name: str) -> bool:
        """Move a segment to the folder `quarantine`; False when that cannot be."""
        folder = self.folder / "quarantine"
        try:
            make_folder(folder, self._inside or self.folder)
            move(self.folder / name, folder / name, SEGMENT_CAP)
        except (OSError, GrokscopeError):
            return False
        return True


def is_damage(error: Exception) -> bool:
    """Whether a segment is refused for good: not because it cannot be read here, or not by this grokscope."""
    return isinstance(error, DamagedFile) and not isinstance(error, NewerFormat)


def believed(data: bytes, path: Site) -> list[Cell]:
    """Return the cells in `data`, read from `path`. Raises DamagedFile unless the name is its hash."""
    if sha256_hex(data) != path.stem:
        raise DamagedFile(f"{path} is damaged: its bytes must have the sha256 in its name")
    return decode(data, path)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return SMALL
