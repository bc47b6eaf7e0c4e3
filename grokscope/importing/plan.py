"""What an import would write, and every problem there is: files are read and checked, nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grokscope.device import threads
from grokscope.errors import DamagedFile, GrokscopeError, UsageError
from grokscope.importing.reader import Reader
from grokscope.importing.shards import shown_name
from grokscope.importing.sources import Source
from grokscope.importing.steps import StepRule
from grokscope.run.imported import Record

Watch = Callable[[int, int, int], None]
_MOST_SAID = 10  # problems in one sentence


@dataclass(frozen=True)
class Checked:
    """A state dict that fits the network.

    Attributes:
        path: where it lies.
        record: what is recorded of it.
        weights: the hash of its weights.
        linkable: whether its file can be linked.
    """

    path: Path
    record: Record
    weights: str
    linkable: bool


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file; `skippable` where `skip_damaged` leaves it out."""

    error: GrokscopeError
    skippable: bool = False


def check(
    paths: Sequence[Path], reader: Reader, rule: StepRule, known: Mapping[int, Record], progress: Watch
) -> tuple[list[Checked], list[Problem]]:
    """Read and check every file; return the state dicts by step, and what is wrong.

    Args:
        paths: the files.
        reader: makes weights of what they hold.
        rule: finds steps.
        known: what is imported already, by step, of the same code: losses of the same file are not computed
            again.
        progress: called as (done, total, step).
    """
    found: list[Checked] = []
    problems: list[Problem] = []
    with threads(1):
        for done, path in enumerate(paths, 1):
            try:
                source = reader.read(path)
                steps, said = rule.of(source)
            except (DamagedFile, UsageError) as error:
                problems.append(Problem(error, skippable=True))
                continue
            if said:
                reader.note(said)
            reader.note_others(source)
            try:
                for item in _states(source, steps, reader, known):
                    found.append(item)
                    progress(done, len(paths), item.record.step)
            except UsageError as error:
                problems.append(Problem(error))
                if not reader.has_begun:  # none of the others would fit
                    break
    found.sort(key=lambda item: (item.record.step, item.record.source, item.record.position))
    return found, problems


def _states(
    source: Source, steps: Sequence[int], reader: Reader, known: Mapping[int, Record]
) -> Iterator[Checked]:
    """Yield the states of a file, checked. Raises UsageError at the first that does not fit."""
    from grokscope.training.loop import digest

    for place, step in enumerate(steps):
        state, where = source.state(place), source.where(place)
        if not reader.has_begun:
            reader.begin(state, where)
        weights = reader.weights(state, where)
        reader.note_infinite(step, weights)
        position = place if source.is_list else -1
        record = Record(step, shown_name(source.path), source.sha256, position)
        before = known.get(step)
        same = before is not None and before.is_of(source.sha256, position)
        metrics = before.metrics if before and same else reader.metrics(weights, where)
        reader.compare(source, steps, place, metrics)
        yield Checked(source.path, replace(record, metrics=metrics), digest(weights), source.linkable)


def distinct(
    found: Sequence[Checked], link: bool, linked: set[str], note: Callable[[str], None]
) -> tuple[list[Checked], list[Problem]]:
    """Return one for each step, marked as linked where it will be, and what is wrong; say which are the same.

    Wrong are two different ones of a step, and files that cannot be linked. `linked` are the hashes of the
    files that are linked already.
    """
    kept: dict[int, Checked] = {}
    problems: list[Problem] = []
    same: dict[str, list[int]] = {}
    for item in found:
        step, before = item.record.step, kept.get(item.record.step)
        if before and before.weights != item.weights:
            words = f"step {step} is there twice, in {before.path} and in {item.path}, and they differ"
            problems.append(Problem(UsageError(f"{words}: `leave_out` leaves one of them out")))
            continue
        if before:
            note(
                f"{item.path} holds the same weights as {before.path} and is of the same step: it is left out"
            )
            continue
        same.setdefault(item.weights, []).append(step)
        if link and not item.linkable:
            words = f"`link` is for safetensors files, and {item.path} is none: leave `link` out"
            problems.append(Problem(UsageError(words)))
            continue
        kept[step] = item
        if link and item.record.sha256 not in linked:  # results are kept by sha256: a file is of one step
            linked.add(item.record.sha256)
            kept[step] = replace(item, record=replace(item.record, linked=True))
    for steps in same.values():
        if len(steps) > 1:
            note(f"steps {', '.join(map(str, steps))} hold the same weights")
    return list(kept.values()), problems


def refuse(problems: Sequence[Problem], files: int) -> None:
    """Raise what is wrong, of several problems all in one sentence; nothing is raised where nothing is."""
    if not problems:
        return
    errors = [problem.error for problem in problems]
    advice = "; `skip_damaged` leaves it out" if problems[0].skippable and files > 1 else ""
    if len(errors) == 1:
        error = errors[0]
        kind = DamagedFile if isinstance(error, DamagedFile) else UsageError
        raise kind(f"{error}{advice}") if advice else error
    kind = DamagedFile if all(isinstance(error, DamagedFile) for error in errors) else UsageError
    more = f"; and {len(errors) - _MOST_SAID} more" if len(errors) > _MOST_SAID else ""
    said = "; ".join(f"({number}) {error}" for number, error in enumerate(errors[:_MOST_SAID], 1))
    left = any(problem.skippable for problem in problems)
    advice = "; `skip_damaged` leaves out files that are damaged or do not say their step" if left else ""
    raise kind(f"{len(errors)} problems: {said}{more}{advice}")
