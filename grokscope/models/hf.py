"""A network that transformers makes of a config.json: which kinds, and what of the file counts.

No code but that of transformers itself is run, whatever the file asks for: not what `auto_map` names, and no
kernel that an attention's name would fetch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from grokscope.declare import canonical_json
from grokscope.errors import DamagedFile, PluginError, SettingError, UsageError, described
from grokscope.extras import from_extra
from grokscope.tasks.packing import unpacked

if TYPE_CHECKING:
    from torch import nn

    from grokscope.tasks.task import Task

NAME = "hf"
KINDS = {  # transformers' tables of its classes, and what they are
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES": "a causal language model",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES": "a classifier of sequences",
    "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES": "a classifier of tokens",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES": "a classifier of images",
}
# Where the file lies, in which type it was trained, and whose code computes it, are not the network.
_BESIDE = ("auto_map", "transformers_version", "torch_dtype", "dtype", "use_cache", "quantization_config")
_HALF = 0.5  # no network begins with it in a tensor
_CODE = ("attn_implementation", "experts_implementation")


def cleaned(text: str, where: object) -> str:
    """Return what counts of a config.json as one line of JSON. Raises DamagedFile where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{where} must be a config.json of transformers: {described(error)}") from error
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise DamagedFile(f"{where} must be a config.json of transformers, and names no model_type")
    return canonical_json(_without_code(found))


def _without_code(value: Any) -> Any:
    """Return the settings that make the network, without those that would have code fetched, however deep."""
    if isinstance(value, list):
        return [_without_code(each) for each in value]
    if not isinstance(value, dict):
        return value
    left_out = (*_BESIDE, *_CODE)
    return {
        name: _without_code(each)
        for name, each in value.items()
        if name not in left_out and not name.startswith("_")
    }


def network_of(text: str, task: Task) -> nn.Module:
    """Return the network, untrained, that the text of a config.json describes.

    Raises SettingError where there is no such network, or the task is none for it.
    """
    if not text:
        raise SettingError("model hf must have the text of a config.json: set model.config")
    settings = json.loads(cleaned(text, "model.config"))
    with from_extra("hub", f"model {NAME}"):
        import transformers
    names = settings.pop("architectures", None) or []
    kind = settings.pop("model_type")
    made, table = _class(transformers, kind, names[0] if names else "")
    try:
        with _quietly():
            config = made.config_class.from_dict(settings)
            config.use_cache = False
            _check_fits(config, task)
            network = made(config)
    except SettingError:
        raise
    except Exception as error:  # settings of somebody's own may raise anything there
        raise PluginError(
            f"transformers cannot make {names[0]} of its config.json: {described(error)}"
        ) from error
    if "SEQUENCE" in table or "TOKEN" in table:
        _tell_padding(network, network.config)
    return network


def _class(transformers: Any, kind: str, name: str) -> tuple[Any, str]:
    """Return transformers' own class of that name, and the table it is in. Raises SettingError."""
    from transformers.models.auto import modeling_auto

    for table in KINDS:
        of_kind = getattr(modeling_auto, table).get(kind, ())
        if name in ((of_kind,) if isinstance(of_kind, str) else of_kind):
            return getattr(transformers, name), table
    raise SettingError(
        f"the config.json must be of {', '.join(KINDS.values())} that transformers "
        f"{transformers.__version__} itself brings, got {name or 'no architecture'} of model_type {kind!r}; "
        "code from elsewhere is not run: name a function of your own that makes it"
    )


def _check_fits(config: Any, task: Task) -> None:
    known, places = (getattr(config, name, None) for name in ("vocab_size", "max_position_embeddings"))
    if task.vocabulary and isinstance(known, int) and task.vocabulary > known:
        raise SettingError(
            f"token ids must be below {known}, the network's vocabulary, got {task.vocabulary - 1}: "
            "these are tokens of another tokenizer"
        )
    length = next(iter(unpacked(task.inputs[:1], task.parts).values())).shape[1]
    if task.vocabulary and isinstance(places, int) and length > places:
        raise SettingError(f"sequences must have at most {places} tokens, as the network does, got {length}")


def _tell_padding(network: nn.Module, config: Any) -> None:
    """Have a classifier look away from padding, which its inputs alone do not tell."""
    padding = config.pad_token_id
    if padding is None:
        config.pad_token_id = -1  # no token: some ask for it, to find the last position before the padding
        return

    def with_mask(module: nn.Module, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        tokens = inputs[0] if inputs else named.get("input_ids")
        if tokens is None or len(inputs) > 1 or "attention_mask" in named:
            return inputs, named
        return inputs, {**named, "attention_mask": (tokens != padding).long()}

    network.register_forward_pre_hook(with_mask, with_kwargs=True)


def renames(state: Mapping[str, torch.Tensor], network: Any) -> list[str]:
    """Return rules `OLD=NEW` by which transformers itself takes the tensors of a file, `OLD=` for none.

    Names have changed with its versions, and causal masks are stored no more. It is asked, by loading a state
    dict in which every tensor is filled with a number of its own.

    Raises UsageError where it makes one tensor of several.
    """
    numbered = {
        name: torch.full(each.shape, place + _HALF) for place, (name, each) in enumerate(state.items())
    }
    try:
        with _quietly():
            made, told = type(network).from_pretrained(
                None,
                config=network.config,
                state_dict=numbered,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # whatever the names of somebody's file make of it
        raise UsageError(f"transformers cannot take the tensors ({described(error)})") from error
    names, expected = list(state), made.state_dict()
    found: dict[str, str] = {}
    for new, tensor in expected.items():
        low, high = (float(each) for each in tensor.aminmax())
        numbers = [int(each) for each in (low, high) if each % 1 == _HALF and 0 <= each < len(names)]
        if low != high and len(numbers) == 2:
            raise UsageError(
                f"transformers makes {new} of {names[numbers[0]]}, {names[numbers[1]]} and others, and "
                "import only renames: save it anew with the transformers that is installed"
            )
        if numbers and low == high:
            found.setdefault(names[numbers[0]], new)
    strange = {*told["unexpected_keys"], *(each[0] for each in told["mismatched_keys"]), *found, *expected}
    rules = [f"{old}={new}" for old, new in found.items() if old != new]
    return [*rules, *(f"{name}=" for name in names if name not in strange)]


@contextmanager
def _quietly() -> Iterator[None]:
    """Have transformers show no progress and warn of nothing in the block."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
