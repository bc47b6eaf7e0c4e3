"""A probe computes each thing once, in chunks that change nothing, and draws its noise once for a run."""

import math

import pytest
import torch

from grokscope import MeasureError, SettingError, UnknownName
from grokscope.memory import Memory, Shelf, bytes_each, read_size, size_of
from grokscope.probe import NoiseSource, Probe, generator_for, passes
from grokscope.testing import example_probe


@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
def test_every_tensor_is_computed_once(kind):
    example = example_probe(kind)
    for ask in (example.logits, example.encoded, example.first_layer):
        assert ask("train", 0.1) is ask("train", 0.1)
    assert example.trace("test")["logits"] is example.trace("test", 0)["logits"]
    assert set(example.activations("train")) == set(example.model.hidden)


@pytest.mark.parametrize("chunk", [passes.CHUNK_VALUES, 1000])
def test_all_is_train_and_test_put_together(chunk, monkeypatch):
    monkeypatch.setattr(passes, "CHUNK_VALUES", chunk)
    example = example_probe("mlp")
    example.first_layer("train")  # what there is in a trace is known
    ran = []
    trace = example.model.trace
    example.model.trace = lambda encoded: ran.append(len(encoded)) or trace(encoded)
    everything = example.logits("all")
    once = sum(ran)
    assert once == len(example.task.test)  # the training examples' came with their first layer
    for split in ("train", "test"):
        assert torch.equal(everything[example.task.indices(split)], example.logits(split))
    assert sum(ran) == once


def with_memory(example, memory, shelf=None):
    """The same checkpoint, where so much is kept."""
    noise = NoiseSource("grokscope.testing", memory)
    return Probe(
        step=0,
        task=example.task,
        model=example.model,
        weights=example.weights,
        loss_name=example.loss_name,
        noise=noise,
        memory=memory,
        of_task=shelf,
    )


@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
def test_what_does_not_fit_is_computed_again_by_the_same_steps(kind, monkeypatch):
    """With room for nothing at all, for some, and for everything: the same bits, and never more held."""
    monkeypatch.setattr(passes, "CHUNK_VALUES", 1000)
    example = example_probe(kind)
    ample = with_memory(example, Memory())
    for most in (0, 20_000, 60_000):
        memory = Memory(most)
        tight = with_memory(example, memory, Shelf(memory))
        for split, sigma in (("all", 0.0), ("train", 0.3), ("test", 0.0), ("train", 0.3)):
            for name, wanted in ample.trace(split, sigma).items():
                assert torch.equal(tight.trace(split, sigma)[name], wanted)
                assert memory.held <= most
            assert torch.equal(tight.encoded(split, sigma), ample.encoded(split, sigma))
        assert tight.scale() == ample.scale()
        chosen = torch.tensor([3, 1])
        assert torch.equal(tight.encoded_some("test", chosen), ample.encoded("test")[chosen])


def test_one_pass_gives_what_many_ask_for_where_there_is_room_for_it(monkeypatch):
    """Each name of a tensor is one and the same."""
    monkeypatch.setattr(passes, "CHUNK_VALUES", 1000)
    example, ran = example_probe("mlp"), []
    trace_raw = example.model.trace_raw
    example.model.trace_raw = lambda inputs: ran.append(len(inputs)) or trace_raw(inputs)
    examples = len(example.inputs("train"))
    each = sum(
        values[0].numel() * 4 for values in (*example.activations("test").values(), example.logits("test"))
    )
    probe, ran[:] = with_memory(example, Memory(2 * each * examples)), []
    probe.logits("train"), probe.activations("train")
    assert sum(ran) == examples
    assert probe.first_layer("train") is probe.trace("train")["layers.0_pre"]
    assert sum(ran) == 2 * examples


def test_what_many_ask_of_logits_stays_where_these_have_no_room(monkeypatch):
    monkeypatch.setattr(passes, "CHUNK_VALUES", 1000)
    example, ran = example_probe("mlp"), []
    trace_raw = example.model.trace_raw
    example.model.trace_raw = lambda inputs: ran.append(len(inputs)) or trace_raw(inputs)
    probe, once = with_memory(example, Memory(2000)), len(example.inputs("train"))
    probe.require_finite("mine: the logits", "logits", "train")
    for _ in range(2):
        assert probe.loss("train") == example.loss("train")
        assert probe.accuracy("train") == example.accuracy("train")
        assert torch.equal(probe.predictions("train"), example.logits("train").argmax(dim=1))
        assert probe.all_finite("logits", "train")
    assert sum(ran) == 4 * once  # the logits thrice, and once to compare with
    with torch.no_grad():
        example.model.layers[-1].bias[0] = math.inf
    wrong = with_memory(example, Memory(2000))
    assert set(wrong.predictions("test").tolist()) == {-1}
    assert math.isnan(wrong.accuracy("test"))
    assert wrong.all_finite("layers.0_post", "test")
    with pytest.raises(MeasureError, match="mine: the logits must be finite"):
        wrong.require_finite("mine: the logits", "logits", "test", 0.1)


def test_values_that_have_no_room_together_are_not_kept_one_by_one():
    probe, made = with_memory(example_probe("mlp"), Memory(100)), []
    for together in (50, 51):
        for _ in range(2):
            probe.shared(("mine", together), lambda: made.append(1) or torch.zeros(2), together=together)
    assert len(made) == 1 + 2


