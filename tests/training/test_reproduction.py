"""What trains as measured: the slow recipe, and a control that must not generalise."""

import pytest

from grokscope.training import train

pytestmark = pytest.mark.slow


def test_random_labels_are_memorised_and_never_generalise(tmp_path):
    run = train(
        "modadd", settings={"task.operation": "random", "training.weight_decay": 0.1}, out=tmp_path / "run"
    )
    curves = run.curves
    assert curves["train_accuracy"][-1] == 1.0
    assert curves["test_accuracy"].max() < 0.03


def test_nanda_groks_between_4000_and_12000(tmp_path):
    reached = []

    def progress(state):
        if state.test_accuracy >= 0.95:
            reached.append(state.step)

    run = train("modadd", recipe="nanda", out=tmp_path / "run", progress=progress, stop=lambda: bool(reached))
    # The first time, not the time from which it stays: AdamW's loss spikes break train accuracy now and then.
    memorised = run.curves["step"][run.curves["train_accuracy"] == 1.0][0]
    assert 100 <= memorised <= 300
    assert 4000 <= reached[0] <= 12000


@pytest.mark.parametrize(
    ("task", "recipe", "memorised_by", "groks"),
    [
        ("modadd", "muon", 80, (400, 600)),
        ("modadd", "sgd", 80, (500, 800)),
        ("permutation", "permutation", 60, (900, 1500)),
        ("xor", "xor", 80, (180, 320)),
    ],
)
def test_a_recipe_of_seconds_groks_when_it_says(tmp_path, task, recipe, memorised_by, groks):
    run = train(task, recipe=recipe, settings={"training.seed": 1}, out=tmp_path / "run")
    curves = run.curves
    assert run.memorisation_step() <= memorised_by
    chance = 0.65 if recipe == "xor" else 0.05  # of two classes; of many
    assert curves["test_accuracy"][curves["step"] == run.memorisation_step()] < chance
    assert groks[0] <= run.grokking_step() <= groks[1]


def test_polynomial_predicts_long_after_it_fits(tmp_path):
    run = train("polynomial", settings={"training.seed": 1}, out=tmp_path / "run")
    curves = run.curves
    assert run.memorisation_step() <= 1000
    assert curves["test_loss"][curves["step"] == run.memorisation_step()] > 0.3
    assert 4500 <= run.grokking_step() <= 6500
