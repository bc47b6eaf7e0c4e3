"""Each kind of damage is one finding with its place; a sound run has none; repairing deletes nothing."""

import os
import shutil
from pathlib import Path

import h5py
import pytest
import torch

from grokscope.errors import RunError
from grokscope.measure import Row
from grokscope.run import Run, checkpoint, files, index
from grokscope.run.kinds import Kinds
from grokscope.run.results import Cell, CellKey
from grokscope.run.tidy import BASELINE
from grokscope.run.verify import Finding, verify_run

DATA = Path(__file__).parent / "data"


def cell(run, step, measure="a:b", parameters="{}", value=1.0):
    sha256 = next(info.sha256 for info in run.checkpoints if info.step == step)
    key = CellKey(sha256, measure, 1, parameters, run.data_hash, run.noise_seed)
    return Cell(key, step, (Row((), {"value": value}, {}),))


@pytest.fixture
def sound(run):
    """Checkpoints at 0, 10 and 20, two segments, resume state and index, all as they should be."""
    run.store([cell(run, step) for step in (0, 10, 20)])
    run.store([cell(run, step, "a:c") for step in (0, 10)])
    state = {f"optimizer.a.{name}": torch.zeros(2, 3) for name in ("exp_avg", "exp_avg_sq")}
    run.save_resume({**state, "torch.cpu": torch.zeros(5, dtype=torch.uint8)}, {"step": "20"})
    run.refresh_index()
    return run.path


def kinds(found):
    return [(finding.kind, finding.file) for finding in found]


def listing(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def flip(path, position=-1):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def segments(path):
    return sorted((path / "results").glob("*.h5"))


def test_a_sound_run_has_no_findings_and_looking_changes_nothing(sound):
    before = listing(sound)
    assert verify_run(sound) == []
    assert verify_run(sound, repair=True) == []
    assert listing(sound) == before


def test_a_copy_with_other_times_is_sound(sound, tmp_path):
    assert verify_run(shutil.copytree(sound, tmp_path / "copy", copy_function=shutil.copyfile)) == []


@pytest.mark.parametrize("name", ["trained", "imported", "linked"])
def test_runs_of_an_earlier_grokscope_are_sound(name, tmp_path):
    found = verify_run(shutil.copytree(DATA / name, tmp_path / name))
    assert [finding for finding in found if finding.kind != "index"] == []


def test_what_is_no_run_is_refused_and_a_changed_configuration_is_a_finding(sound, tmp_path):
    with pytest.raises(RunError, match="no run"):
        verify_run(tmp_path)
    text = (sound / "run.toml").read_text()
    (sound / "run.toml").write_text(text.replace("lr = 0.03", "lr = 0.04"))
    [finding] = verify_run(sound)
    assert (finding.kind, finding.file) == ("run", "run.toml")
    assert finding.problem.startswith("was changed")


@pytest.mark.parametrize("position", [3, 40, -1])
def test_a_flipped_bit_of_a_checkpoint(sound, position):
    flip(sound / "checkpoints/00000010.safetensors", position)
    found = verify_run(sound)
    assert kinds(found)[0] == ("checkpoint", "checkpoints/00000010.safetensors")
    assert {kind for kind, _ in kinds(found)[1:]} == {"result", "index"}  # of what is no longer believed


def test_a_truncated_and_a_foreign_checkpoint(sound):
    whole = (sound / "checkpoints/00000010.safetensors").read_bytes()
    (sound / "checkpoints/00000010.safetensors").write_bytes(whole[:-1])
    shutil.copy(sound / "checkpoints/00000020.safetensors", sound / "checkpoints/00000030.safetensors")
    found = [finding for finding in verify_run(sound) if finding.kind == "checkpoint"]
    assert [finding.file[-14:-12] for finding in found] == ["10", "30"]
    assert "is damaged" in found[0].problem
    assert "its step must be 30, got 20" in found[1].problem


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": torch.zeros(2, 3)}, "missing: b (3,)"),
        ({"a": torch.zeros(2, 3), "b": torch.zeros(3).long()}, "b must hold numbers like torch.float64, got"),
        ({"a": torch.zeros(3, 2), "b": torch.zeros(3)}, "a must be (2, 3), got (3, 2)"),
        ({"a": torch.zeros(2, 3), "b": torch.zeros(3), "c": torch.zeros(1)}, "unknown: c (1,)"),
    ],
)
def test_another_network_s_checkpoint_under_a_sound_seal(sound, weights, words):
    Run.open(sound).save_checkpoint(30, weights, {})
    found = [finding for finding in verify_run(sound) if finding.kind == "checkpoint"]
    assert kinds(found) == [("checkpoint", "checkpoints/00000030.safetensors")]
    assert words in found[0].problem


