"""How a measure declares itself, what it may return, and how it is called."""

import itertools
import pickle
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pytest
import torch

from grokscope.declare import Param
from grokscope.errors import PluginError, ResultError, SettingError, UnknownName
from grokscope.measure import Column, Measure, Row, call_measure, measure


@measure(
    columns=[
        Column("share", "a share", min=0, max=1),
        Column("gap", "a difference", missing="when there is one layer"),
        Column("method", "how", text=True),
    ],
    per=["layer", "head"],
    arrays={"labels": "a label per unit"},
    version=2,
    source="Somebody 2023, equation 4",
)
def spread(weights: Any, *, trim: Annotated[float, Param("share dropped", min=0, max=0.5)] = 0.1) -> Any:
    """Spread of the weights
    over layers.

    More about it.
    """  # noqa: D205 - a summary may be of two lines
    return {"share": trim}


def refuse(outcome: Any) -> str:
    with pytest.raises(ResultError) as caught:
        spread.collect(outcome)
    return str(caught.value)


def call(declared: Measure, parameters: dict[str, Any], **given: Any) -> list[Row]:
    def unwanted() -> Any:
        raise AssertionError("an input that the measure does not name must not be made")

    inputs = dict.fromkeys(("weights", "probe", "baseline", "rng"), unwanted)
    return call_measure(declared, parameters, **{**inputs, **{k: lambda v=v: v for k, v in given.items()}})


def test_the_signature_is_the_declaration() -> None:
    assert spread.name == "spread"
    assert spread.inputs == ("weights",)
    assert list(spread.parameters) == ["trim"]
    assert spread.summary == "Spread of the weights over layers."
    assert not spread.random
    assert spread({}, trim=0.3) == {"share": 0.3}


def test_a_measure_that_asks_for_rng_is_random() -> None:
    @measure(columns=[Column("x", "x")])
    def noisy(probe: Any, rng: Any) -> Any: ...

    assert noisy.random
    assert noisy.inputs == ("probe", "rng")


def test_one_mapping_is_one_row_and_several_are_rows_with_labels() -> None:
    assert spread.collect({"share": 0.5}) == [Row((), {"share": 0.5}, {})]
    rows = spread.collect([{"share": 1}, {"layer": "a", "head": 0, "share": 0.0, "method": "exact"}])
    assert [row.labels for row in rows] == [(), ("a", "0")]
    assert rows[1].values == {"share": 0.0, "method": "exact"}


def test_generators_and_tensors_and_numpy_numbers_are_taken() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"layer": 1, "head": 2, "share": torch.tensor(0.25), "gap": np.float32(0.5)}

    assert spread.collect(rows())[0].values == {"share": 0.25, "gap": 0.5}


