"""How the cost of measuring many runs grows: `python tests/benchmarks/many_runs.py 300 1000 3000`.

Makes that many runs of one stub checkpoint, measures them on `--dask local`, again when all is stored, and
prints what one run costs of this process's time: where that grows with their number, something is amiss.
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import torch

from grokscope import analyze_many, load_plugins
from grokscope.models.making import make_network, make_task
from grokscope.run import Run
from grokscope.run.kinds import kinds_of
from grokscope.training import resolve_config
from grokscope.training.session import lasting

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


def main():
    """Print a line for each number of runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="+")
    plugins = load_plugins()
    print("runs   first: ms, CPU ms a run   again: ms, CPU ms a run   this process, MB", flush=True)
    for count in parser.parse_args().counts:
        folder = Path(tempfile.mkdtemp(prefix="many-runs-"))
        try:
            paths = list(make(folder, count, plugins))
            first, again = measured(paths, plugins), measured(paths, plugins)
        finally:
            shutil.rmtree(folder)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        numbers = "  ".join(f"{each:8.2f}" for each in (*first, *again, memory))
        print(f"{count:5}  {numbers}", flush=True)


if __name__ == "__main__":
    main()
