"""Event files as TensorBoard itself reads them."""

import shutil
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from grokscope import Run, UsageError, analyze, analyze_many, write_events


def accumulated(folder):
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def test_tensorboard_reads_what_was_measured(measured_runs, tmp_path):
    found = analyze_many(measured_runs, "fit,weight_norm,oinfo")
    written = write_events(found, tmp_path / "tb")
    assert [path.parent.name for path in written] == ["run", "deeper"]
    for name, results in found.runs.items():
        events = accumulated(tmp_path / "tb" / name)
        tags = events.Tags()["scalars"]
        for column in ("oinfo.synergy", "weight_norm.l2:layers.1.weight"):
            scalars = events.Scalars(column.replace(".", "/", 1).replace(":", "/"))
            assert [scalar.step for scalar in scalars] == results.steps
            assert [s.value for s in scalars] == np.float32(results.course(column)).tolist()
            assert [scalar.wall_time for scalar in scalars] == results.steps
        scalars = events.Scalars("curve/test_accuracy")
        assert [scalar.step for scalar in scalars] == results.curve["step"].tolist()
        assert [s.value for s in scalars] == np.float32(results.curve["test_accuracy"]).tolist()
        assert "oinfo/search" not in tags


def test_the_configuration_is_text_and_hyperparameters(measured_runs, tmp_path):
    write_events(measured_runs, tmp_path)
    events = accumulated(tmp_path / "deeper")
    words = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert '"weight_decay": ' in words
    assert all(line.startswith("    ") for line in words.splitlines())
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["model.hidden"].string_value == "8,6"
    assert hparams["training.steps"].number_value == 30


def test_writing_again_replaces_and_gives_the_same_bytes(runs, tmp_path):
    first = [path.read_bytes() for path in write_events(runs, tmp_path)]
    assert [path.read_bytes() for path in write_events(runs, tmp_path)] == first
    analyze(runs[0], "pe", settings={"pe.batch_size": 40})
    write_events(runs, tmp_path)
    assert len(list((tmp_path / "run").iterdir())) == 1
    events = accumulated(tmp_path / "run")
    assert len(events.Scalars("oinfo/synergy")) == 7
    assert len(events.Scalars("pe/pe")) == 7


def test_no_run_s_name_leads_out_of_the_folder(runs, tmp_path):
    same = [runs[0], shutil.copytree(runs[0], tmp_path / "elsewhere" / "run")]
    before = sorted(path.name for path in runs[0].iterdir())
    written = write_events(same, tmp_path / "tb")
    assert [path.parents[1] for path in written] == [tmp_path / "tb"] * 2
    assert len({path.parent for path in written}) == 2
    assert sorted(path.name for path in runs[0].iterdir()) == before


def test_one_scalar_has_one_value_at_a_step(runs, tmp_path):
    analyze(runs[0], "cka", baseline="last")
    with pytest.raises(UsageError, match="cka at step 0 is stored for several baselines"):
        write_events(runs, tmp_path / "tb")
    assert not (tmp_path / "tb").exists()


def test_without_tensorboard_it_says_what_to_install(measured_runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(UsageError, match=r"needs tensorboard: pip install 'grokscope\[tensorboard\]'"):
        write_events([Run.open(measured_runs[0])], tmp_path / "tb")
