"""`verify` is silent and 0 where all is sound, and a line and 1 where anything is amiss."""

import json

import pytest


@pytest.fixture
def measured(run_path, cli):
    assert cli("analyze", run_path, "-m", "weight_norm", "--workers", 1, "-q").code == 0
    return run_path


def test_a_sound_run_is_silent(cli, measured):
    ended = cli("verify", measured)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert json.loads(cli("verify", measured, "--json").out) == []


def test_findings_are_lines_and_objects_and_are_repaired(cli, measured):
    (measured / "index.h5").write_bytes(b"no index")
    next((measured / "results").glob("*.h5")).write_bytes(b"no segment")
    ended = cli("verify", measured)
    assert ended.code == 1
    files = [line.partition(": ")[0].removeprefix(f"{measured}/") for line in ended.out.splitlines()]
    assert [file[:8] for file in files] == ["results/", "index.h5"]
    found = json.loads(cli("verify", measured, "--json").out)
    assert [finding["kind"] for finding in found] == ["segment", "index"]
    assert {finding["run"] for finding in found} == {str(measured)}
    repaired = cli("verify", measured, "--repair")
    assert repaired.code == 0
    assert "repaired: moved to results/quarantine" in repaired.out
    assert cli("verify", measured).code == 0


def test_checkpoints_are_held_against_the_network(cli, measured):
    import torch

    from grokscope import Run

    Run.open(measured).save_checkpoint(70, {"layers.0.weight": torch.zeros(1)}, {})
    ended = cli("verify", measured)
    assert ended.code == 1
    assert "00000070.safetensors: its tensors are not this run's network: missing: layers." in ended.out


def test_what_is_no_run_is_usage_and_the_others_are_looked_at(cli, measured, tmp_path):
    assert cli("verify", tmp_path).code == 2
    (measured / "index.h5").unlink()
    ended = cli("verify", tmp_path, measured)
    assert ended.code == 1
    assert "failed: " in ended.err
    assert "index.h5: it is missing" in ended.out
