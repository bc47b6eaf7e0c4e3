"""What a measured column is called: made once, where a result is read, and asked for its parts ever after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

STEP = "step"  # the column of results that no measure brings

Held = TypeVar("Held")


class ColumnName(str):
    """The name `measure.column`, or `measure.column:label` of a row that is labelled, and its parts.

    It is its text, so that results are asked by text too (`results.columns["pmi.pmi"]`).

    Attributes:
        measure: the measure's title: its name, or `plugin:name` where two plugins have one of that name.
        column: the column's own name, empty where a text names a measure alone.
        label: the row's labels, separated by commas; empty for a total.

    >>> name = ColumnName("weight_norm", "l2", "head")
    >>> name, name.measure, name.column, name.label
    ('weight_norm.l2:head', 'weight_norm', 'l2', 'head')
    """

    measure: str
    column: str
    label: str

    def __new__(cls, measure: str, column: str, label: str = "") -> ColumnName:
        """Make the name of its parts."""
        head = f"{measure}.{column}" if column else measure
        name = super().__new__(cls, f"{head}:{label}" if label else head)
        name.measure, name.column, name.label = measure, column, label
        return name

    def __getnewargs__(self) -> tuple[str, str, str]:  # type: ignore[override]
        return self.measure, self.column, self.label

    def __deepcopy__(self, memo: object) -> ColumnName:
        return self

    @classmethod
    def read(cls, text: str) -> ColumnName:
        """Return the name that a text means: one that a person typed, or that a plugin declared.

        >>> ColumnName.read("weight_norm.l2:layers.0.weight").label
        'layers.0.weight'
        >>> ColumnName.read("mine:pmi.pmi").measure, ColumnName.read("pmi").column
        ('mine:pmi', '')
        """
        if isinstance(text, ColumnName):
            return text
        plugin, colon, rest = text.partition(":")
        if colon and "." not in plugin:
            own = cls.read(rest)
            return cls(f"{plugin}:{own.measure}", own.column, own.label)
        head, _, label = text.partition(":")
        measure, _, column = head.partition(".")
        return cls(measure, column, label)

    @property
    def total(self) -> ColumnName:
        """The name without its label."""
        return ColumnName(self.measure, self.column)

    @property
    def own(self) -> str:
        """The name under its measure's heading: `column`, or `column:label`."""
        return f"{self.column}:{self.label}" if self.label else self.column

    @property
    def alone(self) -> str:
        """The name where it is its measure's only one: the measure's where the column repeats it."""
        return self.measure if self.column == self.measure and not self.label else str(self)


def bare(measure: str) -> str:
    """Return a measure's name without its plugin's.

    >>> bare("mine:pmi"), bare("pmi")
    ('pmi', 'pmi')
    """
    return measure.rpartition(":")[2]


def named(held: Mapping[str, Held]) -> dict[str, Held]:
    """Return a table of results with its columns' names read, as far as they are plain text."""
    return {name if name == STEP else ColumnName.read(name): value for name, value in held.items()}


def by_measure(names: Iterable[ColumnName]) -> list[ColumnName]:
    """Return names, each once, those of one measure together, in the order in which measures first come."""
    found = list(dict.fromkeys(names))
    place = {measure: at for at, measure in enumerate(dict.fromkeys(name.measure for name in found))}
    return sorted(found, key=lambda name: place[name.measure])
