"""What a file says of its own losses, configuration and seed, held against what is computed and recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from grokscope.importing.curvefiles import Curve, metric_of
from grokscope.importing.inside import unboxed, whole
from grokscope.importing.sources import Source

TIMES = 1.5  # so many times apart are two losses that are said to differ
LEAST = 1e-7  # and so far: what float32 leaves of a loss
POINTS = 0.02  # of accuracy
_CONFIGS = (
    *("config", "cfg", "conf", "args", "hparams", "hyper_parameters", "hyperparameters", "settings"),
    *("train_config", "training_config", "model_config", "options"),
)
_ALSO = {  # what people call a setting
    **dict.fromkeys(("frac_train", "train_frac", "training_fraction"), "train_fraction"),
    **dict.fromkeys(("prime", "modulus", "mod"), "p"),
    **dict.fromkeys(("num_heads", "n_heads", "n_head", "nheads"), "heads"),
    **dict.fromkeys(("num_layers", "n_layers", "n_layer", "nlayers"), "layers"),
    **dict.fromkeys(("random_seed", "rng_seed"), "seed"),
    "learning_rate": "lr",
}
_SPLIT = ("seed", "split_seed", "data_seed", "train_fraction")  # settings that a split hangs on
_MOST = 100_000  # values of a file's configuration that are looked at
_SHOWN = 60


@dataclass
class Carried:
    """What the files say, gathered while they are read, and where it is not what was found.

    Attributes:
        curve: of `curves`, which says something of checkpoints too.
    """

    curve: Curve = field(default_factory=Curve)
    _worst: tuple[float, str] = (0.0, "")
    _steps: set[int] = field(default_factory=set)
    _config: dict[str, Any] = field(default_factory=dict)
    _of: str = ""
    _lists: tuple[Source, dict[str, list[Any]]] | None = None

    def compare(self, source: Source, steps: Sequence[int], place: int, metrics: Mapping[str, str]) -> None:
        """Compare what is computed of the state at `place`, as text, with what is said of it.

        `steps` are those of all states in the file.
        """
        step = steps[place]
        if not self._of:
            self._config = dict(_settings(source.found.root))
            self._of = str(source.path)
        if self._lists is None or self._lists[0] is not source:
            self._lists = source, dict(_lists(source.found.root))
        said = [
            (str(source.path), _said_at(source, steps, place, self._lists[1])),
            (self.curve.path, [self.curve.at(step)]),
        ]
        for where, ways in said:
            for name, words in metrics.items():
                values = [told[name] for told in ways if name in told]
                nearest = min(values, key=lambda value: _apart(name, value, float(words)), default=None)
                apart = 0.0 if nearest is None else _apart(name, nearest, float(words))
                if nearest is not None and apart:
                    self._steps.add(step)
                    self._worst = max(
                        self._worst, (apart, _sentence(where, name, nearest, float(words), step))
                    )

    def remarks(self, config: Mapping[str, Any]) -> list[str]:
        """Return what differs, a sentence each: losses, and settings from those in `config`."""
        found = []
        differing = dict(self._others(config))
        split = [name for name in differing if _plain_name(name) in _SPLIT]
        if self._worst[0]:
            more = f", and {len(self._steps) - 1} more steps differ" if len(self._steps) > 1 else ""
            hint = f" ({', '.join(f'{name} = {self._config[name]}' for name in split[:3])})" if split else ""
            found.append(f"{self._worst[1]}{more}: is the split another one?{hint}")
        else:
            split = []
        other = [words for name, words in differing.items() if name not in split]
        if other:
            more = f" and {len(other) - 4} more" if len(other) > 4 else ""
            found.append(
                f"{self._of} says {', '.join(other[:4])}{more}: give them with `settings` if they are right"
            )
        return found

    def _others(self, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield settings of the file that are not those of the run, with both in words."""
        for name, value in self._config.items():
            plain = _plain_name(name)
            for table in ("task", "model", "training"):
                own = config[table].get(plain) if plain != "name" else None
                if type(own) in (int, float, str, bool) and _sort(own) == _sort(value) and own != value:
                    yield name, f"{name} = {value} where the run has {table}.{plain} = {own}"


