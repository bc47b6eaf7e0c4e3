"""The small convolutional network: convolutions, each pooled, then hidden Linear layers, then the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.models.network import Network

POOLS: dict[str, Callable[..., torch.Tensor]] = {"max": F.max_pool2d, "average": F.avg_pool2d}
SIDE = 2  # of a pooling window, and its stride


class CNN(Network):
    """[Convolution -> pooling by 2 -> ReLU] ... -> [Linear -> ReLU] ... -> Linear, PyTorch's initialisation.

    Convolutions keep height and width, by zeros around the picture. `trace` names `convs.0_pre`,
    `convs.0_post`, ..., `layers.0_pre`, `layers.0_post`, ...; pictures (n, c, h, w) are flattened there, and
    `first` is `convs.0_pre`. ReLU after maximum pooling is what it is before it.

    Args:
        picture: channels, height and width of an example; vectors (n, d) are read as such pictures.
        channels: of each convolution.
        kernel: its side, an odd number.
        pool: `max` or `average`.
        hidden: units of each hidden Linear layer; none is allowed.
        outputs: number of logits.
    """

    kind = "cnn"
    drops = True

    def __init__(
        self,
        *,
        picture: Sequence[int],
        channels: Sequence[int],
        kernel: int,
        pool: str,
        hidden: Sequence[int],
        outputs: int,
    ) -> None:
        super().__init__()
        self.outputs, self._pool = outputs, POOLS[pool]
        self._picture = depth, height, width = tuple(picture)
        sides = [(height >> times, width >> times) for times in range(len(channels) + 1)]
        if not channels or not all(sides[-1]):
            most = min(height, width).bit_length() - 1
            raise SettingError(
                f"model cnn.channels must name 1 to {most} convolutions, as each halves the picture of "
                f"{height} x {width}, got {len(channels)}"
            )
        if kernel % 2 == 0:
            raise SettingError(
                f"model cnn.kernel must be odd, so that a picture keeps its size, got {kernel}"
            )
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, kernel, padding=kernel // 2)
            for before, after in pairwise([depth, *channels])
        )
        widths = [channels[-1] * prod(sides[-1]), *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.hidden = tuple(
            f"{name}.{index}_post"
            for name, count in (("convs", len(channels)), ("layers", len(hidden)))
            for index in range(count)
        )
        pooled = sum(count * prod(side) for count, side in zip(channels, sides[1:], strict=True))
        self.values_per_example = 2 * (pooled + sum(hidden))

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the pictures, (n, channels, height, width), in the weights' type."""
        return inputs.reshape(-1, *self._picture).to(cast(nn.Conv2d, self.convs[0]).weight.dtype)

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run from the pictures and name every layer's values before and after ReLU."""
        named: dict[str, torch.Tensor] = {}
        values = encoded
        for index, conv in enumerate(self.convs):
            pre = self._pool(conv(values), SIDE)
            values = F.relu(pre)
            named |= {f"convs.{index}_pre": pre.flatten(1), f"convs.{index}_post": values.flatten(1)}
            values = self.dropped(values)
        *layers, last = self.layers
        values = values.flatten(1)
        for index, layer in enumerate(layers):
            pre = layer(values)
            post = F.relu(pre)
            named |= {f"layers.{index}_pre": pre, f"layers.{index}_post": post}
            values = self.dropped(post)
        return {"first": named["convs.0_pre"], **named, "logits": last(values)}

    def unit_weights(self, layer: str) -> dict[str, int]:
        """Return rows of a hidden Linear layer's weight and bias, and columns of the next weight."""
        name, _, rest = layer.partition(".")
        if name == "convs":
            return super().unit_weights(layer)
        index = int(rest.removesuffix("_post"))
        return {f"layers.{index}.weight": 0, f"layers.{index}.bias": 0, f"layers.{index + 1}.weight": 1}
