"""`check_measure` passes measures that keep the contract, and names what is wrong with those that do not."""

import random
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pytest
import torch

from grokscope import load_plugins
from grokscope.declare import Param
from grokscope.errors import MeasureError, NotApplicable, PluginError
from grokscope.measure import Column, Measure, measure
from grokscope.probe import Probe
from grokscope.testing import check_measure, example_pair, example_probe, example_task

X = Column("x", "a number", missing="when a weight is not finite")


def declare(function: Callable[..., Any], **options: Any) -> Measure:
    function.__doc__ = options.pop("doc", "A number.")
    return measure(**{"columns": [X], "source": "own", **options})(function)


def norm(probe: Probe) -> float:
    return float(sum(weight.double().square().sum() for weight in probe.weights.values()))


def plain(probe: Probe) -> Any:
    return {"x": norm(probe)}


def from_weights(weights: dict[str, torch.Tensor]) -> Any:
    return [{"layer": name, "x": weight.double().norm()} for name, weight in weights.items()]


def drift(probe: Probe, baseline: Probe) -> Any:
    return {"x": norm(probe) - norm(baseline)}


def sampled(probe: Probe, rng: torch.Generator) -> Any:
    return {"x": torch.rand(1, generator=rng)}


def with_parameters(
    probe: Probe,
    *,
    power: Annotated[float, Param("power", above=0, max=4)] = 2.0,
    n: Annotated[int, Param("n", min=1)] = 1,
) -> Any:
    return {"x": norm(probe) ** power / n}


def only_for_transformers(probe: Probe) -> Any:
    if probe.model.kind != "transformer":
        raise NotApplicable("attention is a transformer's")
    return plain(probe)


def no_number_at_zero(probe: Probe) -> Any:
    if norm(probe) == 0:
        raise MeasureError("all weights are zero")
    return {"x": 1 / norm(probe)}


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (plain, {}),
        (from_weights, {"per": ["layer"]}),
        (drift, {}),
        (sampled, {}),
        (with_parameters, {}),
        (only_for_transformers, {}),
        (no_number_at_zero, {}),
    ],
)
def test_measures_that_keep_the_contract_pass(function: Callable[..., Any], options: Any) -> None:
    check_measure(declare(function, **options))


COUNT = [0]


def counts(probe: Probe) -> Any:
    COUNT[0] += 1
    return {"x": COUNT[0]}


def global_torch(probe: Probe) -> Any:
    return {"x": torch.rand(1)}


def global_numpy(probe: Probe) -> Any:
    return {"x": np.random.rand()}


def global_random(probe: Probe) -> Any:
    return {"x": random.random()}


def reseeding(probe: Probe) -> Any:
    torch.manual_seed(0)
    return {"x": torch.rand(1)}


def changes_weights(probe: Probe) -> Any:
    next(iter(probe.weights.values())).mul_(0.5)
    return {"x": 0.0}


def adds_weight(weights: dict[str, torch.Tensor]) -> Any:
    weights["extra"] = torch.zeros(1)
    return {"x": 0.0}


def changes_memory(probe: Probe) -> Any:
    return {"x": probe.logits("train").abs_().nan_to_num().sum().clamp(max=1)}


def changes_labels(probe: Probe) -> Any:
    probe.task.labels.zero_()
    return {"x": 0.0}


def changes_baseline(baseline: Probe) -> Any:
    next(iter(baseline.weights.values())).zero_()
    return {"x": 0.0}


def trains(probe: Probe) -> Any:
    probe.model.train()
    return {"x": 0.0}


def leaves_gradients(probe: Probe) -> Any:
    probe.model(probe.inputs("train")).sum().backward()
    return {"x": 0.0}


def leaves_hook(probe: Probe) -> Any:
    probe.model.register_forward_hook(lambda *_: None)
    return {"x": 0.0}


def sets_threads(probe: Probe) -> Any:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return {"x": 0.0}


def sets_dtype(probe: Probe) -> Any:
    torch.set_default_dtype(torch.float64)
    return {"x": 0.0}


def sets_grad(probe: Probe) -> Any:
    torch.set_grad_enabled(False)
    return {"x": 0.0}


def prints(probe: Probe) -> Any:
    print("working")
    return {"x": 0.0}


def crashes(probe: Probe) -> Any:
    raise KeyError("layers.7")


def crashes_on_zero(probe: Probe) -> Any:
    return {"x": 1 / norm(probe)}


