"""Which cells are wanted, which of them are stored already, and which are left to compute."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grokscope.declare import canonical_json, lasting, resolve
from grokscope.errors import GrokscopeError, SettingError, UnknownName, UsageError, further
from grokscope.registry import Plugins, Registered
from grokscope.run import Cell, CellKey, CheckpointInfo, Run
from grokscope.run.code import NOTHING, Trusted, own_code
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.run.glue import NETWORK
from grokscope.run.tidy import BASELINE

UNFIT = "its baseline is unfit: "  # begins the note of a cell whose measure raised UnfitBaseline


class Place(NamedTuple):
    """Where cells are computed: on which device, with data from where, with whose code.

    `data_dir` is where the task's data lies if not where the run found it; code that no plugin brings is
    imported only if it is named here; each process takes `memory` bytes at most, None is no bound.
    """

    device: str = "cpu"
    data_dir: str | None = None
    trusted: Trusted = NOTHING
    memory: int | None = None

    @classmethod
    def of(
        cls,
        device: str,
        data_dir: str | Path | None,
        trusted: Trusted = NOTHING,
        memory: int | None = None,
    ) -> Place:
        """Return the place; a path becomes its text."""
        return cls(device, None if data_dir is None else str(data_dir), trusted, memory)


class PlannedCell(NamedTuple):
    """One measure on one checkpoint, with everything its number depends on."""

    registered: Registered
    checkpoint: CheckpointInfo
    parameters: Mapping[str, Any]
    baseline: CheckpointInfo | None
    key: CellKey

    @property
    def needs_network(self) -> bool:
        """Whether its measure looks at a network and its data, and not at weights alone."""
        return bool({"probe", "baseline"} & set(self.registered.measure.inputs))


class Plan(NamedTuple):
    """The wanted cells in the order they are shown, and the measures and steps they come from."""

    measures: tuple[Registered, ...]
    parameters: Mapping[str, Mapping[str, Any]]
    checkpoints: tuple[CheckpointInfo, ...]
    cells: tuple[PlannedCell, ...]
    messages: tuple[str, ...] = ()

    def missing(self, stored: Mapping[CellKey, Any]) -> dict[int, list[PlannedCell]]:
        """Return the cells that are not stored, by step."""
        left: dict[int, list[PlannedCell]] = {}
        for cell in self.cells:
            if cell.key not in stored:
                left.setdefault(cell.checkpoint.step, []).append(cell)
        return left

    def baselines(self, registered: Registered) -> dict[int, int]:
        """Return the step that each step of a measure is compared with; empty when it compares nothing."""
        return {
            cell.checkpoint.step: cell.baseline.step
            for cell in self.cells
            if cell.baseline and cell.registered.id == registered.id
        }


class Request(NamedTuple):
    """What is asked of every run.

    Attributes:
        measures: the measures, in the order asked for.
        parameters: theirs, by the measure's id.
        steps: which checkpoints, see `select_steps`.
        baseline: which checkpoint others are compared with, see `choose_baseline`; None is each measure's.
        expensive: at which of these checkpoints measures are computed that declare themselves expensive.
    """

    measures: tuple[Registered, ...]
    parameters: Mapping[str, Mapping[str, Any]]
    steps: str = "all"
    baseline: str | None = None
    expensive: str = "all"

    @classmethod
    def of(
        cls,
        plugins: Plugins,
        names: Iterable[str] | None,
        *,
        steps: str = "all",
        settings: Mapping[str, Any] | None = None,
        baseline: str | None = None,
        expensive: str = "all",
    ) -> Request:
        """Return the request for the measures `names`, with the parameters that `settings` gives them.

        Raises UnknownName and SettingError for what does not exist or is out of bounds.
        """
        chosen = tuple(plugins.select(names))
        parameters = _parameters_of(chosen, plugins, settings or {})
        return cls(chosen, parameters, steps, baseline, expensive)

    def with_outcome(self, run: Run, plugins: Plugins, place: Place) -> Request:
        """Return the request with the measure that says whether the run has generalised, if it is one.

        Not where it would need code that nobody but the run names: what was asked for may do without.
        """
        column = run.goals[1].column
        if column in CURVE_COLUMNS or not place.trusted.may_import(run.config):
            return self
        try:
            (registered,) = plugins.giving([column])
        except (GrokscopeError, ValueError):  # the plugin is not installed here: it shows as never reached
            return self
        if registered in self.measures:
            return self
        usual = _resolved(registered, {})
        parameters = {**self.parameters, registered.id: usual}
        return self._replace(measures=(*self.measures, registered), parameters=parameters)


def needing_data(run: Run, place: Place, missing: Mapping[int, Sequence[PlannedCell]]) -> list[PlannedCell]:
    """Return of every missing measure that looks at a network one cell, where its data may not be there.

    That is so of data that is read from files, and of what code of the user's own makes.
    """
    task = run.config["task"]
    if not (run.config.get("local") or place.data_dir or "kept" in task or own_code(run.config)):
        return []
    cells = (cell for cells in missing.values() for cell in cells)
    return list({cell.registered.id: cell for cell in cells if cell.needs_network}.values())


def make_plan(
    run: Run, request: Request, stored: Mapping[CellKey, Cell] | None = None, code: str = ""
) -> Plan:
    """Return the plan for what is asked of `run`.

    Where the baseline is the last checkpoint, and what is `stored` says that it is unfit for a measure, or
    its loss alone is not finite, it is the newest one of which that is not known; the plan's messages say so.
    `code` is the fingerprint of the user's own code, which all that is computed from a network depends on.

    Raises UsageError for steps or a baseline that the run does not have.
    """
    ordered = sorted(run.checkpoints, key=_step)
    by_step = {checkpoint.step: checkpoint for checkpoint in ordered}
    steps = select_steps(request.steps, list(by_step))
    selected = tuple(by_step[step] for step in steps)
    fewer = set(select_steps(request.expensive, steps, "expensive"))
    lasts = _Lasts(ordered, stored or {}, code)
    planners = [
        (registered.measure.expensive, _planner(run, registered, request, lasts, code))
        for registered in request.measures
    ]
    cells = tuple(
        planned(checkpoint)
        for checkpoint in selected
        for expensive, planned in planners
        if checkpoint.step in fewer or not expensive
    )
    return Plan(request.measures, request.parameters, selected, cells, tuple(lasts.messages))


class _Lasts:
    """Which checkpoint is the last one that a measure can be compared with."""

    def __init__(self, ordered: Sequence[CheckpointInfo], stored: Mapping[CellKey, Cell], code: str) -> None:
        self.ordered, self._code = ordered, code
        self._newest_first = ordered[::-1]
        self._found: dict[str, CheckpointInfo] = {}
        self._unfit = {
            (key.measure, key.version, key.parameters): cell.note.removeprefix(UNFIT)
            for key, cell in stored.items()
            if cell.note.startswith(UNFIT)
        }
        some = any(math.isfinite(found.train_loss) for found in self._newest_first)
        self._lost = {f.sha256 for f in self._newest_first if some and not math.isfinite(f.train_loss)}
        self.messages: dict[str, None] = {}

    def of(self, registered: Registered, parameters: Mapping[str, Any]) -> CheckpointInfo:
        """Return the newest checkpoint that is not known to be unfit for a measure; the last when all are."""
        if registered.id not in self._found:
            self._found[registered.id] = self._newest_fit(registered, parameters)
        return self._found[registered.id]

    def _newest_fit(self, registered: Registered, parameters: Mapping[str, Any]) -> CheckpointInfo:
        reasons = []
        for candidate in self._newest_first:
            reason = self._reason(registered, parameters, candidate)
            if not reason:
                break
            reasons.append(f"step {candidate.step}: {reason}")
        else:
            return self._newest_first[0]
        if reasons:
            self.messages[
                f"{registered.title} is compared with step {candidate.step}, the newest that can be compared "
                f"with; {reasons[0]}{further(len(reasons) - 1)}"
            ] = None
        return candidate

    def _reason(
        self, registered: Registered, parameters: Mapping[str, Any], candidate: CheckpointInfo
    ) -> str:
        if candidate.sha256 in self._lost:
            return "its loss is not finite"
        depends = _parameters(parameters, candidate, self._code)
        said = (registered.id, registered.measure.version, depends)
        return self._unfit.get(said, "")


def _parameters(parameters: Mapping[str, Any], against: CheckpointInfo | None, code: str) -> str:
    compared = {BASELINE: against.sha256} if against else {}
    return canonical_json({**parameters, **compared, **({NETWORK: code} if code else {})})


def _parameters_of(
    chosen: Sequence[Registered], plugins: Plugins, settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return every chosen measure's parameters by its id.

    A setting's name is `measure.parameter`, where the measure may also be a family or a glob and then reaches
    every measure that has the parameter.
    """
    given: dict[str, dict[str, Any]] = {registered.id: {} for registered in chosen}
    for name, value in settings.items():
        selector, _, parameter = name.rpartition(".")
        if not selector:
            raise SettingError(f"`settings` must be MEASURE.PARAMETER=VALUE, got {name}={value}")
        reached = [registered for registered in plugins.select([selector]) if registered.id in given]
        if not reached:
            raise SettingError(
                f"`settings`: {selector} of {name} is not among the measures asked for; add it to `measures`"
            )
        having = [registered for registered in reached if parameter in registered.measure.parameters]
        if not having:
            known = {known for registered in reached for known in registered.measure.parameters}
            raise UnknownName(f"parameter of {selector}", parameter, known)
        for registered in having:
            given[registered.id][parameter] = value
    return {registered.id: _resolved(registered, given[registered.id]) for registered in chosen}


