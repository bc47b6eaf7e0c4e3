"""The server seen from a test: it runs a command line under a plan and says how that ended."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """One step on the file system: `kind` is the call, `path` relative to the watched folder."""

    number: int
    kind: str
    path: str


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it did."""

    code: int
    out: str
    err: str
    steps: tuple[Step, ...]
    acknowledged: dict[str, list[bytes]]
    unseen: str
    imported: str
    memory: int
    seconds: float
    hung: bool
    left: list[int]


class Server:
    """The process that runs commands; one for all tests."""

    def __init__(self, folder):
        self.control = folder / "control"
        self.control.mkdir()
        paths = [str(HERE / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "HARNESS_CONTROL": str(self.control),
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert json.loads(self.process.stdout.readline())["ready"]

    def run(self, argv, cwd, *, at=0, how="", kill_after=None, share=True, seconds=300):
        """Run a command line in `cwd`, which is watched, and return how it ended."""
        shutil.rmtree(self.control)
        (self.control / "acknowledged").mkdir(parents=True)
        plan = {"folder": os.path.realpath(cwd), "at": at, "how": how}
        (self.control / "plan.json").write_text(json.dumps(plan))
        job = {
            "argv": list(map(str, argv)),
            "cwd": str(cwd),
            "seconds": seconds,
            "kill_after": kill_after,
            "share": share,
        }
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return Ended(
            out=self._text("out"),
            err=self._text("err"),
            steps=self._steps(),
            acknowledged=self._acknowledged(),
            unseen=self._text("unseen"),
            imported=self._text("imported"),
            **answer,
        )

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def _text(self, name):
        path = self.control / name
        return path.read_text(errors="replace") if path.exists() else ""

    def _steps(self):
        lines = (line.split(" ", 1)[1].rstrip() for line in self._text("steps").splitlines())
        kinds = (line.replace("fsync folder", "fsync-folder").partition(" ") for line in lines)
        return tuple(Step(number, kind, path) for number, (kind, _, path) in enumerate(kinds, 1))

    def _acknowledged(self):
        """Every content that was made durable, by its file's name, oldest first."""
        found = {}
        for name in sorted((self.control / "acknowledged").glob("*.name")):
            found.setdefault(name.read_text(), []).append(name.with_suffix("").read_bytes())
        return found
