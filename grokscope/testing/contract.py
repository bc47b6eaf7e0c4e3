"""What a plugin's own tests need: small real networks to measure, and the contract of every measure."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import math
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from grokscope.declare import Parameter, resolve
from grokscope.errors import MeasureError, ResultError, SettingError, UnknownName, described
from grokscope.measure import Measure, Row, call_measure
from grokscope.models import MODELS
from grokscope.models.network import Network
from grokscope.objective import targets
from grokscope.probe import NoiseSource, Probe, generator_for
from grokscope.tasks.task import Task

Kind = Literal["mlp", "transformer", "lstm"]
Loss = Literal["cross_entropy", "mse"]

_SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (24, 16)},
    "transformer": {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 32},
    "lstm": {"d_embedding": 8, "d_state": 12},
}
_READOUT = {  # the tensor that the last layer reads, the last layer's weight
    "mlp": ("layers.1_post", "layers.2.weight"),
    "transformer": ("blocks.0.resid_post", "unembed.weight"),
    "lstm": ("lstm.1_state", "head.weight"),
}
_BEFORE_HIDDEN = {"mlp": ("layers.0.", "layers.1."), "transformer": ("blocks.0.mlp.",), "lstm": ("lstm.",)}


def example_probe(
    kind: Kind = "mlp",
    *,
    loss: Loss = "cross_entropy",
    seed: int = 0,
    task: str | None = None,
    trained: bool = True,
    dead: bool = False,
) -> Probe:
    """Return a probe of a small real network on a small real task, the same on every machine.

    Its weights are drawn by numpy, and the last layer is then fitted to the training split by ridge
    regression, so that it does better than chance without any training loop.

    Args:
        kind: `mlp` (two hidden layers of 24 and 16 units), `transformer` (width 16) or `lstm` (two layers
            of 12 units, a single logit).
        loss: `cross_entropy` or `mse`.
        seed: another seed, another network; the task and its split stay.
        task: a name of `example_task`; `modadd` unless told, and `text` for the LSTM.
        trained: False leaves the last layer as drawn: the network at step 0.
        dead: True makes every hidden unit constant: zero after its ReLU, or an LSTM state that is zero.
    """
    examples = example_task(task or ("text" if kind == "lstm" else "modadd"))
    network = _network(kind, examples, seed)
    if trained:
        _fit_readout(network, examples, loss)
    if dead:
        _kill(network)
    return probe_of(network, examples, loss=loss, step=1000 if trained else 0)


def example_pair(kind: Kind = "mlp", **options: Any) -> tuple[Probe, Probe]:
    """Return (probe, baseline): `example_probe(kind, **options)` and the same network at step 0."""
    return example_probe(kind, **options), example_probe(kind, **{**options, "trained": False, "dead": False})


def probe_of(network: Network, task: Task, *, loss: str = "cross_entropy", step: int = 0) -> Probe:
    """Return a probe of your own network on your own task, as `analyze` would make it."""
    return Probe(
        step=step,
        task=task,
        model=network.eval(),
        weights={name: weight.detach() for name, weight in network.named_parameters()},
        loss_name=loss,
        noise=NoiseSource("grokscope.testing"),
    )


def check_measure(
    measure: Measure,
    *,
    probes: Iterable[Probe] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Check that `measure` keeps the contract of every measure: the test to begin a plugin's tests with.

    - It is documented: a summary, a source, and help for every column, label array and parameter.
    - It answers at least one of the probes, and the others with NotApplicable or MeasureError and a sentence.
    - It returns declared columns only, numbers within their bounds, NaN only where a column may be missing;
      and every declared column at least once.
    - It gives the same rows again, on a fresh and on a used probe, whatever the global random states are.
    - It leaves everything as it was: weights, task, network, what probes remember, global random states,
      threads, default dtype, gradient mode; and it prints nothing.
    - It refuses parameters out of bounds, and takes those at their bounds, every choice and None.
    - Degenerate networks (dead hidden units, all weights zero, constant logits, weights that are not finite)
      give declared-missing values, NotApplicable or MeasureError.

    Args:
        measure: what `@measure` made.
        probes: networks to measure; small ones of every kind (`example_probe`) unless given.
        parameters: defaults to check a costly measure with instead of its own: it is called a hundred times.

    Raises:
        AssertionError: a sentence that says which part of the contract is broken, and by what.
    """
    assert isinstance(measure, Measure), f"{measure!r} must be made by @measure"
    measure = with_defaults(measure, parameters or {})
    _check_documented(measure)
    _check_refusals(measure)
    probes = list(probes) if probes is not None else _probes()
    returned: set[str] = set()
    answered = 0
    for probe in probes:
        rows = _check_on(measure, probe)
        answered += bool(rows)
        if rows:
            returned |= _keys(rows)
            returned |= _check_edges(measure, probe)
        for degenerate in _degenerate(probe):
            returned |= _keys(_run(measure, {}, _Bench(degenerate)))
    assert answered, (
        f"{measure.name} must answer one of the {len(probes)} probes at least; hand it others: probes="
    )
    declared = {column.name for column in measure.columns} | set(measure.arrays)
    assert declared <= returned, (
        f"{measure.name} declares {sorted(declared - returned)} and never returned it"
    )


