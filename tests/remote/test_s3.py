"""Runs in an S3 store, by the commands themselves: killed, refused, and beside one another."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SMALL = [
    "--p",
    "13",
    "--train-fraction",
    "0.5",
    "--hidden",
    "24",
    "--steps",
    "60",
    "--checkpoint-every",
    "10",
]
TRAIN = ["train", "modadd", *SMALL, "-q"]
RUN = "s3://bucket/runs/run"
START = "bytes=0-65535"  # of what is read to see whose checkpoint it is
CHECKPOINTS = [f"runs/run/checkpoints/{step:08d}.safetensors" for step in range(0, 61, 10)]


@pytest.fixture
def command(store, tmp_path):
    """Call a command in a process of its own: `command("show", RUN)`; `wait=False` leaves it running."""
    running = []

    def call(*words, wait=True, **variables):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "grokscope", *map(str, words)],
            env={**os.environ, **store.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        running.append(process)
        if not wait:
            return process
        out, err = process.communicate(timeout=900)
        return process.returncode, out, err

    yield call
    for process in running:
        process.kill()
        process.communicate()


class Gate:
    """Holds requests up: the first that `which` says, until it is opened."""

    def __init__(self, store, which):
        self.reached, self.opened = threading.Event(), threading.Event()

        def fail(method, key, headers):
            if which(method, key, headers) and not self.reached.is_set():
                self.reached.set()
                self.opened.wait(600)

        store.fail = fail


def _called(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def body(store, key):
    return store.client().get_object(Bucket="bucket", Key=key)["Body"].read()


def same_checkpoints(store, trained):
    """Whether those in the store are those of the run on disk, to the byte."""
    return all(
        body(store, key) == (trained / key.removeprefix("runs/run/")).read_bytes() for key in CHECKPOINTS
    )


def test_every_command_reads_a_run_that_was_copied_there(store, command, trained, tmp_path):
    store.put_folder(trained, "runs/run")
    local = shutil.copytree(trained, tmp_path / "local" / "run")
    read = []
    store.fail = lambda method, key, headers: read.append((key, headers.get("RANGE", "")))
    code, out, err = command("analyze", RUN, "-m", "weight_norm", "--steps", "30", "--csv", "-")
    assert code == 0, err
    whole = [key for key, span in read if "checkpoints/0" in key and span != START]
    assert whole == [f"bucket/{CHECKPOINTS[3]}"]
    several = ["-m", "weight_norm,fit", "--workers", "2", "--csv", "-"]
    printed = {where: command("analyze", where, *several) for where in (RUN, local)}
    assert printed[RUN][0] == 0, printed[RUN][2]
    assert printed[RUN][1] == printed[local][1]
    for words in (
        ["show", RUN],
        ["export", RUN, "-o", "-"],
        ["plot", RUN, "-m", "weight_norm", "-o", "norms.svg"],
        ["report", RUN, "-m", "weight_norm", "-o", "page.html"],
        ["phases", RUN],
        ["score", RUN, "-m", "weight_norm"],
        ["list", "s3://bucket/runs"],
    ):
        code, out, err = command(*words)
        assert code == 0, (words, err)
        assert out or words[-1] in ("norms.svg", "page.html"), words
    assert (tmp_path / "norms.svg").stat().st_size > 1000
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert command("verify", RUN) == (0, "", "")
    code, _, err = command("rm", RUN, "--yes")
    assert (code, "must be a directory of this machine" in err) == (2, True)


def test_predict_takes_runs_of_a_sweep_that_was_trained_there(store, command, tmp_path):
    sweep = ["sweep", "modadd", *SMALL, "--seeds", "4", "--out", "s3://bucket/runs", "--dask", "local", "-q"]
    code, out, err = command(*sweep)
    assert code == 0, err
    runs = out.split()
    assert len(runs) == 4
    assert all(run.startswith("s3://bucket/runs/modadd-") for run in runs)
    code, out, err = command("analyze", *runs, "-m", "weight_norm", "--dask", "local", "--csv", "-")
    assert code == 0, err
    assert len({row["run"] for row in csv.DictReader(io.StringIO(out))}) == 4
    store.get_folder("runs", tmp_path / "runs")
    local = [run.replace("s3://bucket", ".") for run in runs]
    of_both = [command("predict", *each, "-m", "weight_norm", "--until", "30") for each in (runs, local)]
    assert of_both[0] == of_both[1]
    assert "Traceback" not in of_both[0][2]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_goes_on_to_the_same_bytes(store, command, trained, signum):
    gate = Gate(store, lambda method, key, headers: method == "PUT" and "00000030" in key)
    process = command(*TRAIN, "--out", RUN, wait=False)
    assert gate.reached.wait(300)
    process.send_signal(signum)
    gate.opened.set()  # a PUT that was under way may still be done, after its sender is dead
    assert process.wait(300) == (-signal.SIGKILL if signum == signal.SIGKILL else 128 + signum)
    code, out, err = command(*TRAIN, "--out", RUN)
    assert (code, out.strip()) == (0, RUN), err
    assert same_checkpoints(store, trained)
    assert command("verify", RUN)[0] == 0


def test_a_resume_state_that_arrives_late_costs_nothing_but_time(store, command, trained, until):
    key, puts = "runs/run/resume.safetensors", []
    gate = Gate(
        store, lambda method, name, _: method == "PUT" and "resume" in name and (puts.append(1) or puts[4:])
    )
    process = command(*TRAIN, "--out", RUN, wait=False)
    assert gate.reached.wait(300)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert command(*TRAIN, "--out", RUN)[0] == 0
    newest = body(store, key)
    gate.opened.set()
    until(lambda: body(store, key) != newest, seconds=30)
    assert b'"step":"40"' in body(store, key)
    store.client().delete_object(Bucket="bucket", Key=CHECKPOINTS[-1])
    assert command(*TRAIN, "--out", RUN)[0] == 0
    assert same_checkpoints(store, trained)
    assert body(store, key) == newest


def test_killed_workers_and_a_killed_command_lose_nothing(store, command, trained, kin, tmp_path):
    store.put_folder(trained, "runs/run")
    words = ["analyze", RUN, "-m", "weight_norm,fit", "--workers", "2", "--csv", "-"]
    gate = Gate(store, lambda method, key, headers: "00000040" in key and headers["RANGE"] != START)
    process = command(*words, wait=False)
    assert gate.reached.wait(300)  # a worker reads the checkpoint
    servers = [pid for pid in kin.of(process.pid) if b"forkserver" in _called(pid)]
    workers = set().union(*map(kin.of, servers))
    assert workers
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    gate.opened.set()
    first = process.communicate(timeout=600)
    assert (process.returncode, first[0]) == (0, command(*words)[1])
    gate = Gate(store, lambda method, key, headers: method == "PUT" and "results/" in key)
    process = command(*words, "--refresh", wait=False)
    assert gate.reached.wait(300)
    process.send_signal(signal.SIGKILL)
    process.wait()
    gate.opened.set()
    code, out, err = command(*words)
    assert code == 0, err
    assert "differing" not in err
    local = shutil.copytree(trained, tmp_path / "local" / "run")
    assert out == command("analyze", local, *words[2:])[1]


def test_requests_that_fail_now_and_then_are_tried_again(store, command, trained):
    failed = set()

    def fail(method, key, headers):
        if (method, key) not in failed and ("safetensors" in key or "results" in key):
            failed.add((method, key))
            return "broken"
        return None

    store.fail = fail
    code, _, err = command(*TRAIN, "--out", RUN)
    assert code == 0, err
    assert same_checkpoints(store, trained)
    code, _, err = command("analyze", RUN, "-m", "weight_norm")
    assert code == 0, err
    assert {method for method, _ in failed} == {"GET", "PUT", "HEAD"}


def test_a_store_that_fails_is_one_sentence_and_the_same_command_goes_on(store, command, trained):
    store.fail = lambda method, key, headers: "broken" if method == "PUT" and "00000030" in key else None
    code, _, err = command(*TRAIN, "--out", RUN)
    assert code == 1
    assert err.splitlines()[-1].startswith(
        f"grokscope: {RUN}/checkpoints/00000030.safetensors cannot be written"
    )
    store.fail = lambda method, key, headers: None
    assert command(*TRAIN, "--out", RUN)[0] == 0
    assert same_checkpoints(store, trained)
    store.fail = lambda method, key, headers: "broken" if method == "PUT" and "results/" in key else None
    code, _, err = command("analyze", RUN, "-m", "weight_norm")
    assert (code, "cannot be written" in err, "Traceback" in err) == (1, True, False), err
    store.fail = lambda method, key, headers: None
    assert command("analyze", RUN, "-m", "weight_norm")[0] == 0


def test_a_store_that_does_not_answer_is_one_sentence(store, command):
    hung = threading.Event()
    store.fail = lambda method, key, headers: hung.wait(120) and None
    impatient = '{"config_kwargs": {"read_timeout": 1, "retries": {"max_attempts": 1}}}'
    code, _, err = command("show", RUN, FSSPEC_S3=impatient)
    hung.set()
    assert (code, err.count("\n")) == (1, 1), err
    assert f"{RUN}/run.toml cannot be read" in err


def test_of_two_trainings_that_begin_at_once_one_has_the_run(store, command, trained):
    barrier = threading.Barrier(2, timeout=300)

    def fail(method, key, headers):
        if method == "PUT" and key.endswith("run.toml"):
            assert headers.get("IF_NONE_MATCH") == "*"
            barrier.wait()

    store.fail = fail
    processes = [command(*TRAIN, "--seed", seed, "--out", RUN, wait=False) for seed in "01"]
    ended = [(process.communicate(timeout=600)[1], process.returncode) for process in processes]
    assert sorted(code for _, code in ended) == [0, 2], ended
    assert "holds another run: training.seed" in next(err for err, code in ended if code == 2)
    assert command("verify", RUN)[0] == 0


def test_a_store_without_conditional_requests_will_do(store, command, trained):
    store.fail = lambda method, key, headers: "unknown" if "IF_NONE_MATCH" in headers else None
    code, _, err = command(*TRAIN, "--out", RUN)
    assert code == 0, err
    assert same_checkpoints(store, trained)


def test_seven_who_measure_one_run_at_once_lose_nothing(store, command, trained):
    store.put_folder(trained, "runs/run")
    shares = [
        command("analyze", RUN, "-m", "weight_norm", "--steps", step, "-q", wait=False)
        for step in map(str, range(0, 61, 10))
    ]
    shares[3].send_signal(signal.SIGKILL)
    for process in shares:
        process.communicate(timeout=900)
    assert [process.returncode for process in shares] == [0, 0, 0, -9, 0, 0, 0]
    code, out, err = command("show", RUN, "--json")
    assert code == 0, err
    assert '"robustness:weight_norm": 6' in out or '"robustness:weight_norm": 7' in out
    assert command("analyze", RUN, "-m", "weight_norm")[0] == 0
    assert '"robustness:weight_norm": 7' in command("show", RUN, "--json")[1]


def test_import_and_record_write_there(store, command, trained, tmp_path):
    files = trained / "checkpoints" / "*.safetensors"
    given = ["--task", "modadd", "--model", "mlp", "--set", "p=13", "--set", "hidden=24"]
    given += ["--set", "train_fraction=0.5"]
    code, out, err = command("import", "s3://bucket/imported", "--checkpoints", files, *given)
    assert (code, out.strip()) == (0, "s3://bucket/imported"), err
    assert command("verify", "s3://bucket/imported")[0] == 0
    script = tmp_path / "loop.py"
    script.write_text(
        "import torch, grokscope\n"
        "net, data = torch.nn.Linear(4, 2), (torch.randn(8, 4), torch.arange(8) % 2)\n"
        "given = dict(model=net, train=data, test=data, checkpoint_every='1')\n"
        "with grokscope.record('s3://bucket/recorded', **given) as recorder:\n"
        "    recorder.step(1)\n"
    )
    variables = {**os.environ, **store.variables}
    done = subprocess.run([sys.executable, script], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "recorded/checkpoints/00000001.safetensors" in store.names()


NOTHING = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["show", "s3://nobucket/run"], {}, "cannot be read: The specified bucket does not exist"),
        ([*TRAIN, "--out", "s3://nobucket/run"], {}, "The specified bucket does not exist"),
        (["show", "s3://bucket/none"], {}, "is no run: it has no run.toml"),
        (["analyze", RUN], NOTHING, "Unable to locate credentials; set AWS_ACCESS_KEY_ID"),
        (["analyze", RUN], {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect to the endpoint"),
    ],
)
def test_what_cannot_be_reached_is_said_in_one_sentence(store, command, words, variables, said):
    code, _, err = command(*words, **variables)
    assert code in (1, 2)
    assert said in err
    assert err.count("\n") == 1
    assert not any(method == "PUT" for method, _ in store.requests)


@pytest.mark.parametrize("words", [["analyze", RUN, "-m", "weight_norm"], [*TRAIN, "--out", RUN]])
def test_read_only_ground_is_said_before_anything_is_computed(store, command, trained, words):
    store.put_folder(trained, "runs/run")
    store.client().delete_object(Bucket="bucket", Key=CHECKPOINTS[-1])
    store.fail = lambda method, key, headers: "refused" if method in ("PUT", "DELETE") else None
    before = store.names()
    code, _, err = command(*words)
    assert (code, err.count("\n")) == (1, 1), err
    assert f"{RUN} is read-only" in err
    assert store.names() == before
