"""The commands that are interrupted, and the states that they start from."""

import shutil
from dataclasses import dataclass
from pathlib import Path

_TRAIN = "train modadd --p 7 --hidden 6 --train-fraction 0.5 --checkpoint-every 1 --log-every 1"
_TRAIN += " --quiet --out run --steps"
FOREIGN = {
    "mine.txt": b"not grokscope's",
    "checkpoints/notes.md": b"looked at these",
    "checkpoints/00000001.safetensors.bak": b"of another program",
    "results/mine.h5": b"neither",
    f".grokscope-{'f' * 16}-1-1-{'0' * 16}.tmp": b"of another machine",
}
OLD = b"what was here before\n"


@dataclass(frozen=True)
class Scenario:
    """A command line, the state that it starts from, and what it makes.

    Attributes:
        argv: the command line; run in the folder that `base` was copied to.
        base: the folder to start from.
        runs: the run directories that the command writes to, relative to the folder.
        outputs: the files that it writes beside runs; there, `old` stands before.
        share: whether processes that the command starts come from the server's fork server.
    """

    name: str
    argv: tuple[str, ...]
    base: Path
    runs: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    share: bool = True


class States:
    """Folders that commands start from, each made once, by commands."""

    def __init__(self, server, folder):
        self._server, self._folder = server, folder
        self._made = {}

    def __getattr__(self, name):
        if name not in self._made:
            self._made[name] = self._folder / name
            self._made[name].mkdir()
            getattr(self, f"_make_{name}")(self._made[name])
        return self._made[name]

    def _do(self, folder, *argv, **plan):
        ended = self._server.run(argv, folder, **plan)
        assert ended.code == 0 or plan, ended.err
        return ended

    def _make_empty(self, folder):
        pass

    def _make_begun(self, folder):
        """A training that was killed when its second checkpoint was in, and files of others beside it."""
        command = f"{_TRAIN} 3".split()
        steps = self._do(folder, *command).steps
        states = [step.number for step in steps if (step.kind, step.path) == RESUME]
        shutil.rmtree(folder / "run")
        self._do(folder, *command, at=states[1] + 4, how="kill")
        add_foreign(folder / "run")

    def _make_run(self, folder):
        """A finished run with nine checkpoints, an older table, and files of others."""
        self._do(folder, *f"{_TRAIN} 8".split())
        add_foreign(folder / "run")
        (folder / "out.csv").write_bytes(OLD)

    def _make_measured(self, folder):
        """The run with results."""
        shutil.copytree(self.run, folder, dirs_exist_ok=True)
        self._do(folder, "analyze", "run", "--measure", "weight_norm", "--quiet")
        for name in ("out.csv", "out.parquet"):
            (folder / name).write_bytes(OLD)

    def _make_recorded(self, folder):
        """A run that a loop recorded up to its fourth step, and files of others beside it."""
        self._do(folder, "record", "4")
        add_foreign(folder / "run")

    def _make_many(self, folder):
        """The measured run with as many segments as are not yet compacted."""
        from grokscope.run import Run, segments

        shutil.copytree(self.measured, folder, dirs_exist_ok=True)
        run = Run.open(folder / "run")
        cell = next(iter(run.cells().values()))
        for number in range(segments.COMPACT_AT - 1 - len(run._segments.names())):
            run.store([cell._replace(key=cell.key._replace(parameters=f'{{"number":{number}}}'))])

    def _make_theirs(self, folder):
        """Checkpoints of somebody else."""
        from safetensors.torch import save_file

        from grokscope.run import Run

        run = Run.open(self.run / "run")
        (folder / "theirs").mkdir()
        for step in run.steps[:3]:
            save_file(run.weights(step), folder / "theirs" / f"step_{step}.safetensors")


RESUME = ("replace", "run/resume.safetensors")
_SWEEP = "sweep modadd --grid weight_decay=0.1,1 --set p=7 --set hidden=6 --set train_fraction=0.5"
_SWEEP += " --set steps=1 --quiet --out . --workers"
_IMPORT = "import run --task modadd --model mlp --set p=7 --set hidden=6 --set train_fraction=0.5"
_IMPORT += r" --set last_bias=false --set hidden_bias=false --quiet"
_IMPORT += r" --checkpoints theirs/*.safetensors --step-from step_(\d+)"
EVENTS = "tb/run/events.out.tfevents.0000000000.grokscope"
_ANALYZE = "analyze run --measure weight_norm --csv out.csv --quiet --workers"
SCENARIOS = {  # name: command line, state, runs, outputs, whether the fork server is shared
    "train": (f"{_TRAIN} 2", "empty", ["run"], [], True),
    "train-on": (f"{_TRAIN} 3", "begun", ["run"], [], True),
    "sweep": (f"{_SWEEP} 1", "empty", [], [], True),
    "sweep-2": (f"{_SWEEP} 2", "empty", [], [], True),
    "record": ("record 3", "empty", ["run"], [], True),
    "record-on": ("record 7", "recorded", ["run"], [], True),
    "import": (_IMPORT, "theirs", ["run"], [], True),
    "import-link": (f"{_IMPORT} --link", "theirs", ["run"], [], True),
    "analyze": (f"{_ANALYZE} 1", "run", ["run"], ["out.csv"], True),
    "analyze-2": (f"{_ANALYZE} 2", "run", ["run"], ["out.csv"], True),
    "sweep-own-2": (f"{_SWEEP} 2", "empty", [], [], False),
    "analyze-own-2": (f"{_ANALYZE} 2", "run", ["run"], ["out.csv"], False),
    "compact": ("analyze run --measure weight_distance --quiet", "many", ["run"], [], True),
    "export-csv": ("export run -o out.csv --quiet", "measured", ["run"], ["out.csv"], True),
    "export-parquet": ("export run -o out.parquet --quiet", "measured", ["run"], ["out.parquet"], True),
    "export-tensorboard": ("export run --tensorboard tb --quiet", "measured", ["run"], [EVENTS], True),
}


def add_foreign(run):
    """Put files of others into a run; none of them may ever be touched."""
    for name, data in FOREIGN.items():
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(data)


def scenario(name, states):
    """Return the scenario of a name."""
    argv, base, runs, outputs, share = SCENARIOS[name]
    return Scenario(name, tuple(argv.split()), getattr(states, base), tuple(runs), tuple(outputs), share)
