"""The transformer's quick pass: what depends on a token and its place alone is computed once for all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from grokscope.kernels import Picks, picked_sums, picks_of, relu_linear

if TYPE_CHECKING:
    from grokscope.models.transformer import Block, Transformer


def last_logits(network: Transformer, inputs: torch.Tensor) -> torch.Tensor:
    """Return the logits at `=` of tokens (n, length), the function that the network's `trace` computes.

    At the first block every place but its attention knows its own token alone, and the first place does so at
    all blocks: these have a row for each token, which the examples pick. Of the last block `=` alone is read.
    """
    *before, last = network.every_block()
    if not before:
        return _one_block(network, last, inputs)
    places = _embedded(network, inputs)
    for block in before:
        mixtures = _mixtures(block, places, range(len(places)), len(inputs))
        places = [
            _Place(network.past_mlp(block, rows + F.linear(mixed, block.attn.W_O)), picks)
            for mixed, rows, picks in mixtures
        ]
    ((mixed, rows, _),) = _mixtures(last, places, [len(places) - 1], len(inputs))
    residual = network.past_mlp(last, rows + F.linear(mixed, last.attn.W_O))
    return F.linear(network.norm(residual), network.unembedding)


@dataclass(frozen=True)
class _Place:
    """The residual stream at one place.

    Attributes:
        rows: (m, d_model).
        picks: which row is each example's; None where each has its own, or all have one.
    """

    rows: torch.Tensor
    picks: Picks | None

    def of_examples(self, values: torch.Tensor) -> torch.Tensor:
        """Return each example's row of values (m, width)."""
        return values if self.picks is None else picked_sums(values, self.picks)


def _embedded(network: Transformer, inputs: torch.Tensor) -> list[_Place]:
    """Return the places before the first block, `=` last; each example's own where tokens are more."""
    places = []
    for place, tokens in enumerate(inputs.unbind(1)):
        at = network.pos_embed[place]
        if network.vocabulary > len(inputs):
            places.append(_Place(F.embedding(tokens, network.embed.weight) + at, None))
        else:
            rows = partial(Picks, tokens[:, None], network.vocabulary)
            picks = picks_of(inputs, ("place", place, network.vocabulary), rows)
            places.append(_Place(network.embed.weight[: network.vocabulary] + at, picks))
    equals = network.embed.weight[network.vocabulary] + network.pos_embed[-1]
    return [*places, _Place(equals[None], None)]


def _mixtures(
    block: Block, places: Sequence[_Place], readers: Sequence[int], examples: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, Picks | None]]:
    """Yield of each reading place the heads' mixtures of values, the residual stream's rows, and their picks.

    The first place reads itself alone, so that what it becomes is still one row for each token.
    """
    attn = block.attn
    seen = [block.norm1(place.rows) for place in places]
    keys = [F.linear(rows, attn.W_K.flatten(0, 1)) for rows in seen]
    values = [F.linear(rows, attn.W_V.flatten(0, 1)) for rows in seen]
    for reader in readers:
        place = places[reader]
        if not reader:
            yield values[0], place.rows, place.picks
            continue
        query = F.linear(seen[reader], attn.W_Q.flatten(0, 1)) / math.sqrt(attn.W_Q.shape[1])
        read = list(zip(places[: reader + 1], keys, values, strict=False))
        scores = [_scores(place, query, other, key, len(attn.W_Q)) for other, key, _ in read]
        shares = torch.stack([each.expand(examples, -1) for each in scores]).softmax(dim=0)[..., None]
        mixed = sum(
            share * other.of_examples(value).unflatten(1, (len(attn.W_V), -1))
            for share, (other, _, value) in zip(shares, read, strict=True)
        )
        yield mixed.flatten(1), place.of_examples(place.rows), None


def _scores(place: _Place, query: torch.Tensor, other: _Place, key: torch.Tensor, heads: int) -> torch.Tensor:
    """Return query times key of each head, (n, heads), multiplied before examples pick where that is one."""
    if len(query) == 1 or place.picks is other.picks:
        return other.of_examples((query * key).unflatten(1, (heads, -1)).sum(dim=2))
    products = place.of_examples(query) * other.of_examples(key)
    return products.unflatten(1, (heads, -1)).sum(dim=2)


