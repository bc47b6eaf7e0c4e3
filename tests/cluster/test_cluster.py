"""What is sent to a Dask cluster comes back as it would be computed here; who may compute it is checked."""

import builtins
import importlib.util
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from grokscope import GrokscopeError, Run, SettingError, UsageError, analyze, analyze_many, sweep
from grokscope.analysis.batches import Report, _Line
from grokscope.analysis.chunks import Chunk
from grokscope.analysis.clock import Clock
from grokscope.analysis.plan import Place
from grokscope.analysis.worker import Order
from grokscope.analysis.workers import Manner
from grokscope.cluster import Cluster, Job, Lost
from grokscope.cluster.origin import Origin
from grokscope.export import measured_columns
from grokscope.report.text import csv_of

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="pip install 'grokscope[dask]'"
)
ROGUE = """
import os, signal
from grokscope import Column, hookimpl, measure

@measure(columns=[Column("value", "a number")])
def crashes(probe):
    "Break at step 10."
    if probe.step == 10:
        os.kill(os.getpid(), signal.SIGSEGV)
    return {"value": probe.step}

@hookimpl
def grokscope_measures():
    return [crashes]
"""
FIXED = {"p": 11, "hidden": [12], "steps": 12, "checkpoint_every": "6", "log_every": 3}


def hashes(path):
    return [checkpoint.sha256 for checkpoint in Run.open(path).checkpoints]


def csv(found):
    return csv_of(measured_columns(found, False))


def test_what_comes_back_is_what_is_computed_here(run_path, tmp_path, dask_client, stranger_here):
    stranger_here("rogue", ROGUE)
    alone = shutil.copytree(run_path, tmp_path / "alone")
    second = shutil.copytree(run_path, tmp_path / "second")
    clock, seen = Clock(), []
    found = analyze_many(
        [run_path, second, tmp_path / "none"],
        "rogue,fit,weight_norm",
        steps="10:20",
        dask=dask_client,
        clock=clock,
        progress=lambda done, total, measure, step: seen.append((done, total)),
    )
    one, other = found.runs.values()
    here = analyze(alone, "rogue,fit,weight_norm", steps="10:20", isolate=True)
    assert csv(one) == csv(other) == csv(here)
    assert list(found.failed) == [str(tmp_path / "none")]
    assert len(one.failures) == len(other.failures) == len(here.failures) == 1
    assert {str(failure) for each in (one, other, here) for failure in each.failures} == {
        "crashes at step 10 (plugin rogue of rogue 1.0): its process died twice (killed by SIGSEGV)"
    }
    assert seen[0] == (0, 12)
    assert seen[-1] == (12, 12)
    assert {spent.part for spent in clock.take()} >= {"fit", "weight_norm", "reading checkpoints"}
    assert not Run.open(run_path).conflicts
    # What is stored is served without a cluster.
    again = analyze(run_path, "fit,weight_norm", steps="10:20", dask="tcp://127.0.0.1:9")
    assert (again.computed, len(again.columns["step"])) == (0, 2)


def test_a_cell_that_takes_too_long_is_stopped(run_path, dask_client, stranger_here):
    stranger_here("sleepy", ROGUE.replace("os.kill(os.getpid(), signal.SIGSEGV)", "signal.pause()"))
    found = analyze(run_path, "sleepy:crashes", steps="10", timeout=0.5, dask=dask_client)
    assert [failure.message for failure in found.failures] == [
        "it took longer than 0.5 s, the timeout, and was stopped"
    ]


def test_runs_are_trained_as_here(tmp_path, dask_client):
    options = {"grid": {"init_scale": [1, 1e6]}, "settings": {**FIXED, "lr": 0.01}}
    seen, told = [], []
    here = sweep("modadd", **options, seeds=2, out=tmp_path / "here")
    there = sweep(
        "modadd",
        **options,
        seeds=2,
        out=tmp_path / "there",
        dask=dask_client,
        progress=seen.append,
        notify=told.append,
    )
    assert [path.name for path in there.finished] == [path.name for path in here.finished]
    assert len(here.finished) == 4
    for one, other in zip(here.finished, there.finished, strict=True):
        assert hashes(one) == hashes(other)
    assert (seen[-1].step, seen[-1].finished) == (48, 4)
    assert not told
    again = sweep("modadd", **options, seeds=2, out=tmp_path / "there", dask="tcp://127.0.0.1:9")
    assert again.finished == there.finished


def test_seeds_are_trained_together_there_too(tmp_path, dask_client):
    options = {"settings": FIXED, "together": True}
    there = sweep("modadd", **options, seeds=4, out=tmp_path / "there", dask=dask_client)
    assert [Run.open(path).load_resume()[1]["seeds together"] for path in there.finished] == ["2"] * 4
    here = sweep("modadd", **options, seeds=2, out=tmp_path / "here")
    assert [hashes(path) for path in here.finished] == [hashes(path) for path in there.finished[:2]]


def test_a_sweep_that_is_stopped_leaves_checkpoints(tmp_path, dask_client):
    fixed = {**FIXED, "steps": 99_999_999, "checkpoint_every": "1,99999999"}
    out = tmp_path / "out"

    def stop():
        return len(list(out.glob("*/checkpoints/*.safetensors"))) >= 4

    done = sweep("modadd", seeds=3, settings=fixed, out=out, dask=dask_client, stop=stop)
    assert not done.failures
    assert len(done.stopped) == 3
    assert [len(Run.open(path).steps) for path in sorted(out.iterdir())] == [3, 3]


