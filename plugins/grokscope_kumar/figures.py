"""Figure 3 of Kumar et al. 2023, its part a: how laziness delays the fall of test loss."""

from __future__ import annotations

from grokscope import figure
from grokscope_kumar import claims

PAPER = figure.Paper("kumar", claims.PAPER, "2310.06110")
LAZY, RICH = "alpha 4", "alpha 1"
LOSSES = ("train_loss", "test_loss")
WHOLE = figure.Reading("whole", "the kernel as it is, whose entries are mostly positive")
CENTRED = figure.Reading(
    "centred",
    "the kernel of gradients whose mean over examples is taken out",
    columns={claims.KERNEL: "ntk_distance.centred_distance"},
)


def _of(alpha: float) -> figure.Group:
    # The answer moves as fast as learning rate and alpha squared let it: their product is the recipe's.
    settings = {} if alpha == 4 else {"alpha": alpha, "lr": 400 / alpha**2}
    return figure.Group(
        figure.Trained("polynomial", "polynomial", settings, seeds=3),
        ("ntk_distance",),
        "first,log:40",
        parameters={"ntk_distance.samples": 50},
    )


FIGURES = (
    figure.Figure(
        PAPER,
        3,
        "Train and test loss of polynomial regression for two scales alpha of the output",
        "The scale alpha, which makes training lazy, controls the delay between the fall of train loss and "
        "of test loss: features are learned once train loss is low.",
        "section 5.1, part a",
        {LAZY: _of(4), RICH: _of(1)},
        tuple(figure.Panel((name,), LOSSES, right=(claims.KERNEL,), title=name) for name in (LAZY, RICH)),
        (
            figure.asked(claims.lazier_groks_later, LAZY, RICH),
            figure.asked(claims.kernel_moves_after_memorising, LAZY),
            figure.asked(claims.test_loss_falls_as_kernel_moves, LAZY),
        ),
        readings=(WHOLE, CENTRED),
    ),
)
