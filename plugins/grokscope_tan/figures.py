"""The sixteen figures of Tan & Huang 2023: weight norm, robustness, commutativity and matrix information."""

from __future__ import annotations

from grokscope import Hypothesis, figure
from grokscope_tan import claims, information
from grokscope_tan.claims import AGREEMENT, DISTANCE, L1, L2
from grokscope_tan.runs import (
    ADDITION,
    AFTER_RELU,
    BEYOND,
    BOTH,
    FIRST_LAYER,
    IMAGES,
    LOGITS,
    ON_ADDITION,
    ON_IMAGES,
    ORDERS,
    PRECISION,
    UNPERTURBED,
    addition,
    early,
    images,
    of_order,
    perturbed,
    plain,
)

PAPER = figure.Paper("tan", "Tan & Huang 2023", "2311.06597")
UNREAD = "the panels are reconstructed from the caption and the text"
NUMBERED = (
    "numbered as in the paper: 11 is the l1 norm, 12 PC, 13 CD, 14 MID, 15 ED; until November 2026 tan-11 "
    "was PC, tan-12 CD, tan-13 MID, tan-14 ED and tan-15 the l1 norm"
)


def _on_both(*hypotheses: Hypothesis) -> tuple[figure.Asked, ...]:
    """Each asked of both data sets."""
    return tuple(figure.asked(hypothesis, name) for hypothesis in hypotheses for name in BOTH)


def _beside_accuracy(*columns: str) -> tuple[figure.Panel, ...]:
    """Accuracies on the left, columns on the right, one panel for each data set."""
    return tuple(figure.Panel((name,), right=columns, title=name) for name in BOTH)


INFORMATION = ("pmi", "pe")
CLEAN = {"split": "test", "sigma": 0}
SIGN = (
    "{} may foretell grokking: before train accuracy is 100 % it has a phase of consistent decrease on "
    "modular addition, and on MNIST it is very small throughout."
)

