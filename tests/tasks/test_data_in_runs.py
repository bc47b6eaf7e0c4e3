"""A run knows its data by digest: wherever that lies now, and never another in its place."""

import shutil
import tomllib

import pytest

from grokscope import DataError, Run, UnknownName, analyze, analyze_many, train

TINY = {
    "task.train_size": 50,
    "task.test_size": 40,
    "model.hidden": [8],
    "training.steps": 8,
    "training.checkpoint_every": "1",
    "training.batch_size": 0,
}


def trained(folder, out, **settings):
    return train("mnist", settings={**TINY, "task.data_dir": str(folder), **settings}, out=out)


@pytest.fixture
def run(mnist_folder, tmp_path):
    return trained(mnist_folder("here"), tmp_path / "run")


@pytest.fixture
def moved(run, tmp_path):
    """The folder with the run's data, after it was moved."""
    (tmp_path / "here").rename(tmp_path / "there")
    return tmp_path / "there"


def test_the_configuration_has_the_digest_and_beside_it_the_place(run, tmp_path):
    written = tomllib.loads((run.path / "run.toml").read_text())
    assert len(written["task"]["data_sha256"]) == 64
    assert written["local"] == {"data_dir": str(tmp_path / "here")}
    assert not {"data_dir", "download"} & set(written["task"])


