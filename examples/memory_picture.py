"""Draws the picture in guides/speed.md: `python examples/memory_picture.py examples/memory.svg`.

It shows what tests/benchmarks/memory.py put into results/memory.json: CPU time beside the number of pairs.
"""

import json
import runpy
import sys
from pathlib import Path

from matplotlib.figure import Figure

from grokscope.report.figures.axes import as_file
from grokscope.report.figures.style import INK, PALETTE, QUIET, look

TABLES = runpy.run_path(str(Path(__file__).with_name("speed_tables.py")))


def main(picture: str) -> None:
    Path(picture).write_bytes(drawn())


def drawn() -> bytes:
    """The picture, SVG: all of a checkpoint, its large parts, and what would be linear in the pairs."""
    measured = json.loads(TABLES["MEMORY"].read_text(encoding="utf-8"))
    sizes, start = sorted((size for size in measured if size.isdigit()), key=int), TABLES["GROWTH"][0]
    pairs = {size: int(size) ** 2 for size in sizes}
    slope = measured[start]["seconds"] / pairs[start]
    with look():
        figure = Figure(figsize=(5.6, 2.8))
        axis = figure.add_axes((0.1, 0.16, 0.52, 0.8))
        axis.set(xscale="log", yscale="log", xlabel="pairs", ylabel="CPU seconds")
        draw(axis, {pairs[size]: measured[size]["seconds"] for size in sizes}, "together", INK)
        draw(axis, {at: slope * at for at in pairs.values()}, f"linear from p = {start} on", QUIET, marker="")
        for part, colour in zip(TABLES["large_parts"](measured), PALETTE, strict=False):
            known = {pairs[size]: measured[size]["parts"].get(part) for size in sizes}
            name = part.split(",")[0]
            draw(axis, {at: spent for at, spent in known.items() if spent}, name, colour)
        apart = [size for size in sizes if size == sizes[-1] or pairs[sizes[-1]] > 2 * pairs[size]]
        axis.set_xticks([pairs[size] for size in apart], [f"{size}²" for size in apart])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter("{x:g}")
        axis.legend(loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
    return as_file(figure, "svg")


def draw(axis, points: dict[int, float], name: str, colour: str, marker: str = "o") -> None:
    """One line, found in the picture by its name; without a marker it is dotted."""
    look = {"color": colour, "marker": marker, "ms": 3, "ls": "-" if marker else ":"}
    axis.plot(points.keys(), points.values(), label=name, gid="line-" + name.replace(" ", "-"), **look)


if __name__ == "__main__":
    main(*sys.argv[1:])
