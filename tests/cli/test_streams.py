"""No command fails for where its words go, and nothing that a name holds reaches a terminal as an order."""

import io
import json
import os
import shutil
import subprocess
import sys

import pytest
import typer

from grokscope import Run, streams
from grokscope.cli import app, main

COMMANDS = typer.main.get_command(app).commands
EVIL = "größe π\x1b[31m\x9b2J\x07"  # what no ASCII holds, and what a terminal would obey
NAMES = {"ONE": EVIL, "TWO": f"two {EVIL}", "BAD": f"bad {EVIL}", "GONE": f"gone {EVIL}"}
TINY = ("--p", 5, "--steps", 2, "--hidden", 4, "--checkpoint-every", 1, "--recipe", "clauw", "-q")

IMPORTED = ("--task", "modadd", "--model", "mlp", "--set", "task.p=13", "--set", "model.hidden=24")
# A call of every command on the runs ONE (measured, with an evil name), BAD (damaged) and its twin TWO.
CALLS = {
    "train": [("modadd", *TINY, "--out", "new")],
    "sweep": [("modadd", "--grid", "weight_decay=1", "--seeds", 1, "--set", "steps=2", "--set", "p=5", "-q")],
    "import": [("again", "--checkpoints", "ONE/checkpoints/*", "--step-from", r"(\d+)\.", *IMPORTED)],
    "list": [(".",)],
    "rm": [("GONE", "--yes")],
    "analyze": [
        ("ONE", "-m", "weight_norm,evil"),
        ("ONE", "-m", "fails,skips"),
        ("ONE", "TWO", "-m", "evil", "--csv", "-"),
        ("BAD",),
    ],
    "show": [("ONE",), ("ONE", "TWO"), ("BAD",)],
    "verify": [("ONE", "BAD"), ("BAD", "--json")],
    "export": [("ONE", "-o", "-"), ("ONE", "-o", "-", "--wide"), ("BAD", "-o", "-")],
    "plot": [("ONE", "-m", "evil"), ("ONE", "TWO", "-m", "l2_all")],
    "score": [("ONE", "-m", "weight_norm,evil"), ("ONE", "-m", "evil", "--json"), ("BAD",)],
    "phases": [("ONE", "--synergy", "evil.evil", "--redundancy", "weight_norm.l2_all")],
    "predict": [
        ("ONE", "TWO", "-m", "weight_norm,evil"),
        ("ONE", "TWO", "-m", "evil", "--json"),
        ("--list",),
    ],
    "league": [("ONE", "TWO", "-m", "weight_norm,evil"), ("ONE", "-m", "evil", "--json"), ("BAD",)],
    "report": [("ONE", "-m", "evil", "-o", f"{EVIL}.html")],
    "reproduce": [("--list",)],
    "measures": [(), ("evil",), ("fourier",)],
    "plugins": [()],
    "recipes": [(), ("clauw",)],
    "doctor": [()],
    "new-plugin": [("tails", "--out", ".")],
}
PLUGIN = f'''
"""A plugin whose every word is evil. {EVIL!r}"""
from grokscope import Column, NotApplicable, hookimpl, measure

EVIL = {EVIL!r}

@measure(columns=[Column("evil", "what " + EVIL + " is"), Column("said", "words", text=True)], per=["layer"])
def evil(weights):
    """Evil."""
    if "evil" not in weights:
        yield {{"layer": EVIL, "evil": 1.0, "said": EVIL}}
        yield {{"layer": "second " + EVIL, "evil": float(len(weights)), "said": "-"}}

@measure(columns=[Column("fails", "nothing")])
def fails(weights):
    """Fails."""
    raise ValueError(EVIL)

@measure(columns=[Column("skips", "nothing")])
def skips(weights):
    """Skips."""
    raise NotApplicable(EVIL)

@hookimpl
def grokscope_measures():
    return [evil, fails, skips]
'''
BROKEN = f"raise ValueError({EVIL!r})\n"


