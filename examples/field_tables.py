"""Makes the tables of guides/papers-others.md of `examples/results/others/*.json`, which it is called with.

Each file is what `grokscope reproduce FIGURE --json` printed, or what `grokscope predict RUNS --json` did, of
which the claims of these papers are kept. Runs are called after their setting: `clauw-s0`.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

OVER = {"league-rise": "league, 1 nat", "full-size": "full size"}
HEAD = ("claim", "over", "verdict", "holds in", "p", "in all seeds of", "in none of")


def main(*paths: str) -> None:
    told = {Path(path).stem: json.loads(Path(path).read_text(encoding="utf-8")) for path in paths}
    papers = {row[0]: at for at, row in enumerate(sorted(of_runs(told), key=lambda row: row[-1]))}
    print_table(HEAD, [row[:-1] for row in sorted(of_runs(told), key=lambda row: papers[row[0]])])
    print()
    print_table(("figure", "claim", "of", "reading", "holds in"), of_figures(told))


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
                *by_setting(claim, not runs),
                claim["source"],
            )


def by_setting(claim: dict[str, Any], each: bool) -> tuple[str, str]:
    """Settings in all of whose runs the claim is true, and in none; nothing of kinds that are compared."""
    if not each:
        return "–", "–"
    seeds: dict[str, list[bool]] = {}
    for run, effect in claim["effects"].items():
        seeds.setdefault(" / ".join(name.rpartition("-s")[0] for name in run.split(" and ")), []).append(
            effect > 0
        )
    return tuple(
        ", ".join(name for name, held in seeds.items() if set(held) == {wanted}) or "–"
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
                row = f"`{found['figure']}`", asked, groups, share
                readings.setdefault(row, []).append(reading["name"])
    for (figure, asked, groups, share), names in readings.items():
        yield figure, asked, groups, ", ".join(names), share


def print_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    names = list(head)
    for cells in (names, ["---"] * len(names), *rows):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
