"""README is true: its snippets run, and every command, hook and family is in it."""

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from grokscope import hookspecs, load_plugins
from grokscope.cli import app

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def blocks(language):
    return [text for found, text in BLOCKS if found == language]


def commands():
    lines = [line for text in blocks("console") for line in text.splitlines()]
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ grokscope")]


def test_every_command_is_documented():
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f"grokscope {name}" in README, f"README does not show `grokscope {name}`"


def test_every_hook_is_documented():
    hooks = [name for name in vars(hookspecs) if name.startswith("grokscope_")]
    assert len(hooks) == 4
    for hook in hooks:
        assert f"`{hook}()`" in README
        assert "Called once" in getattr(hookspecs, hook).__doc__


def test_every_measure_is_documented():
    for registered in load_plugins().registered:
        assert f"`{registered.measure.name}`" in README
        assert f"`{registered.plugin}`" in README


def test_python_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for text in blocks("python"):
        exec(compile(text, "README.md", "exec"), namespace)
    assert namespace["results"].steps == [0, 10, 20]
    swept = {"weight_decay": [0.1, 0.1, 2.0, 2.0], "seed": [0, 1, 0, 1]}
    assert namespace["comparison"].settings == swept
    from grokscope.testing import check_hypothesis, example_probe

    weights = example_probe("mlp").weights
    rows = namespace["small_weights"].collect(namespace["small_weights"](weights))
    assert [row.labels[0] for row in rows] == list(weights)
    check_hypothesis(namespace["small_weights_grow"])


def test_toml_snippets_parse():
    assert blocks("toml")
    for text in blocks("toml"):
        tomllib.loads(text)


def test_there_are_commands():
    assert len(commands()) > 5


def write_published_checkpoints(folder):
    """Untrained checkpoints in the shapes of Nanda et al.'s published code."""
    import torch

    folder.mkdir()
    block = {f"attn.{name}": torch.randn(4, 32, 128) for name in ("W_K", "W_Q", "W_V")}
    block |= {"attn.W_O": torch.randn(128, 128), "attn.mask": torch.ones(3, 3).tril()}
    block |= {"mlp.W_in": torch.randn(512, 128), "mlp.b_in": torch.randn(512)}
    block |= {"mlp.W_out": torch.randn(128, 512), "mlp.b_out": torch.randn(128)}
    state = {"embed.W_E": torch.randn(128, 114), "pos_embed.W_pos": torch.randn(3, 128)}
    state |= {f"blocks.0.{name}": value for name, value in block.items()}
    state["unembed.W_U"] = torch.randn(128, 114)
    for epoch in (0, 100):
        torch.save(state, folder / f"epoch_{epoch}.pth")


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_commands_run(command, cli, run_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    several = [str(run_path), shutil.copytree(run_path, tmp_path / "other")]
    words = {"RUN": [str(run_path)], "decay/*": several}
    arguments = [word for given in command[1:] for word in words.get(given, [given])]
    if arguments[0] == "train":
        small = ["--steps", "2", "--checkpoint-every", "1", "--set", "training.log_every=1"]
        arguments += [*small, "--out", str(tmp_path / "new")]
        arguments += ["--p", "13"] if arguments[1] == "modadd" else []
    if arguments[0] == "sweep":
        settings = ("p=13", "steps=2", "checkpoint_every=1", "log_every=1")
        arguments = [word for word in arguments if word not in ("--set", "steps=1000")]
        arguments += ["--workers", "1", *(word for each in settings for word in ("--set", each))]
    if "--steps" in arguments and arguments[0] == "analyze":
        arguments[arguments.index("--steps") + 1] = "0:20"
    if arguments[0] in ("analyze", "predict", "report"):
        arguments += ["--steps", "last"]  # the README's run is larger
    if arguments[0] == "import":
        write_published_checkpoints(tmp_path / "theirs")
    ended = cli(*arguments)
    assert ended.code == 0, ended.err
