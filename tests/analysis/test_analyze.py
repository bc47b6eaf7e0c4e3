"""An analysis computes what is missing, once; isolates what breaks; and hands back what was asked."""

import math
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from grokscope import (
    Column,
    MeasureError,
    NotApplicable,
    Run,
    SettingError,
    UsageError,
    analyze,
    hookimpl,
    load_plugins,
    measure,
)
from grokscope.analysis.clock import Clock

NUMBER = [Column("value", "a number")]


def plugin(*measures, name="probe_plugin"):
    module = types.ModuleType(name)
    module.grokscope_measures = hookimpl(lambda: list(measures))
    module.grokscope_measures.__name__ = "grokscope_measures"
    return load_plugins(extra=[module])


def counting(calls, version=1):
    @measure(columns=NUMBER, version=version, name="counted")
    def counted(probe, *, factor: float = 1.0):
        """Count calls."""
        calls.append(probe.step)
        return {"value": probe.step * factor}

    return counted


def test_what_is_stored_is_not_computed_again(run_path):
    calls = []
    plugins = plugin(counting(calls))
    first = analyze(run_path, "counted", plugins=plugins)
    again = analyze(run_path, "counted", plugins=plugins)
    assert calls == [0, 10, 20, 30, 40, 50, 60]
    assert first.computed == 7
    assert again.computed == 0
    assert first.columns == again.columns == {"step": calls, "counted.value": [float(c) for c in calls]}


def test_only_what_is_missing_is_computed(run_path):
    calls = []
    analyze(run_path, "counted", steps="0:30", plugins=plugin(counting(calls)))
    analyze(run_path, "counted", plugins=plugin(counting(calls)))
    assert calls == [0, 10, 20, 30, 40, 50, 60]
    analyze(run_path, "counted", settings={"counted.factor": 2}, plugins=plugin(counting(calls)))
    assert len(calls) == 14
    analyze(run_path, "counted", plugins=plugin(counting(calls, version=2)))
    assert len(calls) == 21
    analyze(run_path, "counted", refresh=True, plugins=plugin(counting(calls)))
    assert len(calls) == 28


def test_measures_of_weights_build_no_network(run_path, monkeypatch):
    from grokscope.analysis import engine

    @measure(columns=NUMBER)
    def total(weights):
        """Sum."""
        return {"value": sum(w.double().sum() for w in weights.values())}

    def refuse(*arguments):
        raise AssertionError("a network was built")

    monkeypatch.setattr(engine.Bench, "probe", refuse)
    results = analyze(run_path, "total", plugins=plugin(total))
    expected = [
        sum(w.double().sum().item() for w in Run.open(run_path).weights(s).values()) for s in results.steps
    ]
    assert results.columns["total.value"] == pytest.approx(expected)


def test_one_checkpoint_is_loaded_and_run_once_for_all_its_measures(run_path, monkeypatch):
    from grokscope.models.mlp import MLP

    loads, passes = [], []
    load, trace = Run.load_checkpoint, MLP.trace
    monkeypatch.setattr(Run, "load_checkpoint", lambda self, step: loads.append(step) or load(self, step))
    monkeypatch.setattr(MLP, "trace", lambda self, encoded: passes.append(1) or trace(self, encoded))
    sigma = {"pe.sigma": 0.4, "pmi.sigma": 0.4}
    settings = {**sigma, "pe.batch_size": 40, "pmi.batch_size": 40}
    results = analyze(run_path, "pe,pmi", steps="60", settings=settings)
    assert loads == [60]
    assert len(passes) == 1
    assert not results.failures


