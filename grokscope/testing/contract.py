"""The contract of every measure: what it must keep to, on good networks and on degenerate ones."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from grokscope.declare import Parameter, resolve
from grokscope.errors import MeasureError, ResultError, SettingError, described
from grokscope.measure import Measure, Row, call_measure
from grokscope.probe import Probe
from grokscope.testing.bench import (
    Bench,
    broken_twins,
    global_state,
    other_knowledge,
    other_random_states,
    same_rows,
    where_of,
)
from grokscope.testing.examples import example_probes

T = TypeVar("T")


def check_measure(
    measure: Measure,
    *,
    probes: Iterable[Probe] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Check that `measure` keeps the contract of every measure: the test to begin a plugin's tests with.

    - It is documented: a summary, a source, and help for every column, label array and parameter.
    - It answers at least one of the probes, and the others with NotApplicable or MeasureError and a sentence.
    - It knows no more than it says by `knows`: other labels, or other held-out examples, change nothing.
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
        probes: networks to measure; small ones of every kind (`example_probe`) unless given, somebody's
            own last, if there are columns that none of the others has.
        parameters: defaults to check a costly measure with instead of its own: it is called a hundred times.

    Raises:
        AssertionError: for each part of the contract that is broken a line that says which, and by what.
    """
    assert isinstance(measure, Measure), f"{measure!r} must be made by @measure"
    measure = with_defaults(measure, parameters or {})
    broken: list[str] = [*_undocumented(measure), *_not_refused(measure)]
    returned = _returned(measure, probes, broken)
    declared = {column.name for column in measure.columns} | set(measure.arrays)
    if declared - returned and not broken:
        broken.append(f"{measure.name} declares {sorted(declared - returned)} and never returned it")
    if broken:
        raise AssertionError("\n".join(dict.fromkeys(broken)))


def _returned(measure: Measure, probes: Iterable[Probe] | None, broken: list[str]) -> set[str]:
    """Return the columns and arrays that the measure gave; what is broken is added to `broken`."""
    declared = {column.name for column in measure.columns} | set(measure.arrays)
    returned: set[str] = set()
    asked = answered = 0
    for probe in example_probes() if probes is None else probes:
        if probes is None and probe.model.kind == "plain" and declared <= returned:
            break
        asked += 1
        rows = _kept(broken, partial(_check_on, measure, probe))
        answered += rows is None or bool(rows)
        if rows:
            returned |= _keys(rows)
            returned |= _kept(broken, partial(_check_edges, measure, probe)) or set()
        for twin in broken_twins(probe):
            found = _kept(broken, partial(_run, measure, {}, Bench(twin, measure)))
            returned |= _keys(found or [])
    if not answered:
        broken.append(
            f"{measure.name} must answer one of the {asked} probes at least; hand it others: probes="
        )
    return returned


def _kept(broken: list[str], check: Callable[[], T]) -> T | None:
    """Return what a check gives, or None after adding what it finds broken."""
    try:
        return check()
    except AssertionError as error:
        broken.append(str(error))
        return None


def with_defaults(measure: Measure, parameters: Mapping[str, Any]) -> Measure:
    """Return the measure with other defaults. Raises UnknownName and SettingError."""
    values = resolve(measure.parameters, parameters, measure.name)
    declared = {name: replace(given, default=values[name]) for name, given in measure.parameters.items()}
    return replace(measure, parameters=declared)


def _undocumented(measure: Measure) -> Iterator[str]:
    name = measure.name
    if not measure.summary:
        yield f"{name} must have a docstring: its first paragraph is what `grokscope measures` shows"
    elif not measure.summary.endswith("."):
        yield f"the docstring of {name} must begin with a sentence that ends in a period"
    if not measure.source:
        yield f"{name} must name its source: @measure(source='paper, equation' or 'own')"
    for column in measure.columns:
        if not column.help:
            yield f"{name}.{column.name} must have help: Column({column.name!r}, 'what it is')"
    for parameter in measure.parameters.values():
        if not parameter.param.help:
            yield f"{name}.{parameter.name} must have help: Annotated[..., Param('what it is')]"
    for array, what in measure.arrays.items():
        if not what:
            yield f"the array {array} of {name} must have help"


