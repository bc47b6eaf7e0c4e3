"""Names in a file become the network's: wrappers and beginnings come off on either side, ties are named."""

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from grokscope import Run
from grokscope.errors import SettingError, UnknownName, UsageError
from grokscope.importing.layouts import Naming, choose
from grokscope.importing.prefixes import peelings
from grokscope.run.kinds import kinds_of


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2)))


class Around(nn.Module):
    """A user's own module around the network."""

    def __init__(self, name, inner):
        super().__init__()
        self.add_module(name, inner)


def prefixed(text):
    return lambda module: {text + name: value for name, value in module.state_dict().items()}


def compiled(module):
    """As torch.compile, which takes seconds to load, names it."""
    return Around("_orig_mod", module)


def compiled_inside(module):
    module[2] = compiled(module[2])
    return module.state_dict()


STORED = {
    "parallel": lambda module: nn.DataParallel(module).state_dict(),
    "compiled": lambda module: compiled(module).state_dict(),
    "lightning and compiled": lambda module: Around("model", compiled(module)).state_dict(),
    "compiled and parallel": lambda module: compiled(nn.DataParallel(module)).state_dict(),
    "parallel twice": lambda module: nn.DataParallel(nn.DataParallel(module)).state_dict(),
    "averaged": lambda module: torch.optim.swa_utils.AveragedModel(module).state_dict(),
    "compiled inside": compiled_inside,
    "fsdp": prefixed("_fsdp_wrapped_module."),
    "deepspeed": prefixed("model._forward_module."),
    "unknown": prefixed("backbone.encoder."),
}


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("made", [net, lambda: Around("body", compiled(net()))])
def test_wrappers_come_off_on_either_side(kind, made):
    network, state = made(), STORED[kind](net())
    chosen = choose(state, network, Naming(), "file.pt")
    found = chosen.apply(state, kinds_of(network))
    expected = network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert chosen.taken == ("backbone.encoder." if kind == "unknown" else "")


def test_a_network_s_own_module_called_module_stays():
    network = Around("module", net())
    assert choose(network.state_dict(), network, Naming(), "").rules == ()
    twice = prefixed("module.")(network)
    assert choose(twice, network, Naming(), "").apply(twice, kinds_of(network)).keys() == set(
        network.state_dict()
    )


def test_what_is_beside_the_network_is_left_to_the_user():
    state = {**prefixed("student.")(net()), **prefixed("teacher.")(net()), "teacher.count": torch.ones(1)}
    with pytest.raises(UsageError, match=r"unknown: student\.0\.weight .* and 1 more"):
        choose(state, net(), Naming(), "file.pt")
    rule = Naming(strip=["student"], rename=[_left_out("teacher.*")])
    assert choose(state, net(), rule, "file.pt").apply(state, kinds_of(net())).keys() == set(
        net().state_dict()
    )


def _left_out(glob):
    from grokscope.run.rename import read_rule

    return read_rule(f"{glob}=")


def test_what_is_to_be_stripped_must_be_there():
    odd = {f"p{name}": value for name, value in net().state_dict().items()}
    with pytest.raises(UsageError, match="does not fit"):
        choose(odd, net(), Naming(), "file.pt")
    assert choose(odd, net(), Naming(strip=["p"]), "file.pt").layout == "own"
    with pytest.raises(UsageError, match=r"`strip` must be what tensors' names begin with, got 'q'"):
        choose(odd, net(), Naming(strip=["q"]), "file.pt")


def test_no_two_names_become_one():
    assert all(len(set(each.names.values())) == 2 for each in peelings(["module.a", "a"]))
    assert (
        peelings(["module.model.a.b", "module.model.a.c"])[0].names["module.model.a.b"] == "module.model.a.b"
    )


@pytest.mark.parametrize("link", [False, True])
def test_a_tensor_that_has_two_names(states, bring, tmp_path, link):
    """The same tensor as two parameters of a network that does not tie them: by metadata, and by `tie`."""
    state = {f"module.{name}": value for name, value in states[60].items()}
    kept, other = "module.blocks.0.attn.W_Q", "module.blocks.0.attn.W_K"
    del state[other]
    save_file(state, tmp_path / "60.safetensors")
    with pytest.raises(UsageError, match=r"missing: blocks\.0\.attn\.W_K"):
        bring(link=link)
    tie = "blocks.0.attn.W_K=blocks.0.attn.W_Q"
    by_hand = bring(link=link, tie=tie)
    save_file(state, tmp_path / "60.safetensors", {other: kept})
    by_file = bring(link=link, out="file")
    for run in (Run.open(by_hand.path), Run.open(by_file.path)):
        found = run.weights(60)
        assert run.problems == []
        assert torch.equal(found["blocks.0.attn.W_K"], states[60]["blocks.0.attn.W_Q"])
        assert found.keys() == states[60].keys()
    with pytest.raises(SettingError, match="`tie` must be NAME=OTHER"):
        bring(out="third", tie="a")
    with pytest.raises(UnknownName, match="unknown tensor to tie 'W_K'"):
        bring(out="third", tie=["W_K=blocks.0.attn.W_Q"])


def test_a_rule_may_name_what_a_file_keeps_once(states, bring, tmp_path):
    """Rules that were needed before the file's own metadata was read still do."""
    state = {name: value for name, value in states[60].items() if name != "pos_embed"}
    save_file({**state, "kept": states[60]["pos_embed"]}, tmp_path / "60.safetensors", {"pos_embed": "kept"})
    run = bring(rename="kept=pos_embed")
    assert torch.equal(run.weights(60)["pos_embed"], states[60]["pos_embed"])


def test_save_model_s_own_metadata_is_read(tmp_path):
    from grokscope.importing.sources import read

    network = net()
    network[2] = nn.Sequential(nn.Linear(3, 4))
    network[2][0].weight = network[0].weight
    save_model(network, str(tmp_path / "tied.safetensors"))
    (found,) = read(tmp_path / "tied.safetensors").states
    assert found.keys() == network.state_dict().keys()
    assert torch.equal(found["2.0.weight"], found["0.weight"])
