"""Makes the table of verdicts in guides/papers-clauw.md: `python examples/verdict_table.py ACCOUNT.json ...`.

Each account is what `grokscope reproduce FIGURE --json` printed. Of several of one figure the last counts for
each reading.
"""

import json
import sys
from pathlib import Path


def main(*paths: str) -> None:
    figures: dict[str, dict[str, str]] = {}
    seeds: dict[str, set[int]] = {}
    for path in paths:
        account = json.loads(Path(path).read_text(encoding="utf-8"))
        for reading in account["readings"]:
            figures.setdefault(account["figure"], {})[reading["name"]] = cell(reading)
            seeds.setdefault(account["figure"], set()).update(reading["seeds"].values())
    names = list(dict.fromkeys(name for found in figures.values() for name in found))
    print(row("figure", *names, "seeds"))
    print(row(*["---"] * (len(names) + 2)))
    for figure, found in sorted(figures.items()):
        counts = sorted(seeds[figure])
        said = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        print(row(f"`{figure}`", *(found.get(name, "–") for name in names), said))


def cell(reading: dict) -> str:
    """The verdict, and of how many parts of the claim it is true where it is not of all."""
    verdicts = [part["verdict"] for part in reading["parts"]]
    held = verdicts.count("held")
    count = "" if held in (0, len(verdicts)) else f" ({held} of {len(verdicts)} parts held)"
    return f"{reading['verdict']}{count}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
