"""Anybody's module and data become a run by two functions, and old numbers stay those of old code."""

import hashlib
import re
import shutil
import sys

import pytest
import torch

from grokscope import Run, analyze, import_checkpoints
from grokscope.errors import DataError, PluginError, RunError, SettingError, UsageError
from grokscope.run import glue
from grokscope.run.examples import FILE
from grokscope.run.verify import verify_run

CODE = """
import torch
from torch import nn


def net(width=3):
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(4 * width, 4)
    )


def data():
    x = torch.randn(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = x.flatten(1)[:, :4].argmax(1)
    return (x[:40], y[:40]), (x[40:], y[40:])


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, place):
        return data()[0][0][place], int(data()[0][1][place])


def dataset():
    return Pairs(), torch.utils.data.DataLoader(Pairs(), batch_size=16)


def numbers():
    x = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return (x[:30], x[:30].flatten(1)[:, :4]), (x[30:], x[30:].flatten(1)[:, :4])


def unequal():
    return (torch.randn(4, 3), torch.zeros(3)), (torch.randn(4, 3), torch.zeros(3))


def sentences():
    tokens = torch.arange(120).view(40, 3) % 5
    return (tokens[:30], tokens[:30]), (tokens[30:], tokens[30:].where(tokens[30:] > 0, -100))


class Copies(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 5)
        with torch.no_grad():
            self.embed.weight.copy_(torch.eye(5))
            self.embed.weight[4] = 0

    def forward(self, tokens):
        return self.embed(tokens).relu()


def huber(logits, labels):
    return nn.functional.huber_loss(logits, labels)


def per_row(logits, labels):
    return (logits - labels).square().mean(1)


def needs(a, b):
    return net(a)


def needs_one(width):
    return net(width)


def one_pair():
    return data()[0]


def ragged():
    rows = [(torch.zeros(3 + at), 0) for at in range(2)]
    return rows, rows


def five():
    (x, y), test = data()
    return (x, y), (test[0], test[1] + (test[1] == 3))


def negative():
    (x, y), test = data()
    return (x, y - 1), test


def arrays():
    return tuple((x.numpy(), y.numpy()) for x, y in data())
"""
MODEL, DATA = "my_cnn:net", "my_cnn:data"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder of a user who has code and checkpoints there."""
    (tmp_path / "my_cnn.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Python takes a file of the same length, written in the same second, for the one it has compiled.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    namespace = {}
    exec(CODE, namespace)
    torch.manual_seed(0)
    for step in (0, 10, 20):
        torch.save(namespace["net"]().state_dict(), tmp_path / f"step_{step}.pt")
    yield tmp_path
    sys.modules.pop("my_cnn", None)


def bring(model=MODEL, data=DATA, out="run", **options):
    sys.modules.pop("my_cnn", None)
    return import_checkpoints(out, "step_*.pt", model=model, task=data, step_from=r"(\d+)", **options)


def test_a_cnn_is_measured_by_two_functions(folder):
    names = "weight_norm,pe,pmi,oinfo,activation_sparsity,circuit_complexity,sharpness,cka"
    settings = {
        "matrix_information.batch_size": 20,
        "sharpness.max_probes": 16,
        "sharpness.accuracy": 1,
        "circuit_complexity.repeats": 2,
    }
    results = analyze(bring(), names, settings=settings, model=MODEL)
    assert results.failures == ()
    assert results.notes == {}
    assert results.steps == [0, 10, 20]
    assert {"oinfo.synergy", "cka.cka:2", "pmi.pmi", "sharpness.trace"} <= set(results.columns)


def test_the_run_keeps_its_examples_and_needs_no_code_for_them(folder):
    run = bring()
    assert run.config["task"].keys() == {"name", "kept"}
    (folder / "my_cnn.py").write_text(CODE.replace("def data()", "def gone()"))
    sys.modules.pop("my_cnn")
    fits = analyze(run, "fit", model=MODEL)
    for info, loss in zip(run.checkpoints, fits.columns["fit.test_loss"], strict=True):
        assert info.test_loss == pytest.approx(loss, rel=1e-6)
    (folder / "run" / FILE).write_bytes(b"x")
    with pytest.raises(DataError, match="is damaged, or was replaced"):
        analyze(Run.open("run"), "fit", model=MODEL, refresh=True)


def test_code_is_not_imported_on_the_word_of_a_run(folder):
    run = bring()
    sys.modules.pop("my_cnn")
    with pytest.raises(RunError, match="repeat the name"):
        analyze(run, "fit")
    assert "my_cnn" not in sys.modules
    assert analyze(run, "weight_norm").computed == 3
    assert analyze(run, "fit", trust=True).computed == 3
    sys.modules.pop("my_cnn")
    assert analyze(Run.open("run"), "fit").computed == 0  # stored, of the code that was measured last


def test_changed_code_serves_no_old_numbers(folder):
    before = analyze(bring(), "fit,weight_norm", model=MODEL)
    (folder / "my_cnn.py").write_text(CODE.replace("nn.ReLU()", "nn.Tanh()"))
    sys.modules.pop("my_cnn")
    after = analyze(Run.open("run"), "fit,weight_norm", model=MODEL)
    assert after.computed == 3  # the norm of the weights is that of the weights
    assert before.columns["fit.train_loss"] != after.columns["fit.train_loss"]
    assert any(re.search("the code of my_cnn:net is not what it was", said) for said in after.messages)
    shown = analyze(Run.open("run"), "fit")
    assert shown.columns["fit.train_loss"] == after.columns["fit.train_loss"]
    (folder / "my_cnn.py").write_text(CODE.replace("nn.ReLU()", "nn.ReLU"))
    sys.modules.pop("my_cnn")
    broken = analyze(Run.open("run"), "fit", model=MODEL)
    assert "model my_cnn:net cannot be made" in broken.failures[0].message
    (folder / "my_cnn.py").write_text("# a comment changes nothing\n" + CODE)
    sys.modules.pop("my_cnn")
    back = analyze(Run.open("run"), "fit", model=MODEL)
    assert back.computed == 0
    assert back.columns["fit.train_loss"] == before.columns["fit.train_loss"]


def test_losses_of_changed_code_are_said_until_an_import_of_all_renews_them(folder):
    def written(word):
        sys.modules.pop("my_cnn", None)
        (folder / "my_cnn.py").write_text(CODE.replace("nn.ReLU()", f"nn.{word}()"))

    said = []
    before = [info.train_loss for info in bring().checkpoints]
    written("Tanh")
    for _ in range(2):
        sys.modules.pop("my_cnn", None)
        messages = analyze(Run.open("run"), "fit", model=MODEL).messages
        assert any(
            "losses and accuracies in the run are of the code that it was" in each for each in messages
        )
    torch.save(torch.load("step_0.pt"), "step_30.pt")
    sys.modules.pop("my_cnn", None)
    import_checkpoints("run", "step_30.pt", model=MODEL, task=DATA)  # the others keep their losses
    assert [info.train_loss for info in Run.open("run").checkpoints][:3] == before
    after = bring(notify=said.append)
    assert said[-1] == "losses and accuracies at steps 0, 10, 20, 30 are written anew"
    assert not verify_run("run")
    fits = analyze(after, "fit", model=MODEL)
    assert not fits.messages
    assert [info.train_loss for info in after.checkpoints] == pytest.approx(fits.columns["fit.train_loss"])
    assert bring(notify=said.append).steps == (0, 10, 20, 30)
    assert said[-1] == "nothing is new: the run has all these checkpoints"


def test_changed_helpers_serve_no_old_numbers_either(folder):
    """A module that is imported inside a function, and one that this imports relatively."""
    (folder / "parts").mkdir()
    (folder / "parts" / "__init__.py").write_text("")
    (folder / "parts" / "layers.py").write_text("from .shapes import bent\n")
    (folder / "parts" / "shapes.py").write_text("from torch import nn\n\nbent = nn.ReLU\n")
    (folder / "parts" / "unused.py").write_text("")
    (folder / "my_cnn.py").write_text(
        CODE.replace("def net(width=3):", "def net(width=3):\n    import parts.layers as parts\n").replace(
            "nn.ReLU()", "parts.bent()"
        )
    )

    def forget():
        for name in ("my_cnn", "parts", "parts.layers", "parts.shapes"):
            sys.modules.pop(name, None)

    before = analyze(bring(), "fit", model=MODEL)
    forget()
    (folder / "parts" / "unused.py").write_text("something = 1\n")
    assert analyze(Run.open("run"), "fit", model=MODEL).computed == 0
    forget()
    # Of the same structure, as far as it is printed.
    (folder / "parts" / "shapes.py").write_text(
        "from torch import nn\n\n\ndef bent():\n    made = nn.ReLU()\n    made.forward = lambda x: x.tanh()\n"
        "    return made\n"
    )
    after = analyze(Run.open("run"), "fit", model=MODEL)
    forget()
    assert after.computed == 3
    assert before.columns["fit.train_loss"] != after.columns["fit.train_loss"]


def test_layers_and_settings_are_part_of_the_run(folder):
    run = bring(settings={"model.width": 3}, layers="0", positions="rows")
    assert run.config["model"] == {"name": MODEL, "width": 3, "view": {"layers": ["0"], "positions": "rows"}}
    found = analyze(run, "activation_sparsity", model=MODEL)
    assert "activation_sparsity.sparsity:0" in found.columns
    assert bring(out="other").data_hash == run.data_hash
    with pytest.raises(SettingError, match="none is called nothing: there is 2, 0, 1, 3, 4"):
        bring(out="third", layers=["0", "nothing"])


@pytest.mark.parametrize("name", ["my_cnn", "my_cnn.net"])
def test_a_name_without_a_colon_is_answered_with_the_function(folder, cli, name):
    from grokscope.importable import factory_at

    given = ("--checkpoints", "*.pt", "--data", DATA)
    assert "unknown model" in (err := cli("import", "third", *given, "--model", name).err)
    assert "a function is named as my_cnn:net" in " ".join(err.split())
    with pytest.raises(SettingError, match=f"got '{name}'; a function is named as my_cnn:net"):
        factory_at("model", name)


def test_a_step_for_several_files_is_one_sentence(folder):
    with pytest.raises(UsageError, match="`step` is for one file, and `checkpoints` are 3: leave it out"):
        bring(step=3)


def test_arrays_are_tensors(folder):
    found, same = (bring(data=data, out=data[-3:]).checkpoints for data in (DATA, "my_cnn:arrays"))
    assert [info.test_loss for info in found] == [info.test_loss for info in same]


def test_data_sets_and_batches_and_fewer_examples(folder):
    from grokscope.importable import factory_at
    from grokscope.models.making import make_task

    made = make_task(factory_at("task", "my_cnn:dataset"), {}, most=30)
    assert (len(made.train), len(made.test)) == (30, 30)
    assert torch.equal(made.inputs[:30].unique(dim=0), made.inputs[:30].unique(dim=0))
    assert torch.equal(made.labels, made.inputs.flatten(1)[:, :4].argmax(1))
    again = make_task(factory_at("task", "my_cnn:dataset"), {}, most=30)
    assert torch.equal(made.inputs, again.inputs)


def test_numbers_are_predicted_by_their_mean_square(folder):
    run = bring(data="my_cnn:numbers")
    assert run.config["training"]["loss"] == "mse"
    assert all(info.test_loss > 0 and info.test_accuracy != info.test_accuracy for info in run.checkpoints)
    found = analyze(run, "fit,linear_probe,weight_norm", model=MODEL)
    assert "numbers to be predicted" in found.notes["linear_probe"]
    with pytest.raises(SettingError, match="must be mse"):
        bring(data="my_cnn:numbers", out="other", settings={"loss": "cross_entropy"})


def test_a_loss_of_one_s_own_is_trusted_only_when_it_is_named_again(folder):
    run = bring(data="my_cnn:numbers", loss="my_cnn:huber")
    assert run.config["training"]["loss"] == "my_cnn:huber"
    assert bring(data="my_cnn:numbers", out="torchs", loss="torch.nn:HuberLoss").checkpoints[0].test_loss == (
        pytest.approx(run.checkpoints[0].test_loss, rel=1e-6)
    )
    with pytest.raises(RunError, match=r"names the loss my_cnn:huber.*repeat the name as `loss`"):
        analyze(run, "fit", model=MODEL)
    found = analyze(run, "fit", model=MODEL, loss="my_cnn:huber").columns["fit.test_loss"]
    assert found == pytest.approx([info.test_loss for info in run.checkpoints], rel=1e-5)
    (folder / "my_cnn.py").write_text(CODE.replace("huber_loss(logits, labels)", "l1_loss(logits, labels)"))
    sys.modules.pop("my_cnn")
    other = analyze(Run.open("run"), "fit", trust=True)
    assert other.computed == 3
    assert min(other.columns["fit.test_loss"]) > max(found)


def test_an_outcome_is_measured_only_where_the_network_may_be_imported(folder):
    run = bring(data="my_cnn:numbers", outcome="fit.test_loss", above=0)
    assert set(analyze(run, "participation_ratio", model=MODEL).columns) > {"fit.test_loss"}
    assert analyze(Run.open("run"), "weight_norm").measured[0].measure == "weight_norm"
    assert Run.open("run").grokking_step() == 0


def test_a_loss_without_a_name_is_given_again(folder):
    run = bring(data="my_cnn:numbers", loss=lambda logits, labels: (logits - labels).abs().mean())
    with pytest.raises(RunError, match="a loss that has no name"):
        analyze(run, "fit", model=MODEL, trust=True)
    found = analyze(run, "fit", model=MODEL, loss=lambda logits, labels: (logits - labels).abs().mean())
    assert found.columns["fit.test_loss"] == pytest.approx([info.test_loss for info in run.checkpoints])
    said = []
    bring(data="my_cnn:numbers", out="other", loss="my_cnn:per_row", notify=said.append)
    assert any(r"loss my_cnn:per_row must return a tensor of one number" in sentence for sentence in said)


def test_sequences_are_right_as_a_whole_or_by_position(folder):
    torch.save({"embed.weight": torch.eye(5).index_fill(0, torch.tensor([4]), 0.0)}, folder / "step_5.pt")
    options = {"model": "my_cnn:Copies", "task": "my_cnn:sentences", "step_from": r"(\d+)"}
    sys.modules.pop("my_cnn", None)
    runs = {
        of: import_checkpoints(of, "step_5.pt", accuracy=of, **options) for of in ("positions", "sequences")
    }
    # Token 4 is answered wrong: a fifth of all labels, in three of any five sequences.
    assert [info.train_accuracy for info in runs["positions"].checkpoints] == [pytest.approx(0.8)]
    assert [info.train_accuracy for info in runs["sequences"].checkpoints] == [pytest.approx(0.4)]
    assert [info.test_accuracy for info in runs["positions"].checkpoints] == [pytest.approx(0.75)]
    found = analyze(runs["sequences"], "fit", model="my_cnn:Copies")
    assert found.columns["fit.train_accuracy"] == [pytest.approx(0.4)]
    assert runs["sequences"].config["training"]["accuracy"] == "sequences"
    with pytest.raises(SettingError, match="positions or sequences, got 'words'"):
        import_checkpoints("other", "step_5.pt", accuracy="words", **options)


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ("my_cnn:needs", DATA, "its arguments must have defaults, got a, b"),
        ("my_cnn:needs_one", DATA, "its arguments must have defaults, got width without; with a default it"),
        (MODEL, "my_cnn:one_pair", "each a pair .*; got one pair"),
        (MODEL, "my_cnn:ragged", r"must have one shape, got \(3,\) and \(4,\): pad or cut them"),
        (
            MODEL,
            "my_cnn:five",
            "labels must be classes 0 to 3, as the network has 4 logits, or -100 .*, got 4",
        ),
        (MODEL, "my_cnn:negative", "labels must be classes 0 to 3, .*, got -1"),
        ("my_cnn:gone", DATA, "cannot be imported .*in the current folder"),
        (MODEL, "my_cnn:unequal", "4 inputs and 3 labels"),
        (MODEL, "my_cnn:net", r"must return \(train, test\), got Sequential"),
        ("my_cnn:data", DATA, r"must make a grokscope\.Network or a torch\.nn\.Module, got tuple"),
    ],
)
def test_what_cannot_be_is_said(folder, model, data, words):
    with pytest.raises(PluginError, match=words):
        bring(model, data)
    assert not (folder / "run").exists()


def test_a_run_that_moved_is_measured_anywhere(folder, tmp_path_factory, monkeypatch):
    bring()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(folder / "run", elsewhere / "run")
    shutil.copy(folder / "my_cnn.py", elsewhere)
    monkeypatch.chdir(elsewhere)
    sys.modules.pop("my_cnn")
    before = glue.remembered(folder / "run")
    assert analyze("run", "fit", trust=True).computed == 3
    assert glue.remembered(elsewhere / "run") == before


@pytest.mark.parametrize(
    "changes",
    [
        {"train.labels": torch.tensor(1)},
        {"train.inputs": torch.zeros(2, 3, dtype=torch.complex64)},
        {"train.labels": torch.zeros(3, dtype=torch.long)},
        {"train.inputs": None, "train.inputs.0": torch.zeros(40, 3)},
        {"train.inputs": None, "train.inputs.first.x": torch.zeros(40, 3)},
        {"test.labels": None},
    ],
)
def test_examples_that_nobody_wrote_are_no_examples(tmp_path, changes):
    """A run from anywhere may have a file that fits its own hash."""
    from safetensors.torch import save

    from grokscope.run.examples import read

    sound = {"train.inputs": torch.zeros(40, 3), "test.inputs": torch.zeros(2, 3)}
    sound |= {"train.labels": torch.zeros(40).long(), "test.labels": torch.zeros(2).long()}
    data = save({name: tensor for name, tensor in {**sound, **changes}.items() if tensor is not None})
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(DataError, match="is damaged"):
        read(tmp_path, hashlib.sha256(data).hexdigest())


def test_removed_whole(folder):
    from grokscope.run.folder import remove_run

    remove_run(bring().path)
    assert not (folder / "run").exists()


def test_what_applies_to_a_run_is_said_measure_by_measure(folder, monkeypatch):
    from grokscope import load_plugins
    from grokscope.analysis.applicability import applicability

    plugins = load_plugins()
    some = [each for each in plugins.registered if each.measure.name in ("fit", "abelian", "pe")]
    monkeypatch.setattr(type(plugins), "select", lambda self, names: some)
    answers = applicability(bring(), model=MODEL, plugins=plugins)
    assert answers["fit"] == ""
    assert "about pairs of tokens, and the inputs are numbers of shape (n, 1, 4, 4)" in answers["abelian"]
    assert "batch_size must be at most the 40 examples" in answers["pe"]
    assert answers["pe"].endswith("no batch is whole; analyze measures it with --set pe.batch_size=40")
