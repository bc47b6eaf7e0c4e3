"""What makes a task modular addition: its data, whatever it calls itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope import NotApplicable

if TYPE_CHECKING:
    from grokscope import Probe


def addition_modulus(probe: Probe) -> int:
    """Return p where the task is a + b or a - b mod p on all p^2 pairs, in any order.

    Raises NotApplicable where it is not.
    """
    task, p = probe.task, probe.task.classes
    if task.inputs.is_floating_point() or not p or tuple(task.inputs.shape) != (p * p, 2):
        raise NotApplicable(f"it needs modular arithmetic on all pairs (a, b); this task is {task.name}")
    a, b = task.inputs[:, 0], task.inputs[:, 1]
    if len((a * p + b).unique()) < p * p or int(task.inputs.min()) < 0 or int(task.inputs.max()) >= p:
        raise NotApplicable("it needs every pair (a, b) exactly once")
    if not (task.labels == (a + b) % p).all() and not (task.labels == (a - b) % p).all():
        raise NotApplicable("it needs a + b or a - b mod p: other operations are not sums of such waves")
    return p
