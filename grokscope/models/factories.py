"""The built-in networks, declared without importing torch: listing them and their settings stays quick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

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
        outputs=task.outputs,
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
    layers: Annotated[int, Param("decoder blocks", min=1, later=True)] = 1,
    norm: Annotated[
        Literal["layer", "rms"] | None,
        Param("before attention, MLP and unembedding; none: no norm", later=True),
    ] = None,
    activation: Annotated[Literal["relu", "gelu"], Param("the MLP's non-linearity", later=True)] = "relu",
    tied: Annotated[
        bool, Param("the unembedding is the embedding, where classes are the tokens", later=True)
    ] = False,
) -> Network:
    """Causal decoder blocks read at `=`, no attention biases; one without norm is Nanda et al. 2023's."""
    _needs_tokens("transformer", task)
    if tied and task.classes != task.vocabulary:
        raise SettingError(
            f"model transformer.tied must be off on task {task.name}, whose {task.classes} classes are not "
            f"its {task.vocabulary} tokens"
        )
    from grokscope.models.transformer import Transformer

    return Transformer(
        vocabulary=task.vocabulary,
        length=task.inputs.shape[1],
        outputs=task.outputs,
        d_model=d_model,
        heads=heads,
        d_head=d_head,
        d_mlp=d_mlp,
        layers=layers,
        norm=norm,
        activation=activation,
        tied=tied,
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
        outputs=1 if task.classes == 2 else task.outputs,
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


@model
def cnn(
    task: Task,
    *,
    channels: Annotated[tuple[int, ...], Param("channels of each convolution, first to last", min=1)] = (
        8,
        16,
    ),
    kernel: Annotated[int, Param("side of a filter, an odd number", min=1)] = 3,
    pool: Annotated[Literal["max", "average"], Param("how each convolution's picture is halved")] = "max",
    hidden: Annotated[tuple[int, ...], Param("units of each hidden Linear layer behind them", min=1)] = (64,),
) -> Network:
    """Convolutions of pictures, each pooled by 2, then Linear layers, ReLU between them."""
    from grokscope.models.cnn import CNN

    picture = task.picture or tuple(task.inputs.shape[1:])
    if len(picture) != 3 or task.vocabulary:
        what = "tokens" if task.vocabulary else "vectors"
        raise SettingError(f"model cnn reads pictures, got task {task.name} of {what}; use model.name=mlp")
    return CNN(
        picture=picture,
        channels=channels,
        kernel=kernel,
        pool=pool,
        hidden=hidden,
        outputs=task.outputs,
    )


@model
def committee(
    task: Task,
    *,
    units: Annotated[int, Param("hidden units, whose mean is the answer", min=1)] = 500,
    alpha: Annotated[float, Param("scale of the output: the larger, the lazier", above=0)] = 1.0,
    epsilon: Annotated[float, Param("how far a unit bends: h + epsilon h^2 / 2", min=0)] = 0.02,
) -> Network:
    """The mean of slightly bent units, for one number: lazy or rich by two settings (Kumar et al. 2023)."""
    if task.outputs != 1 or task.vocabulary:
        raise SettingError(
            f"model committee predicts one number from a vector, got task {task.name} of "
            f"{'tokens' if task.vocabulary else f'{task.outputs} outputs'}; use model.name=mlp"
        )
    from grokscope.models.committee import Committee

    return Committee(inputs=task.inputs.shape[1], units=units, alpha=alpha, epsilon=epsilon)


def _needs_tokens(name: str, task: Task) -> None:
    if not task.vocabulary:
        raise SettingError(f"model {name} reads tokens, got task {task.name} of vectors; use model.name=mlp")


MODELS: dict[str, Factory] = {
    factory.name: factory for factory in (mlp, transformer, lstm, cnn, committee, hf)
}
