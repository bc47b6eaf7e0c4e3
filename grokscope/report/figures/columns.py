"""Which columns a name means in measured results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from grokscope.analysis import Comparison, Results
from grokscope.analysis.results import split_name
from grokscope.errors import UnknownName, UsageError
from grokscope.registry import Plugins
from grokscope.report.tables import number_columns, shown_columns
from grokscope.run.curves import METRICS

LOSS = "loss"  # stands for train_loss and test_loss of the curve


def chosen_columns(
    found: Comparison | Results, names: str | Iterable[str] | None = None, per_layer: bool = False
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
    many = _runs(found)
    shown = _in_order(many, [name for results in many for name in shown_columns(results, per_layer)])
    if names is None:
        return shown
    names = names.split(",") if isinstance(names, str) else names
    chosen = [column for name in names for column in _meant(many, name.strip(), shown)]
    return list(dict.fromkeys(chosen))


def one_column(found: Comparison | Results, name: str) -> str:
    """Return the column that `name` stands for. Raises UnknownName and UsageError."""
    many = _runs(found)
    numbers = _in_order(many, [name for results in many for name in number_columns(results)])
    if name in METRICS or name in numbers:
        return name
    bare = _bare(numbers, name) or [column for column in numbers if split_name(column)[0] == name]
    return _single(name, bare, numbers)


def measures_of(names: Iterable[str], plugins: Plugins) -> list[str]:
    """Return the measures that have to be computed so that `names` are there as columns.

    Raises UnknownName and UsageError as `Plugins.select` and `chosen_columns` do.
    """
    wanted = [measure for name in names for measure in _measures_of(name.strip(), plugins)]
    return list(dict.fromkeys(wanted))


def _measures_of(name: str, plugins: Plugins) -> list[str]:
    if name in (*METRICS, LOSS):
        return []
    measure, column, _ = split_name(name)
    if column:
        chosen = plugins.select([measure])
        known = {f"{r.title}.{each.name}": r.id for r in chosen for each in r.measure.columns}
        if not _is_glob(name) and not any(full.endswith(f".{column}") for full in known):
            raise UnknownName("column", name, known)
        return [registered.id for registered in chosen]
    try:
        return [registered.id for registered in plugins.select([name])]
    except UnknownName:
        if _is_glob(name):
            raise
    having = {
        f"{registered.title}.{column.name}": registered.id
        for registered in plugins.registered
        for column in registered.measure.columns
    }
    bare = name.partition(":")[0]
    meant = [full for full in having if split_name(full)[1] == bare]
    if not meant:
        words = {split_name(full)[position] for full in having for position in (0, 1)}
        raise UnknownName("measure or column", name, words | {plugin.name for plugin in plugins.plugins})
    return [having[_single(name, meant, having)]]


def _is_glob(name: str) -> bool:
    return any(character in name for character in "*?[")


def _runs(found: Comparison | Results) -> list[Results]:
    return [found] if isinstance(found, Results) else list(found.runs.values())


def _in_order(many: Sequence[Results], names: Iterable[str]) -> list[str]:
    """Return `names`, each once, those of one measure together."""
    found = list(dict.fromkeys(names))
    place = {measure: at for at, measure in enumerate(dict.fromkeys(split_name(n)[0] for n in found))}
    return sorted(found, key=lambda name: place[split_name(name)[0]])


def _meant(many: Sequence[Results], name: str, shown: Sequence[str]) -> list[str]:
    numbers = _in_order(many, [column for results in many for column in number_columns(results)])
    if name == LOSS:
        return ["train_loss", "test_loss"]
    if name in METRICS or name in numbers:
        return [name]
    if name == "all":
        return list(shown)
    if _is_glob(name):
        measures = [column for column in shown if fnmatchcase(split_name(column)[0], name)]
        found = measures or [column for column in numbers if fnmatchcase(column, name)]
    else:
        found = [column for column in shown if name in _owners(many, column)]
    if not found and _has_no_columns(many, name):
        return []
    return found or [_single(name, _bare(numbers, name), [*numbers, *METRICS])]


def _has_no_columns(many: Sequence[Results], name: str) -> bool:
    """Whether `name` was asked for but has nothing to show: it does not apply, or it failed."""
    measure = split_name(name)[0]
    asked = [results for results in many if measure in results.provenance]
    return bool(asked) and not any(split_name(c)[0] == measure for r in asked for c in r.measured)


def _owners(many: Sequence[Results], column: str) -> set[str]:
    """The measure of a column, with and without its plugin, and the family."""
    measure = split_name(column)[0]
    families = {results.provenance[measure].plugin for results in many if measure in results.provenance}
    return {measure, measure.rpartition(":")[2], *families, *(f"{f}:{measure}" for f in families)}


def _bare(numbers: Iterable[str], name: str) -> list[str]:
    """The columns whose name without the measure is `name`."""
    found = []
    for column in numbers:
        _, bare, label = split_name(column)
        if name == (f"{bare}:{label}" if label else bare):
            found.append(column)
    return found


def _single(name: str, found: Sequence[str], known: Iterable[str]) -> str:
    if not found:
        raise UnknownName("column", name, known)
    if len(found) > 1:
        raise _several(name, found)
    return found[0]


def _several(name: str, meant: Sequence[str]) -> UsageError:
    return UsageError(f"column {name!r} is more than one: say {' or '.join(meant)}")
