"""What is registered: plugins and what each brought, and what the names that are asked for stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from grokscope.declare import Factory
from grokscope.errors import PluginError, UnknownName, UsageError
from grokscope.hypothesis import Hypothesis
from grokscope.measure import Measure
from grokscope.results.columns import LOSS, is_glob, single
from grokscope.results.names import ColumnName
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.run.outcome import outcome_table

if TYPE_CHECKING:
    from grokscope.figure import Figure

LEFT_OUT = "GROKSCOPE_DISABLE_PLUGINS"  # names of plugins that are not loaded, separated by commas
LONG_IMPORT = 1.0  # seconds that a plugin may add to every command before that is said


@dataclass(frozen=True, eq=False)
class Plugin:
    """One plugin: where it comes from and what it brings, or why it is broken.

    Attributes:
        name: its entry point's name, which is also its family's.
        distribution: the distribution that it came with.
        version: that distribution's version.
        module: what the entry point names.
        measures, tasks, models, hypotheses, figures: what it registered; nothing when it is broken.
        problem: why it is broken, in one sentence; empty when it is not.
        error: the exception behind `problem`, for its traceback.
        seconds: how long it took to import and register.
    """

    name: str
    distribution: str
    version: str
    module: str
    measures: tuple[Measure, ...] = ()
    tasks: tuple[Factory, ...] = ()
    models: tuple[Factory, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    figures: tuple[Figure, ...] = ()
    problem: str = ""
    error: BaseException | None = None
    seconds: float = 0.0

    @property
    def origin(self) -> str:
        """The plugin's name and distribution in words."""
        distribution = f"{self.distribution} {self.version}".strip()
        return f"plugin {self.name}" + (f" of {distribution}" if distribution else "")


@dataclass(frozen=True, eq=False)
class Registered:
    """A measure and the plugin that brought it; `unique` when no other plugin has a measure of that name."""

    plugin: str
    distribution: str
    version: str
    measure: Measure
    unique: bool = True

    @property
    def id(self) -> str:
        """`plugin:measure`, which no other measure has."""
        return f"{self.plugin}:{self.measure.name}"

    @property
    def title(self) -> str:
        """The measure's name; `plugin:measure` when two plugins have one of that name."""
        return self.measure.name if self.unique else self.id