def _resolved(registered: Registered, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measure's parameters; a `later` one at its default is left to the measure."""
    declared = registered.measure.parameters
    return lasting(declared, resolve(declared, given, registered.title))


def select_steps(text: str, steps: Sequence[int], name: str = "steps") -> list[int]:
    """Return the steps that `text` selects among `steps`, in order.

    Comma-separated: `all`, `first`, `last`, `every:N` (every N-th checkpoint, from the first on),
    `every:N:K` (from the one on that has K before it: shares for N jobs), `log:N` (N checkpoints after step
    0, as evenly as may be on a log axis; fewer where several would be the same), `A:B` (from A to B, both
    included; either may be left out), or a step. `name` is what refusals call it.
    """
    ordered = sorted(steps)
    if not ordered:
        return []
    chosen: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        chosen.update(_select_part(part, ordered, name))
    return sorted(chosen)


def _select_part(part: str, ordered: list[int], name: str) -> list[int]:
    words = {"all": ordered, "first": ordered[:1], "last": ordered[-1:]}
    if part in words:
        return words[part]
    head, colon, tail = part.partition(":")
    try:
        if head == "every" and colon:
            return _every(ordered, name, *map(int, tail.split(":")))
        if head == "log" and colon:
            return _log_spaced(ordered, int(tail))
        if colon:
            low, high = int(head) if head else ordered[0], int(tail) if tail else ordered[-1]
            inside = [step for step in ordered if low <= step <= high]
            if not inside:
                raise UsageError(
                    f"`{name}` {part}: no checkpoint lies there; they go from {ordered[0]} to {ordered[-1]}"
                )
            return inside
        step = int(part)
    except ValueError:
        raise UsageError(
            f"`{name}` must be all, first, last, every:N, every:N:K with K < N, log:N, A:B or steps with "
            f"commas, got {part!r}"
        ) from None
    if step not in ordered:
        near = sorted(sorted(ordered, key=lambda other: abs(other - step))[:3])
        raise UsageError(f"`{name}`: there is no checkpoint at step {step}; the nearest are {near}")
    return [step]


def _every(ordered: list[int], name: str, count: int, first: int = 0, *more: int) -> list[int]:
    """The step with `first` before it, and every `count`-th from there. Raises ValueError and UsageError."""
    if more or not 0 <= first < count:
        raise ValueError
    if first >= len(ordered):
        raise UsageError(f"`{name}` every:{count}:{first}: there are only {len(ordered)} checkpoints")
    return ordered[first::count]


def _log_spaced(ordered: Sequence[int], count: int) -> list[int]:
    """The steps nearest to `count` even places on a log axis. Raises ValueError for less than one."""
    after = [step for step in ordered if step > 0]
    if count < 1:
        raise ValueError
    if not after:
        return []
    ratio = after[-1] / after[0]
    places = [after[0] * ratio ** (at / max(1, count - 1)) for at in range(count)]
    return sorted({min(after, key=lambda step: abs(math.log(step / place))) for place in places})


def choose_baseline(text: str, step: int, checkpoints: Sequence[CheckpointInfo]) -> CheckpointInfo:
    """Return the checkpoint that `first`, `last`, `previous` or a step means, seen from `step`.

    `previous` of the first checkpoint is that checkpoint itself. `checkpoints` are in order.
    """
    if text == "previous":
        return checkpoints[max(0, bisect_left(checkpoints, step, key=_step) - 1)]
    if text in ("first", "last"):
        return checkpoints[0] if text == "first" else checkpoints[-1]
    if text.isascii() and text.isdigit():
        at = bisect_left(checkpoints, int(text), key=_step)
        if at < len(checkpoints) and str(checkpoints[at].step) == text:
            return checkpoints[at]
    raise UsageError(f"`baseline` must be first, last, previous or the step of a checkpoint, got {text!r}")


def _step(checkpoint: CheckpointInfo) -> int:
    return checkpoint.step


def _planner(
    run: Run, registered: Registered, request: Request, lasts: _Lasts, code: str
) -> Callable[[CheckpointInfo], PlannedCell]:
    """Return what makes a measure's cell of a checkpoint; what all its cells share is looked up once."""
    measure, parameters = registered.measure, request.parameters[registered.id]
    code = code if {"probe", "baseline"} & set(measure.inputs) else ""
    which = (request.baseline or measure.baseline) if "baseline" in measure.inputs else None
    name, version, data, noise = registered.id, measure.version, run.data_hash, run.noise_seed
    texts: dict[str, str] = {}

    def against(step: int) -> CheckpointInfo | None:
        if which is None:
            return None
        if which == "last":
            return lasts.of(registered, parameters)
        return choose_baseline(which, step, lasts.ordered)

    def planned(checkpoint: CheckpointInfo) -> PlannedCell:
        baseline = against(checkpoint.step)
        compared = baseline.sha256 if baseline else ""
        if compared not in texts:
            texts[compared] = _parameters(parameters, baseline, code)
        key = CellKey(checkpoint.sha256, name, version, texts[compared], data, noise)
        return PlannedCell(registered, checkpoint, parameters, baseline, key)

    return planned
