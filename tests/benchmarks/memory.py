"""What one checkpoint of large data takes: `python tests/benchmarks/memory.py 59 113 images --keep FILE`.

A number is the p of modular addition, whose p^2 pairs go through `clauw`'s network; `images` are 60 000 of
MNIST's shape, of random pixels, with 10 000 for the test, through an MLP of 200 units. Each is measured by
the default measures in a process of its own, in at most 2 GB; that the network was trained for one step only
changes nothing of it. With `--keep` what was measured is put into FILE, JSON, beside what is there.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ASKED, IMAGES = "2GB", "images"
WORK = """
import json, resource, sys, time
import grokscope
from grokscope.analysis.clock import Clock
folder, task, recipe, settings, asked = sys.argv[1:]
run = grokscope.train(task, recipe=recipe, settings=json.loads(settings), out=folder + "/run")
begun, clock = time.process_time(), Clock()
found = grokscope.analyze(run, steps="last", max_memory=asked, clock=clock)
assert not found.failures, found.failures
seconds = time.process_time() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
parts = [[spent.part, spent.kind, spent.cpu] for spent in clock.take()]
print(json.dumps({"seconds": seconds, "peak": peak, "parts": parts}))
"""


def measured(size: int | str, asked: str = ASKED) -> dict[str, Any]:
    """Return CPU seconds, of every part too, and the peak of memory in bytes, in a process of its own."""
    settings = {"steps": 1, "checkpoint_every": 1, "log_every": 1}
    with tempfile.TemporaryDirectory() as folder:
        if size == IMAGES:
            write_images(Path(folder), "train", 60_000)
            write_images(Path(folder), "t10k", 10_000)
            settings |= {"train_size": 60_000, "data_dir": folder, "hidden": [200], "batch_size": 1000}
            words = "mnist", "mnist", json.dumps(settings)
        else:
            words = "modadd", "clauw", json.dumps({**settings, "p": size})
        command = [sys.executable, "-c", WORK, folder, *words, asked]
        one = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as the command line has it
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=one).stdout
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def write_images(folder: Path, name: str, count: int) -> None:
    """Write images of random pixels, and labels that they have nothing to do with, as MNIST's files."""
    import numpy as np

    draw = np.random.default_rng(count)
    pixels = draw.integers(0, 256, (count, 784), np.uint8)
    labels = draw.integers(0, 10, count, np.uint8)
    (folder / f"{name}-images-idx3-ubyte").write_bytes(
        struct.pack(">4I", 2051, count, 28, 28) + pixels.tobytes()
    )
    (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels.tobytes())


def keep(path: Path, size: str, found: dict[str, Any]) -> None:
    """Put what was measured into a file of JSON, its parts from a hundredth of all on."""
    every = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    least = found["seconds"] / 100
    parts = {f"{part}, {kind}": float(f"{cpu:.3g}") for part, kind, cpu in found["parts"] if cpu >= least}
    every[size] = {"seconds": float(f"{found['seconds']:.3g}"), "peak": found["peak"], "parts": parts}
    path.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")


def main(*words: str) -> None:
    """Measure each of the sizes among the words."""
    sizes, kept = list(words), None
    if "--keep" in sizes:
        at = sizes.index("--keep")
        kept = Path(sizes[at + 1])
        del sizes[at : at + 2]
    print(f"{'p':>6} {'examples':>8} {'CPU s':>8} {'us each':>8} {'peak MB':>8}")
    for text in sizes:
        count = 70_000 if text == IMAGES else int(text) ** 2
        found = measured(text if text == IMAGES else int(text))
        each = 1e6 * found["seconds"] / count
        print(
            f"{text:>6} {count:8} {found['seconds']:8.1f} {each:8.1f} {found['peak'] / 1e6:8.0f}", flush=True
        )
        if kept:
            keep(kept, text, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
