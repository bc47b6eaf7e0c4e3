"""How a measure declares itself: a function whose signature says what it wants and what can be set.

Imports no torch, so that listing measures and finding stored results stay quick.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from grokscope.declare import Parameter, read_parameters, resolve, signature
from grokscope.errors import PluginError, ResultError
from grokscope.knowledge import LATER, knowing_less, knowledge_problem

INPUTS = {
    "weights": "parameters by name, each once, without buffers; no forward pass is run",
    "probe": "the checkpoint brought to life: logits, activations, noised inputs",
    "baseline": "another checkpoint's probe: first, last, previous or a step",
    "rng": "a seeded torch.Generator; asking for it says that the measure is random",
}
DIRECTIONS = ("", "up", "down", "peak")
BASELINES = ("first", "last", "previous")
MOST_ROWS = 100_000
ROUNDING = 1e-6  # of a bound: what sums of float32 may be beyond it
MOST_BYTES = 64 << 20  # of one result: its arrays together, or its rows as the table that is stored
MOST_CHARACTERS = 4096  # of a label or word: every row of a stored table is as wide as the longest
TIDY_COLUMNS = ("run", "step", "measure", "column", "value")  # what `analyze --long` writes beside labels
ROLES = {
    "control": "how large the weights are: what correlations of other columns are controlled for",
    "synergy": "what rises and falls with the phases of a training",
    "redundancy": "what tells one fall of synergy from another",
}
ARRAY_ROLES = {
    "groups": "(units,) the group of each hidden unit, -1 where it has none",
    "synergistic": "the groups whose units make up the synergistic sub-network, empty when there is none",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Column:
    """One number that a measure returns.

    `direction` is where the literature says it goes as a network groks. `missing` says when the value may be
    NaN; a column that does not say so must always be a finite number. `text` columns hold words. A `tally` of
    something unusual is left out of tables while it is 0; CSV and JSON always have it. `role`, one of
    `ROLES`, is what grokscope itself asks for it by: of several columns that have it the first is taken,
    grokscope's own before a stranger's. `knows` says what of its measure's knowledge it takes, `end` among
    it, where that is not all.
    """

    name: str
    help: str
    unit: str = ""
    direction: Literal["up", "down", "peak", ""] = ""
    min: float | None = None
    max: float | None = None
    missing: str = ""
    text: bool = False
    tally: bool = False
    role: str = ""
    knows: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.knows is not None:
            object.__setattr__(self, "knows", tuple(self.knows))

    @property
    def range(self) -> str:
        """The values that it can have: `0 … 1`, `text`, or `–` where there is no bound."""
        if self.text:
            return "text"
        if self.min is None and self.max is None:
            return "–"
        low = "-∞" if self.min is None else f"{self.min:g}"
        return f"{low} … {'∞' if self.max is None else f'{self.max:g}'}"

    @property
    def meaning(self) -> str:
        """What it is, and when it is missing."""
        return self.help + (f" (NaN: {self.missing.removeprefix('when ')})" if self.missing else "")


class Row(NamedTuple):
    """One row of a measure's result: labels (layer, ...), numbers and words by column, arrays beside them."""

    labels: tuple[str, ...] = ()
    values: Mapping[str, float | str] = {}
    arrays: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Measure:
    """A declared measure. Calling it calls the function it was made from."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    columns: tuple[Column, ...]
    per: tuple[str, ...]
    arrays: Mapping[str, str]
    version: int
    expensive: bool
    source: str
    baseline: str
    help: str
    array_roles: Mapping[str, str] = field(default_factory=dict)
    knows: tuple[str, ...] | None = None

    @property
    def known(self) -> tuple[str, ...] | None:
        """What must be known beside the weights and the inputs trained on; None where it does not say.

        A measure of weights alone need not say it. `end` stands for the last checkpoint.
        """
        if self.knows is None and "probe" in self.inputs:
            return None
        end = "baseline" in self.inputs and self.baseline == "last"
        return (*(self.knows or ()), *((LATER,) if end else ()))

    def known_of(self, column: Column) -> tuple[str, ...] | None:
        """What a column of it must know, which may be less; None where it does not say."""
        return self.known if column.knows is None else (*column.knows,)

    @property
    def knowing_less(self) -> dict[tuple[str, ...], list[str]]:
        """The columns that must know less than the measure, by what they must know."""
        return knowing_less((column.name, column.knows) for column in self.columns)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that it was made from."""
        return self.function(*args, **kwargs)

    @property
    def summary(self) -> str:
        """The docstring's first sentence or paragraph, on one line."""
        return " ".join(self.help.split("\n\n")[0].split())

    @property
    def random(self) -> bool:
        """True when the measure asks for `rng`."""
        return "rng" in self.inputs

    def collect(self, outcome: Any) -> list[Row]:
        """Check what the function returned against the declaration and return it as rows.

        What comes back is made of exact tuples, floats, texts and arrays, whatever was handed in: a class of
        the plugin's own does not get into results, nor into another process.

        Raises ResultError naming the first key that is not declared, value that is not allowed, or limit that
        is exceeded: 100 000 rows, 64 MB of arrays, 64 MB as a table, 4096 characters in a label or word.
        """
        if isinstance(outcome, Mapping):
            outcome = [outcome]
        if not isinstance(outcome, Iterable) or isinstance(outcome, (str, bytes)):
            raise ResultError(
                f"{self.name} must return a mapping or yield mappings, got {type(outcome).__name__}"
            )
        rows: list[Row] = []
        size = 0
        for item in outcome:
            rows.append(self._row(item))
            size += sum(array.nbytes for array in rows[-1].arrays.values())
            self._refuse_much(len(rows) > MOST_ROWS, f"{MOST_ROWS} rows at most, it goes on after these")
            self._refuse_much(size > MOST_BYTES, f"at most {MOST_BYTES >> 20} MB of arrays, got more")
        table = sum(len(row.values) + len(row.arrays) for row in rows) * max(map(_width, rows), default=0)
        self._refuse_much(
            table > MOST_BYTES, f"at most {MOST_BYTES >> 20} MB as a table, got {table >> 20}: shorter words"
        )
        if not rows:
            raise ResultError(f"{self.name} returned no row; where it has no answer it raises NotApplicable")
        if len({row.labels for row in rows}) < len(rows):
            raise ResultError(
                f"{self.name} returned two rows with the same labels; per= must tell them apart"
            )
        return rows

    def _refuse_much(self, much: bool, limit: str) -> None:
        if much:
            raise ResultError(f"{self.name} must return {limit}")

    def _row(self, item: Any) -> Row:
        if not isinstance(item, Mapping):
            raise ResultError(f"{self.name} must yield mappings, got {type(item).__name__}")
        columns = self._by_name
        for key in item:
            if key not in columns and key not in self.per and key not in self.arrays:
                declared = [*self.per, *columns, *self.arrays]
                raise ResultError(
                    f"{self.name} returned {key!r}, which is not declared; declared: {declared}"
                )
        return Row(
            self._labels(item),
            {str.__str__(key): _value(columns[key], item[key], self.name) for key in item if key in columns},
            {str.__str__(key): _array(item[key], f"{self.name}.{key}") for key in item if key in self.arrays},
        )

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def _labels(self, item: Mapping[str, Any]) -> tuple[str, ...]:
        given = [key for key in self.per if key in item]
        if given and len(given) < len(self.per):
            raise ResultError(f"{self.name} returned a row with {given} of the labels {list(self.per)}")
        return tuple(_text(str(item[key]), f"{self.name}: the label {key}") for key in given)


