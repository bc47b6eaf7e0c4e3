"""`pytest tests/contracts --rewrite-golden` writes the golden numbers anew; look at the diff then."""

from typing import Any

import pytest

# Sampling at its own length would take minutes; that it converges is tested in its family.
QUICK = {
    "geometry:llc": {"draws": 8, "burn_in": 0, "chains": 2},
    "geometry:ntk_distance": {"samples": 12},
    "robustness:sharpness": {"accuracy": 0.3, "max_probes": 16},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write tests/contracts/golden/*.json anew")


@pytest.fixture(scope="session")
def quick() -> dict[str, dict[str, Any]]:
    """Parameters at which costly measures are quick, by `plugin:measure`."""
    return QUICK
