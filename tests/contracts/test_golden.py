"""Every measure's numbers on fixed small networks, written down: numbers that move need a raised version.

`pytest tests/contracts --rewrite-golden` writes golden/<family>.json anew for the families asked for.
"""

import json
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from grokscope.declare import canonical_json
from grokscope.discovery import load_plugins
from grokscope.errors import MeasureError
from grokscope.measure import Row, call_measure
from grokscope.probe import Probe, generator_for
from grokscope.registry import Registered
from grokscope.testing import example_pair

GOLDEN = Path(__file__).parent / "golden"
RELATIVE, ABSOLUTE = 1e-5, 1e-9
PROBES = {
    "mlp, cross-entropy, modadd": ("mlp", {}),
    "mlp, mse, images": ("mlp", {"loss": "mse", "task": "images"}),
    "transformer, cross-entropy, modadd23": ("transformer", {"task": "modadd23"}),
    "lstm, cross-entropy, text": ("lstm", {}),
}
PLUGINS = load_plugins()


@cache
def pair(name: str) -> tuple[Probe, Probe]:
    kind, options = PROBES[name]
    return example_pair(kind, **options)  # type: ignore[arg-type]


def numbers(registered: Registered, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the measure's values by `column` or `column:label`, or why there are none."""
    probe, baseline = pair(name)
    values = {key: parameter.default for key, parameter in registered.measure.parameters.items()} | parameters
    try:
        rows = call_measure(
            registered.measure,
            parameters,
            weights=lambda: probe.weights,
            probe=lambda: probe,
            baseline=lambda: baseline,
            rng=lambda: generator_for("measure", "golden", registered.id, canonical_json(values)),
        )
    except MeasureError as error:
        return {"no answer": type(error).__name__}
    return dict(flat(rows))


def flat(rows: Iterable[Row]) -> Iterable[tuple[str, Any]]:
    for row in rows:
        for column, value in row.values.items():
            missing = isinstance(value, float) and not math.isfinite(value)
            yield ":".join([column, *row.labels]), None if missing else value


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(left == right)


def differences(kept: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{key} was {kept.get(key, 'not there')} and is {now.get(key, 'not there')}"
        for key in {**kept, **now}
        if key not in kept or key not in now or not same(kept[key], now[key])
    ]


def read(family: str) -> dict[str, Any]:
    path = GOLDEN / f"{family}.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return kept


def write(registered: Registered, entry: dict[str, Any]) -> None:
    kept = {**read(registered.plugin), registered.measure.name: entry}
    there = {other.measure.name for other in PLUGINS.registered if other.plugin == registered.plugin}
    kept = {name: kept[name] for name in sorted(kept) if name in there}
    path = GOLDEN / f"{registered.plugin}.json"
    path.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n")


OURS = [registered for registered in PLUGINS.registered if registered.distribution == "grokscope"]


@pytest.mark.parametrize("registered", OURS, ids=lambda registered: registered.id)
def test_numbers_move_only_with_the_version(
    registered: Registered, quick: dict[str, dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    version = registered.measure.version
    values = {name: numbers(registered, name, quick.get(registered.id, {})) for name in PROBES}
    if request.config.getoption("--rewrite-golden", default=False):
        write(registered, {"version": version, "values": values})
        return
    kept = read(registered.plugin).get(registered.measure.name)
    rewrite = "`pytest tests/contracts --rewrite-golden`"
    assert kept, f"{registered.id} has no golden numbers: write them with {rewrite}"
    assert kept["version"] == version, (
        f"the golden numbers of {registered.id} are of version {kept['version']}, it is at {version}: "
        f"write them anew with {rewrite}"
    )
    moved = [
        f"{name}: {change}" for name in PROBES for change in differences(kept["values"][name], values[name])
    ]
    assert not moved, (
        f"the numbers of {registered.id} moved while its version stayed {version}; stored results would be "
        f"believed that are not these. Raise version= if that is meant, then {rewrite}. " + "; ".join(moved)
    )


def test_no_golden_file_is_of_a_measure_that_is_gone() -> None:
    there = {(registered.plugin, registered.measure.name) for registered in OURS}
    kept = {(path.stem, name) for path in GOLDEN.glob("*.json") for name in read(path.stem)}
    assert kept <= there


def test_a_moved_number_is_seen() -> None:
    assert differences({"x": 1.0, "gone": None}, {"x": 1.0 + 3e-5, "new": "text"}) == [
        "x was 1.0 and is 1.00003",
        "gone was None and is not there",
        "new was not there and is text",
    ]
    assert differences({"x": 1.0, "y": None}, {"x": 1.0 + 3e-6, "y": None}) == []
