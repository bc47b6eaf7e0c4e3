"""Makes the tables of guides/papers-*.md, and beside the data the page of all that was checked and found.

`python examples/paper_tables.py PAPER` prints what became of the claims; with `--page` what was found of each
part, and the leads of claims about timing: examples/results/PAPER.md. PAPER is clauw, tan or golechha; all is
judged anew from what `grokscope reproduce PAPER --rows examples/results/PAPER` wrote.
"""

import math
import sys
from pathlib import Path

from grokscope import load_plugins
from grokscope.reproduce import Judged, Reproduction, find_figures
from grokscope.reproduce.account import spread
from grokscope.reproduce.checking import Part
from grokscope.reproduce.kept import Kept
from grokscope.statistics import CONFIDENCE
from grokscope.statistics.over_runs import Mean

RESULTS = Path(__file__).parent / "results"


def main(paper: str, *flags: str) -> None:
    found = judged(paper)
    print(page(paper, found) if "--page" in flags else "\n".join(verdicts(found)))


def judged(paper: str) -> list[Reproduction]:
    """The figures of a paper that are kept, judged anew."""
    plugins, kept = load_plugins(), Kept.read(RESULTS / paper)
    figures = [each for each in find_figures([paper], plugins.figures) if each.name in kept.figures]
    return [kept.reproduction(figure, plugins) for figure in figures]


def page(paper: str, found: list[Reproduction]) -> str:
    """All that was checked and found under the primary reading."""
    return "\n".join(
        [
            f"# What was checked and found: {found[0].figure.paper.cited}",
            "",
            f"Made by `python examples/paper_tables.py {paper} --page` of the data in [{paper}]({paper}).",
            f"[The guide](../guides/papers-{paper}.md) tells what matters of it. Under the primary reading;",
            "numbers are means over the seeds, lowest and highest in brackets; the interval is Wilson's, of",
            "the share of seeds in which it is true.",
            "",
            *parts(found),
            "",
            "## By how much sooner",
            "",
            "By how many decades of steps (0.3 is a factor of two) one thing comes before another, or a time",
            "is shorter than another: means over the seeds, Student's intervals; negative where it is the",
            "other way round than the claim has it.",
            "",
            *leads(found),
        ]
    )


def verdicts(found: list[Reproduction]) -> list[str]:
    """What became of each figure's claim under every reading."""
    most = sorted(found, key=lambda each: -len(each.verdicts))
    names = list(dict.fromkeys(name for each in most for name in each.verdicts))
    lines = [row("figure", *names, "seeds"), row(*["---"] * (len(names) + 2))]
    for each in found:
        cells = {judged.reading.name: verdict(each, judged) for judged in each.judged}
        lines.append(row(label(each), *(cells.get(name, "–") for name in names), seeds(each)))
    return lines


def verdict(each: Reproduction, judged: Judged) -> str:
    """The verdict, and of how many parts of the claim it is true where it is not of all."""
    words = [part.verdict for part in judged.parts]
    held = words.count("held")
    some = "" if held in (0, len(words)) else f" ({held} of {len(words)})"
    return f"{each.verdicts[judged.reading.name]}{some}"


def label(each: Reproduction) -> str:
    """The figure's name, and what stood in for data that was not at hand."""
    return " ".join([f"`{each.figure.name}`", *(f"(on {task})" for task in each.stand_ins.values())])


def seeds(each: Reproduction) -> str:
    """How many seeds the groups have, and under which other readings that is another number."""
    counts: dict[str, list[str]] = {}
    for judged in each.judged:
        counts.setdefault(count(judged), []).append(judged.reading.name)
    first, *others = counts
    return "; ".join([first, *(f"{other} under {', '.join(counts[other])}" for other in others)])


def count(judged: Judged) -> str:
    found = sorted({len(runs.runs) for runs in judged.found.values()})
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def parts(found: list[Reproduction]) -> list[str]:
    """What was checked and what was found, under the primary reading."""
    lines = [row("figure", "what was checked", "true in", f"{CONFIDENCE:.0%}", "found"), row(*["---"] * 5)]
    for each in found:
        for part in each.parts:
            values = "; ".join(f"{name} {spread(values)}" for name, values in part.values.items())
            lines.append(row(label(each), part.rule, share(part), interval(part), values or "–"))
    return lines


def share(part: Part) -> str:
    """In how many seeds, of how many in which it can be said."""
    unsaid = len(part.outcomes) - part.said
    return f"{part.held} of {part.said}" + (f", {unsaid} cannot be said" if unsaid else "")


def interval(part: Part) -> str:
    """Wilson's interval of the share, in percent."""
    low, high = (100 * limit for limit in part.interval)
    return "–" if math.isnan(low) else f"{low:.0f} to {high:.0f} %"


def leads(found: list[Reproduction]) -> list[str]:
    """By how many decades what should come first does, of claims about timing, under the primary reading."""
    lines = []
    for each in found:
        for part in each.parts:
            for what, decades in part.leads.items():
                known = sorted(value for value in decades if math.isfinite(value))
                mean = Mean.of(known, CONFIDENCE)
                limits = f"{mean.low:+.2f} to {mean.high:+.2f}" if mean.known else "–"
                cells = label(each), f"{what} ({groups(part)})", f"{mean.mean:+.2f}", limits
                every = ", ".join(f"{value:+.2f}" for value in known)
                never = f"; not in {len(decades) - len(known)}" if len(known) < len(decades) else ""
                lines.append(row(*(cells if known else (*cells[:2], "–", "–")), (every or "–") + never))
    head = row("figure", "by how much sooner", "mean lead", f"{CONFIDENCE:.0%}", "leads of the seeds")
    return [head, row(*["---"] * 5), *lines] if lines else []


def groups(part: Part) -> str:
    """The runs that a part is about."""
    return part.rule.partition(":")[0]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