FIGURES = (
    figure.Figure(
        PAPER,
        1,
        "Accuracy and weight norm on MNIST and modular addition",
        "When test accuracy rises the l2 weight norm drops; its decrease usually comes before the grokking, "
        "so that it is a sufficient sign of it and not a simultaneous one.",
        "section 1",
        plain("weight_norm"),
        _beside_accuracy(L2),
        _on_both(claims.l2_falls, claims.l2_falls_first),
        beyond=BEYOND,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        2,
        "Perturbation error and sharpness",
        "The perturbation error decays after train accuracy is 100 %, and sharpness decreases all through "
        "training, as Lemma 4.1 has it.",
        "section 4",
        {
            **plain("perturbation_error"),
            # Estimated for the transformer, at some seconds a checkpoint.
            **{f"{name}, sharpness": group for name, group in plain("sharpness", steps="every:5").items()},
        },
        tuple(
            figure.Panel((f"{name}{which}",), right=(column,), title=name, log_y=True)
            for which, column in (("", "perturbation_error.mean"), (", sharpness", "sharpness.trace"))
            for name in BOTH
        ),
        (
            *_on_both(claims.perturbation_error_falls),
            *(figure.asked(claims.sharpness_falls, f"{name}, sharpness") for name in BOTH),
        ),
        reconstructed=UNREAD,
        beyond=BEYOND,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        3,
        "The predicted accuracy matches the real test accuracy",
        "With the constants a = 1925, b = 500 and mu = 1/100 the accuracy that Corollary 4.3 predicts from "
        "the steps matches the real test accuracy on modular addition.",
        "section 4",
        {ADDITION: addition("predicted_accuracy")},
        (figure.Panel((ADDITION,), ("test_accuracy", "predicted_accuracy.corollary")),),
        (figure.asked(claims.corollary_matches, ADDITION),),
        beyond=ON_ADDITION,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        4,
        "Training with perturbed inputs",
        "Gaussian noise on the input, less of it as train accuracy rises, speeds up generalisation on MNIST "
        "and on modular addition.",
        "section 4",
        perturbed(),
        tuple(
            figure.Panel((name, f"{name}, perturbed"), ("train_accuracy", "test_accuracy"), title=name)
            for name in BOTH
        ),
        tuple(figure.asked(claims.sooner_when_perturbed, name, f"{name}, perturbed") for name in BOTH),
        reconstructed=UNREAD,
        beyond=BEYOND,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        5,
        "The abelian test: does the network answer b + a as a + b?",
        "Plain training does not learn the commutative law before it groks; perturbed training has learned "
        "it on the training set right after train accuracy is 100 %.",
        "section 5",
        perturbed("abelian", with_images=False),
        (
            figure.Panel((ADDITION,), ("train_accuracy", "test_accuracy", AGREEMENT), title="plain"),
            figure.Panel(
                (f"{ADDITION}, perturbed",),
                ("train_accuracy", "test_accuracy", AGREEMENT),
                title="perturbed",
            ),
        ),
        (
            figure.asked(claims.agreement_late_when_plain, ADDITION),
            figure.asked(claims.agreement_early_when_perturbed, f"{ADDITION}, perturbed"),
        ),
        beyond=ON_ADDITION,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        6,
        "Training that is made to be commutative",
        "A term in the loss that draws f(a, b) and f(b, a) together, a logits level MSE loss with "
        "coefficient 100, speeds generalisation up, and more than perturbed inputs do.",
        "section 5",
        {
            ADDITION: addition("abelian"),
            f"{ADDITION}, abelian": addition("abelian", recipe="nanda-abelian"),
            f"{ADDITION}, perturbed": addition("abelian", recipe="nanda-perturbed"),
        },
        (figure.Panel((ADDITION, f"{ADDITION}, abelian", f"{ADDITION}, perturbed")),),
        (
            figure.asked(claims.sooner_when_abelian, ADDITION, f"{ADDITION}, abelian"),
            figure.asked(
                claims.abelian_sooner_than_perturbed,
                ADDITION,
                f"{ADDITION}, abelian",
                f"{ADDITION}, perturbed",
            ),
        ),
        reconstructed=UNREAD,
        beyond=ON_ADDITION,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        7,
        "Distance of the logits of a + b and b + a",
        "After grokking the distance is steadily near 0 under plain training, and behaves chaotically under "
        "perturbed training: the networks differ in how they represent the task.",
        "section 5",
        perturbed("abelian", with_images=False),
        (
            figure.Panel((ADDITION,), right=(DISTANCE,), title="plain"),
            figure.Panel((f"{ADDITION}, perturbed",), right=(DISTANCE,), title="perturbed"),
        ),
        (
            figure.asked(claims.distance_rests_when_plain, ADDITION),
            figure.asked(claims.distance_restless_when_perturbed, ADDITION, f"{ADDITION}, perturbed"),
        ),
        reconstructed=UNREAD,
        beyond=ON_ADDITION,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        8,
        "Perturbed mutual information (PMI) on the training set",
        "PMI changes sharply at the time of grokking, which makes it a better indicator than the l2 norm.",
        "section 6",
        plain("pmi", "weight_norm"),
        _beside_accuracy("pmi.pmi"),
        _on_both(information.pmi_timely),
        reconstructed=UNREAD,
        beyond=BEYOND,
        readings=(*LOGITS, AFTER_RELU),
    ),
    figure.Figure(
        PAPER,
        9,
        "Perturbed entropy (PE) on the training set",
        "PE changes sharply at the time of grokking, which makes it a better indicator than the l2 norm.",
        "section 6",
        plain("pe", "weight_norm"),
        _beside_accuracy("pe.pe"),
        _on_both(information.pe_timely),
        beyond=BEYOND,
        readings=LOGITS,
    ),
    figure.Figure(
        PAPER,
        10,
        "PMI and PE of several orders alpha, and on the unperturbed test set",
        "The tendencies are not significantly affected by the order of the entropy, nor by the data set: "
        "they stay on MNIST's unperturbed test set.",
        "section 7",
        {
            **{
                of_order(alpha): images(
                    *INFORMATION, parameters={f"{name}.alpha": alpha for name in INFORMATION}
                )
                for alpha in ORDERS
            },
            UNPERTURBED: images(
                *INFORMATION,
                parameters={f"{name}.{key}": value for name in INFORMATION for key, value in CLEAN.items()},
            ),
        },
        tuple(
            figure.Panel((*map(of_order, ORDERS), UNPERTURBED), (column,)) for column in ("pmi.pmi", "pe.pe")
        ),
        tuple(
            figure.asked(hypothesis, of_order(1), name)
            for name in (*(of_order(alpha) for alpha in ORDERS if alpha != 1), UNPERTURBED)
            for hypothesis in (information.pmi_tendency_stays, information.pe_tendency_stays)
        ),
        reconstructed=UNREAD,
        beyond=ON_IMAGES,
        readings=FIRST_LAYER,
    ),
    figure.Figure(
        PAPER,
        11,
        "Accuracy and l1 weight norm",
        "What is shown of the l2 norm holds of the l1 norm, which bounds it: its decay is sufficient too.",
        "appendix A.1, Corollary A.2",
        plain("weight_norm"),
        _beside_accuracy(L1),
        _on_both(claims.l1_falls, claims.l1_falls_first),
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        12,
        "Perturb confidence (PC) on the training set",
        "The tendency of PC changes sharply when test accuracy undergoes its quick increase: on MNIST to a "
        "quick increase, on modular addition into a decrease from the initial increasing tendency.",
        "appendix B.1",
        plain("pc"),
        _beside_accuracy("pc.pc"),
        (
            figure.asked(information.pc_rises_with_test_accuracy, IMAGES),
            figure.asked(information.pc_turns, ADDITION),
            figure.asked(information.pc_turns_in_time, ADDITION),
        ),
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        13,
        "Confidence difference (CD)",
        "What noise takes from the confidence falls between train accuracy 100 % and grokking.",
        "appendix B.2.1",
        plain("cd"),
        _beside_accuracy("cd.cd"),
        _on_both(information.cd_falls),
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=PRECISION,
    ),
    figure.Figure(
        PAPER,
        14,
        "Mutual information difference (MID)",
        SIGN.format("MID"),
        "appendix B.2.2",
        early("mid"),
        _beside_accuracy("mid.mid"),
        (figure.asked(information.mid_falls_early, ADDITION), figure.asked(information.mid_small, IMAGES)),
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=(*LOGITS, AFTER_RELU),
    ),
    figure.Figure(
        PAPER,
        15,
        "Entropy difference (ED)",
        SIGN.format("ED"),
        "appendix B.2.2",
        early("ed"),
        _beside_accuracy("ed.ed"),
        (figure.asked(information.ed_falls_early, ADDITION), figure.asked(information.ed_small, IMAGES)),
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=LOGITS,
    ),
    figure.Figure(
        PAPER,
        16,
        "Information of noised logits on the labels (PMI')",
        "What the noised logits tell of the labels is connected with grokking in a less timely way than PMI.",
        "appendix C",
        {IMAGES: images("pmi", "pmi_label")},
        (figure.Panel((IMAGES,), right=("pmi.pmi", "pmi_label.pmi_label"), normalise=True),),
        (figure.asked(information.pmi_timelier_than_labels, IMAGES),),
        reconstructed=UNREAD,
        beyond=ON_IMAGES,
        readings=FIRST_LAYER,
    ),
)
