"""The server that runs commands under a plan of faults, and the table of what came out."""

import pytest
from harness.client import Server
from harness.scenarios import States, scenario
from harness.trial import ACCOUNT, Trial


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def states(server, tmp_path_factory):
    return States(server, tmp_path_factory.mktemp("states"))


@pytest.fixture
def trial(server, states, tmp_path, tmp_path_factory):
    """Make a Trial of the scenario of a name; the counts so far are kept, since all may take an hour."""
    yield lambda name: Trial(server, scenario(name, states), tmp_path / "trial")
    (tmp_path_factory.getbasetemp() / "interrupted.md").write_text("\n".join(ACCOUNT.table()) + "\n")


def pytest_terminal_summary(terminalreporter):
    for number, line in enumerate(ACCOUNT.table()):
        if number == 0:
            terminalreporter.section("interrupted commands")
        terminalreporter.write_line(line)
