"""Checkpoints as others write them become a run on which everything works."""

import os

import pytest
import torch
from safetensors.torch import save_file

from grokscope import Run, analyze, train
from grokscope.errors import (
    RunError,
    SettingError,
    UnknownName,
    UsageError,
)
from grokscope.run.curves import CURVE_COLUMNS

SIZES = {"model.d_model": 8, "model.heads": 2, "model.d_head": 4, "model.d_mlp": 12}

TASK = {"task.p": 11, "task.train_fraction": 0.3, "task.split": "python"}


def same_weights(run, ours):
    assert run.steps == ours.steps
    for step in ours.steps:
        found = run.weights(step)
        assert found.keys() == ours.weights(step).keys()
        assert all(torch.equal(found[name], value) for name, value in ours.weights(step).items())


def same_metrics(run, ours):
    for found, expected in zip(run.checkpoints, ours.checkpoints, strict=True):
        for name in CURVE_COLUMNS:
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-6)


def logits(run, step):
    from grokscope import load_plugins
    from grokscope.analysis.engine import Bench

    plugins = load_plugins()
    bench = Bench(run, plugins.tasks, plugins.models)
    info = next(info for info in run.checkpoints if info.step == step)
    return bench.probe(info, run.weights(step)).logits("all")


@pytest.mark.parametrize("layout", ["nanda", "transformer_lens"])
@pytest.mark.parametrize("kind", ["pt", "legacy", "safetensors", "linked"])
def test_the_round_trip_through_others_layouts(ours, states, layouts, bring, tmp_path, layout, kind):
    for step, weights in states.items():
        state = getattr(layouts, layout)(weights)
        if kind in ("pt", "legacy"):
            torch.save(state, tmp_path / f"{step}.pt", _use_new_zipfile_serialization=kind == "pt")
        else:
            save_file(state, tmp_path / f"{step}.safetensors")
    bring(link=kind == "linked")
    run = Run.open(tmp_path / "imported")
    assert run.problems == []
    assert run.config["imported"]["layout"] == layout
    same_weights(run, ours)
    same_metrics(run, ours)
    assert (logits(run, 60) - logits(ours, 60)).abs().max() < 1e-6
    told = [sentence for sentence in bring.told if "that of =" in sentence]
    assert len(told) == (layout == "nanda")
    results = analyze(run, "fit,fourier,oinfo")
    assert (results.failures, results.notes, results.damaged) == ((), {}, ())
    assert results.steps == [0, 20, 40, 60]
    expected = analyze(ours, "fit,oinfo", steps="last", refresh=True)
    for name in expected.measured:
        value = expected.columns[name][-1]
        near = value if isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-6)
        assert results.columns[name][-1] == near, name
    assert analyze(Run.open(run.path), "fit,fourier,oinfo").computed == 0


def test_the_logit_of_equals_is_left_out_and_not_merely_small(states, layouts, bring, tmp_path):
    """Its weights are 50 everywhere: with it, or with another logit left out, the losses would differ."""
    state = layouts.nanda(states[60])
    torch.save(state, tmp_path / "60.pt")
    run = bring("60.pt")
    assert bring.told == [
        "unembed.W_U has 12 logits, the task 11 classes: the last, that of =, is left out, as in Nanda et "
        "al.'s analysis; losses are over the 11 classes"
    ]
    assert torch.equal(run.weights(60)["unembed.weight"], state["unembed.W_U"][:, :-1].t())
    assert run.config["imported"]["rename"][-1] == "unembed.W_U=unembed.weight.T[:-1]"


def test_two_logits_too_many_are_refused(states, layouts, bring, tmp_path):
    state = layouts.nanda(states[60])
    state["unembed.W_U"] = torch.cat([state["unembed.W_U"], torch.zeros(8, 1)], dim=1)
    torch.save(state, tmp_path / "60.pt")
    with pytest.raises(UsageError, match=r"unembed\.weight must be \(11, 8\), got \(13, 8\)"):
        bring()


