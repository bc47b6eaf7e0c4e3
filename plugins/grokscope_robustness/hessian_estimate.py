"""A Hessian trace estimated with its own standard error, for any differentiable network.

The Hessian of a risk (1/n) sum_i l(f_i(W)) is a Gauss-Newton matrix, (1/n) sum_i J_i^T S_i S_i^T J_i, plus a
remainder, (1/n) sum_i sum_k r_ik Hess f_ik, with J the Jacobian, S S^T the Hessian and r the gradient of the
loss in the logits. The two traces are estimated apart, each in the way that has the least variance for its
cost:

- Gauss-Newton: draw an example in proportion to ||S_i||^2, a class c of it in proportion to ||S_i e_c||^2,
  and take the squared norm of the gradient in that unit direction. The draws differ only as gradients' norms
  do. Where an example has several rows of logits, each has its class and a random sign: in expectation the
  squared norm of their sum is the sum of theirs, at the price of one gradient. A batch of draws is one
  vectorised pass where the network can be vectorised.
- remainder: Rademacher probes (Hutchinson 1990) on one parameter tensor at a time: what couples different
  tensors has no part in the trace, yet makes nearly all of the variance of a probe over all of them. Vectors,
  of which there are many and which couple little, go together. Tensors in which the network is piecewise
  linear contribute exactly zero and are left out after two probes. A probe
  is of a few examples, drawn in proportion to their residuals: more examples make a probe dearer sooner than
  they make it less random.

The next probe is always of the part whose variance falls most for the price. Where there are few directions,
all are computed and the Gauss-Newton trace is exact.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
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
# Of a Hessian product with one tensor, in gradients, per example; measured on transformers.
PRODUCT_COST = 0.25


class Estimate(NamedTuple):
    """An estimated trace: value, standard error, single gradients and Hessian products spent."""

    value: float
    stderr: float
    gradients: int
    products: int


Group = tuple[str, ...]  # names of the parameters that are probed together
Loss = Callable[[Mapping[str, torch.Tensor], slice], torch.Tensor]
Network = Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]
Foretell = Callable[[float], None]


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
    foretell: Foretell = lambda seconds: None,
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
        foretell: told, after the first probes, how many seconds the others will take.

    Tested: within its own standard error of the brute-force trace, over seeds.
    """
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    with torch.no_grad():
        single = torch.cat([network(parameters, chunk) for chunk in _chunks(inputs)])
    logits = single.double()
    rows = torch.arange(len(logits)) if counted is None else counted.nonzero()[:, 0].cpu()
    residual = torch.zeros_like(logits)
    residual[rows.to(logits.device)] = _residual(logits[rows.to(logits.device)], targets, loss)
    slopes = _Slopes(network, parameters, inputs, single.dtype)
    curved = _GaussNewton(slopes, output_root(logits, loss), rows, len(inputs), generator)
    rest = _Remainder(network, parameters, inputs, residual, len(rows), generator)
    enumerate_all = curved.columns <= max(FIRST * BATCH, (SPREAD / accuracy) ** 2)
    known = curved.exact() if enumerate_all else 0.0
    parts = [Sample(rest.probe, rest.cost)]
    if not enumerate_all:
        parts.insert(0, Sample(curved.probe))

    value, error = draw_until(parts, known, accuracy, max_probes, foretell)
    return Estimate(value, error, slopes.taken, rest.products)


def trace_of_any_loss(
    loss: Loss,
    parameters: Mapping[str, torch.Tensor],
    shares: Sequence[tuple[slice, float]],
    *,
    generator: torch.Generator,
    accuracy: float = 0.01,
    max_probes: int = 200,
    foretell: Foretell = lambda seconds: None,
) -> Estimate:
    """Return the Hessian trace of a loss of which nothing is known but that it can be differentiated twice.

    Rademacher probes (Hutchinson 1990) on one parameter tensor at a time, see above.

    Args:
        loss: the mean loss, from parameters by name, of the examples in a slice.
        shares: slices of examples with the weight of each one's mean in the whole; the weights sum to 1.
        parameters, generator, accuracy, max_probes, foretell: as for `hessian_trace`.

    Tested: within its own standard error of the brute-force trace.
    """
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    products = 0

    def probe() -> list[float]:
        nonlocal products
        products += 1
        signs = _signs(parameters, _groups(parameters), generator)
        forms = (
            share * value
            for chosen, share in shares
            for value in _quadratic_forms(loss(parameters, chosen), None, parameters, signs).values()
        )
        return [math.fsum(forms)]

    value, error = draw_until([Sample(probe)], 0.0, accuracy, max_probes, foretell)
    return Estimate(value, error, 0, products)


