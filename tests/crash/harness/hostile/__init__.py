"""Files as an attacker, a broken disk or a careless program would leave them in a run, made by code.

A case is a function of the run's folder, named by what it makes of which file. Beside the run lies
`canary.txt`, which no command may read or change; the module `canary` writes a file when it is imported,
which no command may do.
"""

from harness.hostile import checkpoints, configs, foreign, results  # noqa: F401 - each adds its cases
from harness.hostile.making import CASES, canary_of, rewritten

__all__ = ["CASES", "canary_of", "rewritten"]
