from dataclasses import dataclass, field

import pytest

from grokscope.training import train

SMALL = {
    "mlp": {"task.p": 11, "model.hidden": [12], "model.hidden_bias": True, "training.lr": 0.01},
    "transformer": {
        "task.p": 11,
        "model.name": "transformer",
        "model.d_model": 8,
        "model.heads": 2,
        "model.d_head": 4,
        "model.d_mlp": 12,
        "training.lr": 0.01,
        "training.warmup_steps": 3,
    },
}
SHORT = {"training.steps": 30, "training.checkpoint_every": "10", "training.log_every": 3}


@dataclass
class Trainer:
    """Trains a small network under the test's folder and remembers what it was told."""

    folder: object
    told: list = field(default_factory=list)

    def __call__(self, name="run", *, model="mlp", stop_at=None, progress=None, **settings):
        how = {word: settings.pop(word) for word in ("threads", "compile") if word in settings}
        given = {
            **SMALL[model],
            **SHORT,
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        seen = []

        def watch(state):
            seen.append(state.step)
            if progress:
                progress(state)

        def stop():
            # It is asked once before the first step, then during each step, before that step is reported.
            asked[0] += 1
            return stop_at is not None and asked[0] > stop_at

        asked = [0]
        return train(
            "modadd",
            settings=given,
            out=self.folder / name,
            **how,
            progress=watch,
            stop=stop,
            notify=self.told.append,
        )


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The usual run, trained without a stop; never written to by a test."""
    return Trainer(tmp_path_factory.mktemp("whole"))("whole")


@pytest.fixture
def trainer(tmp_path):
    return Trainer(tmp_path)
