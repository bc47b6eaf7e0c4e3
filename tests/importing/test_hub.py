"""Checkpoints as transformers saves them: in folders, or revisions on a server of the Hub's API."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from grokscope import Run, analyze, import_checkpoints
from grokscope.errors import DamagedFile, UsageError

sys.path.append(str(Path(__file__).parent))
from loopback import Hub

transformers = pytest.importorskip("transformers", reason="pip install 'grokscope[hub]'")
pytest.importorskip("huggingface_hub")
HF = ("--model", "hf", "--data", "text:play.txt", "--set", "length=7", "--quiet")
LETTERS = "to be or not to be that is the question " * 12


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """What a Trainer leaves: checkpoint-5 and checkpoint-20 of a causal language model of bytes."""
    folder = tmp_path_factory.mktemp("saved")
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    for step in (5, 20):
        torch.manual_seed(step)
        made = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=128, **sizes))
        made.save_pretrained(folder / f"checkpoint-{step}")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "play.txt").write_text(LETTERS)
    return tmp_path


@pytest.fixture
def hub(saved, monkeypatch, tmp_path):
    """The same checkpoints as revisions of a repository, beside others."""
    files = {
        step: {
            name: (saved / f"checkpoint-{step}" / name).read_bytes()
            for name in ("config.json", "model.safetensors")
        }
        for step in (5, 20)
    }
    more = {**files[20], "README.md": b"#", "other/model.safetensors": b"?", "pytorch_model.bin": b"?"}
    served = Hub({"main": more, "step5": files[5], "step20": more, "step20-again": {"README.md": b"#"}})
    monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    yield served
    served.close()


def loss_of(folder, tokens):
    """What transformers itself says of the mean loss."""
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return network(input_ids=tokens, labels=tokens).loss.item()


def test_a_trainers_folders_are_imported_and_measured_without_a_line_of_code(cli, here, saved):
    ended = cli("import", "run", "--checkpoints", saved / "checkpoint-*", *HF)
    assert ended.code == 0, ended.err
    run = Run.open("run")
    assert run.steps == (5, 20)
    assert run.config["task"] | {"kept": 0} == {
        "name": "text:play.txt", "length": 7, "tokens": "auto", "ids": "uint16", "train_fraction": 0.8,
        "split_seed": 0, "kept": 0,
    }  # fmt: skip
    assert run.load_checkpoint(5).kinds.ties == {"lm_head.weight": "transformer.wte.weight"}
    results = analyze(run, "fit,weight_norm,activation_sparsity")
    assert results.failures == ()
    from safetensors.torch import load_file

    kept = load_file("run/examples.safetensors")
    tokens = torch.cat([kept["train.inputs"], kept["train.labels"][:, -1:]], dim=1)
    for info, loss in zip(run.checkpoints, results.columns["fit.train_loss"], strict=True):
        expected = loss_of(saved / f"checkpoint-{info.step}", tokens)
        assert info.train_loss == pytest.approx(expected, rel=1e-5)
        assert loss == pytest.approx(expected, rel=1e-5)


def test_linked_files_are_read_by_the_same_names(here, saved):
    np.save("ids.npy", np.frombuffer(LETTERS.encode(), np.uint8))
    given = {"model": "hf", "task": "ids.npy", "settings": {"length": 7}}
    copied = import_checkpoints("copied", saved / "checkpoint-5", **given)
    linked = import_checkpoints("linked", saved / "checkpoint-5", link=True, **given)
    assert linked.weights(5).keys() == copied.weights(5).keys()
    assert analyze(linked, "fit").columns["fit.test_loss"] == analyze(copied, "fit").columns["fit.test_loss"]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (None, UsageError, r"there is no config\.json beside"),
        ('{"model_type": "gpt2"}', UsageError, "are of different networks"),
        ("{", DamagedFile, r"must be a config\.json of transformers"),
    ],
)
def test_without_one_config_for_all_nothing_is_imported(here, saved, text, kind, words):
    import shutil

    shutil.copytree(saved, "theirs")
    config = Path("theirs/checkpoint-20/config.json")
    config.unlink() if text is None else config.write_text(text)
    with pytest.raises(kind, match=words):
        import_checkpoints("run", "theirs/checkpoint-*", model="hf", task="text:play.txt")
    assert not Path("run").exists()


def test_revisions_come_one_at_a_time_and_an_import_that_was_stopped_goes_on(cli, here, hub, saved):
    dry = cli("import", "run", "--hub", "me/net", "--revisions", "step*[05]", "--dry-run", "--json", *HF)
    assert (dry.code, hub.asked, Path("run").exists()) == (0, [], False), dry.err
    sizes = [sum(len(hub.revisions["step5"][name]) for name in ("config.json", "model.safetensors"))] * 2
    rows = json.loads(dry.out)["revisions"]
    assert [(each["step"], each["name"]) for each in rows] == [(5, "step5"), (20, "step20")]
    assert [each["files"] for each in rows] == [["config.json", "model.safetensors"]] * 2
    assert [each["bytes"] for each in rows] == sizes
    on_disk = []
    hub.meanwhile = lambda: on_disk.append(sorted(path.name for path in Path(".run.downloading").glob("*")))
    hub.broken = {"step5"}
    stopped = cli("import", "run", "--hub", "me/net", "--revisions", "step*[05]", *HF)
    assert stopped.code == 2
    assert "model.safetensors of step5 cannot be had from me/net on http://127.0.0.1" in stopped.err
    assert "403" in stopped.err
    assert Run.open("run").steps == (20,)
    dry = cli("import", "run", "--hub", "me/net", "--revisions", "step*[05]", "--dry-run", *HF)
    assert "1 revision to import, 0.0 MB, one at a time on disk" in " ".join(dry.out.split())
    hub.broken = set()
    hub.asked.clear()
    ended = cli("import", "run", "--hub", "me/net", "--revisions", "step*[05]", *HF)
    assert ended.code == 0, ended.err
    assert {revision for _, revision, _ in hub.asked} == {"step5"}
    assert {"model.safetensors"} <= {file for _, _, file in hub.asked} <= {"config.json", "model.safetensors"}
    assert all(len(names) == 1 for names in on_disk)
    assert not Path(".run.downloading").exists()
    table = json.loads(Path("run/imported.json").read_text())["checkpoints"]
    assert [each["source"] for each in table] == [f"me_net@step{step}/model.safetensors" for step in (5, 20)]
    hub.name = "me/other"
    refused = cli("import", "run", "--hub", "me/other", "--revisions", "step*[05]", *HF)
    assert "run has checkpoints of me_net, not of me_other: choose another directory" in refused.err
    theirs = import_checkpoints(
        "theirs", saved / "checkpoint-*", model="hf", task="text:play.txt", settings={"length": 7}
    )
    run = Run.open("run")
    assert [info.train_loss for info in run.checkpoints] == [info.train_loss for info in theirs.checkpoints]
    assert run.config["training"] == theirs.config["training"]


def test_files_of_earlier_versions_are_taken_as_transformers_takes_them(cli, here, hub):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    config = transformers.GPTNeoXConfig(vocab_size=128, max_position_embeddings=8, **sizes)
    state = transformers.GPTNeoXForCausalLM(config).state_dict()
    state["embed_out.weight"] = state.pop(
        "lm_head.weight" if "lm_head.weight" in state else "embed_out.weight"
    )
    state["gpt_neox.layers.0.attention.bias"] = torch.ones(1, 1, 8, 8).tril().bool()
    state["gpt_neox.layers.0.attention.masked_bias"] = torch.tensor(-1e9)
    torch.save(state, "theirs.bin")
    text = json.dumps({**config.to_dict(), "architectures": ["GPTNeoXForCausalLM"]}).encode()
    hub.revisions = {"step1": {"config.json": text, "pytorch_model.bin": Path("theirs.bin").read_bytes()}}
    ended = cli("import", "run", "--hub", "me/net", *HF)
    assert ended.code == 0, ended.err
    run = Run.open("run")
    kept = run.weights(1)
    assert torch.equal(kept.get("lm_head.weight", kept.get("embed_out.weight")), state["embed_out.weight"])
    assert run.checkpoints[0].test_accuracy < 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--hub", "me/net", "--revisions", "v*"),
            "none fits 'v*': it has main, step20, step20-again, step5",
        ),
        (
            ("--hub", "me/net", "--revisions", "main"),
            "revision 'main' does not say its step: give --step-from",
        ),
        (
            ("--hub", "me/net", "--revisions", "step20*"),
            "revisions step20 and step20-again are both of step 20",
        ),
        (
            (
                "--hub",
                "me/none",
            ),
            "its revisions cannot be had from me/none on http://127.0.0.1",
        ),
        (
            ("--hub", "me/net", "--revisions", "step5", "--checkpoints", "*.pt"),
            "has no *.pt at step5: it has config",
        ),
        (("--hub", "me/net", "--revisions", "v*", "--dry-run"), "none fits 'v*': it has main, step20"),
        ((), "import must have --checkpoints PATTERN, or --hub OWNER/NAME"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(cli, here, hub, options, words):
    ended = cli("import", "run", *options, *HF)
    assert ended.code in (1, 2)
    assert words in ended.err.replace("\n", " ")
    assert not Path("run").exists()


@pytest.mark.slow  # two processes that load transformers
def test_an_import_that_is_killed_goes_on(here, hub):
    command = [
        sys.executable,
        "-m",
        "grokscope",
        "import",
        "run",
        "--hub",
        "me/net",
        "--revisions",
        "step*[05]",
        *HF,
    ]
    begun = []

    def kill():
        if hub.asked[-1][:2] == ("GET", "step5") and begun[0].poll() is None:
            begun[0].send_signal(signal.SIGKILL)

    hub.meanwhile = kill
    begun.append(subprocess.Popen(command, cwd=here))
    assert begun[0].wait(300) == -signal.SIGKILL
    assert Run.open("run").steps == (20,)
    assert Path(".run.downloading/me_net@step5").is_dir()
    hub.meanwhile = lambda: None
    subprocess.run(command, cwd=here, check=True)
    assert Run.open("run").steps == (5, 20)
    assert not Path(".run.downloading").exists()
