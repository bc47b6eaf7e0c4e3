"""What is done to training beside the plain step: each intervention is one small object, and they combine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from grokscope import objective
from grokscope.errors import SettingError
from grokscope.models.network import Network
from grokscope.tasks.task import Task
from grokscope.training.moments import Forward, Intervention, Interventions, Tensors
from grokscope.training.settings import TRAINING
from grokscope.training.units import Subnetwork, UnitDropout

SHARE = "synergistic_dropout_share"


class Perturbed(Intervention):
    """Perturbed training (Tan & Huang 2023): the loss is that of noised encoded inputs.

    Every step draws N(0, sigma^2) anew, with sigma = max(lambda1 (1 - train accuracy), lambda2). The accuracy
    is that of the weights before the step on the step's examples, without noise and without dropout.
    """

    def __init__(self, network: Network, lambda1: float, lambda2: float) -> None:
        self._network, self._lambda1, self._lambda2 = network, lambda1, lambda2

    def sigma(self, inputs: torch.Tensor, labels: torch.Tensor) -> float:
        """Return this step's standard deviation."""
        self._network.eval()
        with torch.no_grad():
            accuracy = objective.accuracy(self._network(inputs), labels)
        self._network.train()
        return max(self._lambda1 * (1 - accuracy), self._lambda2)

    def forward(self, forward: Forward, inputs: torch.Tensor, labels: torch.Tensor) -> Forward:
        """Return the network from noised inputs on; each call draws noise of its own."""
        sigma = self.sigma(inputs, labels)

        def noised(inputs: torch.Tensor) -> torch.Tensor:
            encoded = self._network.encode(inputs)
            return self._network.trace(encoded + sigma * torch.randn_like(encoded))["logits"]

        return noised


class Abelian(Intervention):
    """Abelian training (Tan & Huang 2023, section 5): adds weight * the mean of (f(a, b) - f(b, a))^2.

    The mean is over the training pairs of the step, (a, a) among them, and over the logits, as in a "logits
    level MSE loss"; `reduction` sum adds the logits' squares up instead, K times as much.
    """

    def __init__(self, task: Task, weight: float, reduction: str) -> None:
        if not task.symmetric or task.inputs.ndim != 2 or task.inputs.shape[1] != 2:
            raise SettingError(
                f"training.abelian must be left out where f(a, b) = f(b, a) is not known to hold: "
                f"this {task.name} is not symmetric in two operands"
            )
        self._weight, self._reduction = weight, reduction
        self._inputs = self._mirrored = torch.empty(0)

    def loss(
        self, loss: torch.Tensor, logits: torch.Tensor, forward: Forward, inputs: torch.Tensor
    ) -> torch.Tensor:
        """Add the distance to the logits of the mirror images."""
        if inputs is not self._inputs:  # the full batch is mirrored once: one tensor is sorted once, too
            self._inputs, self._mirrored = inputs, inputs.flip(1)
        squares = (logits - forward(self._mirrored)).square()
        distance = squares.mean(dim=1) if self._reduction == "mean" else squares.sum(dim=1)
        return loss + self._weight * distance.mean()


class AntiNorm(Intervention):
    """Golechha 2024: loss - delta * sum of all squared weights, biases included.

    It acts through the loss: AdamW divides by the root of its second moment, so once the loss's own gradient
    has nearly vanished, even a tiny delta pushes weights outwards at the learning rate.
    """

    def __init__(self, network: Network, delta: float) -> None:
        self._weights, self._delta = list(network.parameters()), delta

    def loss(
        self, loss: torch.Tensor, logits: torch.Tensor, forward: Forward, inputs: torch.Tensor
    ) -> torch.Tensor:
        """Subtract delta times the squared norm."""
        return loss - self._delta * sum(weight.square().sum() for weight in self._weights)


class Dropout(Intervention):
    """Dropout of every hidden activation while training: what each layer but the first reads.

    Since relu(c x) = c relu(x) for c >= 0, this is dropout on the output of every Linear but the last.
    """

    def __init__(self, network: Network, share: float) -> None:
        if not network.drops:
            raise SettingError(
                f"training.dropout must be left out with model {network.kind}, which has none "
                "(Network.drops, Network.dropped)"
            )
        network.dropout = share


