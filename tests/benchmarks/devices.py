"""Trains and measures on a device what it does on the CPU, and compares: `sh tests/gpu.sh` calls it.

Every recipe whose data is at hand is trained for its first 200 steps on both, from the same weights; on CUDA
whatever waits for the device within a step is an error, but where an intervention reads the accuracy. Then
five seeds of some are trained on the device one by one and together. Then every measure looks at the last
checkpoint of one MLP and one transformer on both.

Agreed is: of training, that the weights on the device are as far from the CPU's, or those of seeds together
from those one by one, as `WEIGHTS` of the way that the latter have gone; of a measure, that its number is
within `NUMBERS` of the CPU's, relatively, or of the largest number in its column.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import seeds
import torch

import grokscope
from grokscope.training.loop import Loop
from grokscope.training.recipes import load_recipes
from grokscope.training.sweep.together import Together

WEIGHTS, NUMBERS = 0.05, 1e-3
STEPS, QUICK_STEPS = 200, 20
QUICK = {"modadd": {"p": 13}}
SEEDS_OF = ("parity", "permutation", "xor", "clauw", "nanda")
MEASURED = ("clauw", "nanda")
READS = ("perturb",)  # interventions that ask for the accuracy at every step
Weights = dict[str, torch.Tensor]


def trained(recipe: Any, device: str, folder: Path, steps: int, quick: bool) -> tuple[grokscope.Run, float]:
    """Return the run of a recipe on a device, and its steps in a second."""
    settings = {"steps": steps, "checkpoint_every": steps, "log_every": steps, "device": device}
    settings |= QUICK.get(recipe.task, {}) if quick else {}
    marks: list[tuple[int, float]] = []

    def watch(state: Any) -> None:
        if state.step in (steps // 4, steps - 1):  # the last step evaluates and saves
            synchronize(device)
            marks.append((state.step, time.perf_counter()))

    reads = any(recipe.settings["training"].get(name) is not None for name in READS)
    with nothing_waits(device, reads):
        run = grokscope.train(
            recipe.task,
            recipe=recipe.name,
            settings=settings,
            out=folder,
            progress=watch,
            notify=lambda _: None,
        )
    (first, begin), (last, end) = marks
    return run, (last - first) / (end - begin)


@contextmanager
def nothing_waits(device: str, reads: bool) -> Iterator[None]:
    """Make it an error within a step of training to wait for the device, unless it `reads`."""
    if not device.startswith("cuda") or reads:
        yield
        return
    with ExitStack() as restored:
        for kind in (Loop, Together):
            restored.callback(setattr, kind, "update", kind.update)
            kind.update = _strictly(kind.update)  # type: ignore[method-assign]
        yield


def _strictly(update: Callable[[Any, int], None]) -> Callable[[Any, int], None]:
    def strict(self: Any, step: int) -> None:
        torch.cuda.set_sync_debug_mode("error")
        try:
            update(self, step)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    return strict


def synchronize(device: str) -> None:
    """Wait for all that the device has been given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def apart(one: grokscope.Run, other: grokscope.Run) -> float:
    """Return how far two runs' last weights are from each other, over how far the first's have gone."""
    return off_by(one.weights(0), one.weights(one.steps[-1]), other.weights(other.steps[-1]))


def off_by(begin: Weights, end: Weights, there: Weights) -> float:
    """Return how far weights are from where others have ended, over how far these have gone."""
    way = sum((end[name].double() - begin[name].double()).square().sum() for name in end)
    off = sum((end[name].double() - there[name].double()).square().sum() for name in end)
    return math.sqrt(off / way)


def measured(run: grokscope.Run, device: str, names: str, folder: Path) -> tuple[Any, float]:
    """Return what measures give at the last checkpoint, computed on a device, and the seconds it took."""
    begin = time.perf_counter()
    found = grokscope.analyze_many([run.path], names, steps="last", device=device, out=folder).runs[run.name]
    return found, time.perf_counter() - begin


def differing(one: Any, other: Any) -> dict[str, tuple[float, float]]:
    """Return the columns whose numbers differ by more than is agreed, and all that fails on one alone."""
    found = {}
    for name in [*one.columns, *(name for name in other.columns if name not in one.columns)]:
        mine, theirs = (each.columns.get(name, [math.nan])[0] for each in (one, other))
        if isinstance(mine, str) or isinstance(theirs, str):
            continue
        alike = math.isclose(mine, theirs, rel_tol=NUMBERS, abs_tol=1e-6) or (
            math.isnan(mine) and math.isnan(theirs)
        )
        if not alike:
            found[str(name)] = (mine, theirs)
    return found


