"""How figures look: colours that colour-blind readers and grey print tell apart, fonts, foreign text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib

from grokscope.declare import is_number
from grokscope.report.text import printable

INK, QUIET, FAINT, PAPER = "#262626", "#6b6b6b", "#c9c9c9", "white"
TRAIN, TEST = "#8c8c8c", INK
DASHED, DOTTED = (0, (4, 1.6)), (0, (1.2, 1.4))
# Okabe & Ito 2008, without black and the yellow that no print shows, dark and light in turn.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (2.6, 1.2)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SHADES = ("#f0f0f0", "#e2e2e2")
STEPS = "viridis"  # light is late
LONGEST = 48  # characters of a foreign name

_LOOK = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#9a9a9a",
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.06,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],  # matplotlib has the first; the second is as wide, for SVG
    "font.size": 9,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,  # journals refuse type 3
    "savefig.dpi": 200,
    "svg.fonttype": "none",  # words stay words: searchable, and half the size
    "svg.hashsalt": "grokscope",
    "text.color": INK,
    "text.usetex": False,
    "xtick.color": "#9a9a9a",
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": "#9a9a9a",
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}
_NOT_OURS = {"backend", "backend_fallback", "interactive", "toolbar", "timezone", "datapath"}


@contextmanager
def look() -> Iterator[None]:
    """Draw in the house's look, whatever the user's matplotlibrc says."""
    settings: Any = {k: value for k, value in matplotlib.rcParamsDefault.items() if k not in _NOT_OURS}
    with matplotlib.rc_context(settings | _LOOK):
        yield


def drawable(text: object) -> str:
    r"""Return foreign text for a figure: one line, no control characters, never read as mathematics.

    >>> drawable("$x$\nb")
    '\\$x\\$ b'
    """
    line = " ".join(printable(str(text)).split())
    if len(line) > LONGEST:
        line = line[: LONGEST // 2 - 1] + "…" + line[-LONGEST // 2 :]
    return line.replace("$", r"\$")


@dataclass(frozen=True)
class Look:
    """How one line looks; `marker` stands on it now and then where grey print would need it."""

    colour: Any
    dashes: Any = "-"
    marker: str = ""


def of_groups(values: Sequence[Any]) -> list[Look]:
    """Return a look per group: from dark to light along numbers, else different colours and markers."""
    if len(values) == 1:
        return [Look(PALETTE[0])]
    if all(map(is_number, values)) or len(values) > len(PALETTE):
        return [Look(colour) for colour in ramp(len(values))]
    return [Look(PALETTE[at], marker=MARKERS[at]) for at in range(len(values))]


def of_lines(count: int, ordered: bool) -> list[Look]:
    """Return a look per column in one panel; layers are `ordered`, from the first, dark, to the last."""
    if count == 1:
        return [Look(PALETTE[0])]
    if ordered or count > len(PALETTE):
        return [Look(colour, DASHES[at % 4]) for at, colour in enumerate(ramp(count))]
    return [Look(PALETTE[at], DASHES[at]) for at in range(count)]


def ramp(count: int) -> list[Any]:
    """Return `count` colours of one scale, dark to light; a few do without its lightest, lost on white."""
    scale, lightest = matplotlib.colormaps[STEPS], min(0.88, 0.52 + 0.09 * count)
    return [scale(lightest * at / max(count - 1, 1)) for at in range(count)]