def _width(row: Row) -> int:
    """Return the length of the row's longest text."""
    words = [value for value in row.values.values() if isinstance(value, str)]
    return sum(map(len, row.labels)) + max(map(len, words), default=0)


def _text(value: str, where: str) -> str:
    """Return the text as an exact str. Raises ResultError where it cannot be stored and written."""
    text = str.__str__(value)
    if len(text) > MOST_CHARACTERS:
        raise ResultError(f"{where} must have at most {MOST_CHARACTERS} characters, got {len(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ResultError(
            f"{where} must be text that UTF-8 can hold, got {text!a}: half a surrogate pair; decode "
            "bytes with errors='replace'"
        ) from None
    return text


def _value(column: Column, value: Any, where: str) -> float | str:
    if column.text:
        if not isinstance(value, str):
            raise ResultError(f"{where}.{column.name} must be text, got {type(value).__name__}")
        return _text(value, f"{where}.{column.name}")
    try:
        number = float(value) if not isinstance(value, (str, bytes)) else None
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = None
    if number is None:
        raise ResultError(f"{where}.{column.name} must be a number, got {_described(value)}")
    if not math.isfinite(number):
        if not column.missing:
            raise ResultError(
                f"{where}.{column.name} is {number}; "
                "a column that may be missing says when: Column(missing=...)"
            )
        return number
    if _beyond(number, column):
        raise ResultError(
            f"{where}.{column.name} must be within [{column.min}, {column.max}], got {number!r}"
        )
    return number