def draw_until(
    samples: Sequence[Sample], known: float, accuracy: float, most: int, foretell: Foretell
) -> tuple[float, float]:
    """Return what is known and the samples' means together, and its standard error.

    Probes are made until the error is `accuracy` times the value, or there are `most`; how long that takes is
    foretold.
    """

    def value() -> float:
        return known + sum(sample.mean for sample in samples)

    def error() -> float:
        return math.sqrt(sum(sample.variance for sample in samples))

    foretell(seconds_left(samples, accuracy * abs(value()), most))
    while error() > accuracy * abs(value()) and sum(sample.probes for sample in samples) < most:
        max(samples, key=lambda sample: sample.gain).draw()
    return value(), error()


def seconds_left(samples: Sequence[Sample], error: float, most: int) -> float:
    """Return how long it takes until the samples together have this standard error, or `most` probes.

    Of samples whose probes have the variances v and take the seconds c, each gets n probes in proportion to
    sqrt(v / c), which takes the least time, so many that the sum of v / n is the error's square.
    """
    variances = [sample.variance * sample.probes for sample in samples]
    seconds = [sample.seconds / sample.probes for sample in samples]
    done = sum(sample.probes for sample in samples)
    if error <= 0 or sum(sample.variance for sample in samples) <= error**2 or done >= most:
        return 0.0
    rates = [math.sqrt(v / c) if c else 0.0 for v, c in zip(variances, seconds, strict=True)]
    scale = sum(v / rate for v, rate in zip(variances, rates, strict=True) if rate) / error**2
    left = [max(0.0, scale * rate - each.probes) for rate, each in zip(rates, samples, strict=True)]
    share = min(1.0, (most - done) / max(1.0, sum(left)))
    return share * math.fsum(count * each for count, each in zip(left, seconds, strict=True))


class Sample:
    """Independent unbiased values of one of the traces; a probe gives some, and costs so many gradients."""

    def __init__(self, probe: Callable[[], list[float]], cost: Callable[[], float] = lambda: 1.0) -> None:
        self.probe, self.cost = probe, cost
        self.values: list[float] = []
        self.probes, self.seconds = 0, 0.0
        for _ in range(FIRST):
            self.draw()

    def draw(self) -> None:
        """Make one more probe."""
        begin = time.perf_counter()
        self.values += self.probe()
        self.probes += 1
        self.seconds += time.perf_counter() - begin

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return math.fsum(self.values) / len(self.values)

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        count, mean = len(self.values), self.mean
        return math.fsum((value - mean) ** 2 for value in self.values) / (count - 1) / count

    @property
    def gain(self) -> float:
        """How much one more probe would lower the variance of the mean, for its price."""
        return self.variance / (self.probes + 1) / self.cost()


