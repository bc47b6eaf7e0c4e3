"""Makes the tables of guides/papers-others.md of `examples/results/others/*.json`, which it is called with.

Each file is what `grokscope reproduce FIGURE --json` printed, or what `--keep FILE [PAPER...]` prints of what
`grokscope predict RUNS --json` did: the claims of these papers, and of what their runs are seeds.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from grokscope.statistics import CONFIDENCE
from grokscope.statistics.over_runs import Mean

PAPERS = ("Nanda", "Liu", "Kumar", "Prieto", "DeMoss", "Xu")
OVER = {"league-rise": "league, 1 nat"}
HEAD = ("claim", "over", "verdict", "holds in", "p", "in all seeds of", "in none of")


def main(*paths: str) -> None:
    if paths[0] == "--keep":
        told = json.loads(Path(paths[1]).read_text(encoding="utf-8"))
        print(json.dumps(kept(told, paths[2:] or PAPERS), indent=1))
        return
    told = {Path(path).stem: json.loads(Path(path).read_text(encoding="utf-8")) for path in paths}
    papers = {row[0]: at for at, row in enumerate(sorted(of_runs(told), key=lambda row: row[-1]))}
    print_table(HEAD, [row[:-1] for row in sorted(of_runs(told), key=lambda row: papers[row[0]])])
    print()
    print_table(("figure", "claim", "of", "reading", "holds in", "sooner by"), of_figures(told))


def kept(found: dict[str, Any], papers: tuple[str, ...]) -> dict[str, Any]:
    """What is kept of what `predict` told: the claims of papers."""
    claims = [claim for claim in found["hypotheses"] if claim["source"].startswith(papers)]
    runs = {run for claim in claims for pair in claim["effects"] for run in pair.split(" and ")}
    settings = {run: name for run, name in found["settings"].items() if run in runs}
    return {"settings": settings, "hypotheses": [claim for claim in claims if claim["effects"]]}


def of_runs(told: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """What `predict` says of each claim: the share of runs, or the AUROC, with its interval; its source."""
    for over, found in told.items():
        for claim in found.get("hypotheses", ()):
            numbers = claim["numbers"]
            if "share" not in numbers:
                continue
            share, runs = f"AUROC {numbers['share']:.2f}", f"{numbers['runs']:.0f} runs"
            if "hold" in numbers:
                share, runs = f"{numbers['hold']:.0f} of {numbers['runs']:.0f}", ""
            low, high = (
                f"{number:.2f}" if runs else f"{100 * number:.0f}"
                for number in (numbers["low"], numbers["high"])
            )
            shown = f"{share} ({low} to {high}{'; ' + runs if runs else ' %'})"
            yield (
                f"`{claim['name']}`",
                OVER.get(over, over),
                claim["verdict"],
                shown,
                f"{numbers['p_adjusted']:.2g}",
                *by_setting(claim, found["settings"], not runs),
                claim["source"],
            )


def by_setting(claim: dict[str, Any], settings: dict[str, str], each: bool) -> tuple[str, str]:
    """Settings in all of whose runs the claim is true, and in none; nothing of kinds that are compared."""
    if not each:
        return "–", "–"
    seeds: dict[str, list[bool]] = {}
    for run, effect in claim["effects"].items():
        seeds.setdefault(" / ".join(settings[name] for name in run.split(" and ")), []).append(effect > 0)
    return tuple(
        "; ".join(name for name, held in seeds.items() if set(held) == {wanted}) or "–"
        for wanted in (True, False)
    )


def of_figures(told: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """What `reproduce` says of each part of a figure's claim, and under which readings."""
    readings: dict[tuple[str, ...], list[str]] = {}
    for found in told.values():
        for reading in found.get("readings", ()):
            for part in reading["parts"]:
                said = [outcome for outcome in part["outcomes"] if outcome is not None]
                low, high = (100 * limit for limit in part["interval"])
                share = f"{sum(said)} of {len(said)} ({low:.0f} to {high:.0f} %)"
                groups, asked = part["rule"].partition(":")[0], f"`{part['hypothesis']}`"
                row = (
                    f"`{found['figure']}`",
                    asked,
                    groups,
                    share,
                    "; ".join(map(lead, part["leads"].values())),
                )
                readings.setdefault(row, []).append(reading["name"])
    for (figure, asked, groups, share, sooner), names in readings.items():
        yield figure, asked, groups, ", ".join(names), share, sooner or "–"


def lead(decades: list[float | None]) -> str:
    """The mean of leads in decades of steps, with its interval; those that cannot be said left out."""
    mean = Mean.of([value for value in decades if value is not None], CONFIDENCE)
    return f"{mean.mean:+.2f} ({mean.low:+.2f} to {mean.high:+.2f})" if mean.known else "–"


def print_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    names = list(head)
    for cells in (names, ["---"] * len(names), *rows):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