def _sentence(where: Any, name: str, said: float, got: float, step: int) -> str:
    split, what = name.split("_")
    shown = (f"{said:.2g}", f"{got:.2g}") if what == "loss" else (f"{said:.1%}", f"{got:.1%}")
    return f"{where} says {split} {what} {shown[0]} at step {step}, this split gives {shown[1]}"


def _apart(name: str, said: float, got: float) -> float:
    """Return how far apart two numbers are, in tolerances; 0 where they are the same for what they are."""
    if not math.isfinite(said) or not math.isfinite(got):
        return 0.0
    if name.endswith("accuracy"):
        said = said / 100 if said > 1 else said
        return abs(said - got) / POINTS if abs(said - got) > POINTS else 0.0
    low, high = sorted((abs(said), abs(got)))
    if high - low <= LEAST or high <= TIMES * low:
        return 0.0
    return high / max(low, LEAST)


def _said_at(
    source: Source, steps: Sequence[int], place: int, lists: Mapping[str, list[Any]]
) -> list[dict[str, float]]:
    """Return what a file says of the losses of one of its states; several where it may be either of them.

    A list beside another of whole numbers that rises is by these. Else one that ends between the last step
    and where the next would be is by step, and a loss may be that of before or after the update.
    """
    step, last = steps[place], sorted(steps)
    gap = last[-1] - last[-2] if len(last) > 1 else 1
    found, entry = source.found, source.found.entries[place]
    told = dict(_numbers(entry.beside if found.is_list else {**found.beside, **entry.beside}))
    ways = [told] if told else []
    told_of = {name: metric for name in lists if (metric := metric_of(name)[0])}
    by_step = [values for name, values in lists.items() if name not in told_of and _rises(values)]
    for name, metric in told_of.items():
        values = lists[name]
        places = [place] if found.is_list and len(values) == len(found.entries) else []
        beside = next((others for others in by_step if len(others) == len(values)), None)
        if not places and beside is not None:
            places = [beside.index(step)] if step in beside else []
        elif not places and last[-1] <= len(values) <= last[-1] + gap:
            last_of_list = found.is_list and step + 1 >= len(values)  # whose loss may have come after
            places = [] if last_of_list else [step - 1, step, step + 1]
        ways += [{metric: float(values[at])} for at in places if 0 <= at < len(values)]
    return ways


def _numbers(beside: Mapping[Any, Any]) -> Iterator[tuple[str, float]]:
    """Yield the losses and accuracies in a dict, and in a dict `metrics` in it."""
    inner = [value for key, value in beside.items() if key in ("metrics", "logs", "losses", "results")]
    for table in (beside, *(each for each in inner if isinstance(each, Mapping))):
        for name, value in list(table.items())[:_MOST]:
            metric = metric_of(name)[0] if isinstance(name, str) and len(name) <= _SHOWN else ""
            number = _number(value) if metric else None
            if number is not None:
                yield metric, number


def _number(value: Any) -> float | None:
    value = unboxed(value)
    return float(value) if type(value) in (int, float) else None


def _lists(root: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the lists of numbers in a dict by name; what is no plain number in one ends the look at it."""
    for name, value in root.items() if isinstance(root, Mapping) else ():
        named = isinstance(name, str) and len(name) <= _SHOWN
        if named and isinstance(value, (list, tuple)) and all(type(item) in (int, float) for item in value):
            yield name, list(value)


def _rises(values: list[Any]) -> bool:
    steps = [whole(value) for value in values]
    return None not in steps and all(a < b for a, b in pairwise(values))


def _settings(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield the settings that a file says, by name: those of its configuration, and its seed."""
    if not isinstance(root, Mapping):
        return
    tables = [("", {name: root.get(name) for name in ("seed", "random_seed")})]
    tables += [(f"{name}.", root[name]) for name in _CONFIGS if isinstance(root.get(name), Mapping)]
    for prefix, table in tables:
        for name, value in list(table.items())[:_MOST]:
            if isinstance(value, Mapping) and prefix:
                inner = [(f"{name}.{key}", item) for key, item in list(value.items())[:_MOST]]
            else:
                inner = [(str(name), value)]
            for key, item in inner:
                if type(item) in (int, float, bool) or (type(item) is str and len(item) <= _SHOWN):
                    yield f"{prefix}{key}"[:_SHOWN], item


def _plain_name(name: str) -> str:
    last = name.rpartition(".")[2]
    return _ALSO.get(last, last)


def _sort(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__