class _Slopes:
    """Squared norms of the gradients of single examples' logits, in directions in the logits' space."""

    def __init__(
        self,
        network: Network,
        parameters: Mapping[str, torch.Tensor],
        inputs: torch.Tensor,
        dtype: torch.dtype,
    ) -> None:
        self.network, self.parameters, self.inputs, self.dtype = network, parameters, inputs, dtype
        self.taken, self.together = 0, True

    def squares(self, examples: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        """Return ||J_i^T u||^2 of each example (b,) and a direction u of its, (b, rows, K): (b,) float64.

        A network that cannot be vectorised is differentiated example by example.
        """
        self.taken += len(examples)
        inputs = self.inputs[examples.to(self.inputs.device)]
        directions = directions.to(self.inputs.device, self.dtype)
        if self.together:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch's on what it cannot vectorise, and loops over
                    return self._together(inputs, directions).cpu()
            except RuntimeError:  # what it is about, the single passes say
                self.together = False
        return torch.stack([self._single(*each) for each in zip(inputs, directions, strict=True)]).cpu()

    def _together(self, inputs: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        parameters = {name: tensor.detach() for name, tensor in self.parameters.items()}
        size = max(1, GRADIENT_VALUES // sum(tensor.numel() for tensor in parameters.values()))

        def along(weights: dict[str, torch.Tensor], example: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
            return torch.sum(self.network(weights, example[None]) * of)

        each = torch.func.vmap(torch.func.grad(along), (None, 0, 0))
        parts = zip(inputs.split(size), directions.split(size), strict=True)
        return torch.cat([_squared(each(parameters, *part).values()) for part in parts])

    def _single(self, example: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        logits, parameters = self.network(self.parameters, example[None]), list(self.parameters.values())
        slopes = torch.autograd.grad(logits, parameters, direction, allow_unused=True)
        return _squared(slope[None] for slope in slopes if slope is not None)[0]


def _squared(slopes: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the squared norm of all slopes of an example together, each (b, ...): (b,) float64."""
    norms = [torch.linalg.vector_norm(slope.flatten(1), dim=1, dtype=torch.float64) for slope in slopes]
    return torch.stack(norms).square().sum(dim=0)


class _GaussNewton:
    """Tr (1/n) sum_i J_i^T S_i S_i^T J_i by single examples' gradients in the directions of S's columns."""

    def __init__(
        self,
        slopes: _Slopes,
        root: OutputRoot,
        counted: torch.Tensor,
        examples: int,
        generator: torch.Generator,
    ) -> None:
        self.slopes, self.root, self.generator, self.count = slopes, root, generator, len(counted)
        energy = root.column_energy().cpu()
        kept = torch.zeros_like(energy)
        kept[counted] = energy[counted]
        self.energy = kept.unflatten(0, (examples, -1))  # (examples, rows of each, K)
        self.columns = len(counted) * energy.shape[1]

    def exact(self) -> float:
        """Return the trace by every row's gradient in every direction."""
        total = 0.0
        for part in self.energy.nonzero().split(BATCH):
            example, row, category = part.T
            directions = self.energy.new_zeros(len(part), *self.energy.shape[1:])
            directions[torch.arange(len(part)), row] = self._units(example, row, category)
            squares = self.slopes.squares(example, directions)
            total += torch.dot(self.energy[example, row, category], squares).item()
        return total / self.count

    def probe(self) -> list[float]:
        """Return sum ||S||^2 / n times ||J_i^T u||^2 of each of a batch of drawn directions u of norm 1."""
        whole = self.energy.sum(dim=(1, 2))
        if not whole.any():
            return [0.0]
        examples = torch.multinomial(whole, BATCH, replacement=True, generator=self.generator)
        energy = self.energy[examples]
        rows = energy.sum(dim=2)
        some = torch.where((rows > 0)[:, :, None], energy, 1.0)  # a row without any has no weight below
        category = torch.multinomial(some.flatten(0, 1), 1, generator=self.generator).view(rows.shape)
        place = torch.arange(rows.shape[1]).expand_as(rows)
        units = self._units(examples[:, None].expand_as(rows).flatten(), place.flatten(), category.flatten())
        signs = torch.randint(0, 2, rows.shape, generator=self.generator).mul(2).sub(1)
        weights = signs * (rows / rows.sum(dim=1, keepdim=True)).sqrt()
        directions = units.view(energy.shape) * weights[:, :, None]
        squares: list[float] = (
            self.slopes.squares(examples, directions).mul_(whole.sum() / self.count).tolist()
        )
        return squares

    def _units(self, example: torch.Tensor, row: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
        """Return S e_c / ||S e_c|| of each, (m, K), so that nothing underflows; 0 where there is none."""
        place = (example * self.energy.shape[1] + row).to(self.root.scale.device)
        columns = self.root.columns(place, category.to(place.device)).cpu()
        norm = torch.linalg.vector_norm(columns, dim=1, keepdim=True)
        return torch.where(norm > 0, columns / norm, 0.0)


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
        self.seen: dict[Group, bool] = dict.fromkeys(_groups(parameters), False)

    def cost(self) -> float:
        """Return what a probe costs, in probes of the other kind."""
        return (1 + PRODUCT_COST * sum(self.seen.values())) * min(1.0, len(self.inputs) / EXAMPLES)

    def probe(self) -> list[float]:
        """Return the sum over groups B of v_B^T R_BB v_B, v_B of independent random signs."""
        groups = [group for group, curved in self.seen.items() if curved or self.products < 2]
        if not groups or not self.share.any():
            return [0.0]
        signs = _signs(self.parameters, groups, self.generator)
        values = dict.fromkeys(groups, 0.0)
        inputs, residual = self._drawn()
        for chunk, weights in zip(_chunks(inputs), residual.split(chunk_size(inputs)), strict=True):
            logits = self.network(self.parameters, chunk)
            forms = _quadratic_forms(logits, weights.flatten(0, 1), self.parameters, signs)
            for group, value in forms.items():
                values[group] += value
        for group, value in values.items():
            self.seen[group] |= value != 0
        self.products += 1
        return [math.fsum(values.values()) / self.count]

    def _drawn(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return examples, and their residuals (examples, rows, K) times what makes their sum unbiased."""
        if len(self.inputs) <= EXAMPLES:
            return self.inputs, self.residual
        drawn = torch.multinomial(self.share, EXAMPLES, replacement=True, generator=self.generator)
        scale = self.share.sum() / self.share[drawn] / EXAMPLES
        place = drawn.to(self.inputs.device)
        return self.inputs[place], self.residual[place] * scale.to(self.residual)[:, None, None]


def _groups(parameters: Mapping[str, torch.Tensor]) -> list[Group]:
    """Return what is probed together: each matrix alone, all vectors as one."""
    vectors = tuple(name for name, tensor in parameters.items() if tensor.ndim < 2)
    alone: list[Group] = [(name,) for name, tensor in parameters.items() if tensor.ndim >= 2]
    return [*alone, vectors] if vectors else alone


def _signs(
    parameters: Mapping[str, torch.Tensor], groups: Sequence[Group], generator: torch.Generator
) -> dict[Group, list[torch.Tensor]]:
    def drawn(like: torch.Tensor) -> torch.Tensor:
        return torch.randint(0, 2, like.shape, generator=generator).mul(2).sub(1).to(like)

    return {group: [drawn(parameters[name]) for name in group] for group in groups}


def _quadratic_forms(
    outputs: torch.Tensor,
    weights: torch.Tensor | None,
    parameters: Mapping[str, torch.Tensor],
    signs: Mapping[Group, Sequence[torch.Tensor]],
) -> dict[Group, float]:
    """Return v_B^T H_BB v_B of `weights` . outputs, for the signs v_B of each group B that it curves in."""
    names = [name for group in signs for name in group]
    slopes = torch.autograd.grad(
        outputs,
        [parameters[name] for name in names],
        None if weights is None else weights.to(outputs),
        create_graph=True,
        allow_unused=True,
    )
    slope_of = dict(zip(names, slopes, strict=True))
    values = {}
    for group, drawn in signs.items():
        curved = [
            (slope, sign)
            for slope, sign in zip(map(slope_of.get, group), drawn, strict=True)
            if slope is not None and slope.requires_grad
        ]
        if not curved:
            continue
        found = torch.autograd.grad(
            [slope for slope, _ in curved],
            [parameters[name] for name in group],
            [sign for _, sign in curved],
            retain_graph=True,
            allow_unused=True,
        )
        pairs = [(product, sign) for product, sign in zip(found, drawn, strict=True) if product is not None]
        if pairs:
            values[group] = math.fsum(torch.sum(product.double() * sign).item() for product, sign in pairs)
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
