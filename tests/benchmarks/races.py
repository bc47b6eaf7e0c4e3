"""What a race is: rivals at the same work, in turn in one process, after a look whether they agree."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

OURS = "grokscope"
TURN = 0.03  # seconds that a turn takes at least: quicker work is done several times in it
WHOLE = 4.0  # seconds that a race may take; at least so many rounds all the same
ROUNDS = (3, 15)
LONG = 4.0  # seconds from which the first call is the only one


@dataclass(frozen=True)
class Race:
    """What a race came to: by rival the median CPU milliseconds, how far its answer was off, its target."""

    work: str
    rounds: int
    ms: dict[str, float]
    off: dict[str, float]
    targets: dict[str, float] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, float, float, float | None]]:
        """Return rival, its milliseconds, the ratio to ours, and the ratio that is wanted."""
        return [
            (name, taken, taken / self.ms[OURS], self.targets.get(name))
            for name, taken in self.ms.items()
            if name != OURS
        ]


def titled(rival: str) -> str:
    """Return a distribution's name with its version; what is none is a plain version, and called so."""
    try:
        return f"{rival} {version(rival)}"
    except PackageNotFoundError:
        return rival


def run(
    benchmark: Any,
    work: str,
    ours: Callable[[], Any],
    rivals: Mapping[str, Callable[[], Any]],
    *,
    within: float | Mapping[str, float],
    targets: Mapping[str, float] | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> Race:
    """Let everyone do the work in turn, and return the medians of the CPU time of the whole process.

    CPU time, because the clock on the wall counts other programs too; of the process, because a rival's own
    threads count. `within` bounds each rival's largest difference from our answer, relative to the largest
    number in ours; a rival without a bound is not compared (its docstring says why). `prepare` is called
    before each work, and its time is not counted.
    """
    ways = {OURS: ours, **{titled(name): way for name, way in rivals.items()}}
    bounds = within if isinstance(within, Mapping) else dict.fromkeys(rivals, within)
    answers, first = {}, {}
    for name, way in ways.items():  # with what is only done once, such as compiling
        prepare()
        begin = time.process_time()
        answers[name] = way()
        first[name] = time.process_time() - begin
    off = {titled(name): _difference(answers[OURS], answers[titled(name)]) for name in bounds}
    for name, bound in bounds.items():
        assert off[titled(name)] <= bound, f"{work}: {name} differs by {off[titled(name)]:.2g}"
    taken = {name: [seconds] for name, seconds in first.items() if seconds >= LONG}
    ways = {name: way for name, way in ways.items() if name not in taken}
    once = {name: _cpu(way, 1, prepare) for name, way in ways.items()}
    calls = {name: max(1, round(TURN / seconds)) for name, seconds in once.items()}
    each = sum(once[name] * calls[name] for name in ways)
    rounds = max(ROUNDS[0], min(ROUNDS[1], int(WHOLE / max(each, TURN))))

    def turn() -> None:
        for name, way in ways.items():
            taken.setdefault(name, []).append(_cpu(way, calls[name], prepare))

    benchmark.pedantic(turn, rounds=rounds)
    medians = {name: 1000 * statistics.median(taken[name]) for name in answers}
    race = Race(work, rounds, medians, off, {titled(name): value for name, value in (targets or {}).items()})
    benchmark.extra_info["race"] = asdict(race)
    return race


def _cpu(way: Callable[[], Any], calls: int, prepare: Callable[[], None]) -> float:
    taken = 0.0
    for _ in range(calls):
        prepare()
        begin = time.process_time()
        way()
        taken += time.process_time() - begin
    return taken / calls


def _difference(ours: Any, theirs: Any) -> float:
    a, b = (torch.as_tensor(each, dtype=torch.float64).detach().flatten() for each in (ours, theirs))
    assert a.shape == b.shape, f"{tuple(a.shape)} numbers and {tuple(b.shape)}"
    return ((a - b).abs().max() / a.abs().max()).item()


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def keep(path: Path, races: list[Race]) -> None:
    """Put races into the file of results, in the place of earlier ones of the same work."""
    kept = json.loads(path.read_text()) if path.exists() else {"races": []}
    of = {race["work"]: race for race in kept["races"]} | {
        race.work: {**_rounded(asdict(race)), "on": processor(), "torch": torch.__version__} for race in races
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**kept, "races": list(of.values())}, indent=1, ensure_ascii=False) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value