class Plugins:
    """Everything that was found, and what the names of measures, tasks and models stand for."""

    def __init__(self, plugins: Iterable[Plugin], left_out: Iterable[str] = ()) -> None:
        self.plugins = tuple(plugins)
        """All plugins, also the broken ones."""
        self.left_out = tuple(left_out)
        """Names of installed plugins that were not to be loaded."""
        self.registered = tuple(_registered(self.plugins))
        """All measures, in the order of their plugins."""
        self.tasks: Mapping[str, Factory] = {task.name: task for p in self.plugins for task in p.tasks}
        self.models: Mapping[str, Factory] = {model.name: model for p in self.plugins for model in p.models}
        self.figures: Mapping[str, Figure] = {
            figure.name: figure for p in self.plugins for figure in p.figures
        }

    @property
    def measures(self) -> Mapping[str, Registered]:
        """All measures by title: the bare name, or `plugin:measure` where the bare name is two measures'."""
        return {registered.title: registered for registered in self.registered}

    @property
    def hypotheses(self) -> Mapping[str, Hypothesis]:
        """All hypotheses by name; `plugin:hypothesis` where two plugins have one of that name."""
        found = [(plugin.name, each) for plugin in self.plugins for each in plugin.hypotheses]
        names = [each.name for _, each in found]
        return {
            each.name if names.count(each.name) == 1 else f"{plugin}:{each.name}": each
            for plugin, each in found
        }

    @property
    def broken(self) -> tuple[Plugin, ...]:
        """The plugins that could not be used."""
        return tuple(plugin for plugin in self.plugins if plugin.problem)

    @property
    def problems(self) -> list[str]:
        """What is wrong, a sentence for each broken plugin."""
        return [f"{plugin.origin} is broken: {plugin.problem}" for plugin in self.broken]

    @property
    def slow(self) -> list[str]:
        """Which plugins hold every command up, a sentence for each."""
        return [
            f"{plugin.origin} took {plugin.seconds:.1f} s to import, which every command waits for: what is "
            "heavy should be imported inside its functions"
            for plugin in self.plugins
            if plugin.seconds > LONG_IMPORT
        ]

    def select(self, names: Iterable[str] | None = None) -> list[Registered]:
        """Return the measures that `names` stand for, each once, in the order asked for.

        A name is a measure (`pmi`), a family (`matrix_information`), `plugin:measure`, `all`, or a glob over
        these (`p*`, `oinfo:*`). None is every measure that does not declare itself expensive.

        Raises:
            UnknownName: nothing is called so.
            UsageError: the name stands for two things; both are spelled out.
            PluginError: the name is a broken plugin's.
        """
        if names is None:
            return [registered for registered in self.registered if not registered.measure.expensive]
        chosen: dict[str, Registered] = {}
        for name in names:
            chosen.update((registered.id, registered) for registered in self._resolve(name.strip()))
        return list(chosen.values())

    def giving(self, names: Iterable[str]) -> list[Registered]:
        """Return the measures that have to be computed so that `names` are there as columns, each once.

        A name is as `select` and `chosen_columns` take it. What training has measured needs no measure.

        Raises UnknownName, UsageError and PluginError as these do.
        """
        found = {each.id: each for name in names for each in self._giving(name.strip())}
        return list(found.values())

    def outcome(self, column: str | None, above: float | None, below: float | None) -> dict[str, Any]:
        """Return what says in a run's configuration that it has generalised; empty where nothing is given.

        Raises SettingError for what is no bound, UnknownName for a column that neither the curve nor a
        measure brings.
        """
        table = outcome_table(column, above, below)
        if table and table["column"] not in CURVE_COLUMNS:
            if not ColumnName.read(table["column"]).column or is_glob(table["column"]):
                raise UnknownName(
                    "column", table["column"], CURVE_COLUMNS, "or a measured one, measure.column"
                )
            self.giving([table["column"]])
        return table

    def column_of(self, role: str) -> ColumnName:
        """Return the first column that is declared with a role, see `Column`.

        Raises UsageError where no installed measure has one.
        """
        for registered in self.registered:
            for column in registered.measure.columns:
                if column.role == role:
                    return ColumnName(registered.title, column.name)
        raise UsageError(f"no installed measure declares a column whose role is {role}: name the column")

    def with_arrays(self, *roles: str) -> list[Registered]:
        """Return the measures that store an array of each of these roles."""
        return [found for found in self.registered if found.measure.array_roles.keys() >= set(roles)]

    def _giving(self, name: str) -> list[Registered]:
        if name in (*CURVE_COLUMNS, LOSS):
            return []
        read = ColumnName.read(name)
        if read.column:
            chosen = self.select([read.measure])
            known = [
                ColumnName(each.title, column.name) for each in chosen for column in each.measure.columns
            ]
            if not is_glob(name) and not any(full.column == read.column for full in known):
                raise UnknownName("column", name, known)
            return chosen
        try:
            return self.select([name])
        except UnknownName:
            if is_glob(name):
                raise
        return [self._having(name)]

    def _having(self, column: str) -> Registered:
        """The one measure that has a column of this name."""
        having = _columns_of(self.registered)
        own = column.partition(":")[0]
        meant = [full for full in having if full.column == own]
        if not meant:
            words = {word for full in having for word in (full.measure, full.column)}
            raise UnknownName("measure or column", column, words | {plugin.name for plugin in self.plugins})
        single(column, meant, having)
        return having[meant[0]]

    def _resolve(self, name: str) -> list[Registered]:
        if name == "all":
            return list(self.registered)
        if is_glob(name):
            found = [
                r for r in self.registered if fnmatchcase(r.measure.name, name) or fnmatchcase(r.id, name)
            ]
        else:
            found = self._named(name)
        if not found:
            raise self._unknown(name)
        return found

    def _named(self, name: str) -> list[Registered]:
        exact = [
            registered for registered in self.registered if name in (registered.id, registered.measure.name)
        ]
        family = [registered for registered in self.registered if registered.plugin == name]
        if not exact:
            return family
        meant = [registered.id for registered in exact]
        if family and exact[0].plugin != name:
            meant.append(f"{name}:*")  # a stranger's measure must not hide a family of the same name
        if len(meant) > 1:
            raise UsageError(f"measure {name!r} is more than one: say {' or '.join(meant)}")
        return exact

    def _unknown(self, name: str) -> UsageError | PluginError:
        plugin, colon, measure = name.partition(":")
        for broken in self.broken:
            if broken.name == plugin:
                return PluginError(f"measure {name!r}: {broken.origin} is broken: {broken.problem}")
        if plugin in self.left_out:
            return UsageError(f"measure {name!r}: plugin {plugin} is left out, by `without` or {LEFT_OUT}")
        known = [registered.measure.name for registered in self.registered if registered.plugin == plugin]
        if colon and known:
            return UnknownName(f"measure of plugin {plugin}", measure, known)
        names = {n for r in self.registered for n in (r.plugin, r.title)}
        names |= {r.id for r in self.registered} if colon else set()
        hint = "broken plugins may have it: see `grokscope plugins`" if self.broken else ""
        if self.left_out:
            hint = f"{', '.join(self.left_out)} may have it, and is left out by `without` or {LEFT_OUT}"
        return UnknownName("measure or family", name, names, hint)


def _columns_of(measures: Iterable[Registered]) -> dict[ColumnName, Registered]:
    return {ColumnName(each.title, column.name): each for each in measures for column in each.measure.columns}


def _registered(plugins: Sequence[Plugin]) -> Iterator[Registered]:
    names = [measure.name for plugin in plugins for measure in plugin.measures]
    for plugin in plugins:
        for measure in plugin.measures:
            unique = names.count(measure.name) == 1
            yield Registered(plugin.name, plugin.distribution, plugin.version, measure, unique)
