"""Writes the tables of the guides to speed: `python examples/speed_tables.py`; `--check` writes nothing.

They are made from results/speed.json. `sh tests/run.sh --benchmarks` puts its races there, and
`--profile NAME FILE CHECKPOINTS` what `grokscope analyze --profile --json` printed into FILE. The tables of
memory are made from results/memory.json, which `tests/benchmarks/memory.py --keep` writes.
"""

import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "speed.json"
GUIDES = [HERE / "guides" / name for name in ("speed.md", "speed-training.md")]
SEEDS = "a step of five seeds"  # how these races begin, which have a table of their own
MEMORY = HERE / "results" / "memory.json"
SHARE = 0.03  # parts below this are one row
LARGE = 0.05  # parts from this on have their growth told
GROWTH = ("113", "227", "449")  # the p between the first and last of which growth is told


def main(*words: str) -> int:
    if words[:1] == ("--profile",):
        keep_profile(*words[1:])
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    seeds = [race for race in results["races"] if race["work"].startswith(SEEDS)]
    tables = {"races": races([race for race in results["races"] if race not in seeds]), "seeds": races(seeds)}
    tables |= {name: profile(**kept) for name, kept in results.get("profiles", {}).items()}
    measured = json.loads(MEMORY.read_text(encoding="utf-8"))
    tables |= {"memory": memory(measured), "growth": growth(measured)}
    return max(write(guide, tables, check="--check" in words) for guide in GUIDES)


def write(guide: Path, tables: dict[str, list[str]], *, check: bool) -> int:
    """Put the tables where the guide has a place for them; 1 where it is only looked at, and is not so."""
    before = guide.read_text(encoding="utf-8")
    after = before
    for name, lines in tables.items():
        mark = f"<!-- {name} -->\n"
        if mark in after:
            start = after.index(mark) + len(mark)
            end = after.index("<!-- end -->", start)
            after = after[:start] + "".join(f"{line}\n" for line in lines) + after[end:]
    if check and after != before:
        print(f"{guide.name} differs from {RESULTS.name}; python examples/speed_tables.py writes it anew")
        return 1
    guide.write_text(after, encoding="utf-8")
    return 0


def races(kept: list[dict]) -> list[str]:
    """A row for each rival; a wanted ratio that was not reached is said."""
    rows = [row("work", "grokscope", "rival", "it takes", "ratio", "wanted"), row(*["---"] * 6)]
    for race in kept:
        ours, work = race["ms"]["grokscope"], race["work"]
        rivals = {name: taken for name, taken in race["ms"].items() if name != "grokscope"}
        for name, taken in rivals.items() or [("", None)]:
            if taken is None:
                rows.append(row(work, milliseconds(ours), "", "", "", ""))
                continue
            wanted, ratio = race["targets"].get(name), taken / ours
            said = "" if wanted is None else f"{figure(wanted)}{'' if ratio >= wanted else ', not reached'}"
            rows.append(row(work, milliseconds(ours), name, milliseconds(taken), figure(ratio), said))
            work = ""
    return rows


def profile(checkpoints: int, seconds: float, parts: list) -> list[str]:
    """A row for each part that takes at least three per cent of the CPU time."""
    rows = [row("part", "kind", "CPU ms a checkpoint", "share"), row(*["---"] * 4)]
    rest = seconds
    for name, kind, spent in parts:
        if spent >= SHARE * seconds:
            rows.append(row(name, kind, figure(1000 * spent / checkpoints), percent(spent / seconds)))
            rest -= spent
    rows.append(row("all others", "", figure(1000 * rest / checkpoints), percent(rest / seconds)))
    return [*rows, row("together", "", figure(1000 * seconds / checkpoints), "")]


def memory(kept: dict[str, dict]) -> list[str]:
    """A row for each p, and one for images: time and memory of a checkpoint."""
    rows = [row("p", "examples", "peak", "CPU", "for each example"), row(*["---"] * 5)]
    for size in sorted(kept, key=lambda size: (not size.isdigit(), int(size) if size.isdigit() else 0)):
        count = int(size) ** 2 if size.isdigit() else 70_000
        found = kept[size]
        each = f"{1e6 * found['seconds'] / count:.0f} us"
        rows.append(row(size, f"{count:,}".replace(",", " "), gigabytes(found["peak"]), seconds(found), each))
    return rows


def growth(kept: dict[str, dict]) -> list[str]:
    """A row for each part that is large at the largest p, the fastest growing first."""
    first, last = kept[GROWTH[0]], kept[GROWTH[-1]]
    ratio = (int(GROWTH[-1]) / int(GROWTH[0])) ** 2
    rows = [row("part", *(f"p = {size}" for size in GROWTH), "grows as pairs^"), row(*["---"] * 5)]
    power = {
        part: math.log(last["parts"][part] / first["parts"][part]) / math.log(ratio)
        for part in large_parts(kept)
    }
    for part in sorted(power, key=power.get, reverse=True):
        times = (f"{figure(kept[size]['parts'].get(part, math.nan))} s" for size in GROWTH)
        rows.append(row(part, *times, f"{power[part]:.2f}"))
    whole = math.log(last["seconds"] / first["seconds"]) / math.log(ratio)
    return [*rows, row("together", *(seconds(kept[size]) for size in GROWTH), f"{whole:.2f}")]


def large_parts(kept: dict[str, dict]) -> list[str]:
    """What takes five per cent at the last p, and is told at the first too, the largest first."""
    first, last = kept[GROWTH[0]]["parts"], kept[GROWTH[-1]]
    large = {part: spent for part, spent in last["parts"].items() if spent >= LARGE * last["seconds"]}
    return sorted(large.keys() & first.keys(), key=large.get, reverse=True)


def seconds(found: dict) -> str:
    return f"{figure(found['seconds'])} s"


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"


def keep_profile(name: str, printed: str, checkpoints: str) -> None:
    """Put the parts of a profile, the longest first, into the results."""
    parts = json.loads(Path(printed).read_text(encoding="utf-8"))["profile"]
    spent = [[part["part"], part["kind"], part["times"] * part["cpu_ms"] / 1000] for part in parts]
    total = sum(each[2] for each in spent)
    kept = sorted((each for each in spent if each[2] >= SHARE * total), key=lambda each: -each[2])
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    results.setdefault("profiles", {})[name] = {
        "checkpoints": int(checkpoints),
        "seconds": float(f"{total:.3g}"),
        "parts": [[part, kind, float(f"{seconds:.3g}")] for part, kind, seconds in kept],
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def milliseconds(value: float) -> str:
    return f"{figure(value / 1000)} s" if value >= 1000 else f"{figure(value)} ms"


def figure(value: float) -> str:
    """Two significant figures, without an exponent."""
    return f"{float(f'{value:.2g}'):g}" if value < 100 else f"{value:.0f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
