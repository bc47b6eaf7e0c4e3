"""What processes that compute have loaded when they are forked: imported by the server that forks them.

None of it is garbage, and so it is never looked through: not while it is loaded, which would take a tenth
longer, nor in the processes that are forked, nor when the server ends.
"""

from __future__ import annotations

import gc

gc.disable()

import multiprocessing.sharedctypes  # noqa: E402, F401

import h5py  # noqa: E402, F401

import grokscope.analysis.engine  # noqa: E402
import grokscope.analysis.worker  # noqa: E402, F401

gc.freeze()
gc.enable()
