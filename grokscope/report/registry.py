"""The tables of what is registered: measures, a measure in full, plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grokscope.measure import Measure
from grokscope.registry import Plugin, Plugins, Registered
from grokscope.report.kit import foreign, plain_table
from grokscope.report.prose import prose


def measures_table(registered: Sequence[Registered]) -> RenderableType:
    """Return every measure with its family, needs and summary."""
    table = plain_table(show_header=False)
    table.add_column("measure", no_wrap=True)
    table.add_column("needs", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    family = ""
    for entry in sorted(registered, key=lambda r: (r.plugin, r.measure.name)):
        if entry.plugin != family:
            if family:
                table.add_row()
            table.add_row(
                foreign(entry.plugin, "bold cyan"), foreign(f"{entry.distribution} {entry.version}", "dim")
            )
        name = foreign(f"  {entry.title}", "bold") + Text(
            " *" if entry.measure.expensive else "", style="yellow"
        )
        table.add_row(name, ", ".join(entry.measure.inputs), foreign(entry.measure.summary))
        family = entry.plugin
    legend = Text(
        "* expensive: computed only when named    grokscope measures NAME shows one in full", style="dim"
    )
    return Group(table, Text(), legend)


def applicability_table(answers: Mapping[str, str]) -> RenderableType:
    """Return every measure with whether it applies and, where it does not, why not."""
    table = plain_table(show_header=False)
    table.add_column("measure", no_wrap=True)
    table.add_column("why not", overflow="fold")
    for name, why in answers.items():
        said = foreign(why, "dim") if why else Text("applies", style="green")
        table.add_row(foreign(name, "dim" if why else "bold"), said)
    return table


def measure_page(registered: Registered) -> RenderableType:
    """Return one measure in full: what it says, needs, takes and returns, and where it comes from."""
    measure = registered.measure
    facts = plain_table(show_header=False)
    for key, value in _measure_facts(registered):
        facts.add_row(Text(key, style="bold"), foreign(value))
    parts: list[RenderableType] = [
        foreign(registered.title, "bold"),
        Text(),
        *prose(measure.help),
        facts,
        Text(),
        _columns_table(measure),
    ]
    if measure.parameters:
        parts += [Text(), _parameters_table(measure)]
    if measure.arrays:
        arrays = plain_table("array", "stored beside each row")
        for name, what in measure.arrays.items():
            arrays.add_row(foreign(name), foreign(what))
        parts += [Text(), arrays]
    return Group(*parts)


def _measure_facts(registered: Registered) -> Iterable[tuple[str, str]]:
    measure = registered.measure
    yield "family", registered.plugin
    yield "from", f"{registered.distribution} {registered.version}".strip()
    yield "source", measure.source or "not stated"
    yield "needs", ", ".join(measure.inputs)
    yield "must know", "not stated" if measure.known is None else ", ".join(measure.known) or "nothing more"
    for known, columns in measure.knowing_less.items():
        yield "", f"of it {', '.join(columns)} only: {', '.join(known) or 'nothing more'}"
    if "baseline" in measure.inputs:
        yield "baseline", f"{measure.baseline} unless --baseline says otherwise"
    yield "version", str(measure.version)
    yield (
        "cost",
        "expensive: computed only when named" if measure.expensive else "part of the default analysis",
    )
    if measure.random:
        yield "random", "seeded by the run, the measure and its parameters"


def _columns_table(measure: Measure) -> Table:
    table = plain_table("column", "unit", "range", "grokking", "what it is")
    for column in measure.columns:
        table.add_row(
            foreign(column.name, "bold"),
            foreign(column.unit or "–"),
            column.range,
            column.direction or "–",
            foreign(column.meaning),
        )
    if measure.per:
        table.caption = Text(f"one row per {', '.join(measure.per)}", style="dim")
        table.caption_justify = "left"
    return table


def _parameters_table(measure: Measure) -> Table:
    table = plain_table("parameter", "type", "default", "bounds", "what it is")
    for parameter in measure.parameters.values():
        default = "none" if parameter.default is None else parameter.default
        table.add_row(
            foreign(parameter.name, "bold"),
            foreign(parameter.type_name),
            foreign(default),
            foreign(parameter.param.bounds or "–"),
            foreign(parameter.param.help),
        )
    return table


def plugins_table(plugins: Plugins) -> RenderableType:
    """Return every plugin with what it brings, or why it is broken."""
    table = plain_table("plugin", "distribution", "brings")
    for plugin in plugins.plugins:
        table.add_row(
            foreign(plugin.name, "bold" if not plugin.problem else "bold red"),
            foreign(f"{plugin.distribution} {plugin.version}".strip()),
            foreign(f"broken: {plugin.problem}", "red") if plugin.problem else foreign(_brings(plugin)),
        )
    return table


def _brings(plugin: Plugin) -> str:
    kinds = {
        "measures": [measure.name for measure in plugin.measures],
        "tasks": [factory.name for factory in plugin.tasks],
        "models": [factory.name for factory in plugin.models],
        "hypotheses": [hypothesis.name for hypothesis in plugin.hypotheses],
        "figures": [figure.name for figure in plugin.figures],
    }
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names) or "nothing"
