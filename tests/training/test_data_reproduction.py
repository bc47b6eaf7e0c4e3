"""Real digits, sparse parity and the controls do as their recipes say; MNIST and IMDB where data is given."""

import os

import numpy as np
import pytest

from grokscope.training import train

pytestmark = pytest.mark.slow


def first_step(run, split, threshold):
    """The first logged step at which the split's accuracy is at least `threshold`."""
    reached = run.curves[f"{split}_accuracy"] >= threshold
    assert reached.any(), f"{split} accuracy never reaches {threshold}"
    return int(run.curves["step"][np.argmax(reached)])


def accuracy_at(run, split, step):
    return float(run.curves[f"{split}_accuracy"][run.curves["step"] == step][0])


def test_digits_are_known_by_heart_long_before_they_are_read(tmp_path):
    run = train("digits", out=tmp_path / "run")
    memorised = first_step(run, "train", 1.0)
    assert memorised <= 2500
    assert accuracy_at(run, "test", memorised) < 0.3
    assert 8000 <= first_step(run, "test", 0.85) <= 12_000


def test_noise_on_the_pixels_makes_digits_grok_earlier(tmp_path):
    run = train("digits", recipe="digits-perturbed", settings={"training.steps": 9000}, out=tmp_path / "run")
    memorised = first_step(run, "train", 1.0)
    assert memorised <= 2500
    assert accuracy_at(run, "test", memorised) < 0.3
    assert first_step(run, "test", 0.85) < 8000


def test_digits_at_the_default_scale_show_no_delay(tmp_path):
    run = train("digits", settings={"training.init_scale": 1.0, "training.steps": 1000}, out=tmp_path / "run")
    assert accuracy_at(run, "test", first_step(run, "train", 1.0)) > 0.85


def test_parity_is_known_by_heart_long_before_it_is_understood(tmp_path):
    run = train("parity", out=tmp_path / "run")
    memorised = first_step(run, "train", 1.0)
    assert memorised <= 1000
    assert abs(accuracy_at(run, "test", memorised) - 0.5) < 0.05
    assert 6000 <= first_step(run, "test", 0.95) <= 10_000
    assert run.curves["test_accuracy"][-1] == 1.0


def test_random_labels_are_learnt_by_heart_alone(tmp_path):
    run = train("modadd", recipe="clauw-random-labels", out=tmp_path / "run")
    assert run.curves["train_accuracy"][-1] == 1.0
    assert run.curves["test_accuracy"].max() < 0.03


def test_nanda_without_weight_decay_has_not_grokked_where_nanda_has(tmp_path):
    reached = []

    def progress(state):
        if state.step == 7000:
            reached.append(state.step)

    run = train(
        "modadd", recipe="nanda-wd0", out=tmp_path / "run", progress=progress, stop=lambda: bool(reached)
    )
    assert first_step(run, "train", 1.0) <= 300
    assert run.curves["test_accuracy"].max() < 0.2


@pytest.mark.skipif(
    "GROKSCOPE_TEST_MNIST" not in os.environ, reason="needs MNIST: GROKSCOPE_TEST_MNIST=FOLDER"
)
def test_mnist_is_known_by_heart_long_before_it_is_read(tmp_path):
    folder = os.environ["GROKSCOPE_TEST_MNIST"]
    run = train("mnist", settings={"task.data_dir": folder}, out=tmp_path / "run", threads=2)
    memorised = first_step(run, "train", 0.99)
    assert 1000 <= memorised <= 4000
    assert accuracy_at(run, "test", memorised) < 0.3
    assert 25_000 <= first_step(run, "test", 0.8) <= 50_000


@pytest.mark.skipif("GROKSCOPE_TEST_IMDB" not in os.environ, reason="needs IMDB: GROKSCOPE_TEST_IMDB=FOLDER")
def test_reviews_are_known_by_heart_first(tmp_path):
    settings = {"task.data_dir": os.environ["GROKSCOPE_TEST_IMDB"], "training.steps": 300}
    run = train("imdb", settings=settings, out=tmp_path / "run", threads=2)
    memorised = first_step(run, "train", 1.0)
    assert memorised <= 200
    assert accuracy_at(run, "test", memorised) < 0.6
