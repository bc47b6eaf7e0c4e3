"""Hostile files: a sentence and an exit code of the table, no code run, nothing outside read, memory bounded.

`golden/hostile.json` holds what each command says of each. To make it anew after a deliberate change:
`GOLDEN=write python -m pytest tests/crash/test_hostile.py -m crash`, and read the difference.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from harness.hostile import CASES
from harness.trial import TABLE

GOLDEN = Path(__file__).parent / "golden" / "hostile.json"
CANARY = "CANARY: not to be read by anything that concerns a run"
MEMORY = 500 << 10  # kB above what the same command needs for the sound run
HUNG = 60
IMPORT = r"import made --task modadd --model mlp --checkpoints theirs.pt --steps every:1 --quiet"
COMMANDS = {
    "show": "show run",
    "analyze": "analyze run --measure weight_norm --csv - --quiet",
    "export": "export run -o - --quiet",
    "train": "train modadd --p 7 --hidden 6 --train-fraction 0.5 --checkpoint-every 1 --log-every 1 "
    "--quiet --out run --steps 8",
    "import": IMPORT,
}


def commands_for(name):
    """The commands that meet the file."""
    kind = name.partition("_")[0]
    return {
        "pickle": ["import"],
        "import": ["import"],
        "resume": ["train"],
        "config": ["analyze", "train"],
        "index": ["show", "analyze", "export"],
    }.get(kind, ["show", "analyze", "train"] if kind.startswith("checkpoint") else ["analyze", "export"])


@pytest.fixture(scope="session")
def sound(server, states):
    """What each command needs, in kB, and gives, for the run as it should be."""
    return {
        name: server.run(COMMANDS[name].split(), states.measured) for name in ("show", "analyze", "export")
    }


def lay_out(states, folder, name):
    """A copy of the measured run, the canary beside it, and the hostile file."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(states.measured, folder)
    canary = folder / "canary.txt"
    canary.write_text(CANARY)
    os.utime(canary, (0, 0))  # where the file system keeps times of reading, one would show
    CASES[name](folder / "run")
    return canary


def said(ended, folder):
    """The last words of a command, without what differs from run to run and from disk to disk."""
    text = ended.err.replace(str(folder), "")
    text = re.sub(r"\b[0-9a-f]{64}\b", "HASH", text)
    text = re.sub(r"\b[0-9a-f]{16}\b", "RUN", text)
    text = re.sub(r"only \d+ are stored", "only SOME are stored", text)  # blocks of the file system
    return re.sub(r"0x[0-9a-f]+", "ADDRESS", text).strip().splitlines()


def faults(ended, canary, limit):
    """What a command must not do, whatever it is given."""
    if ended.hung:
        yield "it hung"
    if "Traceback (most recent call last)" in ended.err or ended.code not in TABLE | {2}:
        yield f"exit code {ended.code}: {ended.err}"
    if ended.code and not ended.err.strip():
        yield f"exit code {ended.code} without a word"
    if ended.imported:
        yield "it imported the canary"
    if canary.read_text() != CANARY or CANARY in ended.out + ended.err:
        yield "it changed or showed the canary"
    if "\x1b" in ended.out + ended.err or "\x07" in ended.out + ended.err:
        yield "it printed control characters"
    if ended.memory > limit:
        yield f"it took {ended.memory} kB of memory"


def try_out(server, states, sound, folder, name):
    """Run every command on the case; return what is wrong, and what each said."""
    wrong, golden = [], {}
    for command in commands_for(name):
        canary = lay_out(states, folder, name)
        seen = canary.stat().st_atime_ns
        ended = server.run(COMMANDS[command].split(), folder, seconds=HUNG)
        read = canary.stat().st_atime_ns != seen
        limit = sound["analyze"].memory + MEMORY
        wrong += [f"{name}, {command}: {fault}" for fault in faults(ended, canary, limit)]
        wrong += [f"{name}, {command}: it read the canary"] if read else []
        golden[command] = {"code": ended.code, "says": said(ended, folder)}
        if name == "index_forged" and command in sound and ended.out != sound[command].out:
            wrong.append(f"{name}, {command}: forged results were believed")
    return wrong, golden


@pytest.mark.crash
def test_hostile_files(server, states, sound, tmp_path):
    wrong, golden = [], {}
    for name in CASES:
        found, golden[name] = try_out(server, states, sound, tmp_path / "hostile", name)
        wrong += found
    assert not wrong, "\n".join(wrong)
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    assert golden == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", ["config_not_utf8", "checkpoint_flipped", "segment_with_a_link_out"])
def test_a_few_hostile_files(server, states, sound, tmp_path, name):
    wrong, golden = try_out(server, states, sound, tmp_path / "hostile", name)
    assert not wrong, "\n".join(wrong)
    assert golden == json.loads(GOLDEN.read_text())[name]