def test_a_sweep_ends_where_no_worker_ever_came(tmp_path, dask_client):
    import distributed

    told = []
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        done = sweep(
            "modadd",
            seeds=2,
            settings=FIXED,
            out=tmp_path,
            dask=client,
            stop=lambda: bool(told),
            notify=told.append,
        )
    assert len(done.stopped) == 2
    assert len(told) == 1
    assert told[0].endswith("has no workers: waiting for some")


def failing(*arguments):
    raise ZeroDivisionError("by design")


def test_what_a_worker_cannot_do_is_said(dask_client, tmp_path):
    cluster = Cluster(dask_client, 1, print)

    def work(job):
        jobs = iter([job])
        return list(cluster.work(lambda threads: next(jobs, None)))

    with pytest.raises(GrokscopeError, match=r"same files, and .*/elsewhere is not there"):
        work(Job("", [tmp_path / "elsewhere"], failing, ()))
    with pytest.raises(GrokscopeError, match="its work: ZeroDivisionError: by design; it must have"):
        work(Job("", [tmp_path], failing, ()))


def test_a_process_must_have_what_the_origin_has(tmp_path):
    here = Origin.here()
    assert not here.unlike()
    assert {"torch", "numpy", "grokscope", "plugin core", "plugin oinfo"} <= here.versions.keys()
    other = replace(here, versions={**here.versions, "torch": "1.0"})
    assert f"must have torch 1.0, got {here.versions['torch']}: install" in other.unlike()
    other = replace(here, versions={**here.versions, "plugin mine": "mine 1.0 (0123abcd)"})
    assert "must have plugin mine mine 1.0 (0123abcd), got none" in other.unlike()
    assert "gone is not there" in replace(here, folder=str(tmp_path / "gone")).unlike()


def test_a_plugin_that_is_left_out_need_not_be_there(monkeypatch):
    monkeypatch.setenv("GROKSCOPE_DISABLE_PLUGINS", "oinfo")
    assert "plugin oinfo" not in Origin.here().versions
    assert Origin.here().variables["GROKSCOPE_DISABLE_PLUGINS"] == "oinfo"


class Heard:
    """Hears what becomes of a chunk."""

    in_trouble = False

    def __init__(self):
        self.words = []

    def __getattr__(self, word):
        return lambda *said: self.words.append((word, *said))


def chunks(count):
    return [Chunk(f"run{n}", {0: Order("a:b", n, {}, None, None)}, Heard()) for n in range(count)]


def batch_of(line, threads=2):
    job = line.give(threads)
    return job and job.about


def test_batches_grow_until_they_take_some_seconds_and_shrink_at_the_end():
    line = _Line(chunks(1000), Manner(Place()), Counter())
    sizes = []
    while batch := batch_of(line):
        sizes.append(len(batch))
        line.take(batch, Report([[] for _ in batch], 0.04 * len(batch)))
    assert sizes[0] == 1
    assert sizes[1:4] == [100, 100, 100]
    assert sizes[-1] == 1
    assert sorted(sizes[1:], reverse=True) == sizes[1:]
    assert sum(sizes) == 1000


def test_of_a_batch_that_was_lost_each_chunk_is_tried_alone():
    all_chunks = chunks(50)
    line = _Line(all_chunks, Manner(Place()), Counter())
    line.take(batch_of(line), Report([[]], 0.1))
    batch = batch_of(line)
    assert len(batch) > 1
    line.take(batch, Lost())
    alone = [batch_of(line) for _ in batch]
    assert alone == [[chunk] for chunk in batch]
    line.take(alone[0], Lost())
    why = "the Dask workers that were at its checkpoint died, one by one"
    assert batch[0].hears.words == [("failed", 0, why), ("closed", None)]
    assert all(not chunk.hears.words for chunk in batch[1:])


def test_a_measure_that_crashes_three_times_is_not_sent_any_more():
    all_chunks = chunks(5)
    line = _Line(all_chunks, Manner(Place()), Counter())
    for _ in range(3):
        line.take(batch_of(line), Report([[("crashed", (0, "it died")), ("closed", (None,))]], 100.0))
    assert line.give(2) is None
    assert [chunk.hears.words[0] for chunk in all_chunks] == [("crashed", 0, "it died")] * 3 + [
        ("failed", 0, "")
    ] * 2


def test_dask_is_looked_for_before_anything_is_computed(cli, run_path, monkeypatch):
    refused = cli("analyze", run_path, "-m", "fit", "--dask", "tcp://127.0.0.1:9", "--workers", "2")
    assert (refused.code, "--workers must be left out with --dask tcp" in refused.err) == (2, True)
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.partition(".")[0] == "distributed":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    for words in (["analyze", run_path], ["sweep", "modadd"], ["reproduce", "clauw-2"]):
        refused = cli(*words, "--dask", "local")
        assert refused.code == 2
        assert "a Dask cluster needs distributed: pip install 'grokscope[dask]'" in refused.err
    with pytest.raises(UsageError, match="needs distributed"):
        analyze(run_path, "fit", dask="local")


def test_no_scheduler_answers(run_path, dask_client, monkeypatch):
    monkeypatch.setattr("grokscope.cluster.ANSWER_WITHIN", "0.2 s")
    monkeypatch.chdir(run_path)
    Path("list.json").write_text("[1]")
    for wrong, why in {
        "tcp://127.0.0.1:9": "Timed out trying to connect",
        "tcp://somewhere": "missing port number",
        "ftp://here:1": "unknown address scheme 'ftp'",
        "none.json": "No such file",
        "list.json": "missing port number",
    }.items():
        with pytest.raises(UsageError, match=f"`dask` must be local, the address .* got {wrong}: .*{why}"):
            analyze(run_path, "fit", dask=wrong)
    for other in (7, ""):
        with pytest.raises(SettingError, match="`dask` must be local"):
            analyze(run_path, "fit", dask=other)
    assert not Run.open(run_path).cells()
