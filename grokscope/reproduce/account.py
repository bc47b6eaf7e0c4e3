"""What a reproduction says: the paper's claim beside what was found, part by part, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from grokscope.figure import Figure
from grokscope.report.kit import foreign, plain_table
from grokscope.report.text import number
from grokscope.statistics import CONFIDENCE
from grokscope.statistics.judging import RULE, STYLES
from grokscope.statistics.over_runs import Mean

if TYPE_CHECKING:
    from grokscope.reproduce import Judged, Reproduction
    from grokscope.reproduce.checking import Part

INDENT = (0, 0, 0, 2)
_RULE = f"A part {RULE}; the claim held when all of it did."


def figures_table(figures: Iterable[Figure]) -> RenderableType:
    """Return every figure with the tasks that it needs and its title."""
    table = plain_table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    cited = ""
    for figure in figures:
        if figure.paper.cited != cited:
            if cited:
                table.add_row()
            cited = figure.paper.cited
            table.add_row(
                foreign(figure.paper.key.capitalize(), "bold cyan"),
                "",
                foreign(f"{cited}, arXiv {figure.paper.arxiv}", "dim"),
            )
        tasks = ", ".join(figure.tasks)
        table.add_row(foreign(f"  {figure.name}", "bold"), foreign(tasks, "dim"), foreign(figure.title))
    return table


def reproduction_page(reproduced: Reproduction) -> RenderableType:
    """Return the whole account of one figure."""
    figure = reproduced.figure
    parts: list[RenderableType] = [
        foreign(f"{figure.name}  {figure.title}", "bold"),
        foreign(figure.source, "dim"),
    ]
    if figure.reconstructed:
        parts.append(foreign(figure.reconstructed, "dim"))
    parts += [Text(), foreign("The paper", "bold cyan"), Padding(foreign(figure.claim), INDENT), Text()]
    parts.append(foreign(f"Found{_under(reproduced)}", "bold cyan"))
    parts += [Padding(_part(part), INDENT) for part in reproduced.parts]
    for other in reproduced.judged[1:]:
        parts += [Text(), *_differs(reproduced.parts, other)]
    parts += [Text(), foreign("Runs", "bold cyan"), Padding(_runs(reproduced), INDENT)]
    if reproduced.quick:
        parts.append(
            Padding(
                foreign("--quick: one seed unless --seeds says more, fewer checkpoints, smaller runs", "dim"),
                INDENT,
            )
        )
    said = [reproduced.stand_in_note, *reproduced.caveats]
    parts += [Padding(foreign(caveat, "yellow"), INDENT) for caveat in said if caveat]
    parts += [Text(), verdict_line(reproduced), foreign(_RULE, "dim")]
    return Group(*parts)


def verdicts_table(reproduced: Iterable[Reproduction]) -> RenderableType:
    """Return of several figures what became of each, under the first reading and under the others."""
    table = plain_table()
    for header in ("figure", "seeds", "verdict", "under other readings"):
        table.add_column(header, overflow="fold")
    said: dict[str, None] = {}
    for each in reproduced:
        others = {name: found for name, found in each.verdicts.items() if name != each.reading.name}
        verdict = Text(each.verdict, STYLES[each.verdict])
        table.add_row(
            foreign(each.figure.name, "bold"), each.seeds, verdict, foreign(by_verdict(others), "dim")
        )
        said |= dict.fromkeys(filter(None, [each.stand_in_note, *each.caveats]))
    notes = [foreign(words, "yellow") for words in said]
    return Group(table, Text(), *notes, foreign(_RULE, "dim"))


def verdict_line(reproduced: Reproduction) -> Text:
    """Return the verdict with the number of seeds."""
    line = Text("Verdict: ", style="bold")
    line.append(reproduced.verdict, style=f"bold {STYLES[reproduced.verdict]}")
    instead = "".join(f"; {task} in place of {missing}" for missing, task in reproduced.stand_ins.items())
    line.append(
        f" ({reproduced.seeds} {'seed' if reproduced.seeds == '1' else 'seeds'}{instead})", style="dim"
    )
    if len(reproduced.figure.readings) > 1:
        line.append(f" under the reading {reproduced.reading.name}", style="dim")
    if len(reproduced.judged) > 1:
        line.append(f"\nOf all readings: {by_verdict(reproduced.verdicts)}.")
    return line


def by_verdict(verdicts: Mapping[str, str]) -> str:
    """Return which readings came to which verdict, in words.

    >>> by_verdict({"units": "held", "mean": "did not hold", "bias": "held"})
    'held under units, bias; did not hold under mean'
    """
    under = {str(word): [name for name, found in verdicts.items() if found == word] for word in STYLES}
    return "; ".join(f"{word} under {', '.join(names)}" for word, names in under.items() if names)


def heading(reproduced: Reproduction) -> str:
    """Return what stands above the drawing."""
    figure = reproduced.figure
    quick = " (quick)" if reproduced.quick else ""
    instead = "".join(f" ({task} for {missing})" for missing, task in reproduced.stand_ins.items())
    return f"{figure.name}: {figure.title}{instead}{quick}"


def notes(reproduced: Reproduction) -> list[str]:
    """Return what stands below the drawing: the source, the verdict, and how it is drawn."""
    figure = reproduced.figure
    drawn = {name for panel in figure.panels for name in panel.groups}
    seeds = reproduced.seeds_of(drawn & reproduced.found.keys())
    reading = f" (reading{_under(reproduced).removeprefix(' under')})" if _under(reproduced) else ""
    words = [f"After {figure.source}. The claim: {reproduced.verdict}{reading}."]
    if any(panel.smooth for panel in figure.panels):
        words.append("Measures without step 0, smoothed by an exponential mean of 0.1 per 5 steps.")
    if seeds not in ("0", "1"):
        words.append(f"{seeds} seeds: mean, in a band from the lowest to the highest.")
    return [*words, *filter(None, [reproduced.stand_in_note, *reproduced.caveats])]


def _under(reproduced: Reproduction) -> str:
    """The reading in words, where the figure has several."""
    reading = reproduced.reading
    return f" under {reading.name}: {reading.takes}" if len(reproduced.figure.readings) > 1 else ""


def _differs(first: Sequence[Part], other: Judged) -> list[RenderableType]:
    """What came out under another reading: the parts of the claim whose verdict is another one."""
    lines: list[RenderableType] = [
        foreign(f"Under {other.reading.name}: {other.reading.takes}", "bold cyan"),
    ]
    changed = [part for part, known in zip(other.parts, first, strict=True) if part.verdict != known.verdict]
    same = len(other.parts) - len(changed)
    lines += [Padding(_part(part), INDENT) for part in changed]
    if same:
        words = "every part as above" if not changed else f"{same} more as above"
        lines.append(Padding(foreign(words, "dim"), INDENT))
    return lines


def _part(part: Part) -> RenderableType:
    line = Text()
    line.append(f"{part.verdict}", style=STYLES[part.verdict])
    line.append(f" ({counted(part)}): ", style="dim")
    line.append(part.rule)
    values = [f"{name} {spread(values)}" for name, values in part.values.items()]
    values += [f"{name}: {lead(leads)}" for name, leads in part.leads.items()]
    return Group(line, *(Padding(foreign(value, "dim"), INDENT) for value in values))


def counted(part: Part) -> str:
    """Return in how many seeds a part is true, with the interval of that share where there are several."""
    words = f"in {part.held} of {len(part.outcomes)}"
    if len(part.outcomes) > part.said:
        words += f", {len(part.outcomes) - part.said} cannot be said"
    if part.said < 2:
        return words
    low, high = part.interval
    return f"{words}; {CONFIDENCE:.0%}: {100 * low:.0f} to {100 * high:.0f} %"


def lead(decades: Sequence[float]) -> str:
    """Return how far one thing comes before another, over seeds: mean, its interval, lowest and highest.

    >>> lead([0.2, 0.3, 0.4]), lead([0.2, float("nan")]), lead([])
    ('+0.30 decades (95%: +0.05 to +0.55; seeds +0.20 to +0.40)', '+0.20 decades in 1 of 2', '–')
    """
    finite = [value for value in decades if math.isfinite(value)]
    if not finite:
        return "–"
    mean = Mean.of(finite, CONFIDENCE)
    words = f"{mean.mean:+.2f} decades"
    if mean.known:
        interval = f"{CONFIDENCE:.0%}: {mean.low:+.2f} to {mean.high:+.2f}"
        words += f" ({interval}; seeds {min(finite):+.2f} to {max(finite):+.2f})"
    return words if len(finite) == len(decades) else f"{words} in {len(finite)} of {len(decades)}"


def spread(values: Sequence[float]) -> str:
    """Return numbers of several seeds in few words: their mean, and lowest to highest where they differ.

    >>> spread([1.0, 3.0]), spread([2.0]), spread([2.0, float("nan")]), spread([])
    ('2 (1 to 3)', '2', '2 in 1 of 2', '–')
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "–"
    words = number(sum(finite) / len(finite))
    if min(finite) != max(finite):
        words += f" ({number(min(finite))} to {number(max(finite))})"
    return words if len(finite) == len(values) else f"{words} in {len(finite)} of {len(values)}"