@pytest.mark.parametrize("name", ["b_Q", "b_K", "b_V", "b_O"])
def test_attention_biases_must_be_zero(states, layouts, bring, tmp_path, name):
    state = layouts.transformer_lens(states[60])
    state[f"blocks.0.attn.{name}"].view(-1)[-1] = 1e-3
    torch.save(state, tmp_path / "60.pt")
    with pytest.raises(UsageError, match=rf"blocks\.0\.attn\.{name} must be zero"):
        bring(layout="transformer_lens")
    assert not (tmp_path / "imported").exists()


def test_a_published_run_in_one_file(ours, states, layouts, bring, tmp_path):
    """The file of Nanda et al.: a dict with state_dicts, epochs, losses, and settings of plain types."""
    data = {
        "state_dicts": [layouts.nanda(weights) for weights in states.values()],
        "epochs": list(states),
        "train_losses": [0.5] * 61,
        "config": {"lr": 1e-3, "p": 11, "device": torch.device("cuda")},
    }
    torch.save(data, tmp_path / "full_run_data.pth")
    same_weights(bring("*.pth", step_from=None), ours)


def test_a_list_of_state_dicts(ours, states, bring, tmp_path):
    torch.save(list(states.values()), tmp_path / "all.pth")
    with pytest.raises(UsageError, match="holds 4 state dicts: give `steps` every:N"):
        bring("*.pth")
    with pytest.raises(SettingError, match="`steps` must be every:N"):
        bring("*.pth", steps="every:0")
    assert not (tmp_path / "imported").exists()
    run = bring("*.pth", steps="every:20")
    same_weights(run, ours)
    assert run.config["imported"]["layout"] == "own"


def test_the_list_of_steps_can_be_named(ours, states, bring, tmp_path):
    data = {
        "state_dicts": list(states.values()),
        "saved_at": torch.tensor(list(states)),
        "epochs": [0, 1, 2, 3],
    }
    torch.save(data, tmp_path / "all.pth")
    same_weights(bring("*.pth", steps="saved_at"), ours)
    with pytest.raises(UsageError, match=r"that are their steps; it has saved_at, epochs"):
        bring("*.pth", steps="when")


def test_lightning(ours, states, bring, tmp_path):
    for step, weights in states.items():
        checkpoint = {
            "epoch": step,
            "global_step": step,
            "pytorch-lightning_version": "2.5.0",
            "state_dict": {f"model.{name}": value for name, value in weights.items()},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3}]}],
            "hyper_parameters": {"lr": 1e-3},
        }
        torch.save(checkpoint, tmp_path / f"epoch={step // 7}-step={step}.ckpt")
    same_weights(bring("*.ckpt", step_from=None), ours)
    same_weights(bring("*.ckpt", step_from=r"step=(\d+)", out="again"), ours)
    assert "model.pos_embed=pos_embed" in Run.open(tmp_path / "again").config["imported"]["rename"]


def test_a_table_of_one_s_own(ours, states, bring, tmp_path):
    """Heads in one matrix, as nn.Linear keeps them, other names, and something that does not belong."""
    rules = ["net.tok.weight=embed.weight", "head.weight=unembed.weight", "criterion.*=", "unused=0"]
    for name in ("W_Q", "W_K", "W_V"):
        rules.append(f"{name}=blocks.0.attn.{name}.reshape(2,4,8)")
    for step, weights in states.items():
        state = dict(weights)
        state["net.tok.weight"] = state.pop("embed.weight")
        state["head.weight"] = state.pop("unembed.weight")
        state |= {"criterion.weight": torch.ones(3), "unused": torch.zeros(3)}
        for name in ("W_Q", "W_K", "W_V"):
            state[name] = state.pop(f"blocks.0.attn.{name}").reshape(8, 8)
        save_file(state, tmp_path / f"{step}.safetensors")
    same_weights(bring(rename=rules), ours)
    same_weights(bring(rename=rules, link=True, out="linked"), ours)
    with pytest.raises(UnknownName, match=r"unknown tensor to rename 'W_q': did you mean"):
        bring(rename=[*rules, "W_q=x"], out="other")


