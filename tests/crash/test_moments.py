"""Killed at random moments, in the middle of a computation or of a write: nothing is lost, nothing is torn.

What commands start themselves, fork servers and workers, must then be gone too.
"""

import random

import pytest

SEED = 20240611
KILLS = {  # of each command; the last three start processes of their own, which takes its time
    "train": 25,
    "train-on": 25,
    "sweep": 25,
    "record": 25,
    "record-on": 25,
    "import": 15,
    "analyze": 15,
    "compact": 15,
    "export-csv": 10,
    "analyze-own-2": 6,
    "sweep-own-2": 6,
}


@pytest.mark.crash
@pytest.mark.parametrize("name", KILLS)
def test_random_moments(trial, name):
    tried, problems, chance = trial(name), [], random.Random(f"{SEED} {name}")
    usual = tried.run_again().seconds
    for _ in range(KILLS[name]):
        problems += tried.interrupt("moment", kill_after=chance.uniform(0, 1.2 * usual))
    assert not problems, "\n".join(problems)