def compare_training(device: str, folder: Path, quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train all recipes on both; return a row for each, and the runs on the CPU by recipe."""
    rows, runs = [], {}
    steps = QUICK_STEPS if quick else STEPS
    print(f"{'recipe':22} {'cpu steps/s':>12} {device + ' steps/s':>14} {'apart':>9}")
    for name, recipe in load_recipes().items():
        try:
            here, slow = trained(recipe, "cpu", folder / name / "cpu", steps, quick)
            there, quickly = trained(recipe, device, folder / name / "device", steps, quick)
        except grokscope.DataError as error:
            print(f"{name:22} left out: {str(error).splitlines()[0][:80]}")
            continue
        far = apart(here, there)
        rows.append({"recipe": name, "cpu": slow, "device": quickly, "apart": far, "agrees": far <= WEIGHTS})
        print(
            f"{name:22} {slow:12.1f} {quickly:14.1f} {far:9.1e}{'' if far <= WEIGHTS else ' DIFFERS'}",
            flush=True,
        )
        runs[name] = here
    return rows, runs


def compare_seeds(device: str, folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Train five seeds of some recipes one by one and together; return a row for each."""
    rows, steps = [], QUICK_STEPS if quick else STEPS
    print(f"{'five seeds of':22} {'one by one':>12} {'together':>14} {'apart':>9}  steps of all in a second")
    for name in SEEDS_OF:
        settings = {"device": device, **(QUICK.get(load_recipes()[name].task, {}) if quick else {})}
        alone, joined = (
            seeds.prepare(name, folder / f"{name} seeds", settings, each) for each in (False, True)
        )
        begin = weights_of(alone)
        slow, quickly = (
            timed(step, device, steps) for step in (seeds.one_by_one(alone), seeds.together(joined))
        )
        ends = zip(begin, weights_of(alone), weights_of(joined), strict=True)
        far = max(off_by(*each) for each in ends)
        rows.append(
            {"recipe": name, "one by one": slow, "together": quickly, "apart": far, "agrees": far <= WEIGHTS}
        )
        print(
            f"{name:22} {slow:12.1f} {quickly:14.1f} {far:9.1e}{'' if far <= WEIGHTS else ' DIFFERS'}",
            flush=True,
        )
    return rows


def weights_of(runs: list[Loop]) -> list[Weights]:
    """Return the weights of each, as they are now."""
    return [{name: each.clone() for name, each in run.network.state_dict().items()} for run in runs]


def timed(step: Callable[[], None], device: str, steps: int) -> float:
    """Do so many steps, nothing of which waits for the device; return how many are done in a second."""
    with nothing_waits(device, reads=False):
        for done in range(steps):
            if done == steps // 4:
                synchronize(device)
                begin = time.perf_counter()
            step()
        synchronize(device)
    return (steps - steps // 4) / (time.perf_counter() - begin)


def compare_measures(device: str, folder: Path, runs: dict[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Measure some runs on both; return a row for each."""
    rows, names = [], "fit,weight_norm,oinfo,abelian,fourier,sharpness" if quick else "all"
    print(f"{'measures of':22} {'cpu s':>12} {device + ' s':>14}  columns that differ")
    for name in MEASURED:
        (one, slow), (other, quickly) = (
            measured(runs[name], each, names, folder / f"{name} measured on {at}")
            for at, each in enumerate(("cpu", device))
        )
        wrong = differing(one, other)
        failed = {str(each) for each in other.failures} - {str(each) for each in one.failures}
        rows.append(
            {"run": name, "cpu": slow, "device": quickly, "differ": wrong, "failed": sorted(failed)}
            | {"columns": len(one.columns), "agrees": not wrong and not failed}
        )
        print(f"{name:22} {slow:12.1f} {quickly:14.1f}  {len(wrong)} of {len(one.columns)}", flush=True)
        for column, (mine, theirs) in wrong.items():
            print(f"  {column}: {mine:.8g} on the CPU, {theirs:.8g} on {device}")
        for failure in sorted(failed):
            print(f"  {failure}")
    return rows


def main() -> int:
    """Compare; 1 where something does not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        training, runs = compare_training(asked.device, Path(folder), asked.quick)
        together = compare_seeds(asked.device, Path(folder), asked.quick)
        measures = compare_measures(asked.device, Path(folder), runs, asked.quick)
    kept = {
        "device": asked.device,
        "torch": torch.__version__,
        "training": training,
        "seeds": together,
        "measures": measures,
    }
    if asked.keep:
        asked.keep.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["agrees"] for row in [*training, *together, *measures]) else 1


if __name__ == "__main__":
    sys.exit(main())
