"""Which columns of results count: which hold numbers, which are shown, and what a name that was typed means.

Everything here takes the results of one run or of several side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

from grokscope.errors import UnknownName, UsageError
from grokscope.results.names import ColumnName, bare
from grokscope.run.curves import CURVE_COLUMNS

if TYPE_CHECKING:
    from grokscope.results.comparison import Comparison
    from grokscope.results.results import Results

LOSS = "loss"  # stands for train_loss and test_loss of the curve
Found: TypeAlias = "Results | Comparison"


def number_columns(found: Found) -> list[ColumnName]:
    """Return all columns of numbers, in the order of the measures."""
    return [name for name in found.measured if not found.declared[name].text]


def told_columns(found: Found) -> list[ColumnName]:
    """Return the columns of numbers without the tallies that have nothing to tell."""
    return [
        name
        for name in number_columns(found)
        if not (found.declared[name].tally and _is_idle(name, each_run(found)))
    ]


def shown_columns(found: Found, per_layer: bool = False) -> list[ColumnName]:
    """Return the columns that tables, figures and scores are about unless others are asked for.

    These are the columns that tell something; those by layer only where a measure has no total, or
    `per_layer`.
    """
    told = told_columns(found)
    if per_layer:
        return told
    totals = {name.measure for name in number_columns(found) if not name.label}
    return [name for name in told if not name.label or name.measure not in totals]


def chosen_columns(
    found: Found, names: str | Iterable[str] | None = None, per_layer: bool = False
) -> list[str]:
    """Return the columns of numbers that `names` stand for, each once, in the order asked for.

    A name is a column (`oinfo.synergy`, or `synergy` where only one measure has it), a measure, a family,
    `all`, or a glob over these; or a metric of the curve (`test_loss`; `loss` is both). A measure is its
    columns without those by layer, unless it has no others, or `per_layer`. None is all.

    A measure that does not apply, or that failed everywhere, has none.

    Raises:
        UnknownName: nothing is called so.
        UsageError: two measures have a column of that name.
    """
    shown = shown_columns(found, per_layer)
    if names is None:
        return [*shown]
    names = names.split(",") if isinstance(names, str) else names
    chosen = [column for name in names for column in _meant(found, name.strip(), shown)]
    return list(dict.fromkeys(chosen))


def named_columns(found: Found, names: Iterable[str]) -> list[ColumnName]:
    """Return the columns of numbers that are called exactly so, each once. Raises UnknownName."""
    numbers: dict[str, ColumnName] = {name: name for name in number_columns(found)}
    named = []
    for name in dict.fromkeys(names):
        if name not in numbers:
            raise UnknownName("column", name, numbers)
        named.append(numbers[name])
    return named


def one_column(found: Found, name: str) -> str:
    """Return the column that `name` stands for. Raises UnknownName and UsageError."""
    told = told_columns(found)
    if name in CURVE_COLUMNS or name in told:
        return name
    return single(name, _bare(told, name) or [column for column in told if column.measure == name], told)


def not_applying(found: Found) -> list[str]:
    """Return why measures do not apply, a sentence each."""
    notes = dict.fromkeys(note for results in each_run(found) for note in results.notes.items())
    return [f"{measure} does not apply: {why}" for measure, why in notes]


def noted(found: Found, shown: Sized) -> list[str]:
    """Return what is noted below a table of the columns `shown`: how many are left out, what has none."""
    hidden = len(told_columns(found)) - len(shown)
    more = [f"{hidden} more columns by layer: --per-layer, --csv or --json show them"] if hidden else []
    return [*more, *not_applying(found)]


def column_of(found: Found, role: str) -> ColumnName | None:
    """Return the first measured column that is declared with a role, see `Column`; None without one."""
    return next((name for name in number_columns(found) if found.declared[name].role == role), None)


def is_glob(name: str) -> bool:
    """Return whether a name stands for whatever fits it."""
    return any(character in name for character in "*?[")


def single(name: str, found: Sequence[str], known: Iterable[str]) -> str:
    """Return the one column of `found`, that `name` stands for. Raises UnknownName and UsageError."""
    if not found:
        raise UnknownName("column", name, known)
    if len(found) > 1:
        raise UsageError(f"column {name!r} is more than one: say {' or '.join(found)}")
    return found[0]


def _meant(found: Found, name: str, shown: Sequence[ColumnName]) -> Sequence[str]:
    told = told_columns(found)
    if name == LOSS:
        return ["train_loss", "test_loss"]
    if name in CURVE_COLUMNS or name in told:
        return [name]
    if name == "all":
        return shown
    if is_glob(name):
        measures = [column for column in shown if fnmatchcase(column.measure, name)]
        meant = measures or [column for column in told if fnmatchcase(column, name)]
    else:
        meant = [column for column in shown if name in _owners(found, column.measure)]
    if not meant and _has_no_columns(found, name):
        return []
    return meant or [single(name, _bare(told, name), [*told, *CURVE_COLUMNS])]


def _has_no_columns(found: Found, name: str) -> bool:
    """Whether `name` was asked for but has nothing to show: it does not apply, or it failed."""
    measure = ColumnName.read(name).measure
    asked = [results for results in each_run(found) if measure in results.provenance]
    return bool(asked) and not any(column.measure == measure for r in asked for column in r.measured)


def _owners(found: Found, measure: str) -> set[str]:
    """What a measure is called, with and without its plugin, and its family."""
    provenance = [results.provenance[measure] for results in each_run(found) if measure in results.provenance]
    families = {origin.plugin for origin in provenance}
    return {measure, bare(measure), *families, *(f"{f}:{measure}" for f in families)}


def _bare(told: Iterable[ColumnName], name: str) -> list[ColumnName]:
    """The columns whose name without the measure is `name`."""
    return [column for column in told if column.own == name]


def each_run(found: Found) -> list[Results]:
    """Return the results of each run."""
    from grokscope.results.results import Results

    return [found] if isinstance(found, Results) else list(found.runs.values())


def _is_idle(name: ColumnName, runs: Iterable[Results]) -> bool:
    return not any(value > 0 for results in runs for value in results.columns.get(name, ()))