def test_what_does_not_fit_is_named_with_shapes(states, bring, tmp_path):
    state = dict(states[60])
    state["extra"] = torch.ones(5)
    del state["pos_embed"]
    state["embed.weight"] = torch.ones(9, 8)
    torch.save(state, tmp_path / "60.pt")
    with pytest.raises(UsageError) as caught:
        bring()
    assert str(caught.value) == (
        f"{tmp_path / '60.pt'} does not fit the network (layout own): missing: pos_embed (3, 8); unknown: "
        "extra (5,); embed.weight must be (12, 8), got (9, 8); change the network's settings with "
        "`settings`, or names with `rename` (OLD= leaves a tensor out)"
    )
    assert not (tmp_path / "imported").exists()


def test_nothing_is_written_when_the_last_file_does_not_fit(states, bring, tmp_path):
    torch.save(states[0], tmp_path / "0.pt")
    torch.save({**states[20], "more": torch.ones(1)}, tmp_path / "20.pt")
    with pytest.raises(UsageError, match=r"20\.pt does not fit the network .*unknown: more \(1,\)"):
        bring()
    torch.save({**states[20], "pos_embed": torch.ones(3, 8, dtype=torch.int64)}, tmp_path / "20.pt")
    with pytest.raises(
        UsageError, match=r"pos_embed must hold numbers like torch\.float32, got torch\.int64"
    ):
        bring()
    torch.save({name: value.double() for name, value in states[20].items()}, tmp_path / "20.pt")
    with pytest.raises(UsageError, match="holds float64 numbers"):
        bring()
    assert not (tmp_path / "imported").exists()


def test_float64_stays_float64(states, bring, tmp_path):
    torch.save({name: value.double() + 1e-12 for name, value in states[60].items()}, tmp_path / "60.pt")
    run = bring()
    assert run.config["training"]["dtype"] == "float64"
    assert run.weights(60)["pos_embed"].dtype == torch.float64
    assert analyze(run, "fit").failures == ()


@pytest.mark.parametrize("link", [False, True])
def test_equal_contents_are_reported(states, bring, tmp_path, link):
    for step in (0, 20, 40):
        save_file(states[0], tmp_path / f"{step}.safetensors")
    run = bring(link=link)
    assert bring.told == ["steps 0, 20, 40 hold the same weights"]
    assert run.steps == (0, 20, 40)
    results = analyze(Run.open(run.path), "fit")
    assert len(set(results.columns["fit.test_loss"])) == 1
    assert (results.messages, results.failures) == ((), ())
    assert analyze(Run.open(run.path), "fit").computed == 0


