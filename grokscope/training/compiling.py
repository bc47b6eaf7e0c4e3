"""The network's passes compiled: what `--compile` asks of torch, and what is said where it cannot be had."""

from __future__ import annotations

import torch

from grokscope.errors import SettingError
from grokscope.models.network import Network
from grokscope.training.moments import Forward

BACKEND = "inductor"  # torch's own, which needs a compiler


def compiled(network: Network, inputs: torch.Tensor, backend: str = BACKEND) -> Forward:
    """Return the network as a compiled function, which has computed the logits and gradients of `inputs`.

    The network keeps its weights, which have no gradients afterwards, and the generators their states.

    Raises SettingError, in one sentence, where torch cannot compile it here.
    """
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        forward: Forward = torch.compile(network, backend=backend)
        with torch.random.fork_rng(devices):
            forward(inputs).sum().backward()
    except Exception as error:  # torch raises its own, the compiler's, and the system's
        raise SettingError(f"compile must be left out on this machine: {_reason(error)}") from error
    finally:
        network.zero_grad(set_to_none=True)
    return forward


def _reason(error: BaseException) -> str:
    """Return in words why torch cannot compile; what it raises goes on for pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if "compiler" in type(error).__name__.lower() or "compiler" in first.lower():
        return f"torch finds no C++ compiler ({first[:200]}); install g++ or clang++, or set CXX"
    return f"{type(error).__name__}: {first[:200]}"