def test_the_place_is_no_part_of_what_the_run_is(run, mnist_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    same = trained(mnist_folder("packed", packed=True), tmp_path / "same", **{"task.download": True})
    assert (same.id, same.data_hash, same.config_hash) == (run.id, run.data_hash, run.config_hash)
    assert [info.sha256 for info in same.checkpoints] == [info.sha256 for info in run.checkpoints]
    assert trained(tmp_path / "packed", None).path == trained(tmp_path / "here", None).path


def test_other_data_is_another_run(run, mnist_folder, tmp_path):
    other = trained(mnist_folder("more", test=41), tmp_path / "other")
    assert other.data_hash != run.data_hash
    assert other.id != run.id
    with pytest.raises(Exception, match=r"holds another run: task\.data_sha256 is"):
        trained(tmp_path / "more", run.path)


def test_the_same_command_finds_the_run_wherever_the_data_is(run, moved):
    assert trained(moved, run.path).steps == run.steps


def test_a_recorded_digest_can_be_asked_for(run, mnist_folder, tmp_path):
    digest = run.config["task"]["data_sha256"]
    assert trained(tmp_path / "here", tmp_path / "b", **{"task.data_sha256": digest}).id == run.id
    with pytest.raises(DataError, match="must be that with data_sha256"):
        trained(mnist_folder("x", test=41), tmp_path / "c", **{"task.data_sha256": digest})
    assert not (tmp_path / "c").exists()


def test_data_that_is_gone_gets_one_sentence(run, moved):
    with pytest.raises(DataError) as caught:
        analyze(run, "fit")
    message = str(caught.value)
    assert message.startswith(f"{run.path} cannot be measured without its data: task mnist needs ")
    assert "`data_dir`" in message


def test_data_that_is_gone_is_not_needed_for_weights(run, moved):
    assert analyze(run, "weight_norm", steps="last").columns["weight_norm.l2_all"][0] > 0


@pytest.mark.parametrize("isolate", [False, True])
def test_data_is_looked_for_before_anything_is_computed(run, mnist_folder, tmp_path, isolate):
    other = trained(tmp_path / "here", tmp_path / "other", **{"training.seed": 1})
    for each in (run, other):
        analyze(each, "fit", steps="first")  # so that of the first checkpoint only weights are missing
    (tmp_path / "here").rename(tmp_path / "there")
    computed = []
    found = analyze_many(
        [run.path, other.path],
        "weight_norm,fit",
        isolate=isolate,
        progress=lambda done, total, measure, step: computed.append(done),
    )
    assert not any(computed)
    assert not found.runs
    assert all("without its data: task mnist needs" in str(error) for error in found.failed.values())
    assert {key.measure for key in Run.open(run.path).cells()} == {"core:fit"}


def test_stored_results_need_no_data(run, tmp_path):
    before = analyze(run, "fit")
    shutil.rmtree(tmp_path / "here")
    again = analyze(run, "fit")
    assert again.computed == 0
    assert again.columns == before.columns


def test_moved_data_is_found_by_option_and_by_environment(run, moved, monkeypatch):
    told = analyze(run, "fit", steps="last", data_dir=moved)
    assert told.columns["fit.test_loss"][0] == pytest.approx(run.checkpoints[-1].test_loss, rel=1e-6)
    monkeypatch.setenv("GROKSCOPE_DATA_DIR", str(moved))
    assert analyze(run, "fit", steps="first").computed == 1


def subnetwork_of(run, out, **settings):
    """A run of the units that are in the most synergistic multiplet of `run` at its end."""
    analyze(run, "oinfo", steps="last", settings={"oinfo.max_size": 3})
    given = {"training.subnetwork": f"{run.path}@8", "training.steps": 2, **settings}
    return train("mnist", settings=given, out=out)


def test_a_subnetwork_finds_the_data_where_its_run_has_it(run, mnist_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROKSCOPE_DATA_DIR", str(tmp_path / "nowhere"))
    found = subnetwork_of(run, tmp_path / "sub")
    assert found.config["task"] == run.config["task"]
    assert found.config["local"] == {"data_dir": str(tmp_path / "here")}
    told = subnetwork_of(run, tmp_path / "told", **{"task.data_dir": str(mnist_folder("other"))})
    assert told.config["local"] == {"data_dir": str(tmp_path / "other")}
    assert told.id == found.id


def test_a_subnetwork_of_a_run_whose_data_was_moved_looks_where_it_is_told(run, tmp_path, monkeypatch):
    analyze(run, "oinfo", steps="last", settings={"oinfo.max_size": 3})
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.setenv("GROKSCOPE_DATA_DIR", str(tmp_path / "there"))
    assert subnetwork_of(run, tmp_path / "sub").config["local"] == {"data_dir": str(tmp_path / "there")}


def test_changed_data_is_refused(run, tmp_path):
    path = tmp_path / "here" / "t10k-labels-idx1-ubyte"
    data = bytearray(path.read_bytes())
    data[-1] = (data[-1] + 1) % 10
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"here must be that with data_sha256 .* it was changed"):
        analyze(run, "fit")


def test_a_task_without_files_has_no_place():
    with pytest.raises(UnknownName, match=r"unknown setting 'task\.data_dir'"):
        train("modadd", settings={"task.data_dir": "x"})


def test_a_data_folder_for_a_run_without_data_is_refused(run_path):
    with pytest.raises(UnknownName, match="unknown parameter of task modadd 'data_dir'"):
        analyze(run_path, "fit", data_dir="x")


def test_a_run_on_an_lstm_goes_on_to_the_bit(csv_folder, tmp_path):
    settings = {
        "task.data_dir": str(csv_folder),
        "task.train_size": 28,
        "task.test_size": 12,
        "task.length": 10,
        "model.d_embedding": 4,
        "model.d_state": 5,
        "training.batch_size": 9,
        "training.steps": 12,
        "training.checkpoint_every": "5",
    }
    whole = train("imdb", settings=settings, out=tmp_path / "whole")
    assert whole.config["training"]["clip_norm"] == 5.0
    asked = iter([False] * 7 + [True] * 9)
    train("imdb", settings=settings, out=tmp_path / "cut", stop=lambda: next(asked))
    cut = train("imdb", settings=settings, out=tmp_path / "cut")
    assert Run.open(cut.path).checkpoints[-1].sha256 == whole.checkpoints[-1].sha256


def small_digits(tmp_path, csv_folder):
    settings = {"task.train_size": 220, "model.hidden": [16, 16], "training.batch_size": 50}
    return "digits", settings


def small_imdb(tmp_path, csv_folder):
    task = {"data_dir": str(csv_folder), "train_size": 28, "test_size": 12, "words": 15, "length": 10}
    model = {"d_embedding": 4, "d_state": 5}
    return "imdb", {
        **{f"task.{name}": value for name, value in task.items()},
        **{f"model.{name}": value for name, value in model.items()},
        "training.batch_size": 10,
    }


def small_parity(tmp_path, csv_folder):
    return "parity", {"task.n": 30, "task.train_size": 220, "task.test_size": 60, "model.hidden": [16]}


QUICK = {
    "llc.draws": 8,
    "llc.burn_in": 0,
    "llc.chains": 2,
    "ntk_distance.samples": 12,
    "sharpness.max_probes": 16,
}


@pytest.mark.parametrize("small", [small_digits, small_imdb, small_parity])
def test_every_measure_has_numbers_or_says_why_not(small, tmp_path, csv_folder):
    task, settings = small(tmp_path, csv_folder)
    short = {"training.steps": 20, "training.checkpoint_every": "20"}
    run = train(task, settings={**settings, **short}, out=tmp_path / "run")
    results = analyze(run, "all", steps="last", settings=QUICK)
    assert [str(failure) for failure in results.failures] == []
    answered = {name.split(".")[0] for name in results.measured}
    assert {"fit", "weight_norm", "oinfo", "effective_rank"} <= answered
    for measure, reason in results.notes.items():
        assert len(reason.split()) > 4, f"{measure} says no more than {reason!r}"


def test_the_command_line_trains_and_measures_where_the_data_is(cli, mnist_folder, tmp_path):
    folder, out = mnist_folder(), tmp_path / "run"
    flags = ["--hidden", "8", "--steps", "8", "--checkpoint-every", "1", "--batch-size", "0", "--out", out]
    flags += ["--set", "task.train_size=50", "--set", "task.test_size=40"]
    refused = cli("train", "mnist", *flags, "--data-dir", tmp_path / "nothing")
    assert (refused.code, len(refused.err.strip().splitlines())) == (2, 1)
    assert not out.exists()
    ended = cli("train", "mnist", *flags, "--data-dir", folder)
    assert ended.code == 0, ended.err
    folder.rename(tmp_path / "moved")
    gone = cli("analyze", out, "-m", "fit")
    assert (gone.code, len(gone.err.strip().splitlines())) == (2, 1)
    assert "cannot be measured without its data" in gone.err
    told = cli("analyze", out, "-m", "fit", "--workers", "2", "--data-dir", tmp_path / "moved", "--quiet")
    assert told.code == 0, told.err


def test_importing_every_task_needs_no_extra(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys\n"
        "for extra in ('sklearn', 'torchvision', 'datasets', 'pandas'): sys.modules[extra] = None\n"
        "import grokscope, grokscope.cli\n"
        "import grokscope.tasks.digits, grokscope.tasks.images, grokscope.tasks.text\n"
        "assert not grokscope.load_plugins().problems\n"
        "tasks = grokscope.load_plugins().tasks\n"
        "assert {'digits', 'mnist', 'imdb', 'parity'} <= set(tasks)\n"
        "tasks['parity'].build()\n"
        "try: tasks['digits'].build()\n"
        "except grokscope.DataError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "pip install 'grokscope[data]'" in done.stdout, done.stderr
