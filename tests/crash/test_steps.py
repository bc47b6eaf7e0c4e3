"""Killed, or refused by the system, at every step on the file system: nothing is lost, nothing is torn.

`sh tests/run.sh -m crash` tries every step of every command; the normal run a few of four commands.
"""

import pytest

SPACE = {"open", "write", "fsync", "close", "mkdir", "link", "symlink", "replace", "fsync-folder"}
HOWS = {  # and at which calls; to be killed after a call is to be killed before the next, but within a write
    "kill": None,
    "tear": {"write"},
    "EIO": None,
    "ENOSPC": SPACE,
    "full": {"open", "write", "mkdir", "link"},
}
NAMES = (
    *("train", "train-on", "sweep", "sweep-2", "record", "record-on", "import", "import-link"),
    *("analyze", "analyze-2", "compact"),
    *("export-csv", "export-parquet", "export-tensorboard"),
)
KINDS = SPACE | {"rename", "unlink", "remove", "rmdir", "truncate", "ftruncate", "chmod", "fchmod"}
# Steps of each kind of fault that the normal run tries.
FEW = {"train-on": 2, "record-on": 1, "analyze": 2, "export-csv": 2}


def test_the_harness_sees_what_happens(trial):
    """A checkpoint is written, synced, renamed, and its folder synced before it is acknowledged."""
    whole = trial("train").whole
    about = [step for step in whole.steps if step.path.startswith(("run/checkpoints", "run/.grokscope"))]
    kinds = [step.kind for step in about if step.path != "run/checkpoints" or step.kind == "fsync-folder"]
    first = kinds[: kinds.index("acknowledged") + 1]
    assert first[-7:] == ["open", "write", "fsync", "close", "replace", "fsync-folder", "acknowledged"]
    durable = {step.path for step in whole.steps if step.kind == "acknowledged"}
    assert durable >= {"run/run.toml", "run/index.h5", "run/resume.safetensors"}
    assert len([name for name in durable if name.startswith("run/checkpoints/")]) == 3


@pytest.mark.parametrize("name", FEW)
def test_a_few_steps(trial, name):
    tried, problems = trial(name), []
    for number, how in enumerate(HOWS):
        steps = candidates(tried, how)
        for step in steps[number :: 1 + len(steps) // FEW[name]]:
            problems += tried.interrupt(how, at=step.number)
    assert not problems, "\n".join(problems)


@pytest.mark.crash
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", NAMES)
def test_every_step(trial, name, how):
    tried, problems = trial(name), []
    for step in candidates(tried, how):
        problems += tried.interrupt(how, at=step.number)
    assert not problems, "\n".join(problems)


def candidates(tried, how):
    """The steps at which something can be done; of the many unlinks of compaction only some."""
    steps = [step for step in tried.whole.steps if step.kind in (HOWS[how] or KINDS)]
    unlinks = [step for step in steps if step.kind == "unlink"]
    spared = set(unlinks[3:-3])
    return [step for step in steps if step not in spared]
