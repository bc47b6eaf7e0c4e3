"""`grokscope train` as a user meets it."""

import re
import signal
import subprocess
import sys

import pytest

from grokscope import Run, train

SMALL = ("--p", "13", "--hidden", "24", "--train-fraction", "0.5")


def test_it_prints_the_run_and_finds_it_again(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ("train", "modadd", *SMALL, "--steps", "30", "--checkpoint-every", "10")
    first = cli(*command)
    assert first.code == 0
    path = first.out.strip()
    assert re.fullmatch(r"runs/modadd-clauw-[0-9a-f]{8}-s0", path)
    assert Run.open(path).steps == (0, 10, 20, 30)
    again = cli(*command)
    assert again.code == 0
    assert again.out.strip() == path
    assert "complete" in again.err
    other = cli(*command, "--seed", "1")
    assert other.out.strip() == path[:-1] + "1"


def test_every_intervention_has_a_flag(cli, tmp_path):
    beside = (
        *("--perturb", "0.5,0.4", "--abelian", "100", "--anti-norm", "2e-10", "--dropout", "0.3"),
        *("--constrain-norm", "--init-scale", "2", "--init-scale-only", "weights"),
        *("--init-zero", "last_layer"),
        *("--grokfast-ema", "0.98,2", "--orthogonal-gradient", "tensor"),
        *("--loss", "stablemax_cross_entropy"),
    )
    ended = cli("train", "modadd", *SMALL, "--steps", "2", "--out", tmp_path / "r", *beside)
    assert ended.code == 0, ended.err
    given = {
        "perturb": [0.5, 0.4],
        "abelian": 100,
        "anti_norm": 2e-10,
        "dropout": 0.3,
        "constrain_norm": "all",
        "init_scale_only": "weights",
        "init_zero": "last_layer",
        "grokfast_ema": [0.98, 2.0],
        "orthogonal_gradient": "tensor",
        "loss": "stablemax_cross_entropy",
    }
    training = Run.open(tmp_path / "r").config["training"]
    assert {name: training[name] for name in given} == given
    ended = cli("train", "modadd", *SMALL, "--steps", "2", "--out", tmp_path / "ma", "--grokfast-ma", "9,5")
    assert Run.open(tmp_path / "ma").config["training"]["grokfast_ma"] == [9.0, 5.0]


def test_a_subnetwork_is_trained_and_measured(cli, run_path, tmp_path):
    train = ("train", "modadd", "--subnetwork", f"{run_path}@20", "--out", tmp_path / "sub")
    refused = cli(*train)
    assert refused.code == 2
    assert len(refused.err.strip().splitlines()) == 1
    command = re.search("`grokscope (.*)` first", refused.err)[1]
    assert cli(*command.split()).code == 0
    assert cli(*train).code == 0
    assert cli("analyze", tmp_path / "sub", "--measure", "oinfo,fit").code == 0


def test_quiet_says_nothing(cli, tmp_path):
    ended = cli("train", "modadd", *SMALL, "--steps", "5", "--out", tmp_path / "r", "--quiet")
    assert ended.code == 0
    assert ended.err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train", "modad"), "unknown task 'modad': did you mean modadd"),
        (("train", "modadd", "--recipe", "nada"), "unknown recipe 'nada': did you mean nanda"),
        (("train", "modadd", "--p", "1"), "p must be int >= 2, <= 2048, got '1'"),
        (("train", "modadd", "--operation", "divide", "--p", "12"), "prime"),
        (("train", "modadd", "--operation", "plus"), "operation must be add | subtract"),
        (("train", "modadd", "--train-fraction", "1.0"), "train_fraction must be"),
        (("train", "modadd", "--p", "5", "--batch-size", "100"), "batch_size"),
        (("train", "modadd", "--set", "model.width=3"), "width"),
        (("train", "modadd", "--set", "training.lrr=3"), "lr"),
        (("train", "modadd", "--checkpoint-every", "log:x"), "checkpoint_every"),
        (("train", "modadd", "--lr", "-1"), "lr must be"),
        (("train", "modadd", "--dtype", "float16"), "dtype must be float32 | float64"),
        (("train", "modadd", "--device", "cuda:99"), "device"),
        (
            ("train", "modadd", "--synergistic-dropout-share", "0.3"),
            "--synergistic-dropout-share must be given with --synergistic-dropout or --dropped-units, got",
        ),
        (
            ("train", "modadd", "--abelian-reduction", "sum"),
            "-reduction must be given with --abelian, got none",
        ),
        (
            ("train", "modadd", "--set", "momentum=0.5"),
            "--momentum must be given with --optimizer sgd, got adamw",
        ),
    ],
)
def test_impossible_settings_get_one_sentence(cli, tmp_path, arguments, sentence):
    ended = cli(*arguments, "--out", tmp_path / "run")
    assert ended.code == 2
    assert sentence in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", ["another run", "other files"])
def test_a_directory_with_something_else_is_left_untouched(cli, tmp_path, run_path, what):
    out = run_path
    if what == "other files":
        out = tmp_path / "thesis"
        out.mkdir()
        (out / "chapter.tex").write_text("precious")

    def everything():
        return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    before = everything()
    ended = cli("train", "modadd", *SMALL, "--steps", "99", "--out", out)
    assert ended.code == 2
    assert str(out) in ended.err
    assert everything() == before


def start(*arguments):
    command = [sys.executable, "-m", "grokscope", "train", "modadd", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


LONG = (*SMALL, "--steps", "800", "--checkpoint-every", "50")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The sha256 of the last checkpoint of a training that nobody interrupts."""
    settings = {"task.p": 13, "task.train_fraction": 0.5, "model.hidden": [24]}
    settings |= {"training.steps": 800, "training.checkpoint_every": "50"}
    return train("modadd", settings=settings, out=tmp_path_factory.mktemp("whole") / "run").checkpoints[-1]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_step_and_the_same_command_goes_on(
    tmp_path, cli, uninterrupted, signum, code, until
):
    out = tmp_path / "run"
    arguments = (*LONG, "--out", out)
    process = start(*arguments)
    until(lambda: len(list(out.glob("checkpoints/*.safetensors"))) >= 2, process)
    process.send_signal(signum)
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == code, stderr
    assert stdout.strip() == str(out)
    stopped = Run.open(out).steps[-1]
    assert 0 < stopped < 800
    assert f"stopped at step {stopped}" in stderr
    assert "grokscope train modadd" in stderr
    assert cli("train", "modadd", *arguments).code == 0
    assert Run.open(out).checkpoints[-1] == uninterrupted


def test_a_loss_that_is_not_finite_says_where_and_what_is_left(cli, tmp_path):
    ended = cli(
        "train",
        "modadd",
        *SMALL,
        "--lr",
        "1e6",
        "--init-scale",
        "1e6",
        "--steps",
        "50",
        "--out",
        tmp_path / "run",
    )
    assert ended.code == 1
    assert re.search(r"step \d+", ended.err)
    assert "checkpoint" in ended.err


def test_lines_go_to_stderr_and_carry_no_colour(tmp_path, cli, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    command = ("train", "modadd", *SMALL, "--steps", "20", "--out", tmp_path / "run")
    for said in ("", "complete"):
        ended = cli(*command)
        assert ended.out == f"{tmp_path / 'run'}\n"
        assert said in ended.err
        assert "\x1b" not in ended.err