def test_the_others_go_on_when_one_fails(run_path):
    @measure(columns=NUMBER)
    def raises(probe):
        """Raise."""
        raise ZeroDivisionError("by design")

    @measure(columns=NUMBER)
    def leaves(probe):
        """Exit."""
        sys.exit(7)

    @measure(columns=NUMBER)
    def wrong_key(probe):
        """Return an undeclared key."""
        return {"valeu": 1.0}

    @measure(columns=NUMBER)
    def not_a_number(probe):
        """Return NaN."""
        return {"value": math.nan}

    @measure(columns=NUMBER)
    def refuses(probe):
        """Refuse some."""
        if probe.step == 20:
            raise MeasureError("step 20 has no value")
        return {"value": 1.0}

    calls = []
    plugins = plugin(raises, leaves, wrong_key, not_a_number, refuses, counting(calls))
    results = analyze(run_path, "probe_plugin", plugins=plugins)
    assert results.columns["counted.value"] == [float(step) for step in calls]
    failed = {failure.measure: failure for failure in results.failures}
    assert set(failed) == {"raises", "leaves", "wrong_key", "not_a_number", "refuses"}
    assert "ZeroDivisionError: by design" in str(failed["raises"])
    assert "plugin probe_plugin" in str(failed["raises"])
    assert "Traceback" in failed["raises"].detail
    assert "'valeu', which is not declared" in str(failed["wrong_key"])
    assert str(failed["refuses"]).startswith("refuses at step 20")
    values = results.columns["refuses.value"]
    assert [math.isnan(value) for value in values] == [step == 20 for step in results.steps]


def test_a_failure_is_tried_again_and_the_rest_is_not(run_path):
    seen, broken = [], [True]

    @measure(columns=NUMBER)
    def shaky(probe):
        """Fail once."""
        seen.append(probe.step)
        if broken[0] and probe.step == 30:
            raise RuntimeError
        return {"value": 0.0}

    plugins = plugin(shaky)
    assert len(analyze(run_path, "shaky", plugins=plugins).failures) == 1
    broken[0] = False
    seen.clear()
    assert not analyze(run_path, "shaky", plugins=plugins).failures
    assert seen == [30]


def test_not_applicable_is_a_sentence_and_is_remembered(run_path):
    asked = []

    @measure(columns=NUMBER)
    def elsewhere(probe):
        """Apply elsewhere."""
        asked.append(probe.step)
        raise NotApplicable("it needs images, and modadd has none")

    plugins = plugin(elsewhere)
    for _ in range(2):
        results = analyze(run_path, "elsewhere", plugins=plugins)
        assert results.notes == {"elsewhere": "it needs images, and modadd has none"}
        assert not results.failures
        assert results.measured == []
    assert len(asked) == 7


def test_rows_labels_text_and_arrays(run_path):
    columns = [
        Column("total", "sum"),
        Column("size", "each"),
        Column("word", "text", text=True),
        Column("gap", "may be missing", missing="always"),
    ]

    @measure(columns=columns, per=["layer"], arrays={"shape": "the shape"})
    def shapes(weights):
        """Sizes."""
        yield {"total": sum(w.numel() for w in weights.values()), "word": "exact", "gap": math.nan}
        for name, weight in weights.items():
            yield {"layer": name, "size": weight.numel(), "shape": torch.tensor(weight.shape)}

    results = analyze(run_path, "shapes", steps="last", plugins=plugin(shapes))
    again = analyze(run_path, "shapes", steps="last", plugins=plugin(shapes))
    assert again.computed == 0
    for found in (results, again):
        assert found.measured == [
            "shapes.total",
            "shapes.word",
            "shapes.gap",
            "shapes.size:layers.0.weight",
            "shapes.size:layers.1.weight",
        ]
        assert found.columns["shapes.size:layers.0.weight"] == [24 * 26]
        assert found.columns["shapes.word"] == ["exact"]
        np.testing.assert_array_equal(found.arrays[60, "shapes.shape:layers.0.weight"], [24, 26])
        tidy = list(found.long())
        assert tidy[-1] == {
            "run": "run",
            "step": 60,
            "measure": "shapes",
            "layer": "layers.1.weight",
            "column": "size",
            "value": 13 * 24.0,
        }
        assert not [row for row in tidy if row["column"] == "gap"]


def test_randomness_is_seeded_by_run_measure_and_parameters(run_path):
    @measure(columns=NUMBER)
    def dice(weights, rng, *, sides: int = 6):
        """Throw."""
        return {"value": torch.randint(1_000_000, (), generator=rng).item()}

    plugins = plugin(dice)
    first = analyze(run_path, "dice", plugins=plugins).columns["dice.value"]
    again = analyze(run_path, "dice", plugins=plugins, refresh=True).columns["dice.value"]
    other = analyze(run_path, "dice", plugins=plugins, settings={"dice.sides": 8}).columns["dice.value"]
    assert first == again
    assert len(set(first)) == 1  # the same draw at every checkpoint
    assert set(first) != set(other)


