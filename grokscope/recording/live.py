"""What is taken of a network that somebody else trains: its state under plain names, and a copy to look at.

The network itself is only read. What is evaluated and measured is a copy, so that modes, hooks, generators
and gradients of the training stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from grokscope.errors import UsageError, described
from grokscope.models.plain import WRAPPERS, unwrapped
from grokscope.run.kinds import Kinds, kinds_of
from grokscope.run.rename import as_type

INSIDE = {**WRAPPERS, "CheckpointWrapper": "_checkpoint_wrapped_module"}


class Live:
    """A network in training.

    Attributes:
        module: as the training calls it, wrappers and all.
        sharded: whether its parameters are spread over processes: then `state` must be called in all of them.
        dtype: the type in which its numbers are kept, `float32` or `float64`.
    """

    def __init__(self, module: nn.Module) -> None:
        if any(nn.parameter.is_lazy(each) for each in _tensors(module)):
            raise UsageError(
                "the network has lazy layers, whose shapes are not known yet: run it once on some inputs, "
                "then record"
            )
        self.module, self._bare = module, unwrapped(module)
        wrapped = any(type(each).__name__ == "FullyShardedDataParallel" for each in module.modules())
        if not wrapped and any(getattr(each, "_fsdp_flattened", False) for each in module.parameters()):
            raise UsageError(
                "the network lies inside FullyShardedDataParallel and has but a part of its parameters: "
                "record the wrapper, which knows the others"
            )
        self.sharded = wrapped or any(map(_is_shard, _tensors(module)))
        kinds = {each.dtype for each in module.parameters() if each.is_floating_point()}
        self.dtype = "float64" if torch.float64 in kinds else "float32"
        self.stored = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))

    @property
    def device(self) -> torch.device:
        """Where the first parameter lies."""
        return next((each.device for each in _tensors(self.module)), torch.device("cpu"))

    def state(self) -> dict[str, torch.Tensor]:
        """Return the whole state dict on the CPU, under the names that the network has without wrappers.

        Of a sharded network it may be empty in every process but the first.
        """
        if self.sharded:
            return as_type(_gathered(self.module, self.device.type != "cpu"), self.dtype)
        state = self._bare.state_dict()
        names = plain_names(self._bare, state)
        return as_type({names[name]: value.detach().cpu() for name, value in state.items()}, self.dtype)

    def kinds(self, state: Iterable[str]) -> Kinds:
        """Return which of the names in `state` are parameters."""
        found = kinds_of(self._bare)
        names = plain_names(self._bare, [*found.parameters, *found.buffers, *found.ties])
        if not self.sharded:
            return Kinds(
                tuple(names[name] for name in found.parameters),
                tuple(names[name] for name in found.buffers),
                {names[name]: names[first] for name, first in found.ties.items()},
            )
        buffers = {names.get(name, name) for name in found.buffers}
        return Kinds(tuple(name for name in state if name not in buffers), tuple(buffers & set(state)))

    def twin(self) -> nn.Module:
        """Return a copy without wrappers, in evaluation mode, that shares nothing with the network.

        Raises UsageError where there can be none.
        """
        if self.sharded:
            raise UsageError("the network's parameters are spread over several processes")
        try:
            twin = copy.deepcopy(self._bare)
        except Exception as error:  # a module of somebody's own may refuse in any way
            raise UsageError(f"the network cannot be copied: {described(error)}") from error
        for path, each in list(twin.named_modules()):
            if type(each).__name__ in INSIDE and path:
                parent, _, name = path.rpartition(".")
                setattr(twin.get_submodule(parent), name, _bare(each))
        return twin.requires_grad_(True).eval()


def plain_names(module: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return by name in the module's state dict the name that it has without wrappers, wherever they are."""
    wrappers = {
        path: INSIDE[type(each).__name__]
        for path, each in module.named_modules()
        if type(each).__name__ in INSIDE
    }
    return {name: _without(name, wrappers) for name in names}


def _without(name: str, wrappers: dict[str, str]) -> str:
    parts = name.split(".")
    kept = [part for index, part in enumerate(parts) if wrappers.get(".".join(parts[:index])) != part]
    return ".".join(kept)


def _bare(module: nn.Module) -> nn.Module:
    while type(module).__name__ in INSIDE:
        module = getattr(module, INSIDE[type(module).__name__])
    return module


def _tensors(module: nn.Module) -> Iterable[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _is_shard(tensor: torch.Tensor) -> bool:
    return type(tensor).__name__ == "DTensor" or type(tensor.data).__name__ == "DTensor"


def _gathered(module: nn.Module, offload: bool) -> dict[str, torch.Tensor]:
    """Gather in all processes; to offload what lies on the CPU already ends FSDP1 in a segmentation fault."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=offload)
    found: dict[str, Any] = get_model_state_dict(module, options=options)
    return found
