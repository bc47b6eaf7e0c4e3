"""The league as one HTML file, settings against measures: it opens offline, and runs nothing at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from string import Template

from grokscope.report.league import Knowledge, answer, known_of, share
from grokscope.report.page.document import read_part, source_hash, style_elements
from grokscope.report.text import number, printable
from grokscope.statistics.league import RULE, League, Place
from grokscope.statistics.over_runs import Mean

STEPS = 10  # of a colour, either way
POLICY = "default-src 'none'; style-src {styles}; img-src data:; base-uri 'none'; form-action 'none'"
HEADERS = (
    *("rank", "measure", "foresight", "p", "ahead", "changes", "first", "alarms"),
    *("partial", "AUROC", "moved", "ms", "resolution", "must know"),
)


def league_page(league: League, known: Knowledge) -> str:
    """Return the league as HTML: what came out, settings against measures, every number, the rule."""
    styles = [read_part("page.css"), _colours()]
    return Template(read_part("league.html")).substitute(
        policy=POLICY.format(styles=" ".join(map(source_hash, styles))),
        styles=style_elements(styles),
        lead=_text(answer(league)),
        facts=_facts(league),
        map=_map(league),
        table=_table(league, known),
        rule=_text(RULE),
        notes="\n".join(f"<li>{_text(note)}</li>" for note in league.notes),
    )


def _text(words: object) -> str:
    return escape(printable(str(words)))


def _colours() -> str:
    """Classes of cells: f1 to f10 foreseen, a1 to a10 false alarms."""
    rules = [
        f".{kind}{at} {{ background: color-mix(in srgb, var(--phase-{phase}) {10 * at}%, transparent); }}"
        for kind, phase in (("f", 1), ("a", 2))
        for at in range(1, STEPS + 1)
    ]
    rules += [
        ".map td { text-align: center; min-width: 2.6rem; padding: 0.3rem 0.2rem; font-size: 0.75rem; }",
        ".map thead th { writing-mode: vertical-rl; transform: rotate(180deg); padding: 0.2rem; }",
        ".map .parting { border-left: 2px solid var(--ink); }",
        ".foretells { font-weight: 600; }",
        ".control { font-style: italic; color: var(--soft); }",
    ]
    return "\n".join(rules)


def _facts(league: League) -> str:
    facts = (
        ("columns", league.columns, f"{league.tested} tested, controls among them"),
        ("foretell", len(league.foretelling), "after Holm's correction"),
        ("settings that grok", len(league.grok), f"{sum(league.grok.values())} runs"),
        ("that never do", len(league.never), f"{sum(league.never.values())} runs"),
    )
    return "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b><span>{words}</span></dd></div>"
        for name, value, words in facts
    )


def _map(league: League) -> str:
    settings, parting = league.settings, len(league.grok)
    head = "".join(
        f"<th{_class('parting' if at == parting else '')}>{_text(name)}</th>"
        for at, (name, _) in enumerate(settings)
    )
    rows = []
    for place in league.places:
        cells = {(cell.setting, cell.groks): cell for cell in place.cells}
        shown = []
        for at, setting in enumerate(settings):
            cell = cells.get(setting)
            kinds = ["parting"] if at == parting else []
            if cell is None:
                shown.append(f"<td{_class(*kinds)}>–</td>")
                continue
            step = math.ceil(cell.foreseen * STEPS)
            kinds += [f"{'f' if cell.groks else 'a'}{step}"] if step else []
            shown.append(f"<td{_class(*kinds)}>{cell.warned}/{cell.runs}</td>")
        rows.append(f"<tr>{_name(place)}{''.join(shown)}</tr>")
    return f"<thead><tr><td></td>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>"


def _name(place: Place) -> str:
    kind = "control" if place.control else "foretells" if place.foretells else ""
    return f'<th scope="row"{_class(kind)}>{_text(place.column)}</th>'


def _class(*names: str) -> str:
    there = " ".join(filter(None, names))
    return f' class="{there}"' if there else ""


def _table(league: League, known: Knowledge) -> str:
    head = "".join(f"<th>{name}</th>" for name in HEADERS)
    rows = [f"<tr>{''.join(_cells(place, known))}</tr>" for place in league.places]
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>"


def _cells(place: Place, known: Knowledge) -> Iterable[str]:
    yield f'<td class="number">{"–" if place.rank is None else place.rank}</td>'
    yield _name(place)
    shares = map(share, (place.changes, place.first, place.alarms))
    numbers: Sequence[str] = (
        *(_interval(place.foresight), _number(place.p_adjusted), _interval(place.ahead), *shares),
        *(_interval(place.partial), _number(place.value.value), _number(place.moved.value)),
        *(_number(place.ms), _number(place.resolution)),
    )
    yield from (f'<td class="number">{text}</td>' for text in numbers)
    yield f"<td>{_text(known_of(place, known))}</td>"


def _interval(of: Mean) -> str:
    middle = _number(of.mean)
    return f"{middle} [{_number(of.low)}, {_number(of.high)}]" if of.known else middle


def _number(value: float) -> str:
    return number(value if math.isnan(value) else float(f"{value:.2g}")).replace("-", "−")