def with_defaults(measure: Measure, parameters: Mapping[str, Any]) -> Measure:
    """Return the measure with other defaults. Raises UnknownName and SettingError."""
    values = resolve(measure.parameters, parameters, measure.name)
    declared = {name: replace(given, default=values[name]) for name, given in measure.parameters.items()}
    return replace(measure, parameters=declared)


def _probes() -> list[Probe]:
    return [
        example_probe("mlp"),
        example_probe("mlp", loss="mse", task="images"),
        example_probe("transformer", task="modadd23"),
        example_probe("lstm"),
    ]


def _check_documented(measure: Measure) -> None:
    name = measure.name
    assert measure.summary, (
        f"{name} must have a docstring: its first paragraph is what `grokscope measures` shows"
    )
    assert measure.summary.endswith("."), (
        f"the docstring of {name} must begin with a sentence that ends in a period"
    )
    assert measure.source, f"{name} must name its source: @measure(source='paper, equation' or 'own')"
    for column in measure.columns:
        assert column.help, f"{name}.{column.name} must have help: Column({column.name!r}, 'what it is')"
    for parameter in measure.parameters.values():
        assert parameter.param.help, (
            f"{name}.{parameter.name} must have help: Annotated[..., Param('what it is')]"
        )
    for array, what in measure.arrays.items():
        assert what, f"the array {array} of {name} must have help"


def _check_refusals(measure: Measure) -> None:
    for parameter in measure.parameters.values():
        for value in _outside(parameter):
            try:
                resolve(measure.parameters, {parameter.name: value}, measure.name)
            except SettingError:
                continue
            raise AssertionError(f"{measure.name}.{parameter.name} must refuse {value!r}")


def _outside(parameter: Parameter) -> Iterator[Any]:
    bound, many = parameter.param, parameter.type_name.startswith("list")
    for limit, beyond in (
        (bound.min, (bound.min or 0) - 1),
        (bound.max, (bound.max or 0) + 1),
        (bound.above, bound.above),
        (bound.below, bound.below),
    ):
        if limit is not None:
            yield [beyond] if many else beyond
    if "str" not in parameter.type_name.split(" or "):
        yield "no such value"
    yield math.nan