def test_a_step_is_there_once(states, bring, tmp_path):
    save_file(states[0], tmp_path / "a_7.safetensors")
    torch.save(states[0], tmp_path / "b_7.pt")
    assert bring().steps == (7,)
    assert bring.told[0].endswith("a_7.safetensors and is of the same step: it is left out")
    torch.save(states[20], tmp_path / "b_7.pt")
    with pytest.raises(UsageError, match=r"step 7 is there twice, in .*a_7\.safetensors and in .*b_7\.pt"):
        bring(out="other")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("epoch3.pth", 3),
        ("model_10,000.pt", 10000),
        ("vit-b16_epoch=2_step=700.ckpt", 700),
        ("Epoch-2-loss0.35.pt", 2),
        ("p113-seed1.pt", None),
        ("best.t7", None),
    ],
)
def test_a_step_in_a_name_is_found_where_it_is_the_only_one_or_called_so(states, bring, tmp_path, name, step):
    torch.save(states[20], tmp_path / name)
    if step is None:
        with pytest.raises(UsageError, match="does not say its step: give `step_from`"):
            bring(pattern=name, step_from=None)
    else:
        assert bring(pattern=name, step_from=None).steps == (step,)
        assert bring.told[0].startswith("steps are the numbers in the files' names")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"step_from": "("}, "`step_from` must be a regular expression"),
        ({"step_from": r"epoch=(\d+)"}, r"must find a whole number in '60\.pt', found nothing"),
        ({"step_from": r"(p)t"}, "found 'p'"),
        ({"step_from": r"0(x?)"}, "found ''"),
        ({"pattern": "*.bin"}, r"`checkpoints` must name files, and there is none that fits '.*\*\.bin'"),
        ({"link": True}, r"`link` is for safetensors files, and .*60\.pt is none"),
        ({"layout": "nand"}, "unknown layout 'nand': did you mean nanda"),
        ({"rename": ["x"]}, "`rename` must be OLD=NEW"),
        ({"task": "modad"}, "unknown task 'modad': did you mean modadd"),
        ({"model": "transformers"}, "did you mean transformer"),
        ({"settings": {"taks.p": 3}}, "unknown setting 'taks.p'"),
        ({"settings": {"training.steps": 3}}, r"training\.steps cannot be set here"),
        ({"settings": {"task.p": 1}}, r"task modadd\.p must be int >= 2"),
    ],
)
def test_what_cannot_be_asked_for(states, bring, tmp_path, options, words):
    torch.save(states[60], tmp_path / "60.pt")
    with pytest.raises(UsageError, match=words):
        bring(**options)
    assert os.listdir(tmp_path) == ["60.pt"]


def test_an_imported_run_is_finished(states, bring, tmp_path):
    from grokscope.training import is_finished

    for step, weights in states.items():
        torch.save(weights, tmp_path / f"{step}.pt")
    run = bring()
    assert run.is_imported
    assert is_finished(run)
    with pytest.raises(RunError, match="holds imported checkpoints, which cannot be trained on"):
        train("modadd", settings={"task.p": 11}, out=run.path)
    assert not (run.path / "resume.safetensors").exists()


def test_the_same_again_changes_nothing_and_another_is_refused(states, bring, tmp_path):
    for step in (0, 20):
        torch.save(states[step], tmp_path / f"{step}.pt")
    run = bring()
    before = {path.name: path.stat().st_mtime_ns for path in (run.path / "checkpoints").iterdir()}
    bring()
    assert before == {path.name: path.stat().st_mtime_ns for path in (run.path / "checkpoints").iterdir()}
    torch.save(states[40], tmp_path / "20.pt")
    with pytest.raises(RunError, match=r"holds other weights at step 20 than .*20\.pt, which was changed"):
        bring()
    assert torch.equal(Run.open(run.path).weights(20)["pos_embed"], states[20]["pos_embed"])


def test_what_was_cut_short_is_completed(ours, states, bring, tmp_path):
    for step, weights in states.items():
        save_file(weights, tmp_path / f"{step}.safetensors")
    for link in (False, True):
        run = bring(out=f"link-{link}", link=link)
        (run.path / "checkpoints" / "00000020.safetensors").unlink()
        (run.path / "imported.json").unlink()
        (run.path / "index.h5").unlink()
        if link:
            assert Run.open(run.path).steps == ()
            assert "`grokscope import` writes it again" in Run.open(run.path).problems[0]
        same_weights(bring(out=f"link-{link}", link=link), ours)
        assert Run.open(run.path).problems == []


def test_a_task_read_from_files_is_recorded_as_in_training(bring, tmp_path):
    """The data's digest is part of what the run is of, the place of the data is not."""
    pytest.importorskip("sklearn")
    ours = train(
        "digits", settings={"hidden": [5], "steps": 4, "checkpoint_every": "2"}, out=tmp_path / "trained"
    )
    for step in ours.steps:
        save_file(ours.weights(step), tmp_path / f"{step}.safetensors")
    given = {"hidden": [5], "loss": ours.config["training"]["loss"]}
    run = bring("*.safetensors", task="digits", model="mlp", settings=given)
    assert run.config["task"] == ours.config["task"]
    assert len(run.config["task"]["data_sha256"]) == 64
    same_weights(run, ours)
    same_metrics(run, ours)
    assert analyze(run, "fit").failures == ()


