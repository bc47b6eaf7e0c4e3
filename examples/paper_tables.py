"""Makes the tables of guides/papers-*.md: `python examples/paper_tables.py PAPER [FOLDER]`.

PAPER is clauw, tan or golechha. FOLDER is what `grokscope reproduce --rows` wrote, examples/results/papers
unless said: every claim is judged anew from it.
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

FOLDER = Path(__file__).parent / "results" / "papers"


def main(paper: str, folder: str | Path = FOLDER) -> None:
    plugins, kept = load_plugins(), Kept.read(folder)
    figures = [each for each in find_figures([paper], plugins.figures) if each.name in kept.figures]
    found = [kept.reproduction(figure, plugins) for figure in figures]
    print("\n".join([*verdicts(found), "", *parts(found), "", *leads(found)]).rstrip())


def verdicts(found: list[Reproduction]) -> list[str]:
    """What became of each figure's claim under every reading."""
    names = list(dict.fromkeys(name for each in found for name in each.verdicts))
    lines = [row("figure", *names, "seeds"), row(*["---"] * (len(names) + 2))]
    for each in found:
        cells = {judged.reading.name: verdict(each, judged) for judged in each.judged}
        lines.append(row(f"`{each.figure.name}`", *(cells.get(name, "–") for name in names), seeds(each)))
    return lines


def verdict(each: Reproduction, judged: Judged) -> str:
    """The verdict, and of how many parts of the claim it is true where it is not of all."""
    words = [part.verdict for part in judged.parts]
    held = words.count("held")
    count = "" if held in (0, len(words)) else f" ({held} of {len(words)} parts held)"
    return f"{each.verdicts[judged.reading.name]}{count}"


def seeds(each: Reproduction) -> str:
    """How many seeds the runs of each reading have."""
    counts = sorted({len(runs.runs) for judged in each.judged for runs in judged.found.values()})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def parts(found: list[Reproduction]) -> list[str]:
    """What was checked and what was found, under the primary reading."""
    lines = [row("figure", "what was checked", "true in", f"{CONFIDENCE:.0%}", "found"), row(*["---"] * 5)]
    for each in found:
        for part in each.parts:
            values = "; ".join(f"{name} {spread(values)}" for name, values in part.values.items())
            lines.append(row(f"`{each.figure.name}`", part.rule, share(part), interval(part), values or "–"))
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
                cells = f"`{each.figure.name}`", f"{what} ({groups(part)})", f"{mean.mean:+.2f}", limits
                every = ", ".join(f"{value:+.2f}" for value in known)
                never = f"; not in {len(decades) - len(known)}" if len(known) < len(decades) else ""
                lines.append(row(*(cells if known else (*cells[:2], "–", "–")), (every or "–") + never))
    head = row("figure", "what, before what", "mean lead", f"{CONFIDENCE:.0%}", "leads of the seeds")
    return [head, row(*["---"] * 5), *lines] if lines else []


def groups(part: Part) -> str:
    """The runs that a part is about."""
    return part.rule.partition(":")[0]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