def _beyond(number: float, column: Column) -> bool:
    """Whether a number is outside the column's bounds by more than rounding: shares may sum to 1 + 2e-7."""
    low = -math.inf if column.min is None else column.min - ROUNDING * max(1.0, abs(column.min))
    high = math.inf if column.max is None else column.max + ROUNDING * max(1.0, abs(column.max))
    return not low <= number <= high


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


def _array(value: Any, where: str) -> Any:
    import numpy

    size = getattr(value, "nbytes", 0)
    if isinstance(size, int) and size > MOST_BYTES:  # before it is copied
        raise ResultError(f"{where} must have at most {MOST_BYTES >> 20} MB, got {size >> 20} MB")
    try:  # a copy: the measure's own array may be memoised, and results outlive the checkpoint
        array = numpy.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise ResultError(f"{where} must be an array of numbers, got {_described(value)}") from error
    if array.dtype.kind not in "biuf":
        raise ResultError(f"{where} must be an array of numbers, got {array.dtype}")
    return array.view(array.dtype.str)  # without metadata, in which a dtype may carry any object


def call_measure(
    measure: Measure,
    parameters: Mapping[str, Any],
    *,
    weights: Callable[[], Any],
    probe: Callable[[], Any],
    baseline: Callable[[], Any],
    rng: Callable[[], Any],
) -> list[Row]:
    """Call `measure` with the inputs that it names, each made only if it does, and return its checked rows.

    Whoever runs measures goes through here, so that all run them alike. `rng` must give a fresh
    `generator_for("measure", noise seed, id, parameters)`, with the id `plugin:measure` and the parameters as
    `canonical_json`; the other inputs may be shared by all measures of a checkpoint.

    Raises:
        ResultError: the result is not what the measure declares. Whatever the measure raises goes through.
        SettingError, UnknownName: `parameters` are not the measure's.
    """
    given = {"weights": weights, "probe": probe, "baseline": baseline, "rng": rng}
    settings = resolve(measure.parameters, parameters, measure.name)
    return measure.collect(measure.function(*(given[name]() for name in measure.inputs), **settings))


