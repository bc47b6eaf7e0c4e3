"""A Hessian trace estimated with its own standard error, for any differentiable network.

The Hessian of a risk (1/n) sum_i l(f_i(W)) is a Gauss-Newton matrix, (1/n) sum_i J_i^T S_i S_i^T J_i, plus a
remainder, (1/n) sum_i sum_k r_ik Hess f_ik, with J the Jacobian, S S^T the Hessian and r the gradient of the
loss in the logits. The two traces are estimated apart, each in the way that has the least variance for its
cost:

- Gauss-Newton: draw (example, class) with probability proportional to ||S_i e_c||^2 and take the squared norm
  of one example's gradient in that unit direction. The draws differ only as gradients' norms do. A batch of
  them is one vectorised pass where the network can be vectorised.
- remainder: Rademacher probes (Hutchinson 1990) on one parameter tensor at a time: what couples different
  tensors has no part in the trace, yet makes nearly all of the variance of a probe over all of them. Tensors
  in which the network is piecewise linear contribute exactly zero and are left out after two probes. A probe
  is of a few examples, drawn in proportion to their residuals: more examples make a probe dearer sooner than
  they make it less random.

The next probe is always of the part whose variance falls most for the price. Where there are few directions,
all are computed and the Gauss-Newton trace is exact.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from grokscope_robustness.output_root import OutputRoot, output_root

FIRST = 8  # probes of each part before its spread is believed
BATCH = 64  # single gradients that count as one probe
EXAMPLES = 64  # examples in a Hessian product, which counts as one
SPREAD = 0.5  # usual relative spread of the drawn norms: where a sample would need more draws than there are
# directions, all of them are computed instead
CHUNK_TOKENS = 1 << 14  # input values per differentiated forward pass, which bounds the memory of its graph
GRADIENT_VALUES = 1 << 24  # values of single examples' gradients held at once
PRODUCT_COST = (
    0.25  # of a Hessian product with one tensor, in gradients, per example; measured on transformers
)


class Estimate(NamedTuple):
    """An estimated trace: value, standard error, single gradients and Hessian products spent."""

    value: float
    stderr: float
    gradients: int
    products: int


Loss = Callable[[Mapping[str, torch.Tensor], slice], torch.Tensor]
Network = Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]


def hessian_trace(
    network: Network,
    parameters: Mapping[str, torch.Tensor],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    loss: str,
    *,
    counted: torch.Tensor | None = None,
    generator: torch.Generator,
    accuracy: float = 0.01,
    max_probes: int = 200,
) -> Estimate:
    """Return the Hessian trace of the risk, estimated until its standard error is `accuracy` times the value.

    Tan & Huang 2023, for networks that are no ReLU MLP: Tr of the Hessian of
    (1/2n) sum_i ||f(x_i) - y_i||^2 (`mse`) or of the mean cross-entropy.

    Args:
        network: logits (rows, K) from parameters by name and inputs, differentiable twice. inputs, targets:
        (examples, ...) and (n, K): one-hot labels, (n, 1) zeros and ones for a single logit, or numbers.
        counted: (rows,) bool where an example has several rows, of which n count; the mean is over these.
        generator: all randomness. accuracy: relative standard error at which to stop. max_probes: stop after
        so many probes all the same; a probe is 64 gradients or a Hessian product of up to 64 examples.

    Tested: within its own standard error of the brute-force trace, over seeds.
    """
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    with torch.no_grad():
        single = torch.cat([network(parameters, chunk) for chunk in _chunks(inputs)])
    logits = single.double()
    rows = torch.arange(len(logits)) if counted is None else counted.nonzero()[:, 0].cpu()
    counting = logits[rows.to(logits.device)]
    residual = torch.zeros_like(logits)
    residual[rows.to(logits.device)] = _residual(counting, targets, loss)
    places = [divmod(row, len(logits) // len(inputs)) for row in rows.tolist()]
    slopes = _Slopes(network, parameters, inputs, len(logits) // len(inputs), single.dtype)
    curved = _GaussNewton(slopes, output_root(counting, loss), places, generator)
    rest = _Remainder(network, parameters, inputs, residual, len(rows), generator)
    enumerate_all = curved.columns <= max(FIRST * BATCH, (SPREAD / accuracy) ** 2)
    known = curved.exact() if enumerate_all else 0.0
    parts = [_Sample(rest.probe, rest.cost)]
    if not enumerate_all:
        parts.insert(0, _Sample(curved.probe))

    def value() -> float:
        return known + sum(part.mean for part in parts)

    def error() -> float:
        return math.sqrt(sum(part.variance for part in parts))

    while error() > accuracy * abs(value()) and sum(len(part.values) for part in parts) < max_probes:
        max(parts, key=lambda part: part.gain).draw()
    return Estimate(value(), error(), slopes.taken, rest.products)


def trace_of_any_loss(
    loss: Loss,
    parameters: Mapping[str, torch.Tensor],
    shares: Sequence[tuple[slice, float]],
    *,
    generator: torch.Generator,
    accuracy: float = 0.01,
    max_probes: int = 200,
) -> Estimate:
    """Return the Hessian trace of a loss of which nothing is known but that it can be differentiated twice.

    Rademacher probes (Hutchinson 1990) on one parameter tensor at a time, see above.

    Args:
        loss: the mean loss, from parameters by name, of the examples in a slice.
        shares: slices of examples with the weight of each one's mean in the whole; the weights sum to 1.
        parameters, generator, accuracy, max_probes: as for `hessian_trace`.

    Tested: within its own standard error of the brute-force trace.
    """
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    products = 0

    def probe() -> float:
        nonlocal products
        products += 1
        signs = {name: _signs(tensor, generator) for name, tensor in parameters.items()}
        return math.fsum(
            share * value
            for chosen, share in shares
            for value in _quadratic_forms(loss(parameters, chosen), None, parameters, signs).values()
        )

    sample = _Sample(probe)
    while len(sample.values) < max_probes and math.sqrt(sample.variance) > accuracy * abs(sample.mean):
        sample.draw()
    return Estimate(sample.mean, math.sqrt(sample.variance), 0, products)


class _Sample:
    """Independent unbiased values of one of the two traces, one per probe, which costs so many gradients."""

    def __init__(self, probe: Callable[[], float], cost: Callable[[], float] = lambda: 1.0) -> None:
        self.probe, self.cost = probe, cost
        self.values = [probe() for _ in range(FIRST)]

    def draw(self) -> None:
        self.values.append(self.probe())

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        count, mean = len(self.values), self.mean
        return math.fsum((value - mean) ** 2 for value in self.values) / (count - 1) / count

    @property
    def gain(self) -> float:
        """How much one more value would lower the variance of the mean, for its price."""
        return self.variance / (len(self.values) + 1) / self.cost()


class _Slopes:
    """Squared norms of the gradients of single examples' logits, in directions in the logits' space."""

    def __init__(
        self,
        network: Network,
        parameters: Mapping[str, torch.Tensor],
        inputs: torch.Tensor,
        rows: int,
        dtype: torch.dtype,
    ) -> None:
        self.network, self.parameters, self.inputs = network, parameters, inputs
        self.rows, self.dtype, self.taken, self.together = rows, dtype, 0, True

    def squares(self, places: Sequence[tuple[int, int]], directions: torch.Tensor) -> torch.Tensor:
        """Return ||J_i^T u||^2 of (example, row of its logits) and its direction u, (b,) float64.

        A network that cannot be vectorised is differentiated example by example.
        """
        self.taken += len(places)
        if self.together:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch's on what it cannot vectorise, and loops over
                    return self._together(places, directions)
            except RuntimeError:  # what it is about, the single passes say
                self.together = False
        return torch.stack([self._single(*place, u) for place, u in zip(places, directions, strict=True)])

    def _together(self, places: Sequence[tuple[int, int]], directions: torch.Tensor) -> torch.Tensor:
        examples, rows = torch.tensor(places, device=self.inputs.device).T
        weights = directions.new_zeros(len(places), self.rows, directions.shape[1])
        weights[torch.arange(len(places)), rows] = directions
        held = sum(tensor.numel() for tensor in self.parameters.values())
        parameters = {name: tensor.detach() for name, tensor in self.parameters.items()}

        def along(weights: dict[str, torch.Tensor], example: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
            return torch.sum(self.network(weights, example[None]) * of)

        each = torch.func.vmap(torch.func.grad(along), (None, 0, 0))
        found = []
        for part in torch.arange(len(places)).split(max(1, GRADIENT_VALUES // held)):
            slopes = each(
                parameters, self.inputs[examples[part]], weights[part].to(self.inputs.device, self.dtype)
            )
            norms = [
                torch.linalg.vector_norm(g.flatten(1), dim=1, dtype=torch.float64) for g in slopes.values()
            ]
            found.append(torch.stack(norms).square().sum(dim=0))
        return torch.cat(found)

    def _single(self, example: int, row: int, direction: torch.Tensor) -> torch.Tensor:
        logits = self.network(self.parameters, self.inputs[example : example + 1])[row]
        slopes = torch.autograd.grad(
            logits, list(self.parameters.values()), direction.to(logits), allow_unused=True
        )
        norms = [torch.linalg.vector_norm(g, dtype=torch.float64) for g in slopes if g is not None]
        return torch.stack(norms).square().sum()


class _GaussNewton:
    """Tr (1/n) sum_i J_i^T S_i S_i^T J_i by single gradients in the directions of S's columns."""

    def __init__(
        self,
        slopes: _Slopes,
        root: OutputRoot,
        places: Sequence[tuple[int, int]],
        generator: torch.Generator,
    ) -> None:
        self.slopes, self.root, self.places, self.generator = slopes, root, places, generator
        energy = root.column_energy().cpu()
        self.columns = energy.numel()
        self.energy, self.cumulative = energy.flatten(), energy.flatten().cumsum(dim=0)

    def exact(self) -> float:
        """Return the trace by every example's gradient in every direction."""
        curved = self.energy.nonzero()[:, 0]
        total = math.fsum(
            (self.energy[part] * self._squares(part)).sum().item() for part in curved.split(BATCH)
        )
        return total / len(self.places)

    def probe(self) -> float:
        """Return sum ||S_i e_c||^2 / n times the mean of ||J_i^T u||^2, u a drawn unit S_i e_c."""
        total = self.cumulative[-1].item()
        if total == 0:
            return 0.0
        points = torch.rand(BATCH, generator=self.generator, dtype=torch.float64) * total
        drawn = torch.searchsorted(self.cumulative, points, right=True).clamp(max=self.columns - 1)
        return self._squares(drawn).mean().item() * total / len(self.places)

    def _squares(self, columns: torch.Tensor) -> torch.Tensor:
        """Return ||J_i^T u||^2 along each unit u = S_i e_c / ||S_i e_c||, so that nothing underflows."""
        rows, categories = (
            part.tolist() for part in (columns // self.root.outputs, columns % self.root.outputs)
        )
        drawn = torch.stack([self.root.column(row, c) for row, c in zip(rows, categories, strict=True)])
        directions = drawn.cpu() / self.energy[columns, None].sqrt()
        return self.slopes.squares([self.places[row] for row in rows], directions).cpu()


class _Remainder:
    """Tr (1/n) sum_i sum_k r_ik Hess f_ik by Hutchinson probes on one parameter tensor at a time."""

    def __init__(
        self,
        network: Network,
        parameters: Mapping[str, torch.Tensor],
        inputs: torch.Tensor,
        residual: torch.Tensor,
        count: int,
        generator: torch.Generator,
    ) -> None:
        self.network, self.parameters, self.inputs, self.count = network, parameters, inputs, count
        self.residual = residual.unflatten(0, (len(inputs), -1))
        self.share = self.residual.double().flatten(1).norm(dim=1).cpu()
        self.generator, self.products = generator, 0
        self.seen: dict[str, bool] = dict.fromkeys(parameters, False)

    def cost(self) -> float:
        """Return what a probe costs, in probes of the other kind."""
        tensors = sum(curved for curved in self.seen.values())
        return (1 + PRODUCT_COST * tensors) * min(1.0, len(self.inputs) / EXAMPLES)

    def probe(self) -> float:
        """Return the sum over tensors B of v_B^T R_BB v_B, v_B of independent random signs."""
        names = [name for name, curved in self.seen.items() if curved or self.products < 2]
        if not names or not self.share.any():
            return 0.0
        signs = {name: _signs(self.parameters[name], self.generator) for name in names}
        values = dict.fromkeys(names, 0.0)
        inputs, residual = self._drawn()
        for chunk, weights in zip(_chunks(inputs), residual.split(chunk_size(inputs)), strict=True):
            logits = self.network(self.parameters, chunk)
            forms = _quadratic_forms(logits, weights.flatten(0, 1), self.parameters, signs)
            for name, value in forms.items():
                values[name] += value
        for name, value in values.items():
            self.seen[name] |= value != 0
        self.products += 1
        return math.fsum(values.values()) / self.count

    def _drawn(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return examples, and their residuals (examples, rows, K) times what makes their sum unbiased."""
        if len(self.inputs) <= EXAMPLES:
            return self.inputs, self.residual
        drawn = torch.multinomial(self.share, EXAMPLES, replacement=True, generator=self.generator)
        scale = self.share.sum() / self.share[drawn] / EXAMPLES
        place = drawn.to(self.inputs.device)
        return self.inputs[place], self.residual[place] * scale.to(self.residual)[:, None, None]


def _signs(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 2, like.shape, generator=generator).mul(2).sub(1).to(like)


def _quadratic_forms(
    outputs: torch.Tensor,
    weights: torch.Tensor | None,
    parameters: Mapping[str, torch.Tensor],
    signs: Mapping[str, torch.Tensor],
) -> dict[str, float]:
    """Return v_B^T H_BB v_B of `weights` . outputs, for the signs v_B of each tensor B that it curves in."""
    tensors = [parameters[name] for name in signs]
    slopes = torch.autograd.grad(
        outputs,
        tensors,
        None if weights is None else weights.to(outputs),
        create_graph=True,
        allow_unused=True,
    )
    values = {}
    for (name, sign), tensor, slope in zip(signs.items(), tensors, slopes, strict=True):
        if slope is None or not slope.requires_grad:
            continue
        (product,) = torch.autograd.grad(slope, tensor, sign, retain_graph=True, allow_unused=True)
        if product is not None:
            values[name] = torch.sum(product.double() * sign).item()
    return values


def _residual(logits: torch.Tensor, targets: torch.Tensor, loss: str) -> torch.Tensor:
    """Return the gradient of each example's loss in its logits, (n, K)."""
    if loss == "mse":
        return logits - targets
    return (logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)) - targets


def _chunks(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return rows.split(chunk_size(rows))


def chunk_size(rows: torch.Tensor) -> int:
    """Return how many examples a differentiated forward pass is of."""
    return max(1, CHUNK_TOKENS // max(1, rows[0].numel()))
