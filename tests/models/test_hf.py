"""Networks of transformers are made of the text of a config.json, by its own code alone."""

import json

import pytest
import torch

from grokscope.errors import DamagedFile, PluginError, SettingError, UsageError
from grokscope.models.factories import hf
from grokscope.models.hf import cleaned, renames
from grokscope.models.making import make_network_apart
from grokscope.tasks.own import task_of

transformers = pytest.importorskip("transformers", reason="pip install 'grokscope[hub]'")
SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
TOKENS = torch.randint(2, 13, (6, 7), generator=torch.Generator().manual_seed(0))
KINDS = {
    "GPT2LMHeadModel": {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8},
    "GPTNeoXForCausalLM": {**SIZES, "max_position_embeddings": 8},
    "BertForSequenceClassification": {**SIZES, "max_position_embeddings": 8, "id2label": {0: "a", 1: "b"}},
    "GPT2ForSequenceClassification": {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8},
}


def test_several_inputs_may_be_given_by_name():
    _, text = config("BertForSequenceClassification", pad_token_id=0)
    pair = {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS)}, torch.arange(6) % 2
    data = task_of("own", {"train": pair, "test": pair})
    network = make_network_apart(hf, data, {"config": text}).eval()
    with torch.no_grad():
        assert torch.allclose(network(data.inputs)[:6], network.inner(TOKENS).logits, atol=1e-6)


def task(classes=False, tokens=TOKENS):
    pair = (tokens, torch.arange(len(tokens)) % 2) if classes else (tokens[:, :-1], tokens[:, 1:])
    return task_of("own", {"train": pair, "test": pair})


def config(name, **more):
    made = getattr(transformers, name).config_class(vocab_size=13, **KINDS[name])
    return made, json.dumps({**made.to_dict(), "architectures": [name], **more})


@pytest.mark.parametrize("name", KINDS)
def test_logits_are_those_of_the_class_that_the_file_names(name):
    torch.manual_seed(0)
    settings, text = config(name)
    theirs = getattr(transformers, name)(settings).eval()
    data = task(classes="Sequence" in name)
    network = make_network_apart(hf, data, {"config": text})
    network.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        inputs = data.inputs[:1]  # GPT-2 as it comes classifies one at a time without padding
        expected = theirs(inputs).logits
        assert torch.allclose(
            network(data.inputs)[: expected[..., 0].numel()], expected.flatten(0, -2), atol=1e-6
        )
    assert network.hidden


def test_a_classifier_looks_away_from_padding():
    _, text = config("BertForSequenceClassification", pad_token_id=0)
    network = make_network_apart(hf, task(classes=True), {"config": text}).eval()
    padded = torch.cat([TOKENS[:, :5], torch.zeros(6, 2, dtype=torch.int64)], dim=1)
    with torch.no_grad():
        expected = network(TOKENS[:, :5])
        assert torch.allclose(network(padded), expected, atol=1e-6)
        named = {"input_ids": padded, "attention_mask": torch.ones_like(padded)}
        assert not torch.allclose(network.inner(**named).logits, expected, atol=1e-6)  # the data's own mask


def test_nothing_that_a_file_asks_for_is_fetched():
    _, text = config("GPT2LMHeadModel")
    asks = {"auto_map": {"AutoConfig": "a.B"}, "_attn_implementation": "some/kernel", "dtype": "float16"}
    nested = {"text_config": {"attn_implementation": "some/kernel", "vocab_size": 3}}
    kept = json.loads(cleaned(json.dumps({**json.loads(text), **asks, **nested}), "x"))
    assert not kept.keys() & asks.keys()
    assert kept["text_config"] == {"vocab_size": 3}
    network = make_network_apart(hf, task(), {"config": config("GPT2LMHeadModel", **asks)[1]})
    assert all(each.dtype == torch.float32 for each in network.parameters())


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("", SettingError, r"set model\.config"),
        ("{", DamagedFile, r"must be a config\.json of transformers: JSONDecodeError"),
        ("[1]", DamagedFile, "names no model_type"),
        ('{"model_type": "mine", "architectures": ["Mine"]}', SettingError, "got Mine of model_type 'mine'"),
        ('{"model_type": "gpt2"}', SettingError, "got no architecture"),
        ('{"model_type": "gpt2", "architectures": ["GPT2Model"]}', SettingError, "got GPT2Model"),
        ("GPT2LMHeadModel n_head=3", PluginError, "transformers cannot make GPT2LMHeadModel"),
        ("GPT2LMHeadModel vocab_size=12", SettingError, "token ids must be below 12, .* got 12"),
        ("GPT2LMHeadModel n_positions=5", SettingError, "at most 5 tokens"),
    ],
)
def test_what_is_no_network_here_is_said(text, kind, words):
    if text.startswith("GPT2"):
        name, _, change = text.partition(" ")
        key, value = change.split("=")
        text = config(name, **{key: int(value)})[1]
    with pytest.raises(kind, match=words):
        make_network_apart(hf, task(), {"config": text})


def test_tensors_are_renamed_as_transformers_itself_takes_them():
    _, text = config("GPTNeoXForCausalLM")
    network = make_network_apart(hf, task(), {"config": text}).inner
    stored = dict(network.state_dict())
    head = next(name for name in ("lm_head.weight", "embed_out.weight") if name in stored)
    stored["embed_out.weight"] = stored.pop(head)
    stored["gpt_neox.layers.0.attention.bias"] = torch.ones(1, 1, 8, 8).tril()
    stored["gpt_neox.layers.0.attention.masked_bias"] = torch.tensor(-1e9)
    stored["strange"] = torch.zeros(3)
    rules = renames(stored, network)
    assert set(rules) - {f"embed_out.weight={head}"} == {
        "gpt_neox.layers.0.attention.bias=",
        "gpt_neox.layers.0.attention.masked_bias=",
    }
    assert head == "embed_out.weight" or f"embed_out.weight={head}" in rules


def test_tensors_that_are_made_of_several_are_refused():
    version = int(transformers.__version__.partition(".")[0])
    if version < 5:
        pytest.skip("transformers made experts one by one before 5")
    sizes = {**SIZES, "num_key_value_heads": 2, "num_local_experts": 2, "vocab_size": 13}
    network = transformers.MixtralForCausalLM(transformers.MixtralConfig(**sizes))
    stored = dict(network.state_dict())
    both = stored.pop("model.layers.0.mlp.experts.gate_up_proj")
    down = stored.pop("model.layers.0.mlp.experts.down_proj")
    for expert in (0, 1):
        prefix = f"model.layers.0.block_sparse_moe.experts.{expert}"
        stored[f"{prefix}.w1.weight"], stored[f"{prefix}.w3.weight"] = both[expert].chunk(2)
        stored[f"{prefix}.w2.weight"] = down[expert]
    with pytest.raises(UsageError, match="and others, and import only renames"):
        renames(stored, network)
