"""The built-in networks, declared without importing torch: listing them and their settings stays quick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from grokscope.declare import Factory, Param, model
from grokscope.errors import SettingError

if TYPE_CHECKING:
    from torch import nn

    from grokscope.models.network import Network
    from grokscope.tasks.task import Task


@model
def mlp(
    task: Task,
    *,
    hidden: Annotated[tuple[int, ...], Param("units of each hidden layer, first to last", min=1)] = (250,),
    last_bias: Annotated[bool, Param("whether the last layer has a bias")] = True,
    hidden_bias: Annotated[bool, Param("whether the hidden layers have biases", later=True)] = True,
) -> Network:
    """Linear layers with ReLU between them, PyTorch's default initialisation; tokens enter one-hot."""
    from grokscope.models.mlp import MLP

    return MLP(
        inputs=task.inputs.shape[1] * max(1, task.vocabulary),
        hidden=hidden,
        outputs=task.classes,
        vocabulary=task.vocabulary,
        last_bias=last_bias,
        hidden_bias=hidden_bias,
    )


@model
def transformer(
    task: Task,
    *,
    d_model: Annotated[int, Param("width of the residual stream", min=1)] = 128,
    heads: Annotated[int, Param("attention heads", min=1)] = 4,
    d_head: Annotated[int, Param("width of a head", min=1)] = 32,
    d_mlp: Annotated[int, Param("units of the MLP", min=1)] = 512,
) -> Network:
    """One causal decoder block read at `=`, without LayerNorm and attention biases (Nanda et al. 2023)."""
    _needs_tokens("transformer", task)
    from grokscope.models.transformer import Transformer

    return Transformer(
        vocabulary=task.vocabulary,
        length=task.inputs.shape[1],
        outputs=task.classes,
        d_model=d_model,
        heads=heads,
        d_head=d_head,
        d_mlp=d_mlp,
    )


@model
def lstm(
    task: Task,
    *,
    d_embedding: Annotated[int, Param("width of the token embedding", min=1)] = 64,
    d_state: Annotated[int, Param("units of each LSTM layer", min=1)] = 256,
    layers: Annotated[int, Param("LSTM layers", min=1)] = 2,
) -> Network:
    """Embedding, LSTM layers, and a linear head on the last step's state; a single logit for two classes."""
    _needs_tokens("lstm", task)
    from grokscope.models.lstm import LSTM

    return LSTM(
        vocabulary=task.vocabulary,
        outputs=1 if task.classes == 2 else task.classes,
        d_embedding=d_embedding,
        d_state=d_state,
        layers=layers,
    )


@model
def hf(
    task: Task,
    *,
    config: Annotated[str, Param("the text of a config.json; import takes that beside the checkpoints")] = "",
) -> nn.Module:
    """What transformers makes of a config.json: a causal language model or a classifier; no remote code."""
    from grokscope.models.hf import network_of

    return network_of(config, task)


def _needs_tokens(name: str, task: Task) -> None:
    if not task.vocabulary:
        raise SettingError(f"model {name} reads tokens, got task {task.name} of vectors; use model.name=mlp")


MODELS: dict[str, Factory] = {factory.name: factory for factory in (mlp, transformer, lstm, hf)}
