"""The optimisers by name: which parameters each updates, and what of its state a stopped run needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from grokscope.errors import SettingError
from grokscope.models.network import Network

Tensors = dict[str, torch.Tensor]
Parameters = dict[str, torch.nn.Parameter]
Part = tuple[torch.optim.Optimizer, Parameters, tuple[str, ...]]

ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")
MOMENTUM_STATE = ("momentum_buffer",)


class Optimizer:
    """The optimiser that the training `settings` ask for: one of torch's, or two that share the parameters.

    Attributes:
        keeps: the names of the tensors that its state has of each parameter, by the parameter's name.

    Raises SettingError for one that has nothing to do on this network.
    """

    def __init__(self, network: Network, settings: Mapping[str, Any]) -> None:
        self._parts = _MAKERS[settings["optimizer"]](network, settings)
        self._warmup = settings["warmup_steps"]
        self._rates = [group["lr"] for part, _, _ in self._parts for group in part.param_groups]
        self.keeps = {name: keys for _, named, keys in self._parts for name in named}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for _, named, _ in self._parts:
            for parameter in named.values():
                parameter.grad = None

    def step(self, step: int) -> None:
        """Do the update of that number, from 1 on: every parameter by its gradient."""
        share = min(1.0, (step - 1) / self._warmup) if self._warmup else 1.0
        groups = [group for part, _, _ in self._parts for group in part.param_groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate * share
        for part, _, _ in self._parts:
            part.step()

    def state(self) -> dict[str, Tensors]:
        """Return the state by parameter, as `keeps` names it; nothing of one that has had no gradient."""
        return {
            name: {key: part.state[parameter][key] for key in keys if part.state[parameter]}
            for part, named, keys in self._parts
            for name, parameter in named.items()
        }

    def restore(self, state: Mapping[str, Tensors]) -> None:
        """Go on where `state` was taken."""
        for part, named, _ in self._parts:
            for name, parameter in named.items():
                if state[name]:
                    # Adam's `step` too: fused, it lies where the parameter does.
                    part.state[parameter] = {
                        key: value.to(parameter.device) for key, value in state[name].items()
                    }


def _bare(kind: Any) -> Any:
    """Return torch's optimiser with its methods as they are written.

    torch wraps them for torch.compile, and the wrappers load torch._dynamo, which takes as long as torch; and
    `step` once more for its profiler and hooks, which takes as long as the update of a small network.
    """
    step = torch.no_grad()(inspect.unwrap(kind.step))
    step.hooked = True  # so that torch takes it as wrapped
    bare = {"add_param_group": inspect.unwrap(kind.add_param_group), "step": step}
    return type(kind.__name__, (kind,), bare)


def _adamw(network: Network, settings: Mapping[str, Any]) -> list[Part]:
    return [_adam_of(torch.optim.AdamW, dict(network.named_parameters()), settings)]


def _adam(network: Network, settings: Mapping[str, Any]) -> list[Part]:
    return [_adam_of(torch.optim.Adam, dict(network.named_parameters()), settings)]


def _adam_of(kind: type[torch.optim.Adam], named: Parameters, settings: Mapping[str, Any]) -> Part:
    made = _bare(kind)(
        named.values(),
        lr=settings["lr"],
        betas=tuple(settings["betas"]),
        eps=settings["eps"],
        weight_decay=settings["weight_decay"],
        fused=True,
    )
    return made, named, ADAM_STATE


def _sgd(network: Network, settings: Mapping[str, Any]) -> list[Part]:
    named, momentum = dict(network.named_parameters()), settings.get("momentum", 0.9)
    made = _bare(torch.optim.SGD)(
        named.values(),
        lr=settings["lr"],
        momentum=momentum,
        nesterov=settings.get("nesterov", False),
        weight_decay=settings["weight_decay"],
        fused=True,
    )
    return [(made, named, MOMENTUM_STATE if momentum else ())]


def _muon(network: Network, settings: Mapping[str, Any]) -> list[Part]:
    every, hidden = dict(network.named_parameters()), network.hidden_matrices()
    if not hidden:
        raise SettingError(
            f"training.optimizer must be another than muon with model {network.kind}, which has no matrix "
            "between hidden layers: Muon updates these alone"
        )
    rate = settings.get("muon_lr")
    made = _bare(torch.optim.Muon)(
        [every[name] for name in hidden],
        lr=settings["lr"] if rate is None else rate,
        weight_decay=settings["weight_decay"],
        momentum=settings.get("muon_momentum", 0.95),
        nesterov=settings.get("muon_nesterov", True),
        ns_steps=settings.get("muon_ns_steps", 5),
        adjust_lr_fn=settings.get("muon_adjust_lr", "original"),
    )
    matrices: Part = made, {name: every[name] for name in hidden}, MOMENTUM_STATE
    rest = {name: parameter for name, parameter in every.items() if name not in hidden}
    return [matrices, _adam_of(torch.optim.AdamW, rest, settings)] if rest else [matrices]


_MAKERS: dict[str, Callable[[Network, Mapping[str, Any]], list[Part]]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "muon": _muon,
}
