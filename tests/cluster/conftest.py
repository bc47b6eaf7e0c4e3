"""A Dask cluster of real processes, as one starts it by hand."""

import os
import signal
import subprocess
import sys

import pytest


class Processes:
    """A scheduler and workers as one starts them by hand, each in a process of its own."""

    def __init__(self, folder, environment, until):
        self.file = folder / "scheduler.json"
        self._folder, self._environment = folder, environment
        self._started = []
        self.scheduler = self.start("scheduler", "--port", "0", "--no-dashboard")
        until(self.file.exists, self.scheduler)

    def start(self, kind, *options):
        command = [sys.executable, "-m", "dask", kind, "--scheduler-file", str(self.file), *options]
        with open(self._folder / f"{kind}.log", "a") as log:
            started = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(started)
        return started

    def worker(self):
        return self.start("worker", "--nthreads", "1", "--no-dashboard", "--no-nanny")

    def close(self):
        for each in self._started:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()


@pytest.fixture
def processes(tmp_path, until):
    """Start a scheduler: `processes(environment)`; its `worker()` starts a worker."""
    made = []

    def start(environment=None):
        made.append(Processes(tmp_path, environment or dict(os.environ), until))
        return made[-1]

    yield start
    for each in made:
        each.close()
