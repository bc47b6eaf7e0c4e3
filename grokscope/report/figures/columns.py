"""Which measures must be computed so that columns of a name are there."""

from __future__ import annotations

from collections.abc import Iterable

from grokscope.errors import UnknownName
from grokscope.registry import Plugins
from grokscope.results.columns import LOSS, is_glob, single
from grokscope.results.names import ColumnName
from grokscope.run.curves import CURVE_COLUMNS


def measures_of(names: Iterable[str], plugins: Plugins) -> list[str]:
    """Return the measures that have to be computed so that `names` are there as columns.

    Raises UnknownName and UsageError as `Plugins.select` and `chosen_columns` do.
    """
    wanted = [measure for name in names for measure in _measures_of(name.strip(), plugins)]
    return list(dict.fromkeys(wanted))


def _measures_of(name: str, plugins: Plugins) -> list[str]:
    if name in (*CURVE_COLUMNS, LOSS):
        return []
    read = ColumnName.read(name)
    if read.column:
        chosen = plugins.select([read.measure])
        known = [ColumnName(r.title, each.name) for r in chosen for each in r.measure.columns]
        if not is_glob(name) and not any(each.column == read.column for each in known):
            raise UnknownName("column", name, known)
        return [registered.id for registered in chosen]
    try:
        return [registered.id for registered in plugins.select([name])]
    except UnknownName:
        if is_glob(name):
            raise
    having = {
        ColumnName(registered.title, column.name): registered.id
        for registered in plugins.registered
        for column in registered.measure.columns
    }
    bare = name.partition(":")[0]
    meant = [full for full in having if full.column == bare]
    if not meant:
        words = {word for full in having for word in (full.measure, full.column)}
        raise UnknownName("measure or column", name, words | {plugin.name for plugin in plugins.plugins})
    single(name, meant, having)
    return [having[meant[0]]]
