"""A compiled network trains as the plain one does, and where torch cannot compile one sentence says why."""

import copy

import pytest
import torch

from grokscope import SettingError
from grokscope.models.mlp import MLP
from grokscope.models.transformer import Transformer
from grokscope.training import compiling
from grokscope.training.interventions import interventions

SETTINGS = {"loss": "cross_entropy"}
TOKENS = torch.cartesian_prod(torch.arange(11), torch.arange(11))
LABELS = TOKENS.sum(dim=1) % 11


def networks():
    torch.manual_seed(0)
    yield MLP(inputs=22, hidden=[12, 8], outputs=11, vocabulary=11)
    yield Transformer(vocabulary=11, length=2, outputs=11, d_model=8, heads=2, d_head=4, d_mlp=12)


def gradients(network, forward):
    beside = interventions(SETTINGS, None, network)
    beside.network = forward
    network.zero_grad()
    beside.objective(TOKENS, LABELS).backward()
    return {name: each.grad.clone() for name, each in network.named_parameters()}


@pytest.mark.slow  # torch's own compiler takes as long to be loaded as a hundred tests
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_gradients_are_the_plain_ones(backend):
    for network in networks():
        network = network.double()
        plain, before = gradients(network, network), torch.get_rng_state()
        forward = compiling.compiled(network, TOKENS, backend)
        assert all(each.grad is None for each in network.parameters())
        assert torch.equal(torch.get_rng_state(), before)
        for name, found in gradients(network, forward).items():
            assert (found - plain[name]).abs().max() <= 1e-12 * plain[name].abs().max(), name


def test_a_machine_without_a_compiler_is_told_so_and_nothing_is_written(trainer, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise RuntimeError("pages of it") from type("InvalidCxxCompiler", (Exception,), {})("None of: g++")

    monkeypatch.setattr(torch, "compile", lambda network, backend: refuse)
    with pytest.raises(SettingError) as refused:
        trainer(compile=True)
    assert str(refused.value) == (
        "compile must be left out on this machine: torch finds no C++ compiler (None of: g++); "
        "install g++ or clang++, or set CXX"
    )
    assert not list(tmp_path.iterdir())


def test_it_is_told_when_a_run_goes_on_compiled(trainer, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, backend: copy.copy(network))
    trainer(stop_at=12)
    run = trainer(compile=True)
    assert run.steps == (0, 10, 12, 20, 30)
    (told,) = trainer.told
    assert "other conditions (compiled no -> yes)" in told
