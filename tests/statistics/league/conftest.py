"""Runs of settings that grok and settings that never do, with columns of which it is known what they know."""

from dataclasses import replace

import numpy as np
import pytest

from grokscope.results import ColumnName
from grokscope.statistics.league import league, sightings

AT = np.unique(np.round(np.geomspace(10, 4000, 40)).astype(int))
MEMORISED = 60
NORM = ColumnName("weight_norm", "l2_all")


def rise(middle, width=0.04):
    """A rise from 0 to 1 around a step, over the log step axis."""
    return 1 / (1 + np.exp(-(np.log10(AT) - np.log10(middle)) / width))


@pytest.fixture(scope="session")
def world(make):
    """Make runs: `world(columns)`, where `columns(rng, groks, change)` gives the courses of one run.

    `change` is the step around which test accuracy changes, or would have.
    """

    def build(columns, *, grok=5, never=4, seeds=3, seed=0):
        rng = np.random.default_rng(seed)
        runs, settings = {}, {}
        for at in range(grok + never):
            groks = at < grok
            middle = 700 * rng.uniform(0.7, 1.4)
            for each in range(seeds):
                change = middle * rng.uniform(0.9, 1.1)
                accuracy = rise(change) if groks else rng.uniform(0, 0.02, len(AT))
                courses = {NORM: 30 - 10 * rise(1500, 0.5)} | columns(rng, groks, change)
                name = f"{'grok' if groks else 'never'}{at}-s{each}"
                made = make.results(courses, accuracy, memorised=MEMORISED, at=AT)
                runs[name] = replace(made, run=name)
                settings[name] = name.split("-")[0]
        return runs, settings

    return build


@pytest.fixture(scope="session")
def table():
    """The league of runs and their settings."""

    def rank(runs, settings):
        rows, excluded = sightings(runs, settings, NORM)
        return league(rows, excluded)

    return rank


@pytest.fixture(scope="session")
def shape():
    return rise
