"""Which training settings act only beside another one, and what is said of one that is given in vain."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from grokscope.declare import spelled
from grokscope.errors import SettingError
from grokscope.training.settings import OF_OPTIMIZER, TRAINING


@dataclass(frozen=True)
class Ground:
    """What a setting acts beside.

    Attributes:
        setting: the other setting.
        words: what must be given, as a sentence says it.
        holds: whether that is so in the settings of training.
    """

    setting: str
    words: str
    holds: Callable[[Mapping[str, Any]], bool]


def _set(setting: str, stands_for: str = "") -> Ground:
    words = " or ".join(f"`{name}`" for name in (stands_for, setting) if name)
    return Ground(setting, words, lambda values: values[setting] is not None)


def _optimizer(*names: str) -> Ground:
    words = f"`optimizer` {', '.join(names[:-1])}{' or ' if names[1:] else ''}{names[-1]}"
    return Ground("optimizer", words, lambda values: values["optimizer"] in names)


GROUNDS: Mapping[str, tuple[Ground, ...]] = {
    "betas": (_optimizer("adamw", "adam", "muon"),),
    "eps": (_optimizer("adamw", "adam", "muon"),),
    **{name: (_optimizer(of),) for name, of in OF_OPTIMIZER.items()},
    "nesterov": (
        _optimizer("sgd"),
        Ground("momentum", "a `momentum` above 0", lambda values: values["momentum"] > 0),
    ),
    "init_scale_only": (
        Ground("init_scale", "an `init_scale` other than 1", lambda values: values["init_scale"] != 1),
    ),
    "loss_dtype": (
        Ground(
            "dtype",
            "`dtype` float32",  # the loss is never taken in a narrower type than the weights'
            lambda values: values["loss_dtype"] == "float64" or values["dtype"] == "float32",
        ),
    ),
    "abelian_reduction": (_set("abelian"),),
    "masked_layer": (_set("masked_units", stands_for="subnetwork"),),
    "dropped_layer": (_set("dropped_units", stands_for="synergistic_dropout"),),
    "synergistic_dropout_share": (_set("dropped_units", stands_for="synergistic_dropout"),),
}


def effects(given: Collection[str], values: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
    """Return of each given setting that acts beside another why it has no effect; "" where it has one.

    One that is off asks for nothing. Nor does one that every configuration has, where it says what holds
    anyway: who trains a stored configuration again gives all of it.

    Args:
        given: the settings of training that the user gave.
        values: all settings, as they come out.
        before: what holds of them where nothing is given, as far as that is not their default.
    """
    return {
        name: _why_not(name, values)
        for name in GROUNDS
        if name in given and not _off(name, values[name]) and not _as_before(name, values[name], before)
    }


def founded(given: Collection[str], values: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without those, left out at their defaults, that have no effect.

    Raises SettingError for one of an optimiser that the recipe itself does not take.
    """
    vain = {name: why for name in GROUNDS if TRAINING[name].param.later and (why := _why_not(name, values))}
    for name, why in vain.items():
        own = name in OF_OPTIMIZER and name in recipe and name not in given
        changed = any(ground.setting in given for ground in GROUNDS[name])
        if own and not changed and values[name] != TRAINING[name].default:
            raise SettingError(why)
    return {name: value for name, value in values.items() if name not in vain}


def _why_not(name: str, values: Mapping[str, Any]) -> str:
    for ground in GROUNDS[name]:
        if not ground.holds(values):
            got = spelled(values[ground.setting])
            return f"`{name}` must be given with {ground.words}, got {got}: it has no effect otherwise"
    return ""


def _off(name: str, value: Any) -> bool:
    return value is None or (value is False and TRAINING[name].default is False)


def _as_before(name: str, value: Any, before: Mapping[str, Any]) -> bool:
    setting = TRAINING[name]
    return not setting.param.later and value == setting.coerce(before.get(name, setting.default))
