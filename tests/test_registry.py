"""What the names in `--measure` stand for, and how a name that stands for nothing is refused."""

from typing import Any

import pytest

from grokscope.errors import PluginError, UnknownName, UsageError
from grokscope.measure import Column, Measure, measure
from grokscope.registry import Plugin, Plugins


def small(name: str, expensive: bool = False) -> Measure:
    @measure(columns=[Column("x", "x")], name=name, expensive=expensive)
    def declared(weights: Any) -> Any:
        """X."""

    return declared


def bring(name: str, *measures: Measure) -> Plugin:
    return Plugin(name, f"{name}-dist", "1.0", f"{name}_module", measures=measures)


FOUND = Plugins(
    [
        bring("core", small("fit")),
        bring("matrix", small("pe"), small("pmi"), small("pmi_label", expensive=True)),
        bring("oinfo", small("oinfo"), small("pairs")),
        bring("stranger", small("pmi"), small("matrix")),
        Plugin("ruin", "ruin-dist", "0.1", "ruin", problem="it cannot be imported"),
    ]
)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["fit"], ["core:fit"]),
        ([" fit "], ["core:fit"]),
        (["oinfo"], ["oinfo:oinfo"]),
        (["oinfo:*"], ["oinfo:oinfo", "oinfo:pairs"]),
        (["stranger"], ["stranger:pmi", "stranger:matrix"]),
        (["stranger:pmi"], ["stranger:pmi"]),
        (["p*"], ["matrix:pe", "matrix:pmi", "matrix:pmi_label", "oinfo:pairs", "stranger:pmi"]),
        (["p?"], ["matrix:pe"]),
        (["pairs", "p[ea]*", "fit"], ["oinfo:pairs", "matrix:pe", "core:fit"]),
        ([], []),
    ],
)
def test_names_stand_for_measures(names: list[str], ids: list[str]) -> None:
    assert [registered.id for registered in FOUND.select(names)] == ids


def test_all_is_all_and_nothing_said_is_all_that_is_not_expensive() -> None:
    assert len(FOUND.select(["all"])) == 8
    assert {r.id for r in FOUND.select(["all"])} - {r.id for r in FOUND.select()} == {"matrix:pmi_label"}


def test_a_name_of_two_measures_is_refused_with_both_spelled_out() -> None:
    with pytest.raises(UsageError, match="measure 'pmi' is more than one: say matrix:pmi or stranger:pmi"):
        FOUND.select(["pmi"])


def test_a_measure_does_not_hide_another_plugins_family() -> None:
    with pytest.raises(UsageError, match=r"say stranger:matrix or matrix:\*"):
        FOUND.select(["matrix"])


def test_titles_are_bare_names_where_they_are_unique() -> None:
    assert set(FOUND.measures) == {
        "fit", "pe", "matrix:pmi", "pmi_label", "oinfo", "pairs", "stranger:pmi", "matrix",
    }  # fmt: skip
    assert FOUND.measures["matrix:pmi"].version == "1.0"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("oinof", "unknown measure or family 'oinof': did you mean oinfo"),
        ("strangr", "did you mean stranger"),
        ("matrix:pm", "unknown measure of plugin matrix 'pm': did you mean pmi"),
        ("matrx:pmi", "did you mean matrix:pmi"),
        ("z*", "unknown measure or family 'z*'"),
        ("", "unknown measure or family ''"),
    ],
)
def test_unknown_names_list_near_matches(name: str, sentence: str) -> None:
    with pytest.raises(UnknownName) as caught:
        FOUND.select([name])
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["ruin", "ruin:anything", "ruin:*"])
def test_a_broken_plugins_name_says_why(name: str) -> None:
    with pytest.raises(PluginError, match=r"plugin ruin of ruin-dist 0\.1 is broken: it cannot be imported"):
        FOUND.select([name])


def test_an_unknown_name_hints_at_broken_plugins() -> None:
    with pytest.raises(UnknownName, match="broken plugins may have it"):
        FOUND.select(["nothing"])