def test_baselines_are_other_checkpoints(run_path):
    @measure(columns=NUMBER, baseline="previous")
    def since(probe, baseline):
        """Steps since the baseline."""
        return {"value": probe.step - baseline.step}

    plugins = plugin(since)
    assert analyze(run_path, "since", plugins=plugins).columns["since.value"] == [0.0] + [10.0] * 6
    last = analyze(run_path, "since", plugins=plugins, baseline="last")
    assert last.columns["since.value"] == [step - 60.0 for step in last.steps]


def test_every_checkpoint_is_brought_to_life_once_whatever_is_compared_with_it(run_path):
    @measure(columns=NUMBER, baseline="previous")
    def since(probe, baseline):
        """Whether the baseline is a checkpoint of its own."""
        return {"value": probe is not baseline}

    @measure(columns=NUMBER, baseline="last")
    def until(probe, baseline):
        """Whether the baseline is a checkpoint of its own."""
        return {"value": probe is not baseline}

    clock = Clock()
    found = analyze(run_path, "since,until,cka", plugins=plugin(since, until), clock=clock)
    assert found.columns["since.value"] == [0.0] + [1.0] * 6
    assert found.columns["until.value"] == [1.0] * 6 + [0.0]
    assert {each.part: each.times for each in clock.take()}["bringing networks to life"] == 7


def test_the_noise_is_the_same_for_every_checkpoint_and_measure(run_path):
    seen = []

    @measure(columns=NUMBER)
    def noise(probe):
        """Look at the noise."""
        seen.append(probe.encoded("train", 0.4) - probe.encoded("train"))
        return {"value": seen[-1].std()}

    analyze(run_path, "noise", steps="0,60", plugins=plugin(noise))
    torch.testing.assert_close(seen[0], seen[1])
    assert seen[0].std().item() == pytest.approx(0.4, rel=0.05)


def test_a_damaged_checkpoint_is_named_and_the_others_are_measured(run_path):
    file = run_path / "checkpoints" / "00000030.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    results = analyze(run_path, "weight_norm")
    assert results.steps == [0, 10, 20, 40, 50, 60]
    assert any("00000030.safetensors" in message for message in results.damaged)


def test_two_workers_give_what_one_gives(run_path, monkeypatch):
    monkeypatch.setattr("grokscope.analysis.session.CHECKPOINTS_PER_WORKER", 2)
    names = "fit,weight_norm,weight_entropy"
    two = analyze(run_path, names, workers=2)
    one = analyze(run_path, names, refresh=True)
    assert two.computed == one.computed == 21
    assert two.columns == one.columns
    assert not [message for message in one.messages if "deterministic" in message]


def test_results_as_dict_and_as_data_frame(run_path):
    results = analyze(run_path, "fit", steps="first,last")
    frame = results.to_pandas()
    assert list(frame.index) == [0, 60]
    assert list(frame.columns) == results.measured
    assert list(results.rows())[1]["step"] == 60


def test_a_data_frame_without_pandas_says_what_to_install(run_path, monkeypatch):
    results = analyze(run_path, "fit", steps="last")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"grokscope\[pandas\]"):
        results.to_pandas()


def test_a_second_analysis_imports_no_torch(run_path):
    names, settings = "fit,oinfo,pe,weight_norm,abelian", {"pe.batch_size": 40}
    assert analyze(run_path, names, settings=settings).computed == 35
    code = (
        "import sys; from grokscope import analyze\n"
        f"results = analyze(sys.argv[1], {names!r}, settings={settings!r})\n"
        "print(results.computed, len(results.failures), 'torch' in sys.modules, 'scipy' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(run_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0", "False", "False"]


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_computed(run_path, device):
    with pytest.raises(SettingError, match=f"device must be a device of this machine, got '{device}'"):
        analyze(run_path, "fit", device=device)