def test_runs_side_by_side_differ_in_settings_and_not_in_where_they_came_from(states, bring, tmp_path):
    from grokscope.run.config import differing_settings

    torch.save(states[0], tmp_path / "0.pt")
    one = bring("0.pt", out="one", settings={**SIZES, **TASK, "training.seed": 1})
    torch.save(states[20], tmp_path / "0.pt")
    other = bring("0.pt", out="other", settings={**SIZES, **TASK, "training.seed": 2})
    assert differing_settings([one.config, other.config]) == {"seed": [1, 2]}


def test_settings_by_their_bare_names(states, bring, tmp_path):
    torch.save(states[0], tmp_path / "0.pt")
    bare = {name.partition(".")[2]: value for name, value in {**SIZES, **TASK}.items()}
    assert bring(settings=bare).config == bring(out="dotted").config


def published_logits(state, pairs):
    """The published network's logits at `=`, all p + 1: embeddings as columns, causal attention, ReLU."""
    tokens = torch.cat([pairs, torch.full((len(pairs), 1), 11)], dim=1)
    at = {name.removeprefix("blocks.0."): value.double() for name, value in state.items()}
    x = at["embed.W_E"].t()[tokens] + at["pos_embed.W_pos"]
    heads = []
    for head in range(2):
        q, k, v = (x @ at[f"attn.W_{name}"][head].t() for name in "QKV")
        scores = (q @ k.mT / 2.0).masked_fill(at["attn.mask"] == 0, -torch.inf)  # sqrt(d_head) is 2
        heads.append(scores.softmax(-1) @ v)
    x = x + torch.cat(heads, dim=-1) @ at["attn.W_O"].t()
    x = x + (x @ at["mlp.W_in"].t() + at["mlp.b_in"]).relu() @ at["mlp.W_out"].t() + at["mlp.b_out"]
    return (x @ at["unembed.W_U"])[:, -1]


def lens_logits(state, pairs):
    """TransformerLens's logits at `=`: rows everywhere, a sum over heads, each with its own W_O."""
    tokens = torch.cat([pairs, torch.full((len(pairs), 1), 11)], dim=1)
    at = {name.removeprefix("blocks.0."): value.double() for name, value in state.items()}
    x = at["embed.W_E"][tokens] + at["pos_embed.W_pos"]
    out = at["attn.b_O"].expand_as(x).clone()
    for head in range(2):
        q, k, v = (x @ at[f"attn.W_{name}"][head] + at[f"attn.b_{name}"][head] for name in "QKV")
        scores = (q @ k.mT / 2.0).masked_fill(at["attn.mask"] == 0, -torch.inf)
        out += scores.softmax(-1) @ v @ at["attn.W_O"][head]
    x = x + out
    x = x + (x @ at["mlp.W_in"] + at["mlp.b_in"]).relu() @ at["mlp.W_out"] + at["mlp.b_out"]
    return (x @ at["unembed.W_U"] + at["unembed.b_U"])[:, -1]


@pytest.mark.parametrize(
    ("layout", "theirs"), [("nanda", published_logits), ("transformer_lens", lens_logits)]
)
def test_the_imported_network_computes_what_theirs_does(states, layouts, bring, tmp_path, layout, theirs):
    """Their formulas written out, on their tensors: the layouts are right and not merely inverses."""
    state = getattr(layouts, layout)({name: value.double() for name, value in states[60].items()})
    torch.save(state, tmp_path / "60.pt")
    run = bring()
    pairs = torch.cartesian_prod(torch.arange(11), torch.arange(11))
    assert (logits(run, 60) - theirs(state, pairs)[:, :11]).abs().max() < 1e-12
