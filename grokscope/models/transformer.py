"""The transformer, by default the one layer of Nanda et al. 2023, and how to compute only what is used."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.kernels import relu_linear
from grokscope.models.factored import last_logits
from grokscope.models.network import Network

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"relu": F.relu, "gelu": F.gelu}
RMS_EPS = 1e-5  # as layer_norm's own default


def normal(*shape: int, fan: int) -> nn.Parameter:
    """Return a parameter of standard normal numbers divided by sqrt(`fan`)."""
    return nn.Parameter(torch.randn(*shape) / math.sqrt(fan))


class Embedding(nn.Module):
    """Holds `weight` (tokens, d_model)."""

    def __init__(self, tokens: int, d_model: int, *, fan: int) -> None:
        super().__init__()
        self.weight = normal(tokens, d_model, fan=fan)


class Attention(nn.Module):
    """Holds W_Q, W_K, W_V (heads, d_head, d_model) and W_O (d_model, heads * d_head); no biases."""

    def __init__(self, d_model: int, heads: int, d_head: int) -> None:
        super().__init__()
        self.W_Q = normal(heads, d_head, d_model, fan=d_model)
        self.W_K = normal(heads, d_head, d_model, fan=d_model)
        self.W_V = normal(heads, d_head, d_model, fan=d_model)
        self.W_O = normal(d_model, heads * d_head, fan=d_model)


class FeedForward(nn.Module):
    """Holds W_in (d_mlp, d_model), W_out (d_model, d_mlp) and their biases, zero at the start."""

    def __init__(self, d_model: int, d_mlp: int) -> None:
        super().__init__()
        self.W_in = normal(d_mlp, d_model, fan=d_model)
        self.b_in = nn.Parameter(torch.zeros(d_mlp))
        self.W_out = normal(d_model, d_mlp, fan=d_model)
        self.b_out = nn.Parameter(torch.zeros(d_model))


class Norm(nn.Module):
    """LayerNorm with `weight` and `bias` (d_model,), or RMSNorm, which has no mean and no bias."""

    def __init__(self, d_model: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.ones(d_model))
        if kind == "layer":
            self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values, normalised."""
        shape = values.shape[-1:]
        if self.kind == "layer":
            return F.layer_norm(values, shape, self.weight, self.bias)
        return F.rms_norm(values, shape, self.weight, eps=RMS_EPS)


class Block(nn.Module):
    """Holds `attn` and `mlp`, and where there is a norm `norm1` and `norm2`, before the one and the other."""

    def __init__(self, d_model: int, heads: int, d_head: int, d_mlp: int, norm: str | None = None) -> None:
        super().__init__()
        self.norm1 = _norm(d_model, norm)
        self.attn = Attention(d_model, heads, d_head)
        self.norm2 = _norm(d_model, norm)
        self.mlp = FeedForward(d_model, d_mlp)


def _norm(d_model: int, norm: str | None) -> nn.Module:
    return nn.Identity() if norm is None else Norm(d_model, norm)