def measure(
    *,
    columns: Sequence[Column],
    per: Sequence[str] = (),
    arrays: Mapping[str, str] | None = None,
    array_roles: Mapping[str, str] | None = None,
    version: int = 1,
    expensive: bool = False,
    source: str = "",
    baseline: str = "first",
    name: str | None = None,
    knows: Sequence[str] | None = None,
) -> Callable[[Callable[..., Any]], Measure]:
    """Declare a function as a measure; its signature says the rest.

    Positional names are the inputs wanted (`weights`, `probe`, `baseline`, `rng`), keyword-only names its
    parameters. It returns one mapping from column to number, or yields several with the labels of `per`.

    Args:
        columns: what it returns.
        per: label keys of rows, for example `["layer"]`.
        arrays: names and help of arrays stored beside a row. A result may have 64 MB of them, 100 000 rows,
            and 4096 characters in a label or word.
        array_roles: which array grokscope finds when it asks for one of `ARRAY_ROLES`, by role.
        version: raise it when the numbers change; stored results of another version are computed again.
        expensive: left out of `analyze` unless asked for.
        source: paper and equation.
        baseline: which checkpoint `baseline` is unless the user says: `first`, `last`, `previous` or a step.
        name: the measure's name when it is not the function's.
        knows: what it must know beside the weights and the training inputs, of `labels`, `test` (examples
            that were held out) and `task`; an empty list says that it needs nothing more.

    Raises:
        PluginError: the declaration cannot be: an input that does not exist, a parameter without type or
            default, a name that is used twice or is no identifier.
    """

    def declare(function: Callable[..., Any]) -> Measure:
        title = name or str(getattr(function, "__name__", type(function).__name__))
        where = f"measure {title}"
        given = signature(function)
        declared = Measure(
            name=title,
            function=function,
            inputs=_inputs(given, where),
            parameters=read_parameters(function, where, given=given),
            columns=tuple(columns),
            per=tuple(per),
            arrays=dict(arrays or {}),
            version=version,
            expensive=expensive,
            source=source,
            baseline=baseline,
            help=inspect.getdoc(function) or "",
            array_roles=dict(array_roles or {}),
            knows=None if knows is None else tuple(knows),
        )
        problem = _problem(declared)
        if problem:
            raise PluginError(f"{where}: {problem}")
        return declared

    return declare


def _problem(measure: Measure) -> str:
    """Return what is wrong with a declaration, or nothing."""
    if not isinstance(measure.version, int) or measure.version < 1:
        return f"version must be a whole number from 1, got {measure.version!r}"
    if measure.baseline not in BASELINES and not measure.baseline.isdecimal():
        return f"baseline must be {', '.join(BASELINES)} or a step, got {measure.baseline!r}"
    problems = (
        knowledge_problem(measure.knows, measure.known, {each.name: each.knows for each in measure.columns}),
        _naming_problem(measure),
        *map(_column_problem, measure.columns),
        _array_problem(measure),
    )
    return next(filter(None, problems), "")


def _naming_problem(measure: Measure) -> str:
    if measure.name == "all":
        return "`all` stands for every measure and cannot be a measure's name"
    if not measure.columns:
        return "it must have a column at least"
    keys = [*(column.name for column in measure.columns), *measure.per, *measure.arrays]
    for key in (measure.name, *keys):
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            return f"names must be letters, digits and underscores, got {key!r}"
    for key in keys:
        if keys.count(key) > 1:
            return f"{key!r} must be one of a column, a label and an array, and only once"
    taken = [label for label in measure.per if label in TIDY_COLUMNS]
    return f"a label cannot be called {taken[0]!r}: tidy tables use that name" if taken else ""


def _column_problem(column: Column) -> str:
    if column.direction not in DIRECTIONS:
        return f"direction of {column.name} must be up, down, peak or nothing, got {column.direction!r}"
    if column.min is not None and column.max is not None and column.min > column.max:
        return f"bounds of {column.name} must be in order, got [{column.min}, {column.max}]"
    if column.role and column.role not in ROLES:
        return f"role of {column.name} must be {', '.join(ROLES)} or nothing, got {column.role!r}"
    return ""


def _array_problem(measure: Measure) -> str:
    for role, array in measure.array_roles.items():
        if role not in ARRAY_ROLES:
            return f"array_roles must be of {', '.join(ARRAY_ROLES)}, got {role!r}"
        if array not in measure.arrays:
            return f"array_roles must name its arrays ({', '.join(measure.arrays) or 'none'}), got {array!r}"
    return ""


def _inputs(given: inspect.Signature, where: str) -> tuple[str, ...]:
    names = []
    for name, parameter in given.parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            continue
        if name not in INPUTS or parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise PluginError(
                f"{where}: there is no input {name!r}; inputs are {', '.join(INPUTS)}, "
                "and parameters come after a bare *"
            )
        names.append(name)
    if not names:
        raise PluginError(f"{where}: it must name an input: {', '.join(INPUTS)}")
    return tuple(names)