def undeclared(probe: Probe) -> Any:
    return {"y": 0.0}


def silent(probe: Probe) -> Any:
    raise NotApplicable("no")


def never(probe: Probe) -> Any:
    raise NotApplicable("this one has never an answer")


def edge(probe: Probe, *, n: Annotated[int, Param("share of n", min=0)] = 1) -> Any:
    return {"x": 1 / n}


def choice(probe: Probe, *, n: Annotated[float | None, Param("none is the paper's")] = 1.0) -> Any:
    return {"x": n + 1}  # type: ignore[operator]


def bare(probe: Probe, *, n: int = 1) -> Any:
    return {"x": n}


TWO = [X, Column("z", "never returned")]


@pytest.mark.parametrize(
    ("function", "options", "sentence"),
    [
        (plain, {"doc": ""}, "must have a docstring"),
        (plain, {"doc": "A number"}, "must begin with a sentence that ends in a period"),
        (plain, {"source": ""}, "must name its source"),
        (plain, {"columns": [Column("x", "")]}, "plain.x must have help"),
        (plain, {"arrays": {"a": ""}}, "the array a of plain must have help"),
        (bare, {}, "bare.n must have help"),
        (plain, {"columns": TWO}, r"plain declares \['z'\] and never returned it"),
        (plain, {"columns": [Column("x", "x")]}, "a column that may be missing says when"),
        (counts, {}, "must give the same rows again on the same probe"),
        (global_torch, {}, "must not change torch's global random state"),
        (global_numpy, {}, "must not change numpy's global random state"),
        (global_random, {}, "must not change the random module's state"),
        (reseeding, {}, "must not change torch's global random state"),
        (changes_weights, {}, "must not change the weights and the probe's weights"),
        (adds_weight, {}, "must not change the weights"),
        (
            changes_memory,
            {},
            r"must not change what the probe remembers: \('trace', 'train', 0.0, 'logits'\)",
        ),
        (changes_labels, {}, "must not change the probe's task"),
        (changes_baseline, {}, "must not change the baseline's weights"),
        (trains, {}, "must not change the probe's network"),
        (leaves_gradients, {}, "must not change the probe's network"),
        (leaves_hook, {}, "must not change the probe's network"),
        (sets_threads, {}, "must not change the number of threads"),
        (sets_dtype, {}, "must not change torch's default dtype"),
        (sets_grad, {}, "must not change torch's gradient mode"),
        (prints, {}, "must print nothing, got 'working"),
        (crashes, {}, "crashes on mlp on modadd .* ended with KeyError: 'layers.7'"),
        (crashes_on_zero, {}, r"all weights zero\) ended with ZeroDivisionError"),
        (undeclared, {}, "returned 'y', which is not declared"),
        (silent, {}, "must say why it has no answer"),
        (never, {}, "must answer one of the 5 probes"),
        (edge, {}, "with {'n': 0} ended with ZeroDivisionError"),
        (choice, {}, "with {'n': None} ended with TypeError"),
    ],
)
def test_a_broken_promise_is_named(function: Callable[..., Any], options: Any, sentence: str) -> None:
    declared = declare(function, **options)
    threads, kept = torch.get_num_threads(), torch.get_rng_state()
    try:
        with pytest.raises(AssertionError, match=sentence):
            check_measure(declared)
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_rng_state(kept)


def test_what_is_no_measure_is_refused() -> None:
    with pytest.raises(AssertionError, match="must be made by @measure"):
        check_measure(plain)  # type: ignore[arg-type]


def test_probes_can_be_chosen() -> None:
    with pytest.raises(AssertionError, match="must answer one of the 1 probes"):
        check_measure(declare(only_for_transformers), probes=[example_probe("lstm")])


# The example networks


