"""The state that training goes on from: what it must hold, checked before anything of it is used.

Its file has a seal, but whoever can write the file can seal it. A tensor of another shape or type would end
the process in the optimiser, or change the numbers without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from grokscope.errors import DamagedFile

MOST_POINTS = 1_000_000  # of the curve since the last scheduled checkpoint

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Resumable:
    """All that training needs to go on from `step` as if it had not been stopped."""

    step: int
    weights: Tensors
    optimizer: dict[str, Tensors]
    rest: Tensors
    metadata: dict[str, str]


def read_step(metadata: Mapping[str, str], last: int) -> int:
    """Return the step that the state is of. Raises DamagedFile unless it lies within 0 and `last`."""
    text = metadata.get("step", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 8 and int(text) <= last):
        raise DamagedFile(f"its step must be within 0 and {last}, got {text[:20]!r}")
    return int(text)


def check_weights(weights: Mapping[str, torch.Tensor], network: torch.nn.Module) -> None:
    """Raise DamagedFile unless `weights` are the network's in names, shapes and types."""
    own = network.state_dict()
    if weights.keys() != own.keys():
        other = sorted(weights.keys() ^ own.keys())
        raise DamagedFile(f"the checkpoint's tensors are not the network's: {', '.join(other[:3])}")
    for name, tensor in own.items():
        _check(f"the checkpoint's {name}", weights[name], tensor)


def optimizer_state(
    tensors: Mapping[str, torch.Tensor],
    network: torch.nn.Module,
    keeps: Mapping[str, Sequence[str]],
    step: int,
) -> dict[str, Tensors]:
    """Return the optimiser's state by parameter, of the names in `keeps`; none where there was no gradient.

    Raises DamagedFile for a name, shape, type or step that is not as it would be after `step` updates.
    """
    found: dict[str, Tensors] = {}
    for name, parameter in network.named_parameters():
        own = {key: tensors.get(f"optimizer.{name}.{key}") for key in keeps[name]}
        there = {key: value for key, value in own.items() if value is not None}
        if there and len(there) < len(own):
            raise DamagedFile(f"the optimiser's state of {name} is not whole")
        for key, value in there.items():
            _check(
                f"the optimiser's {key} of {name}", value, parameter if key != "step" else torch.tensor(0.0)
            )
        if "step" in there and not 0 < there["step"].item() <= step:
            raise DamagedFile(f"the optimiser's step of {name} must be within 1 and {step}")
        found[name] = there
    if step and any(keeps.values()) and not any(found.values()):
        raise DamagedFile("it holds no state of the optimiser")
    return found


def rest_of(tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], columns: int) -> Tensors:
    """Return the other tensors, each shaped and typed as its like in `own`, and the curve (n, columns).

    Raises DamagedFile.
    """
    found: Tensors = {}
    for name, like in own.items():
        if name not in tensors:
            raise DamagedFile(f"{name} is missing")
        _check(name, tensors[name], like)
        found[name] = tensors[name]
        if name.endswith((".generator", "torch.cpu")):
            _check_generator(name, tensors[name])
        elif name.endswith((".position", ".count")) and tensors[name].item() < 0:
            raise DamagedFile(f"{name} must be at least 0, got {tensors[name].item()}")
    curve = tensors.get("curve")
    if curve is None or curve.dtype != torch.float64 or curve.ndim != 2 or curve.shape[1] != columns:
        raise DamagedFile(f"its curve must be (n, {columns}) in float64")
    steps = curve[:, 0]
    if len(curve) > MOST_POINTS or not bool(((steps >= 0) & (steps == steps.round())).all()):
        raise DamagedFile("its curve must have whole steps from 0 on")
    return {**found, "curve": curve}


def _check(what: str, got: torch.Tensor, like: torch.Tensor) -> None:
    if got.shape != like.shape or got.dtype != like.dtype:
        raise DamagedFile(
            f"{what} must be {tuple(like.shape)} in {like.dtype}, got {tuple(got.shape)} in {got.dtype}"
        )


def _check_generator(name: str, state: torch.Tensor) -> None:
    try:
        torch.Generator().set_state(state)
    except RuntimeError as error:
        raise DamagedFile(f"{name} is no state of a generator") from error
