"""A network that takes several inputs is called with each of them; noise goes onto the first."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope import Run, analyze, import_checkpoints
from grokscope.errors import PluginError
from grokscope.models.plain import Plain
from grokscope.tasks.own import own_task
from grokscope.testing import probe_of

N = 24


class Masked(nn.Module):
    """Reads tokens where a mask lets it, and how far along each is."""

    def __init__(self):
        super().__init__()
        self.embed, self.layer, self.head = nn.Embedding(7, 4), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, tokens, far=None, *, mask):
        x = torch.cat([self.embed(tokens).masked_fill(~mask[:, :, None], 0), far[:, :, None]], dim=-1)
        return self.head(F.relu(self.layer(x)).sum(dim=1))


class Gated(nn.Module):
    """Numbers, and a class that says by which row they are scaled."""

    def __init__(self):
        super().__init__()
        self.rows, self.layer, self.head = nn.Embedding(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x, kind):
        return self.head(F.gelu(self.layer(x * self.rows(kind))))


def inputs_of(kind, first=0):
    draw = torch.Generator().manual_seed(first)
    if kind is Gated:
        return torch.randn(N, 5, generator=draw), torch.randint(0, 4, (N,), generator=draw)
    tokens = torch.randint(0, 7, (N, 4), generator=draw)
    return {"tokens": tokens, "far": torch.rand(N, 4, generator=draw), "mask": tokens > 1}


def data(kind):
    labels = torch.arange(N) % 3
    return (inputs_of(kind), labels), (inputs_of(kind, 1), labels)


@pytest.mark.parametrize("kind", [Masked, Gated])
def test_logits_and_their_gradients_are_those_of_the_module(kind):
    torch.manual_seed(0)
    module, given = kind().eval(), inputs_of(kind)
    task = own_task("mine:data", data(kind), N)
    probe = probe_of(Plain(module, *task.examples("all"), parts=task.parts), task)
    by_place = () if kind is Masked else given
    by_name = given if kind is Masked else {}
    with torch.no_grad():
        every = module(*by_place, **by_name)
        assert torch.equal(probe.logits("train"), every)
        main = module.embed(given["tokens"]) if kind is Masked else given[0]
        assert torch.equal(probe.encoded("train"), main)
        other = {name: 2 * weight for name, weight in probe.weights.items()}
        doubled = torch.func.functional_call(module, other, by_place, by_name)
        assert torch.equal(probe.logits_at(other, probe.inputs("train")), doubled)
        noised = probe.trace("train", 0.1)["logits"]
        assert not torch.equal(noised, every)
        if kind is Gated:
            assert torch.equal(noised, module(probe.encoded("train", 0.1), given[1]))
    fewer = own_task("mine:data", data(kind), 20)
    assert (len(fewer.train), len(fewer.test)) == (20, 20)
    assert all((row == task.inputs).all(1).any() for row in fewer.inputs)


def test_a_run_keeps_several_inputs_and_is_measured_without_their_code(tmp_path, monkeypatch):
    task = own_task("mine:data", data(Masked), N)
    torch.manual_seed(0)
    for step in (0, 1, 2):
        torch.save(Masked().state_dict(), tmp_path / f"step_{step}.pt")
    monkeypatch.setattr(f"{__name__}.given", lambda: data(Masked), raising=False)
    run = import_checkpoints(
        tmp_path / "run",
        str(tmp_path / "step_*.pt"),
        model=f"{__name__}:Masked",
        task=f"{__name__}:given",
        step_from=r"step_(\d+)",
    )
    names = "fit,weight_norm,pe,oinfo,activation_sparsity,circuit_complexity,cka,sharpness"
    quick = {"pe.batch_size": 8, "sharpness.accuracy": 1, "sharpness.max_probes": 16}
    found = analyze(Run.open(run.path), names, settings=quick, model=f"{__name__}:Masked")
    assert (found.failures, found.notes) == ((), {})
    network = Masked()
    network.load_state_dict(run.weights(2))
    inputs, labels = task.parted("test")
    loss = F.cross_entropy(network(**inputs), labels).item()
    assert found.columns["fit.test_loss"][2] == pytest.approx(loss, rel=1e-5)


def test_data_sets_give_several_inputs_too():
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return N

        def __getitem__(self, place):
            x, kind = inputs_of(Gated)
            return (x[place], kind[place]), place % 3

    whole = own_task("mine:data", data(Gated), N)
    items = own_task("mine:data", (Items(), torch.utils.data.DataLoader(Items(), batch_size=7)), N)
    assert torch.equal(items.inputs[:N], whole.inputs[:N])
    assert torch.equal(items.inputs[N:], whole.inputs[:N])
    assert items.parts == whole.parts
    words = [{"input_ids": [1, 2, 3], "attention_mask": [1, 1, 0], "label": 1}] * 4
    named = own_task("mine:data", (words, words), N)
    assert [part.name for part in named.parts] == ["input_ids", "attention_mask"]
    assert named.vocabulary == 4


def test_large_whole_numbers_beside_reals_stay_exact():
    large = torch.tensor([(1 << 24) + 1, (1 << 31) + 3])
    task = own_task("d", (((torch.rand(2, 2), large), torch.tensor([0, 1])),) * 2, 2)
    assert torch.equal(task.parted("train")[0]["1"], large)


def test_inputs_that_do_not_go_together_are_refused():
    x, labels = torch.rand(4, 2), torch.arange(4) % 2
    with pytest.raises(PluginError, match="train has 3 inputs and 4 labels"):
        own_task("d", (((x, x[:3]), labels),) * 2, 4)
    with pytest.raises(PluginError, match=r"train has the inputs \['0', '1'\], test \[''\]"):
        own_task("d", (((x, x), labels), (x, labels)), 4)
    with pytest.raises(PluginError, match="called as the network's argument is, got 'my x'"):
        own_task("d", (({"my x": x}, labels),) * 2, 4)
