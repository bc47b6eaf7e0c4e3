"""What noise on the input does to the risk and to the confidence, as Tan & Huang 2023 measure it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from grokscope import Column, NotApplicable, Param, measure
from grokscope_robustness.splits import Split, finite_logits, require_paper_loss

if TYPE_CHECKING:
    from grokscope import Probe

OWN = 0.04  # of the encoded input's own standard deviation, on tasks of one's own
_OWN_NOISE = ", on tasks of one's own 0.04 of the encoded input's own"

_NOISE = "standard deviation of the noise on the encoded input; none: "

Sigma = Annotated[float | None, Param(_NOISE + f"the paper's 0.04{_OWN_NOISE}", min=0)]

ConfidenceSigma = Annotated[
    float | None, Param(_NOISE + f"the paper's, 0.1 on modular tasks, else 0.04{_OWN_NOISE}", min=0)
]

_COLUMNS = [
    Column("sigma", "the noise's standard deviation, where no paper sets it", min=0),
    Column("note", "what is to be said of the noise", text=True),
]


@measure(
    columns=[
        Column("sum", "sum over examples of ||f(x + noise) - f(x)||^2", "squared logits", min=0),
        Column("mean", "the same per example", "squared logits", min=0),
        *_COLUMNS,
    ],
    source="Tan & Huang 2023",
    knows=[],
)
def perturbation_error(
    probe: Probe, *, sigma: Sigma = None, split: Split = "train"
) -> dict[str, float | str]:
    """How far the logits move when a little noise is put on the input.

    sum_i ||f(x_i + Delta_i) - f(x_i)||^2 over the n examples of the split (`sum`), and that / n (`mean`),
    Delta_i ~ N(0, sigma^2 I).

    Shapes and units:
        f(x) (n, K) logits, Delta as the encoded input: pixels, one-hot vectors of an MLP, token embeddings
        before positions. Squared logits.

    How it is computed:
        Delta is drawn once per run, split and sigma, so that a curve over steps shows the network and not the
        noise.

    Cost:
        Two forward passes, shared with the other measures of the same noise.

    Traps:
        It grows with the scale of the logits, so compare it with `pc` or across steps of one run only.

    Source:
        Tan & Huang 2023; sigma 0.04, on every task.
    """
    from grokscope_robustness import functional

    noise, said = probe.noise(sigma, 0.04, OWN)
    clean, noised = finite_logits(probe, split), finite_logits(probe, split, noise)
    total = functional.perturbation_error(noised, clean)
    return {"sum": total, "mean": total / len(clean), **said}


@measure(
    columns=[Column("pc", "mean confidence on noised inputs", "%", min=0, max=100 + 1e-9), *_COLUMNS],
    source="Tan & Huang 2023",
    knows=[],
)
def pc(probe: Probe, *, sigma: ConfidenceSigma = None, split: Split = "train") -> dict[str, float | str]:
    """How confident the network stays when noise is put on the input: perturb confidence (PC), in percent.

    (100 / n) sum_i s(x_i + Delta_i), with s = max_j softmax(f)_j for cross-entropy (a single logit z stands
    for the classes (0, z)) and s = abs(f_yhat) / sum_j abs(f_j), yhat = argmax f, for MSE.

    Shapes and units:
        f (n, K) logits, Delta ~ N(0, sigma^2 I) as the encoded input; percent.

    How it is computed:
        Delta is drawn once per run, split and sigma; confidences of all examples of the split are averaged.

    Cost:
        One forward pass, shared with the other measures of the same noise.

    Traps:
        Confidence asks for no label: a network may be confidently wrong. Under MSE a row of logits that are
        all zero has no confidence of its own and counts 1 / K, as any row of equal logits does; a single
        logit under MSE has nothing to be compared with and is not applicable.

    Source:
        Tan & Huang 2023; sigma 0.1 on modular addition, 0.04 on images and on every other task.
    """
    noise, said = probe.noise(sigma, _confidence_sigma(probe), OWN)
    return {"pc": _confidence(probe, split, noise), **said}


@measure(
    columns=[Column("cd", "change of mean confidence by the noise", "%", min=0, max=100 + 1e-9), *_COLUMNS],
    source="Tan & Huang 2023",
    knows=[],
)
def cd(probe: Probe, *, sigma: ConfidenceSigma = None, split: Split = "train") -> dict[str, float | str]:
    """How much confidence changes with noise on the input: confidence difference (CD), in percentage points.

    abs(PC(sigma) - PC(0)), PC as in `pc`.

    Shapes and units:
        As in `pc`; percentage points.

    How it is computed:
        Both confidences are means over the same examples; their difference is taken last.

    Cost:
        Two forward passes, shared with the other measures of the same noise.

    Traps:
        Those of `pc`; a mean confidence may stay while single examples change.

    Source:
        Tan & Huang 2023; sigma 0.1 on modular addition, 0.04 on images and on every other task.
    """
    noise, said = probe.noise(sigma, _confidence_sigma(probe), OWN)
    noised = _confidence(probe, split, noise)
    return {"cd": abs(noised - _confidence(probe, split, 0.0)), **said}


def _confidence_sigma(probe: Probe) -> float:
    return 0.1 if probe.task.kind == "modular" else 0.04


def _confidence(probe: Probe, split: str, sigma: float) -> float:
    from grokscope_robustness import functional

    require_paper_loss(probe)
    probe.require_classes()
    if probe.loss_name == "mse" and probe.model.outputs == 1:
        raise NotApplicable("under MSE a single logit has no other to be compared with")

    def compute() -> float:
        return functional.perturbed_confidence(finite_logits(probe, split, sigma), probe.loss_name)

    return probe.shared(("robustness", "confidence", split, sigma), compute)