@pytest.fixture(scope="module")
def place(trained, tmp_path_factory, plugin_in):
    """A folder with runs of evil names, and plugins whose every word is evil; each command does its own."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("folder")
    plugin_in(site, "evil", PLUGIN)
    plugin_in(site, "worse", BROKEN)
    for name in NAMES.values():
        shutil.copytree(trained, folder / name)
    (folder / NAMES["BAD"] / "checkpoints/00000010.safetensors").write_bytes(b"none")
    (folder / NAMES["BAD"] / "index.h5").write_bytes(b"none")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", str(site))
        patch.chdir(folder)
        yield folder


@pytest.fixture
def printed(place, monkeypatch):
    """Call a command with stdout and stderr of an encoding; return the exit code and what they hold."""

    def call(encoding, *arguments):
        words = [str(word) for word in arguments]
        for short, name in NAMES.items():
            words = [word.replace(short, name) if word.startswith(short) else word for word in words]
        made = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", made[0])
            patch.setattr(sys, "stderr", made[1])
            patch.setattr(sys, "argv", ["grokscope", *words])
            with pytest.raises(SystemExit) as ended:
                main()
        texts = []
        for stream in made:
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(encoding))
        return ended.value.code, *texts

    return call


def test_every_command_is_called_here():
    assert set(COMMANDS) <= set(CALLS), "say how to call the new command"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [(name, arguments) for name in COMMANDS for arguments in CALLS.get(name, [])],
    ids=lambda value: value if isinstance(value, str) else " ".join(map(repr, value))[:40],
)
def test_ascii_and_names_that_a_terminal_would_obey(printed, command, arguments, monkeypatch):
    code, out, err = printed("ascii", command, *arguments)
    assert "Traceback" not in err
    assert code in (0, 1, 3), err
    for text in (out, err):
        assert not [c for c in text if not c.isprintable() and c not in "\n\t"]
    assert code or out or err or command in ("rm", "export", "report", "verify")


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "utf-8", "utf-16"])
@pytest.mark.parametrize(
    "arguments", [("show", "ONE"), ("plot", "ONE", "-m", "l2_all"), ("--help",), ("export", "ONE", "-o", "-")]
)
def test_other_encodings(printed, encoding, arguments):
    code, out, err = printed(encoding, *arguments)
    assert (code, "Traceback" in err) == (0, False)
    assert not [c for c in out if not c.isprintable() and c not in "\n\t"]


def test_what_has_a_stand_in_is_read_and_aligned(printed):
    wide, narrow = (printed(encoding, "show", "TWO")[1] for encoding in ("utf-8", "ascii"))
    assert "▁" in wide
    courses = [
        [line for line in text.splitlines() if line.startswith("test_loss")] for text in (wide, narrow)
    ]
    assert len(courses[0][0]) == len(courses[1][0])
    assert ">= 99 %" in " ".join(narrow.split())


def test_json_loses_nothing(printed):
    for encoding in ("ascii", "cp1252", "utf-8"):
        code, out, _ = printed(encoding, "analyze", "ONE", "TWO", "-m", "evil", "--json")
        assert code == 0
        assert [run["run"] for run in json.loads(out)["runs"]] == [EVIL, f"two {EVIL}"]


def test_usage_errors_show_no_orders(printed):
    code, _, err = printed("utf-8", "show", EVIL, "--stepss", EVIL)
    assert (code, "\x1b" in err) == (2, False)
    code, _, err = printed("utf-8", "recipes", "clauw", EVIL)
    assert (code, "\x1b" in err) == (2, False)


def test_what_nobody_foresaw_is_shown_to_be_reported_and_gives_no_orders(printed, monkeypatch):
    for error, words in (
        (RuntimeError(EVIL), "please report it"),
        (OSError(5, "Input/output error", f"{EVIL}.toml"), ".toml cannot be used: Input/output error"),
        (MemoryError(), "not enough memory"),
    ):

        def fail(*_, error=error, **__):
            raise error

        monkeypatch.setattr("grokscope.training.recipes.load_recipes", fail)
        code, out, err = printed("utf-8", "recipes")
        assert (code, out, "\x1b" in err) == (1, "", False)
        assert words in err
        assert ("Traceback" in err) == isinstance(error, RuntimeError)


def test_every_stand_in_is_ascii_and_strangers_are_question_marks():
    import codecs

    codecs.register_error(streams._NAME, streams._stand_in)
    assert "▁▅█ – ≥ ⣿ 漢é".encode("ascii", streams._NAME) == b"_=# - >= * ??"
    assert "é ▁".encode("cp1252", streams._NAME) == b"\xe9 _"
    for c in streams._STAND_INS:
        c.encode("ascii", streams._NAME).decode("ascii")


def sent(command, path, **options):
    """Run a shell command with `$G` the command line and `$RUN` the run."""
    variables = {**os.environ, "G": f"{sys.executable} -m grokscope", "RUN": str(path), **options}
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=variables)


def test_a_c_locale_without_utf8_mode(trained, tmp_path):
    path = shutil.copytree(trained, tmp_path / "größe π")
    ended = sent('$G show "$RUN"', path, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "_" in ended.stdout


def test_a_full_disk_behind_stdout_is_one_sentence(trained):
    for what in ("$G show $RUN", "$G --help"):
        ended = sent(f"{what} > /dev/full", trained)
        assert ended.returncode == 1, what
        assert ended.stderr.startswith("grokscope: standard output cannot be written: the disk is full"), what
        assert ended.stderr.count("\n") == 1, ended.stderr


def test_a_reader_that_has_gone_is_told_nothing(trained):
    for words in (("show", str(trained)), ("--help",)):
        read, write = os.pipe()
        os.close(read)
        ended = subprocess.run(
            [sys.executable, "-m", "grokscope", *words], stdout=write, stderr=subprocess.PIPE
        )
        os.close(write)
        assert (ended.returncode, ended.stderr) == (141, b""), words


def test_a_closed_stdout_is_one_sentence_and_the_work_is_done(trained, tmp_path):
    path = shutil.copytree(trained, tmp_path / "run")
    ended = sent("$G analyze $RUN -m weight_norm -q >&-", path)
    assert ended.returncode == 1
    assert ended.stderr == "grokscope: standard output cannot be written: it is closed\n"
    assert len(Run.open(path).cells()) == 7


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_a_stderr_that_takes_nothing_does_not_stop_the_work(trained, tmp_path, stderr):
    path = shutil.copytree(trained, tmp_path / "run")
    (path / "index.h5").write_bytes(b"none")  # worth a message
    ended = sent(f"$G show $RUN {stderr}", path)
    assert ended.returncode == 0
    assert "test_loss" in ended.stdout
