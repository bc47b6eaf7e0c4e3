"""Makes the table of guides/league.md: `python examples/league_table.py examples/results/league.csv [ROWS]`.

The file is what `grokscope league -o` wrote. The first ROWS columns, 10 unless said, and the controls.
"""

import csv
import sys
from pathlib import Path

CONTROL = "control."


def main(path: str, rows: str = "10") -> None:
    with Path(path).open(encoding="utf-8", newline="") as stream:
        places = list(csv.DictReader(stream))
    head = "place", "rank", "column", "foresight", "ahead", "first", "alarms"
    print(row(*head, "partial", "AUROC", "ms", "must know"))
    print(row(*["---"] * 11))
    for at, place in enumerate(places, 1):
        if at <= int(rows) or place["column"].startswith(CONTROL):
            print(
                row(
                    str(at),
                    place["rank"] or "–",
                    f"`{place['column']}`",
                    interval(place, "foresight"),
                    interval(place, "ahead"),
                    share(place, "first"),
                    share(place, "alarms"),
                    number(place["partial"], "{:+.2f}"),
                    number(place["auroc"], "{:.2f}"),
                    short(place["ms"]),
                    place["must_know"] or "–",
                )
            )


def interval(place: dict[str, str], name: str) -> str:
    """A mean with its interval, where it has one."""
    limits = [number(place[f"{name}_{end}"], "{:+.2f}") for end in ("low", "high")]
    middle = number(place[name], "{:+.2f}")
    return middle if "–" in limits else f"{middle} ({' to '.join(limits)})"


def share(place: dict[str, str], name: str) -> str:
    """In how many runs, of how many, and in brackets in how many settings in most of them."""
    return f"{place[f'{name}_runs']}/{place[f'{name}_of_runs']} ({place[f'{name}_settings']})"


def number(text: str, shown: str) -> str:
    """A number of the file; a dash where there is none."""
    return shown.format(float(text)) if text else "–"


def short(text: str) -> str:
    """A number of the file to two digits, written out; a dash where there is none."""
    return f"{float(f'{float(text):.2g}'):g}" if text else "–"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