def _not_refused(measure: Measure) -> Iterator[str]:
    for parameter in measure.parameters.values():
        for value in _outside(parameter):
            try:
                resolve(measure.parameters, {parameter.name: value}, measure.name)
            except SettingError:
                continue
            yield f"{measure.name}.{parameter.name} must refuse {value!r}"


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
    bench = Bench(probe, measure)
    first = _run(measure, {}, bench)
    again = _run(measure, {}, bench)
    assert same_rows(first, again), (
        f"{measure.name} must give the same rows again on the same probe: {where_of(probe)}"
    )
    with other_random_states():
        fresh = _run(measure, {}, Bench(probe, measure))
    assert same_rows(first, fresh), (
        f"{measure.name} must give the same rows again on a fresh probe: {where_of(probe)}; "
        "randomness must come from the input rng, and nothing may be kept between checkpoints"
    )
    _check_knowledge(measure, probe, first)
    return first


def _check_knowledge(measure: Measure, probe: Probe, rows: list[Row]) -> None:
    """Check that what the measure, or a column, does not say it knows makes no difference to it."""
    if measure.knows is None or not rows:
        return
    for what, twin in other_knowledge(probe):
        free = {each.name for each in measure.columns if what not in (measure.known_of(each) or ())}
        if not free:
            continue
        others = _run(measure, {}, Bench(twin, measure))  # none where it is no longer its task
        if what not in measure.knows:
            assert not others or same_rows(rows, others), (
                f"{measure.name} must say knows=[{what!r}, ...]: other {what} give other rows: "
                f"{where_of(probe)}"
            )
        assert not others or same_rows(_only(rows, free), _only(others, free)), (
            f"{measure.name} has a column of {', '.join(sorted(free))} that must say knows=[{what!r}, ...]: "
            f"other {what} give other numbers: {where_of(probe)}"
        )


def _only(rows: Iterable[Row], columns: set[str]) -> list[Row]:
    """The rows with some columns alone, and no arrays; none of which there is nothing of these."""
    kept = (
        Row(row.labels, {name: value for name, value in row.values.items() if name in columns})
        for row in rows
    )
    return [row for row in kept if row.values]


def _check_edges(measure: Measure, probe: Probe) -> set[str]:
    returned: set[str] = set()
    for parameter in measure.parameters.values():
        for value in _inside(parameter):
            returned |= _keys(_run(measure, {parameter.name: value}, Bench(probe, measure)))
    return returned


def _inside(parameter: Parameter) -> Iterator[Any]:
    """Yield the values at the bounds, each once, and not the default, which has been taken by now.

    An upper bound above 1000 is there to be generous, not to be run.
    """
    taken = [parameter.default]
    bound = parameter.param
    edges: list[Any] = [bound.min, bound.max if (bound.max or 0) <= 1000 else None]
    edges += [
        None if bound.above is None else math.nextafter(bound.above, math.inf),
        None if bound.below is None else math.nextafter(bound.below, -math.inf),
    ]
    for value in [*(edge for edge in edges if edge is not None), *parameter.choices, True, False, None]:
        for candidate in (value, [value]):
            try:
                edge = parameter.coerce(candidate)
            except SettingError:
                continue
            if edge not in taken:
                taken.append(edge)
                yield edge


def _run(measure: Measure, parameters: Mapping[str, Any], bench: Bench) -> list[Row]:
    """Call `measure` and return its rows, or none where it says that it has no answer; check its purity."""
    where = f"{measure.name} on {where_of(bench.probe)}" + (f" with {dict(parameters)}" if parameters else "")
    before, world = bench.fingerprints(), global_state()
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
    _check_untouched(where, world, global_state())
    changes = bench.changes()
    assert not changes, f"{where} must not change what the probe remembers: {', '.join(changes)}"
    return rows


def _call(measure: Measure, parameters: Mapping[str, Any], bench: Bench) -> list[Row]:
    return call_measure(
        measure,
        parameters,
        weights=lambda: bench.weights,
        probe=lambda: bench.probe,
        baseline=lambda: bench.baseline,
        rng=bench.rng,
    )


def _check_untouched(where: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"{where} must not change {' and '.join(changed)}"


def _keys(rows: Iterable[Row]) -> set[str]:
    return {key for row in rows for key in (*row.values, *row.arrays)}
