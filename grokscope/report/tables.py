"""The tables that commands print: results, runs, measures, plugins and recipes, each fitted to its width."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grokscope.measure import Measure
from grokscope.registry import Plugin, Plugins, Registered
from grokscope.report.prose import prose
from grokscope.report.text import number, percent, printable, shares, sparkline
from grokscope.results import ColumnName, Results
from grokscope.results.columns import shown_columns, told_columns
from grokscope.run import Run
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT

MEMORISED, GROKKED = "M", "G"
MARKS = {MEMORISED: "bold yellow", GROKKED: "bold green"}


def text(content: object, style: str = "") -> Text:
    """Return foreign text: never read as markup, never able to move the cursor."""
    return Text(printable(str(content)), style=style)


def plain_table(*headers: str, **options: Any) -> Table:
    """Return an empty table in the house's look."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", **options)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def results_table(results: Results, width: int, per_layer: bool = False) -> RenderableType:
    """Return the results: a row per column with its course as a sparkline and its values at chosen steps.

    The first and last steps and those of memorisation and grokking are always among the chosen, as far as
    the width allows; columns by layer are left out where a measure has a total, unless `per_layer`.
    """
    if not results.steps:
        return Text("no checkpoints were selected")
    shown = shown_columns(results, per_layer)
    marks = _marks(results)
    if not shown:
        return _footer(results, 0)
    names = _row_names(shown)
    name_width = max(len(printable(name)) for name in [*names.values(), *_headed(shown)])
    cell_width = _cell_width(results, shown)
    trend_width, chosen = _layout(results, marks, width - name_width - 2, cell_width)
    table = plain_table()
    table.add_column("", no_wrap=True, overflow="ellipsis")
    table.add_column(_mark_line(results.steps, marks, trend_width), no_wrap=True)
    for step in chosen:
        table.add_column(_step_header(results, step, marks), justify="right", no_wrap=True)
    headed = _headed(shown)
    for name in shown:
        measure = name.measure
        if measure in headed:
            headed.remove(measure)
            table.add_row(text(measure, "bold"))
        values = results.columns[name]
        cells = [text(number(values[results.steps.index(step)])) for step in chosen]
        title = text(names[name], "" if names[name].startswith(" ") else "bold")
        table.add_row(title, Text(sparkline(values, trend_width), style="cyan"), *cells)
    return Group(table, _footer(results, len(told_columns(results)) - len(shown)))


def _headed(shown: Sequence[ColumnName]) -> list[str]:
    """The measures that have several rows, and so a heading of their own."""
    rows = Counter(name.measure for name in shown)
    return [measure for measure, count in rows.items() if count > 1]


def _row_names(shown: Sequence[ColumnName]) -> dict[ColumnName, str]:
    """What the first column shows: `column:label` under a measure's heading, else `measure.column`."""
    headed = _headed(shown)
    return {name: f"  {name.own}" if name.measure in headed else name.alone for name in shown}


def _words(results: Results) -> Iterable[tuple[str, str]]:
    """The columns that hold words, each with its different words and how often they came."""
    for name in results.measured:
        if results.declared[name].text:
            counts = Counter(value for value in results.columns[name] if value)
            if len(counts) == 1:
                yield name, next(iter(counts))
            elif counts:
                yield name, "; ".join(f"{word} ({count} steps)" for word, count in counts.most_common(3))


def _marks(results: Results) -> dict[str, int]:
    """The checkpoint at, or the first measured after, memorisation and grokking."""
    found = {}
    for mark, step in _transitions(results).items():
        after = [s for s in results.steps if step is not None and s >= step]
        if after:
            found[mark] = after[0]
    return found


def _transitions(results: Results) -> dict[str, int | None]:
    return {MEMORISED: results.memorisation_step, GROKKED: results.grokking_step}


