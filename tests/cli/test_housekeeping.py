"""`list`, `rm`, `doctor` and `new-plugin`."""

import io
import json
import os
import subprocess
import sys

import pytest


def test_list_shows_what_each_run_is(cli, run_path):
    (row,) = json.loads(cli("list", run_path.parent, "--json").out)
    assert (row["run"], row["task"], row["recipe"]) == (str(run_path), "modadd", "clauw")
    assert (row["step"], row["steps"], row["checkpoints"], row["state"]) == (60, 60, 7, "finished")
    table = cli("list", run_path.parent)
    assert table.code == 0
    for words in ("run", "modadd", "clauw", "1 run"):
        assert words in table.out


def test_list_names_the_run_that_cannot_be_read_and_shows_the_others(cli, run_path):
    broken = run_path.parent / "broken"
    broken.mkdir()
    (broken / "run.toml").write_text("format = 1")
    ended = cli("list", run_path.parent)
    assert ended.code == 3
    assert "broken" in ended.err
    assert "modadd" in ended.out


def test_list_of_nothing_says_how_to_make_a_run(cli, tmp_path):
    ended = cli("list", tmp_path)
    assert (ended.code, ended.out) == (0, "")
    assert "grokscope train modadd" in ended.err
    assert cli("list", tmp_path / "nowhere").code == 2


def test_rm_asks_and_without_anybody_to_ask_wants_yes(cli, run_path, monkeypatch):
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        ended = cli("rm", run_path)
    assert (ended.code, run_path.exists()) == (2, True)
    assert "--yes" in ended.err
    assert cli("rm", run_path, "--yes").code == 0
    assert not run_path.exists()


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_rm_does_what_it_is_answered(cli, run_path, monkeypatch, answer, code):
    class Asked(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Asked(answer))
    ended = cli("rm", run_path)
    assert (ended.code, run_path.exists()) == (code, code == 1)
    assert "Remove 1 of them" in ended.err


def test_rm_removes_none_where_one_is_no_run(cli, run_path, tmp_path):
    assert cli("rm", run_path, tmp_path / "nowhere", "--yes").code == 2
    assert run_path.exists()


def test_doctor_finds_this_installation_sound(cli):
    ended = cli("doctor", "--json")
    checks = {(check["group"], check["name"]): check for check in json.loads(ended.out)}
    assert ended.code == 0, [check for check in checks.values() if check["amiss"]]
    assert ("versions", "torch") in checks
    assert "results on 3 checkpoints" in checks["self-test", "train and measure"]["found"]


def test_doctor_tells_what_is_too_old(cli, monkeypatch):
    from grokscope import doctor

    real = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: "1.0" if name == "torch" else real(name))
    monkeypatch.setattr(doctor, "_self_test", lambda: doctor.Check("self-test", "train", "left out"))
    ended = cli("doctor")
    assert ended.code == 1
    assert "1.0, must be >=" in ended.out
    assert "1 amiss" in ended.out


@pytest.mark.slow
def test_a_new_plugin_passes_its_own_test(cli, tmp_path):
    assert cli("new-plugin", "tails", "--out", tmp_path).code == 0
    package = tmp_path / "grokscope-tails"
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package)],
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        cwd=package,
    )
    assert tested.returncode == 0, tested.stdout


def test_a_new_plugin_is_found_and_its_measure_runs(cli, tmp_path, run_path, monkeypatch):
    assert cli("new-plugin", "tails", "--out", tmp_path).code == 0
    package = tmp_path / "grokscope-tails"
    metadata = package / "grokscope_tails-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: grokscope-tails\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[grokscope]\ntails = grokscope_tails\n")
    monkeypatch.syspath_prepend(package)
    done = cli("analyze", run_path, "-m", "tails", "--csv", "-")
    del sys.modules["grokscope_tails"]
    assert done.code == 0, done.err
    assert "tails.tails:layers.0_post" in done.out.splitlines()[0]


@pytest.mark.parametrize("name", ["Tails", "1st", "a-b", "../x", ""])
def test_a_name_that_python_could_not_import_is_refused(cli, tmp_path, name):
    ended = cli("new-plugin", name, "--out", tmp_path)
    assert ended.code == 2
    assert "lower-case" in ended.err
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(cli, tmp_path):
    (tmp_path / "grokscope-tails").mkdir()
    assert cli("new-plugin", "tails", "--out", tmp_path).code == 2
    assert not list((tmp_path / "grokscope-tails").iterdir())
