"""How the cost of measuring many runs grows: `python tests/benchmarks/many_runs.py 300 1000 3000 10000`.

Makes that many runs of one stub checkpoint, measures them on `--dask local`, again when all is stored, and
prints what one run costs of this process's time: where that grows with their number, something is amiss.
With `--deep 250 500 1000` it plans, stores and reads results of that many checkpoints of one run instead, of
30 measures that give three rows of two numbers each.
"""

import argparse
import resource
import shutil
import tempfile
import time
import types
from dataclasses import replace
from pathlib import Path

import torch

from grokscope import analyze_many, load_plugins
from grokscope.analysis.plan import Request, make_plan
from grokscope.measure import Row
from grokscope.models.making import make_network, make_task
from grokscope.run import Cell, CheckpointInfo, Run
from grokscope.run.kinds import kinds_of
from grokscope.run.results import decode, encode
from grokscope.training import resolve_config
from grokscope.training.session import lasting

MEASURES = 30
STUB = {"task.p": 5, "model.hidden": [2], "training.steps": 1}


def make(folder, count, plugins):
    """Make `count` runs that differ in their seed, each with a checkpoint of its own."""
    config = lasting(resolve_config("modadd", settings=STUB, tasks=plugins.tasks, models=plugins.models))
    task = make_task(plugins.tasks["modadd"], {"p": 5})
    settings = {name: value for name, value in config["model"].items() if name != "name"}
    network = make_network(plugins.models["mlp"], task, settings)
    kinds, weights = kinds_of(network), network.state_dict()
    first = next(iter(weights))
    for seed in range(count):
        training = {**config["training"], "seed": seed}
        run = Run.create(folder / f"run-{seed:05d}", {**config, "training": training})
        own = {**weights, first: torch.full_like(weights[first], float(seed + 1))}
        run.save_checkpoint(1, own, {"train_loss": 1.0, "test_loss": 1.0}, kinds=kinds)
        run.refresh_index()  # as training does when it ends
        yield run.path


def measured(paths, plugins):
    """Measure the runs; return seconds on the clock, and of this process's CPU, for each run."""
    clock, cpu = time.perf_counter(), time.process_time()
    found = analyze_many(paths, "weight_norm", dask="local", workers=2, plugins=plugins)
    assert len(found.runs) == len(paths), found.failed
    spent = time.perf_counter() - clock, time.process_time() - cpu
    return [1000 * each / len(paths) for each in spent]


def deep(count):
    """Print CPU ms a checkpoint of one run: to plan it, to store and to read its results; a result's size."""
    run = types.SimpleNamespace(data_hash="d", noise_seed="n")
    run.checkpoints = [
        CheckpointInfo(step, f"{step}", 1, f"{step:064x}", 1.0, 1.0, 1.0, 1.0) for step in range(count)
    ]
    chosen = [each for each in load_plugins().registered if each.measure.inputs]
    chosen = [replace(chosen[at % len(chosen)], plugin=f"stub{at}") for at in range(MEASURES)]
    before, begin = memory(), time.process_time()
    cells = make_plan(run, Request(tuple(chosen), {each.id: {} for each in chosen})).cells
    planned = time.process_time()
    rows = tuple(Row((f"layer{at}",), {"value": at / 3, "other": 1.0}, {}) for at in range(3))
    data = encode([Cell(cell.key, cell.checkpoint.step, rows) for cell in cells])
    stored = time.process_time()
    read = decode(data, Path("segment"))
    spent = planned - begin, stored - planned, time.process_time() - stored
    assert len(read) == len(cells) == count * MEASURES
    kept = (memory() - before) * 1024 / len(cells)
    numbers = "  ".join(f"{1000 * each / count:8.3f}" for each in spent)
    print(f"{count:5}  {numbers}  {len(data) / len(cells):8.1f}  {kept:8.1f}", flush=True)


def memory():
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    """Print a line for each number of runs, or of checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--deep", action="store_true")
    asked = parser.parse_args()
    if asked.deep:
        print(
            "checkpoints   CPU ms a checkpoint: to plan, store, read   a result: bytes stored, kB in memory",
            flush=True,
        )
        for count in asked.counts:
            deep(count)
        return
    plugins = load_plugins()
    print("runs   first: ms, CPU ms a run   again: ms, CPU ms a run   this process, MB", flush=True)
    for count in asked.counts:
        folder = Path(tempfile.mkdtemp(prefix="many-runs-"))
        try:
            paths = list(make(folder, count, plugins))
            first, again = measured(paths, plugins), measured(paths, plugins)
        finally:
            shutil.rmtree(folder)
        numbers = "  ".join(f"{each:8.2f}" for each in (*first, *again, memory()))
        print(f"{count:5}  {numbers}", flush=True)


if __name__ == "__main__":
    main()