@pytest.fixture
def shelves():
    """Two shelves of 100 bytes together, what has gone from them, and a way to ask."""
    memory, gone = Memory(100), []

    def ask(shelf, key, size):
        return shelf.shared(key, lambda: torch.zeros(size, dtype=torch.uint8))

    return memory, [Shelf(memory, gone.append), Shelf(memory, gone.append)], gone, ask


def test_the_longest_unasked_goes_first_and_what_is_too_large_is_not_kept(shelves):
    memory, (shelf, other), gone, ask = shelves
    ask(shelf, "a", 40), ask(other, "b", 40), ask(shelf, "a", 40)
    ask(shelf, "c", 50)
    assert (gone, memory.held) == (["b"], 90)
    assert len(ask(other, "huge", 101)) == 101
    assert (gone, memory.held) == (["b", "huge"], 90)
    ask(shelf, "nothing", 0)
    ask(other, "d", 60)
    assert (gone, memory.held, "nothing" in shelf) == (["b", "huge", "a", "c"], 60, True)
    other.drop("d")
    ask(shelf, "e", 10)
    shelves[1].clear()
    del shelf
    assert memory.held == 0


def test_small_values_go_when_no_larger_one_is_left(shelves):
    memory, (shelf, other), gone, ask = shelves
    for small in range(40):
        ask(shelf, small, 1)
    ask(other, "a", 60), ask(other, "b", 50), ask(other, "c", 70)
    assert (gone, memory.held) == (["a", "b", "c"], 40)
    for small in range(40, 110):
        ask(other, small, 1)
    assert (gone[3:], memory.held) == ([*range(10)], 100)


def test_sizes_are_read_and_counted():
    tensor = torch.zeros(3, 4)
    assert size_of({"x": [tensor, (tensor, 1)], "y": tensor.numpy()}) == 3 * 48
    assert bytes_each("2GB", 2) == 10**9
    for wrong in ("lots", "2XB", "", "1MB", -5):
        with pytest.raises(SettingError, match="max_memory must be"):
            read_size(wrong)


def test_the_variable_and_a_quarter_of_the_machine_are_the_defaults(monkeypatch):
    monkeypatch.setattr("grokscope.memory.machine", lambda: 16 << 30)
    monkeypatch.delenv("GROKSCOPE_MAX_MEMORY", raising=False)
    assert bytes_each(None, 2) == 2 << 30
    monkeypatch.setenv("GROKSCOPE_MAX_MEMORY", "3GB")
    assert bytes_each(None, 1) == 3 * 10**9


@pytest.mark.parametrize("shape", [(48, 3), (100, 7), (33, 16)])
def test_noise_in_parts_is_the_noise(shape):
    like, source = torch.zeros(shape), NoiseSource("run")
    parts = source.parts("train", 0.1, [(16, shape[1]), (shape[0] - 16, shape[1])], like)
    assert torch.equal(torch.cat(list(parts)), source.draw("train", 0.1, like))


def test_chunks_change_nothing(monkeypatch):
    whole = example_probe("transformer")
    monkeypatch.setattr(passes, "CHUNK_VALUES", 1000)
    chunked = example_probe("transformer")
    torch.testing.assert_close(chunked.logits("train", 0.2), whole.logits("train", 0.2), rtol=1e-5, atol=1e-5)
    assert chunked.logits("train").shape == whole.logits("train").shape


def test_logits_are_those_of_the_network_s_quick_way():
    for kind in ("mlp", "transformer", "lstm"):
        example = example_probe(kind)
        with torch.no_grad():
            torch.testing.assert_close(example.logits("test"), example.model(example.inputs("test")))


def test_noise_is_drawn_once_per_split_and_sigma():
    like = torch.zeros(400, 30)
    source, again = NoiseSource("run"), NoiseSource("run")
    first = source.draw("train", 0.1, like)
    assert source.draw("train", 0.1, like) is first
    assert torch.equal(again.draw("train", 0.1, like), first)
    for other in (
        source.draw("test", 0.1, like),
        source.draw("train", 0.2, like),
        NoiseSource("x").draw("train", 0.1, like),
    ):
        correlation = torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1]
        assert abs(correlation) < 5 / 12000**0.5
    assert abs(first.mean()) < 5 / 12000**0.5
    assert first.std() == pytest.approx(1, abs=5 / 24000**0.5)


def test_equal_words_seed_equal_numbers_and_no_others_do():
    def draw(*words):
        return torch.rand(3, generator=generator_for(*words)).tolist()

    assert draw("a", "bc") == draw("a", "bc")
    assert draw("a", "bc") != draw("ab", "c")


def test_loss_and_accuracy_by_hand():
    example = example_probe("mlp")
    logits, labels = example.logits("test").double(), example.labels("test")
    by_hand = -logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()
    assert example.loss("test") == pytest.approx(by_hand.item(), rel=1e-12)
    assert example.accuracy("test") == (logits.argmax(1) == labels).double().mean().item()


def test_a_split_that_does_not_exist_is_refused():
    with pytest.raises(UnknownName, match="unknown split 'tain': did you mean train"):
        example_probe("mlp").logits("tain")
