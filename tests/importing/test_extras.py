"""Where the extra `hub` is not installed, what needs it says so in one sentence."""

import sys

import pytest

MODEL = ("--checkpoints", "*.pt", "--model", "hf", "--data", "ids.npy", "--set", "length=2")
SETTINGS = ("--set", 'model.config={"model_type": "gpt2"}')


@pytest.mark.parametrize(
    ("library", "options", "words"),
    [
        ("transformers", (*MODEL, *SETTINGS), "model hf needs transformers: pip install 'grokscope[hub]'"),
        ("huggingface_hub", ("--hub", "a/b", *MODEL[2:]), "--hub needs huggingface_hub: pip install"),
        (
            "transformers",
            ("--checkpoints", "*.pt", "--model", "mlp", "--data", "text:a.txt"),
            "a tokenizer needs",
        ),
    ],
)
def test_what_is_missing_is_said(cli, tmp_path, monkeypatch, library, options, words):
    import numpy as np

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    np.save("ids.npy", np.arange(20))
    for name in ("a.pt", "a.txt", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    ended = cli("import", "run", *options)
    assert ended.code == 2
    assert words in ended.err
    assert ended.err.count("\n") == 1
