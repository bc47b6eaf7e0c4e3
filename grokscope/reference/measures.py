"""The pages of measures and claims: all of them in tables, and each family's measures in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grokscope.figure import Figure
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
    if measure.known is not None:
        yield f"must know {', '.join(map(code, measure.known)) or 'nothing more'}"
    for known, columns in measure.knowing_less.items():
        yield f"of it {', '.join(map(code, columns))} only {', '.join(map(code, known)) or 'nothing more'}"
    if "baseline" in measure.inputs:
        yield f"the baseline is the {measure.baseline} checkpoint unless `--baseline` says otherwise"
    if measure.per:
        yield f"one row for each {', '.join(measure.per)}"
    if measure.random:
        yield "random, seeded by the run, the measure and its parameters"
    if measure.expensive:
        yield "expensive: computed only when named"


def _column(column: Column) -> list[str]:
    return [
        code(column.name),
        escaped(column.unit or "–"),
        column.range,
        column.direction or "–",
        escaped(column.meaning),
    ]


def claims_page(plugins: Sequence[Plugin]) -> str:
    """Return the page of claims that `predict` judges, and of figures that `reproduce` draws."""
    claims = [claim for plugin in plugins for claim in plugin.hypotheses]
    figures = [figure for plugin in plugins for figure in plugin.figures]
    return page(
        "Claims",
        "What the papers claim, as `grokscope predict` judges it over runs; `grokscope predict --list` says "
        "it in the terminal.",
        table(["claim", "it", "of", "reads", "source", "what is compared"], map(_claim, claims)),
        "## Figures",
        "What `grokscope reproduce NAME` draws anew, and the claim that it judges.",
        table(["figure", "paper", "what it shows", "claim"], map(_figure, figures)),
    )


def _figure(figure: Figure) -> list[str]:
    paper = f"{figure.paper.cited}, {figure.where}" if figure.where else figure.paper.cited
    return [code(figure.name), *map(escaped, (paper, figure.title, figure.claim))]


def _claim(claim: Hypothesis) -> list[str]:
    columns = ", ".join(map(code, claim.columns)) or "accuracies"
    return [
        f"{code(claim.name)}: {escaped(claim.claim)}",
        ABOUT[claim.about],
        ", ".join(claim.groups) or "all runs",
        columns,
        *map(escaped, (claim.source, claim.rule)),
    ]