def test_all_checkpoints_are_held_against_the_network_when_it_is_known(sound):
    network = {"a": torch.empty(2, 3), "b": torch.empty(3)}
    assert verify_run(sound, network) == []
    found = verify_run(sound, {**network, "b": torch.empty(4)})
    assert [finding.file[-14:-12] for finding in found if finding.kind == "checkpoint"] == ["00", "10", "20"]


def test_parameters_that_are_no_real_numbers(run):
    for step in (0, 10, 20):
        (run.path / f"checkpoints/{step:08d}.safetensors").unlink()
    weights = {"a": torch.zeros(2, 3), "n": torch.tensor([1])}
    Run.open(run.path).save_checkpoint(0, weights, {}, kinds=Kinds(("a", "n")))
    [finding] = [finding for finding in verify_run(run.path) if finding.kind == "checkpoint"]
    assert "n torch.int64" in finding.problem


def test_a_damaged_segment_is_set_aside_and_the_index_made_anew(sound):
    first = segments(sound)[0]
    flip(first)
    assert kinds(verify_run(sound)) == [("segment", f"results/{first.name}"), ("index", "index.h5")]
    assert first.exists()
    repaired = verify_run(sound, repair=True)
    assert all(finding.repaired for finding in repaired)
    assert verify_run(sound) == []
    assert (sound / "results/quarantine" / first.name).exists()


def test_results_of_a_changed_checkpoint_are_set_aside_and_the_others_kept(sound, config):
    other = {"a": torch.ones(2, 3), "b": torch.zeros(3, dtype=torch.float64)}
    Run.open(sound).save_checkpoint(10, other, {})
    run = Run.open(sound)
    run.store([cell(run, 20, "a:d", f'{{"{BASELINE}":"{"0" * 64}"}}')])  # compared with what is not there
    before = {name for name in listing(sound) if name.startswith("results/")}
    found = verify_run(sound)
    assert [kind for kind, _ in kinds(found)] == ["result", "result", "result", "index"]
    assert "checkpoints that were changed" in found[0].problem
    repaired = verify_run(sound, repair=True)
    assert [finding.file for finding in repaired] == [finding.file for finding in found]
    assert all(finding.repaired for finding in repaired)
    assert verify_run(sound) == []
    kept = Run.open(sound).cells()
    assert sorted((key.measure, found.step) for key, found in kept.items()) == [
        ("a:b", 0),
        ("a:b", 20),
        ("a:c", 0),
    ]
    assert {f"results/{p.name}" for p in (sound / "results/quarantine").iterdir()} == before


def test_results_of_another_run_s_data(sound):
    run = Run.open(sound)
    mine = cell(run, 0)
    foreign = CellKey(mine.key.checkpoint, "a:b", 1, "{}", "f" * 64, run.noise_seed)
    run.store([Cell(foreign, 0, mine.rows)])
    assert "result" in [kind for kind, _ in kinds(verify_run(sound))]


def test_differing_results_are_a_finding_that_repair_leaves(sound):
    run = Run.open(sound)
    run.store([cell(run, 0, value=2.0)])
    run.refresh_index()
    [finding] = verify_run(sound, repair=True)
    assert finding.kind == "result"
    assert finding.problem == "a:b at step 0 has differing results: the measure is not deterministic"
    assert finding.repaired == ""


def missing(path):
    path.unlink()


def garbage(path):
    path.write_bytes(b"no HDF5")


def stale(path):
    run = Run.open(path.parent)
    run.store([cell(run, 20, "a:z")])


def forged(path):
    with h5py.File(path, "r+") as file:
        table = file["results/rows"][()]
        table["value"] = 7.0
        file["results/rows"][...] = table


def forged_loss(path):
    with h5py.File(path, "r+") as file:
        table = file["checkpoints"][()]
        table["test_accuracy"] = 1.0
        file["checkpoints"][...] = table


@pytest.mark.parametrize("damage", [missing, garbage, stale, forged, forged_loss])
def test_an_index_that_does_not_fit_is_made_anew(sound, damage):
    damage(sound / "index.h5")
    assert kinds(verify_run(sound)) == [("index", "index.h5")]
    assert [finding.repaired for finding in verify_run(sound, repair=True)] == [
        "made anew from the checkpoints and results"
    ]
    assert verify_run(sound) == []