class GrokfastEMA(Intervention):
    """Grokfast-EMA (Lee et al. 2024, algorithm 1): g + lambda * mu, with mu = alpha mu + (1 - alpha) g.

    As in the released code, mu starts as the first gradient.
    """

    def __init__(self, network: Network, alpha: float, strength: float) -> None:
        self._named = dict(network.named_parameters())
        self._alpha, self._strength, self._count = alpha, strength, 0
        self._mean = {name: torch.zeros_like(weight) for name, weight in self._named.items()}

    @torch.no_grad()
    def change_gradients(self) -> None:
        """Add the running mean of each gradient."""
        for name, gradient in _gradients(self._named):
            share = 1 - self._alpha if self._count else 1.0
            self._mean[name].lerp_(gradient, share)
            gradient.add_(self._mean[name], alpha=self._strength)
        self._count += 1

    def state(self) -> Tensors:
        """Return the running means and whether they have begun."""
        return {"count": torch.tensor(self._count), **self._mean}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take them over."""
        self._count = int(state["count"])
        for name, mean in self._mean.items():
            mean.copy_(state[name])


class GrokfastMA(Intervention):
    """Grokfast-MA (Lee et al. 2024): g + lambda * mean of the last `window` gradients, once it has so many.

    It keeps `window` copies of the gradient, and saves them with every checkpoint.
    """

    def __init__(self, network: Network, window: int, strength: float) -> None:
        self._named = dict(network.named_parameters())
        self._window, self._strength, self._count = window, strength, 0
        self._last = {name: weight.new_zeros(window, *weight.shape) for name, weight in self._named.items()}

    @torch.no_grad()
    def change_gradients(self) -> None:
        """Add the windowed mean of each gradient."""
        for name, gradient in _gradients(self._named):
            self._last[name][self._count % self._window] = gradient
            if self._count + 1 >= self._window:
                gradient.add_(self._last[name].mean(dim=0), alpha=self._strength)
        self._count += 1

    def state(self) -> Tensors:
        """Return the gradients in the window and how many there were so far."""
        return {"count": torch.tensor(self._count), **self._last}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take them over."""
        self._count = int(state["count"])
        for name, last in self._last.items():
            last.copy_(state[name])


class OrthogonalGradient(Intervention):
    """Prieto et al. 2025, perpGrad: the part of the gradient along the weights is taken out.

    g - (w.g / w.w) w: of all weights as one vector (`network`, the paper's equation), or of each parameter
    tensor by itself and scaled back to the gradient's length (`tensor`, the released code). What is left by
    rounding where the gradient is parallel to the weights counts as zero.
    """

    def __init__(self, network: Network, scope: str) -> None:
        self._named, self._scope = dict(network.named_parameters()), scope

    @torch.no_grad()
    def change_gradients(self) -> None:
        """Project the gradients."""
        pairs = [(self._named[name], gradient) for name, gradient in _gradients(self._named)]
        groups = [pairs] if self._scope == "network" else [[pair] for pair in pairs]
        for group in groups:
            before = _norm(gradient for _, gradient in group)
            along = torch.stack([torch.sum(weight.double() * gradient) for weight, gradient in group]).sum()
            share = along / _norm(weight for weight, _ in group).square().clamp(min=1e-300)
            for weight, gradient in group:
                gradient.sub_((share * weight.double()).to(gradient.dtype))
            if self._scope == "tensor":
                _rescale((gradient for _, gradient in group), before)


