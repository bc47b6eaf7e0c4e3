"""A complete grokscope plugin that brings a paper: one claim and one figure of Power et al. 2022."""

from grokscope import courses, figure, hookimpl, hypothesis

LESS, MORE = "40 % of the data", "80 % of the data"
SHARES = {LESS: 0.4, MORE: 0.8}


def data_of(results):
    """Which of the two a run was trained on, or None: how `predict` tells runs apart."""
    share = results.config["task"].get("train_fraction")
    return next((name for name, value in SHARES.items() if value == share), None)


@hypothesis(
    claim="The fewer data there are, the more optimisation generalisation takes.",
    about="pairs",
    groups=(LESS, MORE),
    group=data_of,
    source="Power et al. 2022, section 3.1",
)
def later_with_less_data(less, more):
    """With less data test accuracy is at 95 % later, or not at all."""
    late, early = courses.grokked(less), courses.grokked(more)
    found = {f"grokking step, {LESS}": late, MORE: early}
    if courses.end_of(less) >= early and late != late:  # NaN: trained as long, and never there
        return True, found
    return late - early, found


def trained(share):
    small = {"p": 13, "hidden": "24", "steps": 60, "checkpoint_every": 20, "log_every": 5}
    settings = {"train_fraction": share, "weight_decay": 2, "steps": 1000}
    return figure.Group(figure.Trained("modadd", "clauw", settings, quick=small, seeds=3))


FIGURE = figure.Figure(
    figure.Paper("power", "Power et al. 2022", "2201.02177"),
    1,
    "Accuracy on modular addition with less and with more data",
    "The amount of optimisation that generalisation takes increases quickly as there are fewer data.",
    "section 3.1; an MLP in place of the paper's transformer",
    {name: trained(share) for name, share in SHARES.items()},
    (figure.Panel((LESS, MORE)),),
    (figure.asked(later_with_less_data, LESS, MORE),),
    beyond={"quick": "--quick trains p = 13 for 60 steps"},
)


@hookimpl
def grokscope_hypotheses():
    return [later_with_less_data]


@hookimpl
def grokscope_figures():
    return [FIGURE]
