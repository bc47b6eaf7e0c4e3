"""A figure of toys, so that everything from training to drawing runs in seconds."""

from types import SimpleNamespace

import pytest

from grokscope import courses, hookimpl, hypothesis, load_plugins
from grokscope.figure import Figure, Group, Panel, Paper, Reading, Subnetwork, Trained, asked

TOY = {"p": 13, "train_fraction": 0.5, "hidden": "24", "steps": 20, "checkpoint_every": "5", "log_every": 5}
IMAGES = {"train_size": 50, "hidden": "12", "steps": 8, "checkpoint_every": "4", "log_every": 4}


NORM = "weight_norm.l2_all"


@hypothesis(claim="A larger start is larger.", columns=[NORM], about="pairs", groups=("small", "large"))
def larger(first, second):
    """A larger start is larger."""
    a, b = courses.at(first, NORM, 0), courses.at(second, NORM, 0)
    return a < b, {"plain": a, "large": b}


@hypothesis(claim="Images have a norm.", columns=[NORM])
def there(results):
    """Images have a norm."""
    return True, {"norm": courses.last(results, NORM)}


def panels():
    return (
        Panel(("plain", "large"), title="both"),
        Panel(("plain",), right=("weight_norm.l2_all",), log_y=True),
        Panel(("plain",), ("oinfo.synergy", "oinfo.redundancy"), title="trade-off", pareto=True),
        Panel(
            ("plain", "plain, synergistic units"),
            ("test_loss", "oinfo.synergy"),
            normalise=True,
            smooth=True,
        ),
    )


READINGS = (
    Reading("l2", "the l2 norm, as everywhere"),
    Reading("l1", "the l1 norm in its place", columns={"weight_norm.l2_all": "weight_norm.l1_all"}),
    Reading("wide", "28 units instead of 24", settings={"hidden": "28"}, tasks=("modadd",)),
    Reading("means", "oinfo of cluster means", parameters={"oinfo.variables": "mean"}),
)


@pytest.fixture
def toy(monkeypatch):
    """A figure called toy-1, also for the command line: four groups, one of them data that is not at hand."""
    norm = ("weight_norm", "oinfo")
    small = {"oinfo.max_size": 3, "oinfo.variables": "units"}
    figure = Figure(
        Paper("toy", "Toys $a_b$", "0000.00000"),
        1,
        "A toy",
        "Toys show something.",
        "section 0",
        {
            "plain": Group(Trained("modadd", "clauw", TOY, quick={"steps": 10}, seeds=2), norm),
            "large": Group(
                Trained("modadd", "clauw", {**TOY, "init_scale": 4}, seeds=2), norm, quick_steps="first"
            ),
            "plain, synergistic units": Group(Subnetwork("plain", "oinfo.synergy", parameters=small)),
            "images": Group(
                Trained("mnist", seeds=1),
                ("weight_norm",),
                stand_ins=(Trained("digits", None, IMAGES, seeds=1),),
            ),
        },
        panels(),
        (asked(larger, "plain", "large"), asked(there, "images")),
        beyond={"stand-in": "digits are no MNIST"},
        readings=READINGS,
    )
    plugin = SimpleNamespace(__name__="toys", grokscope_figures=hookimpl(lambda: [figure]))
    monkeypatch.setattr("grokscope.discovery.load_plugins", lambda: load_plugins([plugin]))
    return figure
