"""The pages of measures and claims: all of them in tables, and each family's measures in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grokscope.hypothesis import ABOUT, Hypothesis
from grokscope.measure import Column, Measure
from grokscope.reference.markdown import code, escaped, page, prose, table
from grokscope.reference.settings import parameters_table
from grokscope.registry import Plugin


def measures_page(plugins: Sequence[Plugin]) -> str:
    """Return the page that lists every measure."""
    return page(
        "Measures",
        "What `--measure` takes: a measure, a family (the headings), a glob or `all`. Without it every "
        "measure is computed that is not expensive (\\*). `grokscope measures NAME` shows one in full, as "
        "its family's page does.",
        *(part for plugin in plugins if plugin.measures for part in _listed(plugin)),
    )


def _listed(plugin: Plugin) -> Iterable[str]:
    rows = (
        (
            f"[`{measure.name}`](measures/{plugin.name}.md#{measure.name})" + " \\*" * measure.expensive,
            escaped(measure.summary),
            ", ".join(code(column.name) for column in measure.columns),
            escaped(measure.source),
        )
        for measure in plugin.measures
    )
    yield f"## `{plugin.name}`"
    yield table(["measure", "what it is", "columns", "source"], rows)


def family_page(plugin: Plugin) -> str:
    """Return the page of a family, with every measure in full."""
    return page(
        f"The family `{plugin.name}`",
        "[All measures](../measures.md)",
        *(part for measure in plugin.measures for part in _in_full(measure)),
    )


def _in_full(measure: Measure) -> Iterable[str]:
    yield f"## {measure.name}"
    yield prose(measure.help)
    yield "; ".join(_facts(measure)) + "."
    yield table(["column", "unit", "range", "as it groks", "what it is"], map(_column, measure.columns))
    if measure.parameters:
        yield parameters_table(measure.parameters).replace("| name |", "| parameter |", 1)
    if measure.arrays:
        arrays = ((code(name), escaped(what)) for name, what in measure.arrays.items())
        yield table(["array", "stored beside each row"], arrays)


def _facts(measure: Measure) -> Iterable[str]:
    yield f"Version {measure.version}"
    yield f"needs {', '.join(map(code, measure.inputs))}"
    if "baseline" in measure.inputs:
        yield f"the baseline is the {measure.baseline} checkpoint unless `--baseline` says otherwise"
    if measure.per:
        yield f"one row for each {', '.join(measure.per)}"
    if measure.random:
        yield "random, seeded by the run, the measure and its parameters"
    if measure.expensive:
        yield "expensive: computed only when named"


def _column(column: Column) -> list[str]:
    missing = f" (NaN: {column.missing.removeprefix('when ')})" if column.missing else ""
    bounds = "text" if column.text else _range(column.min, column.max)
    return [
        code(column.name),
        escaped(column.unit or "–"),
        bounds,
        column.direction or "–",
        escaped(column.help + missing),
    ]


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "–"
    return f"{'-∞' if low is None else f'{low:g}'} … {'∞' if high is None else f'{high:g}'}"


def claims_page(plugins: Sequence[Plugin]) -> str:
    """Return the page of claims that `predict` judges."""
    claims = [claim for plugin in plugins for claim in plugin.hypotheses]
    return page(
        "Claims",
        "What the papers claim, as `grokscope predict` judges it over runs; `grokscope predict --list` says "
        "it in the terminal.",
        table(["claim", "it", "of", "reads", "source", "what is compared"], map(_claim, claims)),
    )


def _claim(claim: Hypothesis) -> list[str]:
    columns = ", ".join(map(code, claim.columns)) or "accuracies"
    return [
        f"{code(claim.name)}: {escaped(claim.claim)}",
        ABOUT[claim.about],
        ", ".join(claim.groups) or "all runs",
        columns,
        *map(escaped, (claim.source, claim.rule)),
    ]