def test_a_missing_value_is_kept_only_where_the_column_says_when() -> None:
    assert np.isnan(spread.collect({"gap": float("nan")})[0].values["gap"])
    assert "spread.share is nan; a column that may be missing says when" in refuse({"share": float("nan")})
    assert "spread.share is inf" in refuse({"share": torch.tensor(float("inf"))})


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (0.5, "must return a mapping or yield mappings, got float"),
        (None, "got NoneType"),
        ("share", "got str"),
        ([0.5], "must yield mappings, got float"),
        ([], "returned no row"),
        ({"sahre": 0.5}, "returned 'sahre', which is not declared; declared: ['layer', 'head', 'share'"),
        ({"layer": "a", "share": 0.5}, "a row with ['layer'] of the labels ['layer', 'head']"),
        ([{"share": 0.1}, {"share": 0.2}], "two rows with the same labels"),
        ({"share": 1.01}, "spread.share must be within [0, 1], got 1.01"),
        ({"share": -0.01}, "must be within [0, 1], got -0.01"),
        ({"share": "0.5"}, "spread.share must be a number, got str"),
        ({"share": None}, "must be a number, got NoneType"),
        ({"share": torch.zeros(3)}, "must be a number, got Tensor of shape (3,)"),
        ({"share": 10**400}, "must be a number, got int"),
        ({"method": 3}, "spread.method must be text, got int"),
        ({"labels": ["a", "b"]}, "spread.labels must be an array of numbers, got <U1"),
        ({"labels": [[1], [1, 2]]}, "spread.labels must be an array of numbers"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(outcome: Any, sentence: str) -> None:
    assert sentence in refuse(outcome)


def test_arrays_are_copied_so_that_results_outlive_the_checkpoint() -> None:
    labels = torch.arange(3)
    row = spread.collect({"labels": labels})[0]
    labels += 7
    assert row.arrays["labels"].tolist() == [0, 1, 2]


def test_only_the_named_inputs_are_made_in_the_order_named() -> None:
    @measure(columns=[Column("order", "order", text=True)])
    def order(rng: Any, weights: Any, *, mark: str = "-") -> Any:
        return {"order": f"{rng}{mark}{weights}"}

    rows = call(order, {"mark": "+"}, rng="r", weights="w")
    assert rows[0].values == {"order": "r+w"}


def test_parameters_are_checked_before_the_measure_runs() -> None:
    assert call(spread, {"trim": "0.5"}, weights={})[0].values == {"share": 0.5}
    assert call(spread, {}, weights={})[0].values == {"share": 0.1}
    with pytest.raises(SettingError, match=r"spread.trim must be float >= 0, <= 0.5, got 0.6"):
        call(spread, {"trim": 0.6})
    with pytest.raises(UnknownName, match="did you mean trim"):
        call(spread, {"trimm": 0.1})


def test_what_a_measure_raises_goes_through() -> None:
    @measure(columns=[Column("x", "x")])
    def failing(weights: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(failing, {}, weights={})


def plain(probe: Any) -> Any: ...
def unknown_input(model: Any) -> Any: ...
def starred(*probe: Any) -> Any: ...
def settings(probe: Any, **settings: Any) -> Any: ...
def nothing() -> Any: ...
def untyped(probe: Any, *, trim=0.1) -> Any: ...


X = Column("x", "x")


@pytest.mark.parametrize(
    ("function", "options", "sentence"),
    [
        (unknown_input, {}, "there is no input 'model'; inputs are weights, probe, baseline, rng"),
        (starred, {}, "there is no input 'probe'"),
        (settings, {}, "there is no input 'settings'"),
        (nothing, {}, "it must name an input"),
        (untyped, {}, "parameter 'trim' must have a type"),
        (plain, {"name": "all"}, "`all` stands for every measure"),
        (plain, {"name": "a:b"}, "letters, digits and underscores, got 'a:b'"),
        (plain, {"columns": []}, "it must have a column"),
        (plain, {"columns": [Column("a,b", "x")]}, "letters, digits and underscores, got 'a,b'"),
        (plain, {"columns": [X, X]}, "'x' must be one of a column, a label and an array"),
        (plain, {"per": ["x"]}, "'x' must be one of"),
        (plain, {"arrays": {"x": "help"}}, "'x' must be one of"),
        (plain, {"per": ["step"]}, "a label cannot be called 'step'"),
        (plain, {"version": 0}, "version must be a whole number from 1, got 0"),
        (plain, {"baseline": "second"}, "baseline must be first, last, previous or a step"),
        (plain, {"columns": [Column("x", "x", direction="sideways")]}, "direction of x must be up, down"),  # type: ignore[arg-type]
        (plain, {"columns": [Column("x", "x", min=1, max=0)]}, r"bounds of x must be in order"),
    ],
)
def test_a_declaration_that_cannot_be_fails_at_once(function: Any, options: Any, sentence: str) -> None:
    with pytest.raises(PluginError, match=sentence):
        measure(**{"columns": [X], **options})(function)


# What may come back


def returning(outcome):
    @measure(
        columns=[Column("value", "a number"), Column("word", "a word", text=True)],
        per=["layer"],
        arrays={"all": "everything"},
    )
    def returns(weights):
        """Return."""

    return returns.collect(outcome)


LONG = "x" * 4000


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (
            {"layer": "a\udcff", "value": 1},
            r"the label layer must be text that UTF-8 can hold, got 'a\udcff'",
        ),
        ({"value": 1, "word": "\ud800"}, r"returns.word must be text that UTF-8 can hold, got '\ud800'"),
        ({"value": 1, "word": LONG + LONG}, "returns.word must have at most 4096 characters, got 8000"),
        ({"layer": LONG + LONG, "value": 1}, "the label layer must have at most 4096 characters, got 8000"),
        (({"layer": n, "value": 1} for n in itertools.count()), "returns must return 100000 rows at most"),
        (
            ({"layer": n, "value": 1, "word": LONG} for n in range(9000)),
            "at most 64 MB as a table, got 68: shorter words",
        ),
        ({"all": np.broadcast_to(1.0, 1 << 40)}, "returns.all must have at most 64 MB, got 8388608 MB"),
        (
            ({"layer": n, "all": np.zeros(1 << 20)} for n in range(20)),
            "returns must return at most 64 MB of arrays, got more",
        ),
    ],
)
def test_what_is_too_much_or_cannot_be_written_is_refused(outcome, sentence):
    with pytest.raises(ResultError) as caught:
        returning(outcome)
    assert sentence in str(caught.value)


def test_what_comes_back_is_of_exact_types():
    class Text(str):
        def __str__(self):
            return self

        def __reduce__(self):
            raise AssertionError

    class Number(float):
        def __reduce__(self):
            raise AssertionError

    carrying = np.zeros(2, np.dtype("f8", metadata={"object": Number()}))
    (row,) = returning(
        {
            Text("layer"): Text("a"),
            Text("value"): Number(2),
            Text("word"): Text("b"),
            Text("all"): carrying,
        }
    )
    again = pickle.loads(pickle.dumps(row))
    assert (again.labels, again.values) == (("a",), {"value": 2.0, "word": "b"})
    assert {type(each) for each in (*row.labels, *row.values, *row.arrays, row.values["word"])} == {str}
    assert type(row.values["value"]) is float
    assert row.arrays["all"].dtype.metadata is None
