"""`grokscope analyze` as a user meets it: tables, exports, refusals, exit codes."""

import csv
import io
import json
import re
import signal
import subprocess
import sys

import pytest

from grokscope import Run

FAST = ("--measure", "fit,weight_norm")


def test_the_table_shows_columns_course_and_transitions(cli, run_path):
    ended = cli("analyze", run_path, *FAST)
    assert ended.code == 0
    assert "\nfit\n" in "\n".join(line.strip() for line in ended.out.splitlines())
    assert "  test_accuracy" in ended.out
    assert "  l2_all" in ended.out
    assert re.search("[▁▂▃▄▅▆▇█]{5}", ended.out)
    assert "memorised" in ended.out
    assert "l2:layers.0.weight" not in ended.out
    assert "more columns by layer" in ended.out
    assert "  l2:layers.0.weight" in cli("analyze", run_path, *FAST, "--per-layer").out


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_fits_the_terminal(cli, run_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    out = cli("analyze", run_path, *FAST).out
    assert max(len(line) for line in out.splitlines()) <= width
    assert "60" in out


def test_memorisation_and_grokking_are_marked(cli, run_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(Run, "memorisation_step", lambda self, threshold=0.99: 20)
    monkeypatch.setattr(Run, "grokking_step", lambda self, threshold=0.95: 45)
    out = cli("analyze", run_path, *FAST).out
    header = out.splitlines()[0]
    assert "M 20" in header
    assert "G<50" in header  # it grokked at 45, where nothing was measured
    assert "G 50" not in header
    assert "memorised at step 20" in out
    assert "grokked at step 45" in out
    assert "delay 25 steps" in " ".join(out.split())


def test_csv_on_stdout_is_only_csv(cli, run_path):
    ended = cli("analyze", run_path, *FAST, "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [row["step"] for row in rows] == ["0", "10", "20", "30", "40", "50", "60"]
    assert list(rows[0])[:2] == ["step", "fit.train_loss"]
    assert "weight_norm.l2:layers.0.weight" in rows[0]
    last = Run.open(run_path).checkpoints[-1]
    assert float(rows[-1]["fit.train_accuracy"]) == pytest.approx(last.train_accuracy, abs=1e-12)


def test_long_csv_is_tidy(cli, run_path):
    ended = cli("analyze", run_path, *FAST, "--csv", "-", "--long", "--steps", "last")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert list(rows[0]) == ["run", "step", "measure", "layer", "column", "value"]
    assert {row["measure"] for row in rows} == {"fit", "weight_norm"}


def test_csv_to_a_file_also_prints_the_table(cli, run_path, tmp_path):
    ended = cli("analyze", run_path, *FAST, "--csv", tmp_path / "out.csv")
    assert "  train_loss" in ended.out
    assert (tmp_path / "out.csv").read_text().startswith("step,fit.train_loss,")


def test_json_is_valid_and_names_what_is_missing(cli, run_path):
    found = json.loads(cli("analyze", run_path, "--measure", "pe", "--set", "pe.batch_size=40", "--json").out)
    assert set(found) >= {"run", "memorisation_step", "grokking_step", "columns", "notes", "failures"}
    assert len(found["columns"]["pe.pe"]) == 7


def test_what_a_plugin_prints_stays_out_of_the_data(run_path, stranger):
    environment = stranger(
        "noisy",
        "import os\nfrom grokscope import Column, hookimpl, measure\n"
        "print('at import')\n"
        "@measure(columns=[Column('value', 'a number')])\n"
        "def noise(weights):\n"
        "    'Make noise.'\n"
        "    print('[/nope] by print')\n"
        "    os.write(1, b'by descriptor')\n"
        "    return {'value': 1.0}\n"
        "@hookimpl\n"
        "def grokscope_measures():\n"
        "    return [noise]\n",
    )
    ended = subprocess.run(
        [sys.executable, "-m", "grokscope", "analyze", str(run_path), "-m", "noise", "--csv", "-"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "step,noise.value\n" + "".join(f"{step},1.0\n" for step in range(0, 61, 10))
    assert "by descriptor" in ended.stderr


def test_a_second_call_says_the_same(cli, run_path):
    assert cli("analyze", run_path, *FAST).out == cli("analyze", run_path, *FAST).out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-m", "oinf"), "unknown measure or column 'oinf': did you mean oinfo"),
        (("-m", "fit,nonsense"), "unknown measure or column 'nonsense'"),
        (("-m", "pe", "--set", "pe.alpa=1"), "unknown parameter of pe 'alpa': did you mean alpha"),
        (("-m", "pe", "--set", "pe.alpha=0"), "pe.alpha must be"),
        (("-m", "pe", "--set", "pe.alpha"), "--set must be NAME=VALUE"),
        (("-m", "fit", "--steps", "17"), "there is no checkpoint at step 17"),
    ],
)
def test_what_cannot_be_asked_for_gets_one_sentence(cli, run_path, arguments, sentence):
    ended = cli("analyze", run_path, *arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert sentence in ended.err
    assert len(ended.err.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_a_directory_that_is_no_run(cli, tmp_path, kind):
    path = tmp_path / "there"
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    for command in ("analyze", "show"):
        ended = cli(command, path)
        assert ended.code == 2
        assert "run.toml" in ended.err or "no run" in ended.err
        assert len(ended.err.strip().splitlines()) == 1


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "empty"])
def test_a_damaged_checkpoint_costs_only_itself(cli, run_path, damage):
    file = run_path / "checkpoints" / "00000030.safetensors"
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[-5] ^= 16
    elif damage == "foreign":
        from safetensors.torch import save
        from torch import zeros

        data = save({"elsewhere": zeros(3)})
    else:
        data = b""
    file.write_bytes(data)
    ended = cli("analyze", run_path, *FAST, "--csv", "-")
    assert ended.code == 3
    assert "00000030.safetensors" in ended.err
    rows = {row["step"]: row for row in csv.DictReader(io.StringIO(ended.out))}
    assert {step for step, row in rows.items() if row["fit.train_loss"]} == {
        "0",
        "10",
        "20",
        "40",
        "50",
        "60",
    }


@pytest.mark.parametrize("damage", ["deleted", "truncated", "foreign"])
def test_an_index_is_rebuilt_and_that_is_said_once(cli, run_path, damage):
    before = cli("analyze", run_path, *FAST, "--csv", "-").out
    index = run_path / "index.h5"
    if damage == "deleted":
        index.unlink()
    else:
        index.write_bytes(index.read_bytes()[:500] if damage == "truncated" else b"no index")
    first = cli("analyze", run_path, *FAST, "--csv", "-")
    second = cli("analyze", run_path, *FAST, "--csv", "-")
    assert first.out == second.out == before
    assert "index" in first.err
    assert second.err == ""


def test_show(cli, run_path):
    cli("analyze", run_path, *FAST)
    ended = cli("show", run_path)
    assert ended.code == 0
    for words in (
        "modadd",
        "p=13",
        "weight_decay",
        "steps 0 to 60",
        "test_accuracy",
        "memorised",
        "core:fit",
        "7 of 7",
    ):
        assert words in ended.out


def test_results_of_a_read_only_run_go_where_told(cli, run_path, tmp_path):
    def everything():
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in run_path.rglob("*") if p.is_file()}

    cli("show", run_path)  # brings the copy's index up to date
    before = everything()
    first = cli("analyze", run_path, *FAST, "--csv", "-", "--out", tmp_path / "kept")
    assert first.code == 0
    assert everything() == before
    assert list((tmp_path / "kept").rglob("*.h5"))
    assert cli("analyze", run_path, *FAST, "--csv", "-", "--out", tmp_path / "kept").out == first.out


def test_two_analyses_of_one_run_at_once_leave_every_row_once(run_path):
    command = [
        sys.executable,
        "-m",
        "grokscope",
        "analyze",
        str(run_path),
        "-m",
        "fit,weight_norm,oinfo",
        "--csv",
        "-",
    ]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    run = Run.open(run_path)
    assert len(run.cells()) == 3 * 7
    assert not run.conflicts
    import h5py

    with h5py.File(io.BytesIO((run_path / "index.h5").read_bytes())) as index:
        rows = (
            index["results"]["rows"][:] if isinstance(index["results"], h5py.Group) else index["results"][:]
        )
    seen = [(row["checkpoint"], row["measure"], row["label"], row["column"]) for row in rows]
    assert len(seen) == len(set(seen))


def test_ctrl_c_keeps_what_was_computed(run_path, tmp_path, stranger, until):
    environment = stranger(
        "slow",
        "import os, pathlib, time\nfrom grokscope import Column, hookimpl, measure\n"
        "@measure(columns=[Column('value', 'a number')])\n"
        "def sleepy(probe):\n"
        "    'Sleep at step 30.'\n"
        "    if probe.step == 30:\n"
        f"        pathlib.Path({str(tmp_path / 'there')!r}).touch()\n"
        "        time.sleep(60)\n"
        "    return {'value': 1.0}\n"
        "@hookimpl\n"
        "def grokscope_measures():\n"
        "    return [sleepy]\n",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "grokscope", "analyze", str(run_path), "-m", "sleepy"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until((tmp_path / "there").exists, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert out == ""
    assert "what was computed is stored" in err
    assert "Traceback" not in err
    assert sorted(cell.step for cell in Run.open(run_path).cells().values()) == [0, 10, 20]
