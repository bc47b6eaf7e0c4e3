"""Several seeds of one setting as one computation: whether it can be had, and the step that it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch.func import functional_call, vmap

from grokscope.errors import described
from grokscope.models.network import Network
from grokscope.training.loop import Loop
from grokscope.training.moments import Interventions
from grokscope.training.optimizers import Optimizer

CLOSE = 1e-3  # of the largest gradient, in float32; what is not the same computation is off by all of it
STEP = "step"  # of an optimiser's state: the same for all

Tensors = dict[str, torch.Tensor]


class Stack:
    """Equal networks as one with a dimension more, (seeds, ...), whose parameters theirs become views of.

    Attributes:
        network: that one; its own pass is of no use.
    """

    def __init__(self, networks: Sequence[Network], objective: Interventions) -> None:
        self.network, self._objective = copy.deepcopy(networks[0]), objective
        parameters = dict(self.network.named_parameters())
        for name, whole in parameters.items():
            own = [network.get_parameter(name) for network in networks]
            whole.data = torch.stack([each.detach() for each in own])
            for index, each in enumerate(own):
                each.data = whole.data[index]
        self._parameters: Tensors = {**parameters}
        self._losses = vmap(self._loss)

    def losses(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return each network's loss, (seeds,), on its own examples, (seeds, n, ...)."""
        found: torch.Tensor = self._losses(self._parameters, inputs, labels)
        return found

    def _loss(self, parameters: Tensors, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = functional_call(self.network, parameters, (inputs,))
        return self._objective.objective(inputs, labels, logits)


class Together:
    """Runs at the same step, equal but for the seed, that one computation updates.

    Their optimisers' states become views too, so that each run is evaluated and saved as ever.
    """

    def __init__(self, runs: Sequence[Loop]) -> None:
        self._runs = runs
        self._stack = Stack([run.network for run in runs], runs[0].interventions)
        self._optimizer = Optimizer(self._stack.network, runs[0].settings)
        states = [run.optimizer.state() for run in runs]
        self._optimizer.restore({name: _joined([each[name] for each in states]) for name in states[0]})
        self._shared = False
        self._batch: list[torch.Tensor] = []

    def update(self, step: int) -> None:
        """Do a step of every run."""
        self._optimizer.zero_grad()
        losses = self._stack.losses(*self._draw())
        losses.sum().backward()
        self._optimizer.step(step)
        if not self._shared:  # before the first step there may be no state
            self._share()
        for run, loss in zip(self._runs, losses.detach().unbind(), strict=True):
            run.hear(step, loss)

    def _draw(self) -> list[torch.Tensor]:
        if self._runs[0].settings["batch_size"] or not self._batch:
            self._batch = _side_by_side([run.order.draw() for run in self._runs])
        return self._batch

    def _share(self) -> None:
        """Give every run its part of the state, which changes with the whole from here on."""
        state, self._shared = self._optimizer.state(), True
        for index, run in enumerate(self._runs):
            run.optimizer.restore(
                {
                    name: {key: value if key == STEP else value[index] for key, value in own.items()}
                    for name, own in state.items()
                }
            )


def hindrance(runs: Sequence[Loop]) -> str:
    """Return why a step of the runs cannot be one computation; nothing where it can.

    It is tried: on copies of the networks, whose gradients must be those that each has by itself.
    """
    try:
        return _tried([copy.deepcopy(run.network) for run in runs], runs)
    except Exception as error:  # torch raises its own where it has no rule for an operation
        return f"torch cannot: {described(error).partition('. ')[0]}"


def _tried(networks: Sequence[Network], runs: Sequence[Loop]) -> str:
    first = [_first_batch(run) for run in runs]
    for network, batch in zip(networks, first, strict=True):
        runs[0].interventions.objective(*batch, network(batch[0])).backward()
    stack = Stack(networks, runs[0].interventions)
    stack.losses(*_side_by_side(first)).sum().backward()
    for name, parameter in stack.network.named_parameters():
        alone = torch.stack([_gradient(network.get_parameter(name)) for network in networks])
        if not (_gradient(parameter) - alone).abs().max() <= CLOSE * alone.abs().max():
            return f"the gradient by {name} comes out otherwise"
    return ""


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _first_batch(run: Loop) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the run's next step trains on."""
    state = run.order.state()
    batch = run.order.draw()
    run.order.restore(state)
    return batch


def _side_by_side(batches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
    """Return the inputs and the labels of all, (seeds, n, ...) each."""
    return [torch.stack(each) for each in zip(*batches, strict=True)]


def _joined(states: Sequence[Mapping[str, torch.Tensor]]) -> Tensors:
    """Return one parameter's state in all runs as one."""
    return {
        key: states[0][key].clone() if key == STEP else torch.stack([state[key] for state in states])
        for key in states[0]
    }
