"""What one checkpoint of modular addition takes: `python tests/benchmarks/memory.py 59 113`.

It is measured by the default measures, in at most 2 GB.

For each p it prints the pairs, CPU seconds, and the most memory that the process held. The network is
`clauw`'s, trained for one step: what is measured does not depend on it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ASKED = "2GB"
WORK = """
import json, resource, sys, time
import grokscope
folder, p, asked = sys.argv[1:]
settings = {"p": int(p), "steps": 1, "checkpoint_every": 1, "log_every": 1}
run = grokscope.train("modadd", recipe="clauw", settings=settings, out=folder + "/run")
begun = time.process_time()
found = grokscope.analyze(run, steps="last", max_memory=asked)
assert not found.failures, found.failures
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": time.process_time() - begun, "peak": peak}))
"""


def measured(p: int, asked: str = ASKED) -> dict[str, float]:
    """Return CPU seconds and the peak of memory in bytes, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", WORK, str(Path(folder)), str(p), asked]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(f"{'p':>5} {'pairs':>8} {'CPU s':>8} {'us a pair':>10} {'peak MB':>8}")
    for text in sys.argv[1:]:
        p, found = int(text), measured(int(text))
        each = 1e6 * found["seconds"] / p**2
        print(f"{p:5} {p**2:8} {found['seconds']:8.1f} {each:10.1f} {found['peak'] / 1e6:8.0f}", flush=True)
