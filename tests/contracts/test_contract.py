"""Every registered measure keeps the contract that plugin authors are given to test theirs with."""

from collections.abc import Callable
from typing import Any

import pytest

from grokscope import Probe
from grokscope.discovery import load_plugins
from grokscope.registry import Registered
from grokscope.testing import check_measure

PLUGINS = load_plugins()


def test_no_plugin_is_broken() -> None:
    assert PLUGINS.problems == []


@pytest.mark.parametrize("registered", PLUGINS.registered, ids=lambda registered: registered.id)
def test_measures_keep_the_contract(
    registered: Registered,
    brief: dict[str, dict[str, Any]],
    probes: Callable[[str], list[Probe] | None],
) -> None:
    check_measure(registered.measure, parameters=brief.get(registered.id), probes=probes(registered.id))
