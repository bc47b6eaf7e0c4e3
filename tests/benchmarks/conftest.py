"""One thread for everyone, the fixture `race`, and the table of ratios at the end."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
import races
import torch

# Read when they are first imported: by jax, by numpy and scipy.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
RUN = pytest.StashKey[list[races.Race]]()


def pytest_addoption(parser):
    parser.addoption("--races", metavar="FILE", help="put the races' results into this JSON")


def pytest_configure(config):
    config.stash[RUN] = []


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def race(benchmark, request):
    """Return `races.run` for this test's benchmark; what it returns is in the table at the end."""

    def run(*args, **options):
        result = partial(races.run, benchmark)(*args, **options)
        request.config.stash[RUN].append(result)
        return result

    return run


def pytest_terminal_summary(terminalreporter, config):
    run = config.stash[RUN]
    if not run:
        return
    terminalreporter.section("grokscope and its rivals, CPU milliseconds, one thread")
    for result in run:
        terminalreporter.write_line(f"{result.work}: {result.ms[races.OURS]:.3g} ms")
        for name, taken, ratio, target in result.rows():
            wanted = "" if target is None else f", wanted {target:g}"
            terminalreporter.write_line(f"    {name}: {taken:.3g} ms, {ratio:.3g} times{wanted}")
    if config.getoption("--races"):
        races.keep(Path(config.getoption("--races")), run)
