"""How much memory measuring takes changes no number, and what was asked for is kept to."""

import gc
import runpy
import types
import weakref
from pathlib import Path

import pytest
import torch

from grokscope import Column, SettingError, analyze, hookimpl, load_plugins, measure
from grokscope.analysis import given, guard
from grokscope.analysis.guard import GuardedProbe
from grokscope.memory import hold_freed

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "memory.py"


def test_no_number_depends_on_how_much_is_kept(run_path, tmp_path, monkeypatch):
    """Some of what is wanted is kept, so that values go and come again: the same numbers to the last bit."""
    names, held = "fit,pmi,mid,pc,cka,linear_probe,neural_collapse,abelian,fourier,margin", []
    settings = {"pmi.batch_size": 20, "mid.batch_size": 20}
    monkeypatch.setattr("grokscope.memory.LEAST", 1)
    touch = given.Memory.touch

    def noted(memory, *values):
        touch(memory, *values)
        held.append(memory.held)

    monkeypatch.setattr(given.Memory, "touch", noted)
    ample = analyze(run_path, names, steps="last", settings=settings, refresh=True)
    most = max(held)
    held.clear()
    tight = analyze(run_path, names, steps="last", settings=settings, refresh=True, max_memory=2 * most)
    assert max(held) <= most // 2
    assert repr(tight.columns) == repr(ample.columns)


def test_a_checkpoint_goes_as_soon_as_the_next_one_comes(run_path, monkeypatch):
    """Were it held in a circle, what it shares would stay until Python looks: 60 MB of clauw's."""
    known, alive = [], []
    begin = GuardedProbe.__init__

    def noted(probe, **options):
        alive.append(sum(each() is not None for each in known))
        begin(probe, **options)
        known.append(weakref.ref(probe))

    monkeypatch.setattr(GuardedProbe, "__init__", noted)
    gc.disable()
    try:
        analyze(
            run_path, "fit,pmi,linear_probe,abelian,margin", settings={"pmi.batch_size": 20}, refresh=True
        )
    finally:
        gc.enable()
    assert len(known) > 2
    assert max(alive) == 0
    assert all(each() is None for each in known)


def test_what_is_shared_is_not_handed_to_numpy(run_path, monkeypatch):
    """By none of our measures: it would be summed up before and after. What `oinfo` returns is."""
    summed, sum_up = [], guard._storage_sum
    monkeypatch.setattr(guard, "_storage_sum", lambda storage: summed.append(len(storage)) or sum_up(storage))
    settings = {f"{name}.batch_size": 20 for name in ("pe", "pmi", "ed", "mid", "pmi_label")}
    found = analyze(run_path, steps="last", settings=settings, refresh=True)
    assert not found.failures
    assert set(summed) == {24 * 8}


def test_freed_memory_is_held_only_where_there_is_much(monkeypatch):
    """What glibc learns from is one block, not larger than the 32 MB from which on it learns nothing."""
    asked = []
    monkeypatch.setattr(torch, "empty", lambda size, dtype, device: asked.append(size * dtype.itemsize))
    hold_freed(2 << 30)
    assert not asked
    hold_freed(8 << 30)
    hold_freed(None)
    assert len(asked) == 2
    assert (31 << 20) < max(asked) < (32 << 20)


def test_a_size_that_is_none_is_refused(run_path):
    with pytest.raises(SettingError, match="max_memory must be a size such as 2GB"):
        analyze(run_path, "fit", max_memory="plenty")


FAILED = [  # of torch on CPU and CUDA, of numpy, of Python
    (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
            "tried to allocate 5035261952 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "5 GB",
    ),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has"), "20.00 GiB"),
    (MemoryError("Unable to allocate 4.69 GiB for an array with shape (25088, 25088)"), "4.69 GiB"),
    (MemoryError(), "what is"),
]


@pytest.mark.parametrize(("error", "size"), FAILED)
def test_memory_that_is_lacking_is_told_in_a_sentence(error, size, run_path):
    @measure(columns=[Column("value", "a number")])
    def greedy(weights):
        """Ask for much."""
        raise error

    module = types.ModuleType("greedy_plugin")
    module.grokscope_measures = hookimpl(lambda: [greedy])
    module.grokscope_measures.__name__ = "grokscope_measures"
    found = analyze(run_path, "greedy", steps="last", plugins=load_plugins(extra=[module]))
    (failed,) = found.failures
    assert failed.message == (
        f"there is no memory for {size} asked for at once: fewer `workers` and a smaller `max_memory` "
        "leave more of it, other layers or fewer examples need less"
    )
    assert "Traceback" in failed.detail


def test_what_takes_more_than_may_be_taken_is_refused_before(run_path, monkeypatch):
    monkeypatch.setattr("grokscope.memory.LEAST", 1)
    found = analyze(run_path, "oinfo,cka", steps="last", refresh=True, max_memory=2000)
    said = {failed.measure: failed.message for failed in found.failures}
    assert said.keys() == {"oinfo", "cka"}
    assert said["oinfo"].startswith("oinfo: the correlations of the units of layers.0_post, ")
    assert "and this process may take 2e-06 GB: give it more by `max_memory`, or choose" in said["cka"]


@pytest.mark.slow
def test_51529_pairs_stay_below_what_was_asked_for():
    """With everything kept the default measures took 2.2 GB of them."""
    measured = runpy.run_path(str(BENCHMARK))["measured"]
    assert measured(227, "1500MB")["peak"] < 1.5e9