def _check_on(measure: Measure, probe: Probe) -> list[Row]:
    """Return the rows on `probe`, none where it does not apply, after asking for them in three ways."""
    bench = _Bench(probe)
    first = _run(measure, {}, bench)
    again = _run(measure, {}, bench)
    assert _same(first, again), (
        f"{measure.name} must give the same rows again on the same probe: {_where(probe)}"
    )
    with _other_random_states():
        fresh = _run(measure, {}, _Bench(probe))
    assert _same(first, fresh), (
        f"{measure.name} must give the same rows again on a fresh probe: {_where(probe)}; "
        "randomness must come from the input rng, and nothing may be kept between checkpoints"
    )
    return first


def _check_edges(measure: Measure, probe: Probe) -> set[str]:
    returned: set[str] = set()
    for parameter in measure.parameters.values():
        for value in _inside(parameter):
            returned |= _keys(_run(measure, {parameter.name: value}, _Bench(probe)))
    return returned


def _inside(parameter: Parameter) -> Iterator[Any]:
    """Yield the values at the bounds; an upper bound above 1000 is there to be generous, not to be run."""
    bound = parameter.param
    edges: list[Any] = [bound.min, bound.max if (bound.max or 0) <= 1000 else None]
    edges += [
        None if bound.above is None else math.nextafter(bound.above, math.inf),
        None if bound.below is None else math.nextafter(bound.below, -math.inf),
    ]
    for value in [*(edge for edge in edges if edge is not None), *parameter.choices, True, False, None]:
        for candidate in (value, [value]):
            try:
                yield parameter.coerce(candidate)
            except SettingError:
                continue


def _degenerate(probe: Probe) -> Iterator[Probe]:
    yield _changed(probe, "all weights zero", lambda name, weight: weight.zero_())
    yield _changed(probe, "weights that are not finite", lambda name, weight: weight.fill_(math.nan))
    if probe.model.kind in _READOUT:
        readout = _READOUT[probe.model.kind][1]
        yield _changed(probe, "constant logits", lambda name, weight: weight.mul_(name != readout))
        dead = copy.deepcopy(probe.model)
        _kill(dead)
        yield _twin(probe, dead, "dead hidden units")


def _changed(probe: Probe, what: str, change: Callable[[str, torch.Tensor], Any]) -> Probe:
    network = copy.deepcopy(probe.model)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            change(name, weight)
    return _twin(probe, network, what)


def _twin(probe: Probe, network: Network, what: str = "", step: int | None = None) -> _Watched:
    task = probe.task
    kept = {key: getattr(task, key).clone() for key in ("inputs", "labels", "train", "test")}
    twin = _Watched(
        step=probe.step if step is None else step,
        task=replace(task, **kept),
        model=network.eval(),
        weights={name: weight.detach() for name, weight in network.named_parameters()},
        loss_name=probe.loss_name,
        noise=NoiseSource("grokscope.testing"),
    )
    twin.what = what or getattr(probe, "what", "")
    return twin


