"""What an import says of the numbers it brings: not finite, in halves, of a network not spelled out."""

import math

import pytest
import torch
from safetensors.torch import save_file

from grokscope import Network, Run, UsageError, analyze, import_checkpoints, load_plugins, model, train

SETTINGS = {"task.p": 7, "model.hidden": [5]}


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """State dicts of a small network without biases, by step."""
    settings = {
        **SETTINGS,
        "model.hidden_bias": False,
        "model.last_bias": False,
        "training.steps": 4,
        "training.checkpoint_every": "2",
    }
    run = train("modadd", settings=settings, out=tmp_path_factory.mktemp("ours") / "run")
    return {step: run.weights(step) for step in run.steps}


def bring(folder, told, settings=SETTINGS, **options):
    return import_checkpoints(
        folder / "run",
        str(folder / "*.safetensors"),
        task="modadd",
        settings=settings,
        step_from=r"(\d+)",
        notify=told.append,
        **{"model": "mlp", **options},
    )


def write(folder, states):
    for step, state in states.items():
        save_file(state, folder / f"{step}.safetensors")


def test_accuracies_of_weights_that_are_not_finite_were_computed(states, tmp_path, cli):
    write(
        tmp_path, {step: {name: w * math.nan for name, w in state.items()} for step, state in states.items()}
    )
    shown = cli("show", bring(tmp_path, []).path).out
    assert "not memorised" in shown
    assert "not computed" not in shown


def test_weights_that_are_not_finite_are_said_and_have_no_accuracy(states, tmp_path, cli):
    bad = {step: dict(state) for step, state in states.items()}
    for step in (2, 4):
        bad[step]["layers.0.weight"] = states[step]["layers.0.weight"].clone()
        bad[step]["layers.0.weight"][0, 0] = math.nan
    write(tmp_path, bad)
    told = []
    run = bring(tmp_path, told)
    (said,) = (sentence for sentence in told if "finite" in sentence)
    assert said.startswith("the weights at steps 2, 4 are not finite (layers.0.weight): there is no accuracy")
    for name in ("train_accuracy", "test_accuracy"):
        assert math.isfinite(run.curves[name][0])
        assert all(math.isnan(value) for value in run.curves[name][1:])
    shown = cli("show", run.path)
    assert "accuracy –" in shown.out
    assert "nan%" not in shown.out
    assert cli("show", run.path, run.path).out.count("–") >= 4
    table = cli("export", run.path, "-o", tmp_path / "table.csv")
    assert table.code == 0
    rows = [line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines()]
    results = analyze(run, "fit")
    assert all(math.isnan(value) for value in results.columns["fit.test_accuracy"][1:])
    assert results.failures == ()
    accuracies = {row[1] for row in rows if "train_accuracy" in row and row[5] not in ("", "nan")}
    assert accuracies == {"0"}


@pytest.mark.parametrize("link", [False, True])
def test_halves_are_measured_in_float32_and_it_is_said(states, tmp_path, cli, link):
    write(tmp_path, {s: {n: w.bfloat16() for n, w in state.items()} for s, state in states.items()})
    told = []
    run = bring(tmp_path, told, link=link)
    assert "the checkpoints hold bfloat16 numbers; they are measured in float32" in told
    assert "stored as bfloat16, measured in float32" in " ".join(cli("show", run.path).out.split())
    assert {value.dtype for value in Run.open(run.path).weights(4).values()} == {torch.float32}
    assert analyze(run, "fit").failures == ()


def test_mixed_halves_are_named(states, tmp_path):
    halves = {name: weight.half() for name, weight in states[4].items()}
    write(tmp_path, {0: states[0], 2: halves})
    told = []
    assert bring(tmp_path, told).config["imported"]["stored"] == "float16 and float32"


def test_float32_says_nothing(states, tmp_path):
    write(tmp_path, states)
    told = []
    run = bring(tmp_path, told)
    assert "stored" not in run.config["imported"]
    assert len(told) == 1


