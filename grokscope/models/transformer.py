"""The one-layer transformer of Nanda et al. 2023, and how to compute only what is used of it."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from grokscope.models.network import Network


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


class Block(nn.Module):
    """Holds `attn` and `mlp`."""

    def __init__(self, d_model: int, heads: int, d_head: int, d_mlp: int) -> None:
        super().__init__()
        self.attn = Attention(d_model, heads, d_head)
        self.mlp = FeedForward(d_model, d_mlp)


class Transformer(Network):
    """One causal decoder block without LayerNorm (Nanda et al. 2023, section 3), read at the appended `=`.

    Input tokens are (n, length); the network appends the token `=` (number `vocabulary`). Only what the `=`
    position sees is computed: its query, its MLP, its logits. Weights start standard normal / sqrt(d_model),
    those of the unembedding / sqrt(vocabulary + 1), MLP biases at zero.

    `forward` and `trace` compute the same function (property tested to 1e-12 in float64, gradients too).
    `forward` needs the embeddings as they are; `trace` also takes noised ones.
    """

    kind = "transformer"
    drops = True
    hidden = ("blocks.0.mlp_post",)

    def __init__(
        self, *, vocabulary: int, length: int, outputs: int, d_model: int, heads: int, d_head: int, d_mlp: int
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.vocabulary = vocabulary
        self.embed = Embedding(vocabulary + 1, d_model, fan=d_model)
        self.pos_embed = normal(length + 1, d_model, fan=d_model)
        self.blocks = nn.ModuleList([Block(d_model, heads, d_head, d_mlp)])
        self.unembed = Embedding(outputs, d_model, fan=vocabulary + 1)

    @property
    def _block(self) -> Block:
        return cast(Block, self.blocks[0])

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of the tokens and `=` before positions, (n, length + 1, d_model)."""
        equals = inputs.new_full((len(inputs), 1), self.vocabulary)
        return F.embedding(torch.cat([inputs, equals], dim=1), self.embed.weight)

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run from embeddings before positions; all named values are those at `=`.

        `first` is the operands' embeddings in a row, (n, length * d_model).
        """
        attn, mlp = self._block.attn, self._block.mlp
        residual = encoded + self.pos_embed
        values = torch.einsum("hed,ntd->nthe", attn.W_V, residual)
        mixed = torch.einsum("nth,nthe->nhe", self._read(residual), values).flatten(1)
        attn_out = F.linear(mixed, attn.W_O)
        middle = residual[:, -1] + attn_out
        pre = F.linear(middle, mlp.W_in, mlp.b_in)
        post = F.relu(pre)
        final = middle + F.linear(self.dropped(post), mlp.W_out, mlp.b_out)
        return {
            "first": encoded[:, :-1].flatten(1),
            "blocks.0.attn_out": attn_out,
            "blocks.0.mlp_pre": pre,
            "blocks.0.mlp_post": post,
            "blocks.0.resid_post": final,
            "logits": F.linear(final, self.unembed.weight),
        }

    def attention(self, encoded: torch.Tensor, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what `=` reads of each position, (n, heads, 1, length + 1)."""
        return {"blocks.0.attn": self._read(encoded + self.pos_embed).transpose(1, 2)[:, :, None]}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits, by two shortcuts to the same function.

        `=` is one and the same query, so scores and values depend on (token, position) only: each is computed
        once, and the examples pick theirs. And nothing non-linear stands between W_O and W_in, nor
        between W_out and the unembedding, so their products are taken before the examples pass.
        """
        attn, mlp, unembed = self._block.attn, self._block.mlp, self.unembed.weight
        equals = self.embed.weight[self.vocabulary] + self.pos_embed[-1]
        mixed = self._mixed(inputs, equals)
        post = F.relu(F.linear(mixed, mlp.W_in @ attn.W_O, mlp.W_in @ equals + mlp.b_in))
        past_mlp = F.linear(mixed, unembed @ attn.W_O, unembed @ (equals + mlp.b_out))
        return torch.addmm(past_mlp, self.dropped(post), (unembed @ mlp.W_out).t())

    def unit_weights(self, layer: str) -> dict[str, int]:
        """Return the rows of W_in and b_in and the columns of W_out."""
        mlp = layer.removesuffix("_post")
        return {f"{mlp}.W_in": 0, f"{mlp}.b_in": 0, **dict.fromkeys(self.outgoing(layer), 1)}

    def outgoing(self, layer: str) -> tuple[str, ...]:
        """Return W_out."""
        return (f"{layer.removesuffix('_post')}.W_out",)

    def _read(self, residual: torch.Tensor) -> torch.Tensor:
        """Return how much `=` reads of each position in each head, (n, positions, heads)."""
        attn = self._block.attn
        query = torch.einsum("hed,nd->nhe", attn.W_Q, residual[:, -1])
        keys = torch.einsum("hed,ntd->nthe", attn.W_K, residual)
        scores = torch.einsum("nhe,nthe->nth", query, keys) / math.sqrt(attn.W_Q.shape[1])
        return scores.softmax(dim=1)

    def _mixed(self, inputs: torch.Tensor, equals: torch.Tensor) -> torch.Tensor:
        """Return the heads' mixtures of values at `=`, (n, heads * d_head)."""
        attn = self._block.attn
        heads, d_head, _ = attn.W_V.shape
        operands = self.embed.weight[: self.vocabulary] + self.pos_embed[:-1, None]
        table = torch.cat([operands.flatten(0, 1), equals[None]])  # position by position, `=` last
        query = torch.einsum("hed,d->he", attn.W_Q, equals)
        seen = torch.einsum("he,hed->hd", query, attn.W_K) / math.sqrt(d_head)
        scores, values = table @ seen.t(), table @ attn.W_V.flatten(0, 1).t()
        rows = inputs + self.vocabulary * torch.arange(inputs.shape[1], device=inputs.device)
        weights = F.embedding(F.pad(rows, (0, 1), value=len(table) - 1), scores).softmax(dim=1)
        mixed = weights[:, -1, :, None] * values[-1].view(heads, d_head)
        for position, row in enumerate(rows.unbind(1)):
            picked = F.embedding(row, values).view(-1, heads, d_head)
            mixed = torch.addcmul(mixed, weights[:, position, :, None], picked)
        return mixed.flatten(1)
