"""Checkpoints that are revisions of a repository of the Hub: they come one after the other."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from grokscope.declare import Factory
from grokscope.errors import DataError, RunError, UsageError, described
from grokscope.extras import from_extra
from grokscope.importing.beside import CONFIG
from grokscope.importing.growth import known_at
from grokscope.importing.plan import Watch
from grokscope.importing.session import Request, plan_import
from grokscope.importing.steps import pattern_of, step_in
from grokscope.run import Run
from grokscope.run.sites import Site, Url, site_of
from grokscope.tasks.language import TEXT, TOKENIZERS

log = logging.getLogger("grokscope")
_WEIGHTS = r"(?:model|pytorch_model)(?:-\d{5}-of-\d{5})?"
_KINDS = (rf"{_WEIGHTS}\.safetensors(?:\.index\.json)?", rf"{_WEIGHTS}\.bin(?:\.index\.json)?")
_OF_TOKENIZERS = (*TOKENIZERS, "merges.txt", "special_tokens_map.json", "added_tokens.json", "spiece.model")


@dataclass(frozen=True)
class Revision:
    """A branch or a tag of a repository: its name, the commit that it stands at, and the step it is of."""

    name: str
    commit: str
    step: int


@dataclass(frozen=True)
class Coming:
    """What an import would fetch of a revision: files, in bytes together."""

    revision: Revision
    files: tuple[str, ...]
    size: int


def list_hub(
    out: str | Path,
    hub: str,
    revisions: str,
    request: Request,
    *,
    progress: Watch | None = None,
) -> list[Coming]:
    """Return what `import_hub` would fetch, by step; nothing is fetched but the lists of files.

    Raises as `import_hub` does, of all that is known without looking into files.
    """
    asked = _Repository(hub)
    found = asked.revisions(revisions, request.step_from)
    there = _there(site_of(out), request, _name(hub))
    coming = []
    for done, revision in enumerate(sorted(found, key=lambda each: each.step), 1):
        if revision.step not in there:
            sizes, _ = asked.wanted(revision, request)
            coming.append(Coming(revision, tuple(sizes), sum(sizes.values())))
        if progress:
            progress(done, len(found), revision.step)
    return coming


def import_hub(
    out: str | Path,
    hub: str,
    revisions: str,
    request: Request,
    *,
    tasks: Mapping[str, Factory] | None = None,
    models: Mapping[str, Factory] | None = None,
    progress: Watch | None = None,
    notify: Callable[[str], None] | None = None,
) -> Run:
    """Import revisions of a repository into the run directory `out`, and return the run.

    Each is fetched beside `out`, checked, written into the run, and removed before the next: the last first,
    since it says how long the training was, then the others by step. Called again it goes on where it was:
    steps that the run has are not fetched. Branches and tags are taken at the commit that they stand at now.

    Args:
        out: the run directory to make, or to add to.
        hub: the repository, `owner/name`; on the server that the variable HF_ENDPOINT names, if it is set.
        revisions: a glob of branches and tags. A revision's step is what its name says, as a file's does: the
            number after `step`, `checkpoint` or the like, or the only one in it; or what `step_from` finds.
        request: what else is asked for, as of files that are here; of `checkpoints`, globs of the
            repository's files, model.safetensors or pytorch_model.bin when there are none.
        tasks, models, progress, notify: as for `import_checkpoints`.

    Raises:
        DataError: the server cannot be reached, or does not give what is asked for.
        RunError: `out` holds a run of another repository, or something else.
        UsageError: no revision fits, one does not say its step; and as `import_checkpoints` does.
    """
    if isinstance(site_of(out), Url):
        raise UsageError(f"`hub` must be imported into a directory of this machine first, got {out}")
    out, said = Path(out), set[str]()
    asked = _Repository(hub)
    found = asked.revisions(revisions, request.step_from)
    place = out.with_name(f".{out.name}.downloading")
    name = _name(hub)
    there = _there(out, request, name)
    for done, revision in enumerate(found, 1):
        if revision.step in there:
            continue
        folder = place / re.sub(r"[^\w.@-]", "_", f"{name}@{revision.name}")
        _only(folder)
        files = asked.fetch(revision, folder, request)
        mine = replace(request, checkpoints=files, step=revision.step, step_from=None)
        plan = plan_import(out, mine, tasks=tasks, models=models)
        plan.refuse()
        for sentence in plan.remarks:
            if sentence not in said:
                (notify or log.warning)(sentence)
        said.update(plan.remarks)
        plan.write()
        if progress:
            progress(done, len(found), revision.step)
    shutil.rmtree(place, ignore_errors=True)
    return Run.open(out)


def _name(hub: str) -> str:
    return re.sub(r"[^\w.-]", "_", hub)


def _there(out: Site, request: Request, name: str) -> tuple[int, ...]:
    """Return the steps that `out` has already. Raises RunError where it is no import of that repository."""
    known = known_at(out, request.link, bool(request.curves))
    froms = {record.source.partition("@")[0] for record in known.records.values() if "@" in record.source}
    if froms - {name}:
        raise RunError(
            f"{out} has checkpoints of {', '.join(sorted(froms))}, not of {name}: choose another directory"
        )
    return known.run.steps if known.run else ()


def _only(folder: Path) -> None:
    """Make a folder, or keep what it has, and remove all beside it: what an import that was killed left."""
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


class _Repository:
    """A repository of the Hub, seen through its own client."""

    def __init__(self, name: str) -> None:
        with from_extra("hub", "`hub`"):
            from huggingface_hub import HfApi
        self._name = name
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)

    def revisions(self, pattern: str, step_from: str | None) -> list[Revision]:
        """Return the revisions that fit: the last, then the others by step."""
        with self._asked("its revisions"):
            refs = self._api.list_repo_refs(self._name)
        every = {each.name: str(each.target_commit) for each in [*refs.tags, *refs.branches]}
        rule = pattern_of(step_from or None)
        found = [
            Revision(name, commit, _step(name, rule))
            for name, commit in every.items()
            if fnmatchcase(name, pattern)
        ]
        if not found:
            some = ", ".join(sorted(every)[:8])
            raise UsageError(
                f"`revisions` must name some of {self._name}, and none fits {pattern!r}: it has {some}"
            )
        by_step = {each.step: each for each in found}
        for each in found:
            other = by_step[each.step]
            if other.commit != each.commit:
                raise UsageError(f"revisions {each.name} and {other.name} are both of step {each.step}")
        first, *others = sorted(by_step.values(), key=lambda each: -each.step)
        return [first, *reversed(others)]

    def wanted(self, revision: Revision, request: Request) -> tuple[dict[str, int], list[str]]:
        """Return the files that are needed of a revision, in bytes, and which of them are its checkpoints."""
        with self._asked(f"the files of {revision.name}"):
            tree = self._api.list_repo_tree(self._name, revision=revision.commit, recursive=True)
            sizes = {each.path: int(each.size) for each in tree if hasattr(each, "size")}
        files = [name for name in sizes if ".." not in Path(name).parts and not Path(name).is_absolute()]
        weights = _weights(files, request.checkpoints)
        if not weights:
            wanted = " or ".join(map(str, request.checkpoints)) or "model.safetensors or pytorch_model.bin"
            raise DataError(f"{self._name} has no {wanted} at {revision.name}: it has {', '.join(files[:8])}")
        beside = [CONFIG, *(_OF_TOKENIZERS if request.task.startswith(TEXT) else ())]
        needed = [*(name for name in beside if name in files), *weights]
        return {name: sizes[name] for name in needed}, weights

    def fetch(self, revision: Revision, folder: Path, request: Request) -> list[Path]:
        """Fetch what is needed of a revision into `folder`; return its checkpoints."""
        sizes, weights = self.wanted(revision, request)
        for file in sizes:
            with self._asked(f"{file} of {revision.name}"):
                self._api.hf_hub_download(self._name, file, revision=revision.commit, local_dir=folder)
        return [folder / file for file in weights]

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the client raises its own, and those of what it is made with
            reason = described(error.__cause__ or error)
            raise DataError(
                f"{what} cannot be had from {self._name} on {self._api.endpoint}: {reason}"
            ) from error


def _weights(files: Iterable[str], patterns: Iterable[Any]) -> list[str]:
    """Return the files that hold the weights: what is asked for, else the first usual kind that is there."""
    files, globs = list(files), [str(each) for each in patterns]
    if globs:
        return [name for name in files if any(fnmatchcase(name, glob) for glob in globs)]
    kinds = ([name for name in files if re.fullmatch(kind, name)] for kind in _KINDS)
    return next(filter(None, kinds), [])


def _step(name: str, rule: re.Pattern[str] | None) -> int:
    """Return the step in a revision's name. Raises UsageError where it says none."""
    step = step_in(name, rule)
    if step is None:
        raise UsageError(
            f"revision {name!r} does not say its step: give `step_from` with a regular expression that finds "
            "it, or narrower `revisions`"
        )
    return step