class ConstrainedNorm(Intervention):
    """Omnigrok (Liu et al. 2022): after each update the total l2 norm is scaled back to what it was at first.

    The norm is that of all parameters as one vector, or of the weights without the biases. With `drawn` it is
    held to what those weights had as they were drawn, before a layer was set to zero or units were masked, as
    in the released code of Clauw et al. 2024.
    """

    def __init__(self, network: Network, which: str, drawn: torch.Tensor | None = None) -> None:
        self._weights = [weight for weight in network.parameters() if which == "all" or weight.ndim > 1]
        self._norm = drawn if which == "drawn" and drawn is not None else _norm(self._weights)

    @torch.no_grad()
    def change_weights(self) -> None:
        """Scale to the first norm."""
        factor = self._norm / _norm(self._weights)
        for weight in self._weights:
            weight.mul_(factor)

    def state(self) -> Tensors:
        """Return the norm to keep."""
        return {"norm": self._norm}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take it over."""
        self._norm = state["norm"].to(self._norm)


def interventions(
    settings: Mapping[str, Any], task: Task, network: Network, drawn: torch.Tensor | None = None
) -> Interventions:
    """Return the interventions that the training `settings` ask for.

    The network is at its initialisation, and `drawn` is the norm of its weights before anything was set to
    zero.

    Their order: what changes the loss, then masks, filters and projections of the gradient, and last the
    norm, which so holds whatever came before.

    Raises SettingError for one that this task or network does not allow.
    """
    makers: dict[str, Callable[[Any], Intervention]] = {
        "dropout": lambda share: Dropout(network, share),
        "dropped_units": lambda units: UnitDropout(
            network,
            units,
            settings.get("dropped_layer"),
            settings.get(SHARE, TRAINING[SHARE].default),
        ),
        "perturb": lambda lambdas: _perturbed(task, network, *lambdas),
        # Before there was a choice it was the sum: so are the configurations that do not say.
        "abelian": lambda weight: Abelian(task, weight, settings.get("abelian_reduction", "sum")),
        "anti_norm": lambda delta: AntiNorm(network, delta),
        "masked_units": lambda units: Subnetwork(network, units, settings["masked_layer"]),
        "grokfast_ema": lambda given: GrokfastEMA(network, *given),
        "grokfast_ma": lambda given: GrokfastMA(network, int(given[0]), given[1]),
        "orthogonal_gradient": lambda scope: OrthogonalGradient(network, scope),
        "constrain_norm": lambda which: ConstrainedNorm(network, which, drawn),
    }
    wanted = {name: value for name in makers if (value := settings.get(name)) is not None}
    parts = [makers[name](value) for name, value in wanted.items()]
    loss_dtype = getattr(torch, settings.get("loss_dtype", "float32"))
    return Interventions(network, settings["loss"], parts, loss_dtype)


def _perturbed(task: Task, network: Network, lambda1: float, lambda2: float) -> Perturbed:
    if not task.classes:
        raise SettingError(
            f"training.perturb must be left out on task {task.name}: its noise follows the train accuracy, "
            "and numbers to be predicted have none"
        )
    return Perturbed(network, lambda1, lambda2)


@torch.no_grad()
def scale_parameters(network: nn.Module, scale: float, only: str | None = None) -> None:
    """Multiply every parameter, biases included, by `scale` (Omnigrok, Liu et al. 2022: alpha).

    With `only` = `weights` biases stay as they are.
    """
    for parameter in network.parameters():
        if only is None or parameter.ndim > 1:
            parameter.mul_(scale)


@torch.no_grad()
def zero_last_layer(network: Network) -> None:
    """Set the parameters of the last layer to zero."""
    for name in network.last_weights():
        network.get_parameter(name).zero_()


def weight_norm(network: nn.Module) -> torch.Tensor:
    """Return the l2 norm of all weights without biases, a float64 scalar."""
    return _norm(parameter for parameter in network.parameters() if parameter.ndim > 1)


def _gradients(named: Mapping[str, nn.Parameter]) -> list[tuple[str, torch.Tensor]]:
    return [(name, weight.grad) for name, weight in named.items() if weight.grad is not None]


def _norm(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the l2 norm of all numbers as one vector, a float64 scalar."""
    squares = [tensor.detach().double().square().sum() for tensor in tensors]
    return torch.stack(squares).sum().sqrt()


def _rescale(tensors: Iterable[torch.Tensor], norm: torch.Tensor) -> None:
    tensors = list(tensors)
    now = _norm(tensors)
    factor = norm / now if now > 1e-6 * norm else 0.0
    for tensor in tensors:
        tensor.mul_(factor)
