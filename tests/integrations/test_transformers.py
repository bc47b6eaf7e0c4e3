"""The recorder in a real Trainer of transformers; skipped where transformers is not installed."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="pip install 'grokscope[hub]'")
pytest.importorskip("accelerate")
Recorder = pytest.importorskip("grokscope.integrations.transformers").Recorder

TOKENS = torch.randint(0, 11, (24, 7), generator=torch.Generator().manual_seed(0))
DATA = TOKENS[:, :-1], TOKENS[:, 1:]


@pytest.fixture
def fit(tmp_path):
    def fit(recorder, steps, resume=None, **options):
        torch.manual_seed(0)
        config = transformers.GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2)
        network = transformers.GPT2LMHeadModel(config)
        quiet = {"report_to": [], "disable_tqdm": True, "logging_strategy": "no", "use_cpu": True}
        arguments = transformers.TrainingArguments(
            output_dir=tmp_path / "theirs",
            max_steps=steps,
            per_device_train_batch_size=4,
            save_steps=6,
            seed=0,
            **quiet,
            **options,
        )
        trainer = transformers.Trainer(
            network,
            arguments,
            train_dataset=[{"input_ids": row, "labels": row} for row in TOKENS],
            callbacks=[recorder] if recorder else [],
        )
        trainer.train(resume_from_checkpoint=resume)
        return {name: value.clone() for name, value in network.state_dict().items()}

    return fit


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in other)


def test_a_trainer_records_what_it_would_train_anyway(fit, tmp_path):
    recorder = Recorder(tmp_path / "run", train=DATA, test=DATA, checkpoint_every="4")
    last = fit(recorder, 10)
    run = recorder.recorder.run
    assert run.steps == (0, 4, 8, 10)
    assert same(run.weights(10), last)
    assert same(fit(None, 10), last)
    assert run.load_checkpoint(10).kinds.ties == {"lm_head.weight": "transformer.wte.weight"}
    losses = [info.train_loss for info in run.checkpoints]
    assert losses == sorted(losses, reverse=True)


def test_a_trainer_that_goes_on_goes_on_recording(fit, tmp_path):
    options = {"train": DATA, "test": DATA, "checkpoint_every": "4"}
    fit(Recorder(tmp_path / "run", **options), 6)
    said = []
    recorder = Recorder(tmp_path / "run", **options, notify=said.append)
    fit(recorder, 12, resume=str(tmp_path / "theirs" / "checkpoint-6"), gradient_accumulation_steps=1)
    assert recorder.recorder.run.steps == (0, 4, 6, 8, 12)
    assert not said


def test_the_trainers_own_items_are_labelled_by_the_token_after_each(fit, tmp_path):
    rows = [{"input_ids": row.tolist(), "labels": row.tolist()} for row in TOKENS]
    recorder = Recorder(tmp_path / "run", train=rows, test=rows, checkpoint_every="4")
    fit(recorder, 4)
    config = transformers.GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    network = transformers.GPT2LMHeadModel(config).eval()
    for info in recorder.recorder.run.checkpoints:
        network.load_state_dict(recorder.recorder.run.weights(info.step))
        with torch.no_grad():
            theirs = network(input_ids=TOKENS, labels=TOKENS)
        assert info.train_loss == pytest.approx(theirs.loss.item(), rel=1e-5)
        right = (theirs.logits[:, :-1].argmax(-1) == TOKENS[:, 1:]).double().mean().item()
        assert info.train_accuracy == pytest.approx(right)