@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_example_probes_are_the_same_every_time_and_leave_the_random_state(kind: Any, loss: Any) -> None:
    before = torch.get_rng_state()
    left, right, other = (example_probe(kind, loss=loss, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(left.logits("all"), right.logits("all"))
    assert not torch.equal(left.logits("all"), other.logits("all"))
    assert torch.equal(left.task.train, other.task.train)


@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
def test_fitting_the_last_layer_lowers_the_training_loss(kind: Any) -> None:
    probe, baseline = example_pair(kind)
    assert probe.loss("train") < baseline.loss("train")
    assert (probe.step, baseline.step) == (1000, 0)


@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
def test_dead_hidden_units_are_zero_for_every_input(kind: Any) -> None:
    for values in example_probe(kind, dead=True).activations("all").values():
        assert values.abs().max() == 0


@pytest.mark.parametrize("name", ["modadd", "modadd23", "images", "text"])
def test_example_tasks_are_split_into_disjoint_parts_that_cover_them(name: str) -> None:
    task = example_task(name)
    both = torch.cat([task.train, task.test]).sort().values
    assert torch.equal(both, torch.arange(len(task.labels)))
    assert task.labels.unique().tolist() == list(range(task.classes))


def test_the_example_weights_are_these_on_every_machine() -> None:
    weights = example_probe("mlp", trained=False).weights
    assert weights["layers.0.weight"][0, :3].tolist() == pytest.approx(PINNED, abs=1e-7)


PINNED = [-0.343157232, 0.067205153, 0.226128921]  # RandomState(100).standard_normal() / sqrt(26)


def test_all_that_is_broken_is_said_at_once():
    def both(probe, *, share: Annotated[float, Param("", min=0)] = 0.5):
        """No period"""  # noqa: D415
        return {"value": 2.0}

    declared = measure(columns=[Column("value", "", max=1)], source="own")(both)
    with pytest.raises(AssertionError) as caught:
        check_measure(declared, probes=[example_probe("mlp"), example_probe("transformer")])
    lines = str(caught.value).splitlines()
    assert "the docstring of both must begin with a sentence that ends in a period" in lines
    assert "both.value must have help: Column('value', 'what it is')" in lines
    assert "both.share must have help: Annotated[..., Param('what it is')]" in lines
    assert sum("must be within [None, 1], got 2.0" in line for line in lines) >= 2
    assert len(lines) == len(set(lines))


def test_rounding_at_a_bound_is_forgiven_and_no_more():
    def shares(probe, *, beyond: Annotated[float, Param("what is added to 1", min=0, max=1e-7)] = 1e-7):
        """The sum of some shares."""
        return {"value": 1.0 + beyond}

    def more(probe):
        """The sum of some shares, and a little more."""
        return {"value": 1.00001}

    for function in (shares, more):
        declared = measure(columns=[Column("value", "their sum", max=1)], source="own")(function)
        if function is shares:
            check_measure(declared, probes=[example_probe("mlp")])
        else:
            with pytest.raises(AssertionError, match=r"must be within \[None, 1\], got 1.00001"):
                check_measure(declared, probes=[example_probe("mlp")])


def test_a_measure_that_knows_more_than_it_says_is_caught():
    def right(probe):
        return {"x": probe.accuracy("train")}

    with pytest.raises(AssertionError, match=r"right must say knows=\['labels', ...\]: other labels give"):
        check_measure(declare(right, knows=["test"]), probes=[example_probe("mlp")])
    check_measure(declare(right, knows=["labels"]), probes=[example_probe("mlp")])
    check_measure(declare(right), probes=[example_probe("mlp")])
    with pytest.raises(PluginError, match="knows must be of labels, test, task, got 'answers'"):
        declare(right, knows=["answers"])


def test_a_column_that_knows_more_than_it_says_is_caught():
    def right(probe):
        """How often it is right."""
        return {split: probe.accuracy(split) for split in ("train", "test")}

    def declared(train, test):
        known = {"train": train, "test": test}
        columns = [Column(name, f"on {name}", missing="unsound", knows=own) for name, own in known.items()]
        return measure(columns=columns, source="own", knows=["labels", "test"])(right)

    sound = declared(["labels"], None)
    check_measure(sound, probes=[example_probe("mlp")])
    assert [sound.known_of(column) for column in sound.columns] == [("labels",), ("labels", "test")]
    assert sound.knowing_less == {("labels",): ["train"]}
    with pytest.raises(AssertionError, match=r"column of test, train that must say knows=\['labels', ...\]"):
        check_measure(declared([], []), probes=[example_probe("mlp")])
    with pytest.raises(AssertionError, match=r"column of test, train that must say knows=\['test', ...\]"):
        check_measure(declared(["labels"], ["labels"]), probes=[example_probe("mlp")])
    with pytest.raises(
        PluginError, match=r"knows of train must be of what the measure knows .labels, test., "
    ):
        declared(["task"], None)


def test_every_measure_of_grokscopes_own_says_what_it_must_know():
    unsaid = [each.id for each in load_plugins().registered if each.measure.known is None]
    assert unsaid == []
