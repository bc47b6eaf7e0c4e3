"""The recorder in a real Lightning Trainer; skipped where Lightning is not installed."""

import copy
import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

lightning = pytest.importorskip("lightning.pytorch", reason="pip install 'grokscope[lightning]'")
Recorder = pytest.importorskip("grokscope.integrations.lightning").Recorder

from grokscope import UsageError  # noqa: E402


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))
        self.states = {}

    def forward(self, inputs):
        return self.model(inputs)

    def training_step(self, batch, index):
        return F.cross_entropy(self(batch[0]), batch[1])

    def on_train_batch_end(self, *args):
        self.states[self.trainer.global_step] = copy.deepcopy(self.model.state_dict())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(1)
    return torch.randn(40, 4), torch.randint(0, 3, (40,))


@pytest.fixture
def fit(data, tmp_path):
    def fit(recorder, steps, resume=None, **options):
        module = Module()
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        callbacks = [recorder] if recorder else []
        trainer = lightning.Trainer(
            max_steps=steps,
            accelerator="cpu",
            callbacks=callbacks,
            enable_checkpointing=False,
            **quiet,
            **options,
        )
        loader, lax = DataLoader(TensorDataset(*data), batch_size=8), {"weights_only": False}
        if "weights_only" not in inspect.signature(trainer.fit).parameters:  # before 2.6 it does not ask
            lax = {}
        trainer.fit(module, loader, ckpt_path=resume, **lax)
        trainer.save_checkpoint(tmp_path / "theirs.ckpt")
        return module

    return fit


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_trainer_records_what_it_would_train_anyway(fit, data, tmp_path):
    recorder = Recorder(tmp_path / "run", train=data, test=data, network="model", checkpoint_every="4")
    module = fit(recorder, 10)
    run = recorder.recorder.run
    assert run.steps == (0, 4, 8, 10)
    assert all(same(run.weights(step), module.states[step]) for step in run.steps[1:])
    assert same(fit(None, 10).states[10], module.states[10])
    assert run.config["recorded"] == {"by": "lightning"}


def test_steps_are_the_optimisers_and_the_whole_module_is_recorded_unless_told_otherwise(fit, data, tmp_path):
    recorder = Recorder(tmp_path / "run", train=data, test=data, checkpoint_every="1")
    fit(recorder, 3, accumulate_grad_batches=2)
    assert recorder.recorder.run.steps == (0, 1, 2, 3)
    assert "model.0.weight" in recorder.recorder.run.weights(0)


def test_a_trainer_that_goes_on_goes_on_recording(fit, data, tmp_path):
    options = {"train": data, "test": data, "network": "model", "checkpoint_every": "4"}
    fit(Recorder(tmp_path / "run", **options), 6)
    said = []
    recorder = Recorder(tmp_path / "run", **options, notify=said.append)
    fit(recorder, 12, resume=tmp_path / "theirs.ckpt")
    assert recorder.recorder.run.steps == (0, 4, 6, 8, 12)
    assert not said


def test_a_network_that_is_not_there_is_refused(fit, data, tmp_path):
    with pytest.raises(UsageError, match="network must name a module in Module, got 'net'"):
        fit(Recorder(tmp_path / "run", train=data, test=data, network="net"), 1)