class _Watched(Probe):
    """A probe that knows what everything it remembers looked like when it was computed."""

    what = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: dict[Hashable, str] = {}

    def shared(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        value = super().shared(key, compute)
        self.seen.setdefault(key, _fingerprint(value))
        return value

    def changes(self) -> list[str]:
        """Return what is remembered and no longer as it was."""
        return [str(key) for key, seen in self.seen.items() if _fingerprint(self._memory[key]) != seen]


class _Bench:
    """What a measure is given, and what of it must stay as it is."""

    def __init__(self, probe: Probe) -> None:
        self.probe = _twin(probe, copy.deepcopy(probe.model))
        early = _changed(probe, "", lambda name, weight: weight.mul_(0.5))
        self.baseline = _twin(early, early.model, step=0)
        self.weights = dict(self.probe.weights)

    def fingerprints(self) -> dict[str, str]:
        parts: dict[str, Any] = {"the weights": self.weights}
        for name, probe in (("the probe's", self.probe), ("the baseline's", self.baseline)):
            task, model = probe.task, probe.model
            parts[f"{name} weights"] = [probe.weights, dict(model.state_dict())]
            parts[f"{name} task"] = [task.inputs, task.labels, task.train, task.test]
            parts[f"{name} network"] = [
                str(model.training),
                [[str(weight.requires_grad), weight.grad] for weight in model.parameters()],
                [str((len(m._forward_hooks), len(m._forward_pre_hooks))) for m in model.modules()],
            ]
        return {name: _fingerprint(part) for name, part in parts.items()}

    def rng(self) -> torch.Generator:
        return generator_for("measure", "grokscope.testing", "check_measure")


def _run(measure: Measure, parameters: Mapping[str, Any], bench: _Bench) -> list[Row]:
    """Call `measure` and return its rows, or none where it says that it has no answer; check its purity."""
    where = f"{measure.name} on {_where(bench.probe)}" + (f" with {dict(parameters)}" if parameters else "")
    before, world = bench.fingerprints(), _world()
    printed, silence = io.StringIO(), ""
    rows: list[Row] = []
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            rows = _call(measure, parameters, bench)
    except ResultError as error:
        raise AssertionError(f"{where}: {error}") from error
    except MeasureError as error:
        silence = f"{type(error).__name__}({error})"
    except Exception as error:
        raise AssertionError(
            f"{where} ended with {described(error)}; where there is no answer it must raise "
            "NotApplicable or MeasureError"
        ) from error
    assert rows or len(silence.split()) >= 3, f"{where} must say why it has no answer, got {silence}"
    assert not printed.getvalue(), f"{where} must print nothing, got {printed.getvalue()[:80]!r}"
    _check_untouched(where, before, bench.fingerprints())
    _check_untouched(where, world, _world())
    for probe in (bench.probe, bench.baseline):
        changes = probe.changes()
        assert not changes, f"{where} must not change what the probe remembers: {', '.join(changes)}"
    return rows


def _call(measure: Measure, parameters: Mapping[str, Any], bench: _Bench) -> list[Row]:
    return call_measure(
        measure,
        parameters,
        weights=lambda: bench.weights,
        probe=lambda: bench.probe,
        baseline=lambda: bench.baseline,
        rng=bench.rng,
    )


def _where(probe: Probe) -> str:
    what = getattr(probe, "what", "")
    return f"{probe.model.kind} on {probe.task.name} ({probe.loss_name}{', ' + what if what else ''})"


def _check_untouched(where: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"{where} must not change {' and '.join(changed)}"


def _world() -> dict[str, str]:
    """Return what is global and must be left alone."""
    return {
        "torch's global random state (ask for the input rng)": _fingerprint(torch.get_rng_state()),
        "numpy's global random state": _fingerprint(list(np.random.get_state())),
        "the random module's state": str(hash(random.getstate())),
        "the number of threads": str(torch.get_num_threads()),
        "torch's default dtype": str(torch.get_default_dtype()),
        "torch's gradient mode": str((torch.is_grad_enabled(), torch.is_inference_mode_enabled())),
        "torch's determinism": str(torch.are_deterministic_algorithms_enabled()),
        "numpy's error handling": str(np.geterr()),
    }


@contextlib.contextmanager
def _other_random_states() -> Iterator[None]:
    """Run with other global random states than before; a measure that draws from them shows."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20405)
        np.random.seed(20405)
        random.seed(20405)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


def _keys(rows: Iterable[Row]) -> set[str]:
    return {key for row in rows for key in (*row.values, *row.arrays)}


def _same(left: list[Row], right: list[Row]) -> bool:
    described = [
        [[row.labels, {k: repr(v) for k, v in row.values.items()}, dict(row.arrays)] for row in rows]
        for rows in (left, right)
    ]
    return _fingerprint(described[0]) == _fingerprint(described[1])


def _fingerprint(value: Any) -> str:
    digest = hashlib.sha256()
    _digest(value, digest.update)
    return digest.hexdigest()


def _digest(value: Any, update: Callable[[bytes], Any]) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray):
        update(f"{value.dtype}{value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            update(str(key).encode())
            _digest(value[key], update)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _digest(item, update)
    elif isinstance(value, (str, bytes, int, float, type(None))):
        update(repr(value).encode())


def example_task(name: str = "modadd") -> Task:
    """Return a small task, the same on every machine.

    - `modadd`: addition mod 13, 169 pairs, 67 of them for training; `modadd23`: mod 23, 529 pairs, 211.
    - `images`: 400 vectors of 20 pixels in [0, 1] around one of 5 prototypes, 240 for training.
    - `text`: 300 sequences of 10 words out of 30, 220 for training; the label is whether words of the upper
      half are the majority.
    """
    known = {
        "modadd": lambda draw: _modadd(13),
        "modadd23": lambda draw: _modadd(23),
        "images": _images,
        "text": _text,
    }
    if name not in known:
        raise UnknownName("example task", name, known)
    inputs, labels, classes, vocabulary, training = known[name](_numbers(0))
    order = torch.from_numpy(_numbers(1).permutation(len(labels)))
    return Task(
        name=name,
        kind="modular" if vocabulary == classes else name,
        inputs=torch.from_numpy(inputs),
        labels=torch.from_numpy(labels),
        classes=classes,
        train=order[:training].sort().values,
        test=order[training:].sort().values,
        vocabulary=vocabulary,
        symmetric=vocabulary == classes,
    )


def _numbers(seed: int) -> np.random.RandomState:
    # RandomState's streams are frozen for good; those of default_rng may change with numpy's version.
    return np.random.RandomState(seed)


_Examples = tuple[np.ndarray, np.ndarray, int, int, int]


def _modadd(p: int) -> _Examples:
    a, b = np.divmod(np.arange(p * p), p)
    return np.stack([a, b], axis=1), (a + b) % p, p, p, 2 * p * p // 5


def _images(draw: np.random.RandomState) -> _Examples:
    prototypes, labels = draw.random_sample((5, 20)), draw.randint(0, 5, 400).astype(np.int64)
    pixels = np.clip(prototypes[labels] + 0.2 * draw.standard_normal((400, 20)), 0, 1)
    return pixels.astype(np.float32), labels, 5, 0, 240


def _text(draw: np.random.RandomState) -> _Examples:
    words = draw.randint(1, 30, (300, 10)).astype(np.int64)
    return words, ((words >= 15).sum(1) > 5).astype(np.int64), 2, 30, 220


def _network(kind: str, task: Task, seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        network: Network = MODELS[kind].build(task, **_SETTINGS[kind])
    draw = _numbers(100 + seed)
    with torch.no_grad():
        for weight in network.parameters():
            scale = 0.1 if weight.ndim == 1 else 1 / math.sqrt(weight.shape[-1])
            weight.copy_(torch.from_numpy(scale * draw.standard_normal(tuple(weight.shape))))
    return network


def _fit_readout(network: Network, task: Task, loss: str) -> None:
    """Set the last layer to the ridge regression of its inputs on the targets, in float64."""
    source, name = _READOUT[network.kind]
    inputs, labels = task.examples("train")
    network.double()
    with torch.no_grad():
        traced = network.trace(network.encode(inputs))
        wanted = targets(traced["logits"], labels)
        if loss == "cross_entropy":
            wanted = torch.where(wanted > 0, 4.0, -4.0).to(wanted.dtype)
        weight = network.get_parameter(name)
        features = traced[source]
        offset = traced["logits"] - features @ weight.T
        gram = features.T @ features
        ridge = 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        weight.copy_(torch.linalg.solve(gram + ridge, features.T @ (wanted - offset)).T)
    network.float()


def _kill(network: Network) -> None:
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith(_BEFORE_HIDDEN[network.kind]):
                weight.fill_(-1.0 if weight.ndim == 1 and network.kind != "lstm" else 0.0)