def _runs(reproduced: Reproduction) -> RenderableType:
    table = plain_table(show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, paths in reproduced.paths.items():
        first = paths[0].name if paths else "none"
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        table.add_row(foreign(name), foreign(f"{first}{more}", "dim"))
    return table


def as_dict(reproduced: Reproduction) -> dict[str, Any]:
    """Return the account as data for JSON."""
    figure = reproduced.figure
    return {
        "figure": figure.name,
        "title": figure.title,
        "source": figure.source,
        "reconstructed": figure.reconstructed,
        "claim": figure.claim,
        "quick": reproduced.quick,
        "reading": reproduced.reading.name,
        "verdict": reproduced.verdict,
        "readings": [
            {
                "name": judged.reading.name,
                "takes": judged.reading.takes,
                "verdict": reproduced.verdicts[judged.reading.name],
                "seeds": {name: len(found.runs) for name, found in judged.found.items()},
                "parts": [_part_data(part) for part in judged.parts],
                "runs": {name: [str(path) for path in paths] for name, paths in judged.paths.items()},
            }
            for judged in reproduced.judged
        ],
        "stand_ins": dict(reproduced.stand_ins),
        "caveats": list(reproduced.caveats),
        "failures": list(reproduced.failures),
    }


def _part_data(part: Part) -> dict[str, Any]:
    return {
        "rule": part.rule,
        "hypothesis": part.hypothesis,
        "verdict": part.verdict,
        "outcomes": list(part.outcomes),
        "interval": list(part.interval),
        "values": {name: list(values) for name, values in part.values.items()},
        "leads": {name: list(values) for name, values in part.leads.items()},
    }