def test_an_index_of_an_earlier_grokscope_is_no_damage(sound):
    """It had no seal behind it."""
    path = sound / "index.h5"
    path.write_bytes(path.read_bytes()[: -index.SEAL_SIZE])
    assert kinds(verify_run(sound)) == [("index", "index.h5")]
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 2
    assert verify_run(sound) == []


def wrong_shape(run):
    run.save_resume({"optimizer.a.exp_avg": torch.zeros(3, 2)}, {"step": "20"})


def another_step(run):
    run.save_resume({"optimizer.a.exp_avg": torch.zeros(2, 3)}, {"step": "15"})


def flipped(run):
    flip(run.path / "resume.safetensors")


def of_another_run(run):
    tensors = {"optimizer.a.exp_avg": torch.zeros(2, 3)}
    files.atomic_write(
        run.path / "resume.safetensors", checkpoint.encode(tensors, {"step": "20", "run": "x"})
    )


@pytest.mark.parametrize("damage", [wrong_shape, another_step, flipped, of_another_run])
def test_a_resume_state_that_cannot_be_used(sound, damage):
    damage(Run.open(sound))
    assert kinds(verify_run(sound)) == [("resume", "resume.safetensors")]


def test_links_that_are_not_followed(sound, tmp_path):
    first = segments(sound)[0]
    shutil.move(first, tmp_path / first.name)
    first.symlink_to(tmp_path / first.name)
    assert ("segment", f"results/{first.name}") in kinds(verify_run(sound))
    shutil.move(sound / "checkpoints", tmp_path / "elsewhere")
    (sound / "checkpoints").symlink_to(tmp_path / "elsewhere")
    [finding] = verify_run(sound)
    assert (finding.kind, finding.file) == ("folder", "checkpoints")
    assert finding.problem.startswith("must not be a link")


def test_a_file_in_the_place_of_a_folder(sound):
    shutil.rmtree(sound / "results")
    (sound / "results").touch()
    assert kinds(verify_run(sound)) == [("folder", "results")]


def test_a_checkpoint_that_is_a_link_is_read(sound, tmp_path):
    file = sound / "checkpoints/00000010.safetensors"
    shutil.move(file, tmp_path / "cached")
    file.symlink_to(tmp_path / "cached")
    assert verify_run(sound) == []
    flip(tmp_path / "cached")
    assert kinds(verify_run(sound))[0] == ("checkpoint", "checkpoints/00000010.safetensors")
    (tmp_path / "cached").unlink()
    [finding, *_] = verify_run(sound)
    assert (finding.kind, finding.file) == ("checkpoint", "checkpoints/00000010.safetensors")
    assert "is left out: it is a link" in finding.problem


def test_files_that_are_neither_checkpoints_nor_segments(sound):
    shutil.copy(sound / "checkpoints/00000010.safetensors", sound / "checkpoints/best.safetensors")
    shutil.copy(segments(sound)[0], sound / "results/mine.h5")
    assert kinds(verify_run(sound)) == [
        ("checkpoint", "checkpoints/best.safetensors"),
        ("segment", "results/mine.h5"),
    ]


def test_temporary_files_of_ended_processes_and_of_other_machines(sound, abandoned):
    dead = abandoned(sound / "checkpoints")
    elsewhere = dead.replace(dead[11:27], "0" * 16)
    own = files.temporary_name()
    for name in (elsewhere, own):
        (sound / name).write_bytes(b"")
    assert sorted(kinds(verify_run(sound))) == [
        ("temporary", elsewhere),
        ("temporary", f"checkpoints/{dead}"),
    ]
    repaired = verify_run(sound, repair=True)
    assert {finding.file: finding.repaired for finding in repaired} == {
        f"checkpoints/{dead}": "deleted",
        elsewhere: "",
    }
    assert (sound / own).exists()
    assert not (sound / "checkpoints" / dead).exists()


def test_a_changed_table_of_imports(tmp_path):
    path = shutil.copytree(DATA / "imported", tmp_path / "run")
    flip(path / "imported.json", 30)
    assert ("checkpoint", "imported.json") in kinds(verify_run(path))
    os.unlink(path / "imported.json")
    assert ("checkpoint", "imported.json") in kinds(verify_run(path))


def test_a_finding_reads_as_a_line():
    finding = Finding("index.h5", "index", "it is missing", "made anew")
    assert str(finding) == "index.h5: it is missing; repaired: made anew"