def _cell_width(results: Results, shown: Sequence[ColumnName]) -> int:
    widest = max(len(number(value)) for name in shown for value in results.columns[name])
    return max(widest, len(str(results.steps[-1])) + 3)


def _layout(results: Results, marks: Mapping[str, int], room: int, cell: int) -> tuple[int, list[int]]:
    """Return the sparkline's width and the steps whose values are shown; without room step 0 goes first."""
    steps = results.steps
    wanted = list(dict.fromkeys([steps[-1], *reversed(list(marks.values())), steps[0]]))
    wanted = wanted[: max(1, (room - 12) // (cell + 2))]
    trend = max(min(len(steps), 32, room - len(wanted) * (cell + 2) - 2), 1)
    spare = min((room - trend - 2) // (cell + 2), 10) - len(wanted)
    if spare > 0:
        others = [step for step in steps if step not in wanted]
        wanted += [others[(stop + start) // 2] for start, stop in shares(len(others), spare)]
    return trend, sorted(set(wanted))


def _mark_line(steps: Sequence[int], marks: Mapping[str, int], width: int) -> Text:
    """The sparkline's header: a letter over the block that holds the marked step."""
    line = Text(" " * min(width, len(steps)))
    for place, (start, stop) in enumerate(shares(len(steps), width)):
        for mark, step in marks.items():
            if step in steps[start:stop]:
                line = line[:place] + Text(mark, style=MARKS[mark]) + line[place + 1 :]
    return line


def _step_header(results: Results, step: int, marks: Mapping[str, int]) -> Text:
    """A step, with its marks: `M 240` memorised there, `M<240` before it, at a step that was not measured."""
    header = Text()
    for mark, marked in marks.items():
        if marked == step:
            exact = _transitions(results)[mark] == step
            header.append(f"{mark} " if exact else f"{mark}<", style=MARKS[mark])
    return header + Text(str(step))


def _footer(results: Results, hidden: int) -> RenderableType:
    lines = [transition_line(results.memorisation_step, results.grokking_step)]
    lines += [text(f"{name}: {words}", "dim") for name, words in _words(results)]
    if hidden:
        lines.append(
            Text(f"{hidden} more columns by layer: --per-layer, --csv or --json show them", style="dim")
        )
    lines += [text(f"{measure} does not apply: {why}", "dim") for measure, why in results.notes.items()]
    return Padding(Group(*lines), (1, 0, 0, 0))


def transition_line(memorised: int | None, grokked: int | None) -> Text:
    """Return one line that says when the network memorised and when it grokked."""
    line = Text()
    if memorised is None:
        line.append(f"not memorised: train accuracy is not ≥ {100 * MEMORISED_AT:g} % three times in a row")
    else:
        line.append(MEMORISED, style=MARKS[MEMORISED])
        line.append(f" memorised at step {memorised} (train accuracy ≥ {100 * MEMORISED_AT:g} %)")
    line.append("   ")
    if grokked is None:
        line.append(f"not grokked: test accuracy is not ≥ {100 * GROKKED_AT:g} % three times in a row")
    else:
        line.append(GROKKED, style=MARKS[GROKKED])
        line.append(f" grokked at step {grokked} (test accuracy ≥ {100 * GROKKED_AT:g} %)")
    if memorised is not None and grokked is not None:
        line.append(f"   delay {grokked - memorised} steps")
    return line


def run_view(run: Run, stored: Mapping[str, int], width: int) -> RenderableType:
    """Return what `show` prints: configuration, checkpoints, course of the accuracies, stored measures."""
    facts = plain_table(show_header=False)
    for key, value in _facts(run):
        facts.add_row(Text(key, style="bold"), text(value))
    parts: list[RenderableType] = [facts, Text()]
    if len(run.curves["step"]):
        course = plain_table("", "course", "first", "last")
        for name in ("train_accuracy", "test_accuracy", "train_loss", "test_loss"):
            values = run.curve_of(name)[1].tolist() or [math.nan]
            line = Text(sparkline(values, min(48, max(8, width - 50))), style="cyan")
            course.add_row(name, line, number(values[0]), number(values[-1]))
        parts += [course, Text()]
    parts.append(transition_line(run.memorisation_step(), run.grokking_step()))
    parts.append(Text())
    if stored:
        table = plain_table("measure", "checkpoints stored")
        for name, count in stored.items():
            table.add_row(text(name), f"{count} of {len(run.checkpoints)}")
        parts.append(table)
    else:
        parts.append(
            Text("no measures are stored yet: grokscope analyze measures the checkpoints", style="dim")
        )
    return Group(*parts)


def _facts(run: Run) -> Iterable[tuple[str, str]]:
    yield "run", f"{run.name} ({run.path})"
    for table in ("task", "model", "training"):
        settings = run.config[table]
        yield table, "  ".join(f"{key}={_setting(value)}" for key, value in settings.items())
    if run.is_imported:
        table = run.config["imported"]
        words = [f"names: {table.get('layout')}", "linked" if table.get("link") else "copied"]
        if "stored" in table:
            words.append(f"stored as {table['stored']}, measured in {run.config['training'].get('dtype')}")
        yield "imported", "  ".join(words)
    steps = run.steps
    if not steps:
        yield "checkpoints", "none yet"
        return
    size = sum(checkpoint.size for checkpoint in run.checkpoints)
    yield "checkpoints", f"{len(steps)}, steps {steps[0]} to {steps[-1]}, {size / 1e6:.1f} MB"
    last = run.checkpoints[-1]
    yield (
        "last",
        (
            f"train loss {number(last.train_loss)}, accuracy {percent(last.train_accuracy)}; "
            f"test loss {number(last.test_loss)}, accuracy {percent(last.test_accuracy)}"
        ),
    )


def _setting(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


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
                text(entry.plugin, "bold cyan"), text(f"{entry.distribution} {entry.version}", "dim")
            )
        name = text(f"  {entry.title}", "bold") + Text(
            " *" if entry.measure.expensive else "", style="yellow"
        )
        table.add_row(name, ", ".join(entry.measure.inputs), text(entry.measure.summary))
        family = entry.plugin
    legend = Text(
        "* expensive: computed only when named    grokscope measures NAME shows one in full", style="dim"
    )
    return Group(table, Text(), legend)


def measure_page(registered: Registered) -> RenderableType:
    """Return one measure in full: what it says, needs, takes and returns, and where it comes from."""
    measure = registered.measure
    facts = plain_table(show_header=False)
    for key, value in _measure_facts(registered):
        facts.add_row(Text(key, style="bold"), text(value))
    parts: list[RenderableType] = [
        text(registered.title, "bold"),
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
            arrays.add_row(text(name), text(what))
        parts += [Text(), arrays]
    return Group(*parts)


def _measure_facts(registered: Registered) -> Iterable[tuple[str, str]]:
    measure = registered.measure
    yield "family", registered.plugin
    yield "from", f"{registered.distribution} {registered.version}".strip()
    yield "source", measure.source or "not stated"
    yield "needs", ", ".join(measure.inputs)
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
            text(column.name, "bold"),
            text(column.unit or "–"),
            column.range,
            column.direction or "–",
            text(column.meaning),
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
            text(parameter.name, "bold"),
            text(parameter.type_name),
            text(default),
            text(parameter.param.bounds or "–"),
            text(parameter.param.help),
        )
    return table


def plugins_table(plugins: Plugins) -> RenderableType:
    """Return every plugin with what it brings, or why it is broken."""
    table = plain_table("plugin", "distribution", "brings")
    for plugin in plugins.plugins:
        table.add_row(
            text(plugin.name, "bold" if not plugin.problem else "bold red"),
            text(f"{plugin.distribution} {plugin.version}".strip()),
            text(f"broken: {plugin.problem}", "red") if plugin.problem else text(_brings(plugin)),
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