def _one_block(network: Transformer, block: Block, inputs: torch.Tensor) -> torch.Tensor:
    """Return the logits of one block: `=` is one and the same query, so that scores are of tokens, too."""
    equals = network.embed.weight[network.vocabulary] + network.pos_embed[-1]
    shares, values = _read(network, block, inputs, equals)
    if network.folds:
        return _folded(network, block, inputs, equals, shares, values)
    mixed = _mixed(network, block, inputs, shares, values)
    residual = network.past_mlp(block, equals + F.linear(mixed, block.attn.W_O))
    return F.linear(network.norm(residual), network.unembedding)


def _read(
    network: Transformer, block: Block, inputs: torch.Tensor, equals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much `=` reads of each place but itself, (n, length, heads), and the values to be read.

    Values are (length * vocabulary + 1, heads * d_head): place by place of each token, `=` last.
    """
    attn = block.attn
    operands = block.norm1(network.embed.weight[: network.vocabulary] + network.pos_embed[:-1, None])
    equals = block.norm1(equals)
    table = torch.cat([operands.flatten(0, 1), equals[None]])
    query = torch.einsum("hed,d->he", attn.W_Q, equals)
    seen = torch.einsum("he,hed->hd", query, attn.W_K) / math.sqrt(attn.W_Q.shape[1])
    scores, values = table @ seen.t(), table @ attn.W_V.flatten(0, 1).t()

    def rows() -> Picks:
        place_by_place = _rows(inputs, network.vocabulary, 1).flatten(1).t()
        return Picks(place_by_place.reshape(-1, 1), len(scores) - 1)

    picked = picked_sums(scores[:-1], picks_of(inputs, ("scores", network.vocabulary), rows)).unflatten(
        0, (inputs.shape[1], -1)
    )
    shares = torch.cat([picked, scores[-1].expand(1, *picked.shape[1:])]).softmax(dim=0)
    return shares[:-1].movedim(0, 1), values


def _mixed(
    network: Transformer, block: Block, inputs: torch.Tensor, shares: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Return the heads' mixtures of values at `=`, (n, heads * d_head)."""
    heads = len(block.attn.W_V)
    given = (values[:-1] - values[-1]).unflatten(1, (heads, -1)).flatten(0, 1)

    def rows() -> Picks:
        by_head = _rows(inputs, network.vocabulary, heads).transpose(1, 2)
        return Picks(by_head.flatten(0, 1), len(given))

    picked = picked_sums(
        given,
        picks_of(inputs, ("heads", network.vocabulary, heads), rows),
        shares.transpose(1, 2).flatten(0, 1),
    )
    return picked.view(len(inputs), -1) + values[-1]


def _folded(
    network: Transformer,
    block: Block,
    inputs: torch.Tensor,
    equals: torch.Tensor,
    shares: torch.Tensor,
    values: torch.Tensor,
) -> torch.Tensor:
    """Return the logits where nothing non-linear stands between attention, W_in and the unembedding.

    Each head's value of each token at each place is taken through W_O, and on to W_in and past the MLP to the
    logits, before the examples pick it; what `=` itself brings is the same for all.
    """
    attn, mlp, unembed = block.attn, block.mlp, network.unembedding
    given = (values[:-1] - values[-1]).unflatten(1, attn.W_V.shape[:2])  # (tokens, heads, d_head)
    tokens, heads, _ = given.shape
    middle = equals + attn.W_O @ values[-1]
    shares = F.pad(shares.flatten(1), (0, 1), value=1.0)

    def rows() -> Picks:
        operands = _rows(inputs, network.vocabulary, heads).flatten(1)
        return Picks(F.pad(operands, (0, 1), value=tokens * heads), (tokens + 1) * heads)

    def picked(onward: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
        through = (onward @ attn.W_O).unflatten(1, (heads, -1)).permute(1, 2, 0)
        table = torch.bmm(given.movedim(1, 0), through).movedim(0, 1)
        table = torch.cat([table, constant.expand(1, heads, -1)]).flatten(0, 1)
        return picked_sums(table, picks_of(inputs, ("folded", network.vocabulary, heads), rows), shares)

    pre = picked(mlp.W_in, torch.addmv(mlp.b_in, mlp.W_in, middle))
    past_mlp = picked(unembed, unembed @ (middle + mlp.b_out))
    return relu_linear(pre, unembed @ mlp.W_out, past_mlp)


def _rows(inputs: torch.Tensor, vocabulary: int, heads: int) -> torch.Tensor:
    """Return the rows that tokens (n, length) pick, (n, length, heads).

    Of a table that has, place by place, of each token, a row for each head.
    """
    places = inputs + vocabulary * torch.arange(inputs.shape[1], device=inputs.device)
    return heads * places[:, :, None] + torch.arange(heads, device=inputs.device)