class Transformer(Network):
    """A causal decoder read at the appended `=`; its defaults are the block of Nanda et al. 2023, section 3.

    Input tokens are (n, length); the network appends the token `=` (number `vocabulary`). Of the last block
    only what the `=` position sees is computed: its query, its MLP, its logits. Weights start standard normal
    / sqrt(d_model), those of the unembedding / sqrt(vocabulary + 1), MLP biases at zero, norms at one.

    `forward` and `trace` compute the same function (property tested to 1e-12 in float64, gradients too).
    `forward` needs the embeddings as they are; `trace` also takes noised ones.

    Args:
        vocabulary: tokens, `=` aside.
        length: tokens of an input.
        outputs: logits.
        d_model, heads, d_head, d_mlp: the widths of the residual stream, and of a head; how many heads; the
            MLP's units.
        layers: blocks.
        norm: `layer` or `rms`, before attention, MLP and unembedding; None is no norm.
        activation: `relu` or `gelu`, the MLP's.
        tied: the unembedding is the embedding of the first `outputs` tokens.
    """

    kind = "transformer"
    drops = True
    same_in_training = True

    def __init__(
        self,
        *,
        vocabulary: int,
        length: int,
        outputs: int,
        d_model: int,
        heads: int,
        d_head: int,
        d_mlp: int,
        layers: int = 1,
        norm: str | None = None,
        activation: str = "relu",
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.vocabulary = vocabulary
        self.hidden = tuple(f"blocks.{layer}.mlp_post" for layer in range(layers))
        self._activation = ACTIVATIONS[activation]
        self._has_norm = norm is not None
        self.embed = Embedding(vocabulary + 1, d_model, fan=d_model)
        self.pos_embed = normal(length + 1, d_model, fan=d_model)
        self.blocks = nn.ModuleList([Block(d_model, heads, d_head, d_mlp, norm) for _ in range(layers)])
        self.norm = _norm(d_model, norm)
        self.unembed = None if tied else Embedding(outputs, d_model, fan=vocabulary + 1)

    def every_block(self) -> list[Block]:
        """Return the blocks, first to last."""
        return cast("list[Block]", list(self.blocks))

    @property
    def unembedding(self) -> torch.Tensor:
        """What the residual stream is multiplied by, (outputs, d_model)."""
        return self.embed.weight[: self.outputs] if self.unembed is None else self.unembed.weight

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of the tokens and `=` before positions, (n, length + 1, d_model)."""
        equals = inputs.new_full((len(inputs), 1), self.vocabulary)
        return F.embedding(torch.cat([inputs, equals], dim=1), self.embed.weight)

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run from embeddings before positions; all named values are those at `=`.

        `first` is the operands' embeddings in a row, (n, length * d_model); `attn_heads` are the heads'
        mixtures of values, one head after the other, (n, heads * d_head).
        """
        residual, named = encoded + self.pos_embed, {"first": encoded[:, :-1].flatten(1)}
        for layer, block in enumerate(self.every_block()):
            last = layer == len(self.blocks) - 1
            mixed = _mixtures(block.attn, block.norm1(residual), only_last=last)
            attn_out = F.linear(mixed, block.attn.W_O)
            residual, inside = self._after(block, (residual[:, -1] if last else residual) + attn_out)
            seen = {"attn_heads": mixed, "attn_out": attn_out, **inside, "resid_post": residual}
            # Of the last block these are on the way to the logits themselves, so that a slope can be taken.
            named |= {f"blocks.{layer}.{name}": v if last else v[:, -1] for name, v in seen.items()}
        return {**named, "logits": F.linear(self.norm(residual), self.unembedding)}

    def _after(self, block: Block, middle: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the residual stream after the block's MLP, from that before it, and the MLP's inside."""
        pre = F.linear(block.norm2(middle), block.mlp.W_in, block.mlp.b_in)
        post = self._activation(pre)
        out = F.linear(self.dropped(post), block.mlp.W_out, block.mlp.b_out)
        return middle + out, {"mlp_pre": pre, "mlp_post": post}

    def attention(self, encoded: torch.Tensor, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what each place reads of each, 0 of those after it; of the last block what `=` reads."""
        residual, found = encoded + self.pos_embed, {}
        for layer, block in enumerate(self.every_block()):
            seen = block.norm1(residual)
            reads = _reads(block.attn, seen)
            length, last = residual.shape[1], layer == len(self.blocks) - 1
            rows = [
                F.pad(reads(place).movedim(1, 2), (0, length - 1 - place))
                for place in range(length - 1 if last else 0, length)
            ]
            found[f"blocks.{layer}.attn"] = torch.stack(rows, dim=2)
            if not last:
                mixed = _mixtures(block.attn, seen, only_last=False)
                residual, _ = self._after(block, residual + F.linear(mixed, block.attn.W_O))
        return found

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits, see `last_logits`: the same function, without second derivatives."""
        if len(self.blocks) > 1 and not self.drops_nothing:
            return super().forward(inputs)  # which has all places of a layer dropped at once
        return last_logits(self, inputs)

    @property
    def folds(self) -> bool:
        """Whether ReLU is all that is not linear beside attention, and nothing is dropped after it."""
        return self._rectifies and not self._has_norm

    @property
    def _rectifies(self) -> bool:
        return self._activation is F.relu and self.drops_nothing

    def past_mlp(self, block: Block, middle: torch.Tensor) -> torch.Tensor:
        """Return the residual stream after the block's MLP, from that before it."""
        if not self._rectifies:
            return self._after(block, middle)[0]
        pre = F.linear(block.norm2(middle), block.mlp.W_in, block.mlp.b_in)
        return middle + relu_linear(pre, block.mlp.W_out, block.mlp.b_out)

    def last_weights(self) -> tuple[str, ...]:
        """Return the unembedding's name. Raises SettingError where it is the embedding."""
        if self.unembed is None:
            raise SettingError(
                "training.init_zero must be left out with model.tied: its last layer is its embedding"
            )
        return ("unembed.weight",)

    def hidden_matrices(self) -> tuple[str, ...]:
        """Return W_O, W_in and W_out: queries, keys and values have three dimensions, a matrix per head."""
        return tuple(name for name, weight in self.blocks.named_parameters("blocks") if weight.ndim == 2)

    def unit_weights(self, layer: str) -> dict[str, int]:
        """Return the rows of W_in and b_in and the columns of W_out."""
        mlp = layer.removesuffix("_post")
        return {f"{mlp}.W_in": 0, f"{mlp}.b_in": 0, f"{mlp}.W_out": 1}


def _reads(attn: Attention, residual: torch.Tensor) -> Callable[[int], torch.Tensor]:
    """Return what a place reads of itself and those before it, (n, place + 1, heads), as a function of it."""
    keys = torch.einsum("hed,ntd->nthe", attn.W_K, residual)

    def at(place: int) -> torch.Tensor:
        query = torch.einsum("hed,nd->nhe", attn.W_Q, residual[:, place])
        scores = torch.einsum("nhe,nthe->nth", query, keys[:, : place + 1]) / math.sqrt(attn.W_Q.shape[1])
        return scores.softmax(dim=1)

    return at


def _mixtures(attn: Attention, residual: torch.Tensor, *, only_last: bool) -> torch.Tensor:
    """Return the heads' mixtures of values, each place seeing itself and those before it, plainly.

    At the last place, (n, heads * d_head), or at every one, (n, places, heads * d_head).
    """
    reads, values = _reads(attn, residual), torch.einsum("hed,ntd->nthe", attn.W_V, residual)

    def at(place: int) -> torch.Tensor:
        return torch.einsum("nth,nthe->nhe", reads(place), values[:, : place + 1]).flatten(1)

    places = range(residual.shape[1])
    return at(places[-1]) if only_last else torch.stack([at(place) for place in places], dim=1)