@pytest.mark.parametrize("given", [{}, {"model.last_bias": False}, {"model.hidden_bias": False}])
def test_biases_that_nobody_spoke_of_are_taken_from_the_tensors(states, tmp_path, given):
    write(tmp_path, states)
    told = []
    run = bring(tmp_path, told, {**SETTINGS, **given})
    assert run.config["model"]["last_bias"] is False
    assert run.config["model"]["hidden_bias"] is False
    taken = [f"model.{name}=False" for name in ("last_bias", "hidden_bias") if f"model.{name}" not in given]
    file = tmp_path / "0.safetensors"
    assert told == [f"{', '.join(taken)} is taken, because the tensors in {file} are those of that network"]
    assert analyze(run, "fit").failures == ()


def test_what_the_user_says_stands(states, tmp_path):
    write(tmp_path, states)
    with pytest.raises(UsageError, match=r"missing: layers.0.bias \(5,\), layers.1.bias \(7,\); change"):
        bring(tmp_path, [], {**SETTINGS, "model.hidden_bias": True})


class Twofold(Network):
    kind, hidden, outputs = "twofold", ("post",), 7

    def __init__(self, wide):
        super().__init__()
        self.fc = torch.nn.Linear(14, 7, bias=not wide)

    def encode(self, inputs):
        return torch.nn.functional.one_hot(inputs, 7).flatten(1).float()

    def trace(self, encoded):
        return {"first": encoded, "post": encoded, "logits": self.fc(encoded)}


@model
def twofold(task, *, one: bool = False, other: bool = False):
    """Two settings of which either leaves the bias out."""
    return Twofold(one or other)


def test_two_ways_that_fit_are_not_chosen_between(tmp_path):
    write(tmp_path, {0: Twofold(True).state_dict()})
    plugins = load_plugins()
    known = {"tasks": plugins.tasks, "models": {"twofold": twofold}, "model": "twofold"}
    with pytest.raises(UsageError, match=r"model.one=True or model.other=True: say which with `settings`"):
        bring(tmp_path, [], {"task.p": 7}, **known)
    run = bring(tmp_path, [], {"task.p": 7, "model.one": True, "model.other": False}, **known)
    assert run.config["model"]["one"] is True


class Buffered(Network):
    kind, hidden, outputs = "buffered", (), 7

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(14, 7, bias=False)
        self.register_buffer("count", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("angles", torch.ones(2, dtype=torch.complex64))

    def encode(self, inputs):
        return torch.nn.functional.one_hot(inputs, 7).flatten(1).float()

    def trace(self, encoded):
        return {"first": encoded, "logits": self.fc(encoded)}


@model
def buffered(task):
    return Buffered()


def test_small_unsigned_and_complex_numbers(tmp_path):
    weight = torch.randn(7, 14).to(torch.float8_e4m3fn)
    state = {"fc.weight": weight, "count": torch.tensor([3, 40_000], dtype=torch.uint16)}
    state["angles"] = torch.tensor([1j, 2], dtype=torch.complex64)
    plugins, told = load_plugins(), []
    known = {"tasks": plugins.tasks, "models": {"buffered": buffered}, "model": "buffered"}
    write(tmp_path, {0: state})
    run = bring(tmp_path, told, {"task.p": 7}, **known)
    assert told == ["the checkpoints hold float8_e4m3fn numbers; they are measured in float32"]
    found = run.weights(0)
    assert torch.equal(found["fc.weight"], weight.float())
    assert found["count"].tolist() == [3, 40_000]
    assert torch.equal(found["angles"], state["angles"])
    assert all(math.isfinite(value) for value in run.curves["train_loss"])
    refused = {
        r"fc\.weight must hold numbers like torch\.float32, got torch\.complex64": {
            "fc.weight": torch.complex64
        },
        r"complex numbers must be complex64, got angles torch\.complex128": {"angles": torch.complex128},
    }
    for words, types in refused.items():
        torch.save(
            {name: value.to(types.get(name, value.dtype)) for name, value in state.items()}, tmp_path / "0.pt"
        )
        with pytest.raises(UsageError, match=words):
            import_checkpoints(
                tmp_path / "other", tmp_path / "0.pt", task="modadd", settings={"task.p": 7}, step=0, **known
            )
