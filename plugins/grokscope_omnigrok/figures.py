"""Figure 2 of Liu et al. 2022, its part c: how long networks take to generalise as their decay varies."""

from __future__ import annotations

from grokscope import figure
from grokscope_omnigrok import claims

PAPER = figure.Paper("omnigrok", claims.PAPER, "2210.01117")
MUCH, LITTLE = "weight decay 2", "weight decay 0.1"
# As the figures of Clauw et al. have it, whose runs these are.
DENSE = ",".join(map(str, [*range(0, 1000, 10), *range(1000, 4001, 20)]))
SLOW = {"weight_decay": 0.1, "steps": 4000, "checkpoint_every": DENSE, "log_every": 10}

FIGURES = (
    figure.Figure(
        PAPER,
        2,
        "Time to generalise, and the weight norm then, for two weight decays",
        "The steps to generalisation scale inversely with the weight decay, since networks generalise when "
        "their weight norm has come down to the Goldilocks zone.",
        "section 3, part c; an MLP on modular addition in place of the teacher and the student",
        {
            MUCH: figure.Group(figure.Trained("modadd", "clauw", seeds=3), ("weight_norm",), "every:2"),
            LITTLE: figure.Group(
                figure.Trained("modadd", "clauw", SLOW, seeds=3), ("weight_norm",), "every:2"
            ),
        },
        (
            figure.Panel((MUCH, LITTLE)),
            figure.Panel((MUCH, LITTLE), ("test_loss",), right=(claims.NORM,)),
        ),
        (
            figure.asked(claims.later_as_decay_is_less, MUCH, LITTLE),
            figure.asked(claims.one_norm_at_grokking, MUCH, LITTLE),
            figure.asked(claims.test_loss_falls_with_norm, MUCH),
            figure.asked(claims.test_loss_falls_with_norm, LITTLE),
        ),
    ),
)
