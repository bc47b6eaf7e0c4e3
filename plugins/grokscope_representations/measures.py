"""The representations family's measures: thin adapters from activations to the formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from grokscope import Column, NotApplicable, Param, measure

if TYPE_CHECKING:
    import torch

    from grokscope import Probe
    from grokscope_representations.functional import ClassMeans, Moments

SEEN_ON = 256  # examples, evenly spaced: whether the logits are a linear map of a layer


@measure(
    columns=[
        Column(
            "train",
            "accuracy of the linear probe on the examples that it was fitted to",
            min=0,
            max=1,
            missing="when no unit varies",
            knows=["labels"],
        ),
        Column(
            "test",
            "accuracy of the linear probe on test examples",
            direction="up",
            min=0,
            max=1,
            missing="when no unit varies, or there are no test examples",
        ),
    ],
    per=["layer"],
    source="Alain & Bengio 2016, arXiv 1610.01644; here by ridge regression",
    knows=["labels", "test"],
)
def linear_probe(
    probe: Probe,
    *,
    penalty: Annotated[
        float, Param("of the squared weights, in units of the number of examples", above=0)
    ] = 1e-3,
) -> Iterator[dict[str, Any]]:
    """How well a linear classifier reads the labels from each hidden layer's activations.

    Ridge regression from the training activations to one-hot labels, `min_W sum_i ||y_i - mean(y) - x_i W||^2
    + penalty n ||W||_F^2`. `train` and `test` are the accuracies of its argmax.

    Shapes and units:
        x (n, d) the activations of a hidden layer after the non-linearity, y (n, K); one row per hidden
        layer, shares of examples.

    How it is computed:
        Each unit is centred and divided by its standard deviation over the training split; constant units are
        left out. Closed form, float64: the Cholesky factor of the d x d normal matrix or, with more units
        than examples, of the n x n one. No step size, no randomness.

    Cost:
        3763 x 250 activations and 97 classes take some 10 ms, without moments that measures share.

    Traps:
        It reads what a *linear* map can use, whether or not the network uses it, so it may be far ahead of
        the network's own accuracy. With d near n it fits anything on train: read `test`, and compare with a
        run on random labels.

    Source:
        Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes", who fit
        theirs by gradient descent on cross-entropy.

    Raises:
        MeasureError: activations that are not finite, or no room for all pairs of units or of examples.
        NotApplicable: labels are no classes, there is no hidden layer, or a layer has other rows than labels.
    """
    from grokscope_representations.functional import ridge_readout

    probe.require_classes()
    probe.require_hidden()
    labels = {split: probe.labels(split) for split in ("train", "test")}
    hidden = {split: probe.activations(split) for split in ("train", "test")}
    for layer, values in hidden["train"].items():
        probe.require_rows("train", values)
        for split in labels:
            probe.require_finite(f"linear_probe: the activations of {layer}", layer, split)
        if not _varying(probe, layer, values).any():
            yield {"layer": layer, "train": math.nan, "test": math.nan}
            continue
        known, means = _moments(probe, layer, values), _means(probe, layer, "train", values)
        readout = ridge_readout(values, labels["train"], probe.task.classes, penalty, known, means)
        yield {
            "layer": layer,
            **{split: _share(readout.predicts(hidden[split][layer], labels[split])) for split in labels},
        }


@measure(
    columns=[
        Column(
            "nc1",
            "what lies within classes in units of what lies between them: tr(Sigma_W Sigma_B^+) / K",
            direction="down",
            min=0,
            missing="when all class means are equal, or there are fewer than two classes",
        ),
        Column(
            "nc2_norms",
            "std / mean of the centred class means' norms",
            direction="down",
            min=0,
            missing="when all class means are equal, or there are fewer than two classes",
        ),
        Column(
            "nc2_angles",
            "mean over pairs of classes of |cos + 1 / (K - 1)| of the centred class means",
            direction="down",
            min=0,
            missing="when a class mean is the mean of all, or there are fewer than two classes",
        ),
        Column(
            "nc3",
            "squared distance of the last weight and the centred class means, each scaled to norm 1",
            direction="down",
            min=0,
            max=4 + 1e-9,
            missing="when the logits are no linear map of this layer with a row per class, or either is zero",
        ),
        Column(
            "nc4",
            "share of examples whose argmax is the nearest class mean of the training split",
            direction="up",
            min=0,
            max=1,
            missing="when there is no example",
        ),
    ],
    per=["split"],
    source="Papyan, Han & Donoho 2020, arXiv 2008.08186",
    knows=["labels", "test"],
)
def neural_collapse(probe: Probe) -> Iterator[dict[str, Any]]:
    """How far the last hidden layer has collapsed onto its class means, and the classifier onto these.

    With h the last hidden activations, mu_c the mean of class c, mu the mean of all examples of the split, K
    the number of classes that have examples in it:

    - `nc1` = tr(Sigma_W Sigma_B^+) / K; Sigma_W the mean over examples of (h - mu_c)(h - mu_c)^T, Sigma_B the
      mean over classes of (mu_c - mu)(mu_c - mu)^T, + the pseudo-inverse;
    - `nc2_norms` = std / mean of ||mu_c - mu||; `nc2_angles` = mean over pairs of |cos(mu_c - mu, mu_d - mu)
      + 1 / (K - 1)|;
    - `nc3` = || W / ||W|| - M / ||M|| ||^2, W the last weight (K, d), M the rows mu_c - mu, Frobenius norms;
    - `nc4` = the share of examples whose argmax is the class of the nearest *training* mean.

    A simplex equiangular tight frame with its own classifier gives 0, 0, 0, 0, 1.

    Shapes and units:
        h (n, d) of each split; one row per split, `train` and `test`. No unit.

    How it is computed:
        Float64. Not applicable to single-logit networks. `nc3` needs a last layer that reads this very layer:
        the transformer, whose unembedding reads the residual stream, has none.

    Cost:
        One singular value decomposition of the K x d class means, 10 ms for 97 x 250.

    Traps:
        NC1 of a split with few examples per class is small because means are fitted to few. The paper
        measures the training split.

    Source:
        Papyan, Han & Donoho 2020, "Prevalence of neural collapse during the terminal phase of deep learning
        training".

    Raises:
        MeasureError: activations or logits that are not finite.
        NotApplicable: labels are no classes, there is no hidden layer or a single logit, or a layer has
            other rows than labels.
    """
    probe.require_classes()
    layer = probe.require_hidden()[-1]
    if probe.model.outputs == 1:
        raise NotApplicable("neural collapse is of one logit per class, and the network has a single logit")
    trained = probe.activations("train")[layer]
    probe.require_rows("train", trained)
    weight = _last_weight(probe, layer)
    for split in ("train", "test"):
        values, labels = probe.activations(split)[layer], probe.labels(split)
        for name, part in ((layer, split), (layer, "train"), ("logits", split)):
            probe.require_finite(f"neural_collapse: the activations of {layer}", name, part)
        predicted = probe.predictions(split)
        yield {
            "split": split,
            **_geometry(values, labels, _means(probe, layer, split, values), weight),
            "nc4": _share(_is_nearest(values, _means(probe, layer, "train", trained), predicted)),
        }


def _varying(probe: Probe, layer: str, values: torch.Tensor) -> torch.Tensor:
    from grokscope_representations.functional import varying

    return probe.shared(("representations", "varying", layer), lambda: varying(values))


def _moments(probe: Probe, layer: str, values: torch.Tensor) -> Moments | None:
    """Return a layer's moments; None with more units than examples, where the products of these do."""
    from grokscope_representations.functional import Moments

    if values.shape[1] > len(values):
        probe.require_room(f"linear_probe: the products of the examples' activations in {layer}", len(values))
        return None
    return Moments(*probe.moments(layer, "train"), _varying(probe, layer, values))


def _means(probe: Probe, layer: str, split: str, values: torch.Tensor) -> ClassMeans:
    """Return the means of the classes of a layer's `values` on a split."""
    from grokscope_representations.functional import class_means

    def compute() -> ClassMeans:
        return class_means(values, probe.labels(split), probe.task.classes)

    return probe.shared(("representations", "class means", layer, split), compute)


def _geometry(
    values: torch.Tensor, labels: torch.Tensor, classes: ClassMeans, weight: torch.Tensor | None
) -> dict[str, float]:
    """Return NC1 to NC3 of one split."""
    from grokscope_representations.functional import (
        equal_angles,
        equal_norms,
        self_duality,
        within_over_between,
    )

    names = ("nc1", "nc2_norms", "nc2_angles", "nc3")
    nc1 = within_over_between(values, labels, classes) if len(values) else math.nan
    if math.isnan(nc1):
        return dict.fromkeys(names, math.nan)
    centred = classes.centred()
    dual = math.nan if weight is None else self_duality(weight[classes.there], centred)
    return dict(zip(names, (nc1, equal_norms(centred), equal_angles(centred), dual), strict=True))


def _is_nearest(values: torch.Tensor, classes: ClassMeans, answers: torch.Tensor) -> torch.Tensor:
    """Return of which rows the nearest mean is that of the class answered, (n,) bool."""
    from grokscope_representations.functional import is_nearest_mean

    places = classes.places(answers)
    return is_nearest_mean(values, classes.means, places.clamp(min=0)) & (places >= 0)


def _last_weight(probe: Probe, layer: str) -> torch.Tensor | None:
    """Return the weight (K, d) by which the logits are read from `layer`; None where there is no such."""
    import torch
    from torch.nn import functional as F

    logits = probe.logits("train")
    some = torch.linspace(0, max(0, len(logits) - 1), min(SEEN_ON, len(logits))).long().unique()
    values, rounding = probe.activations("train")[layer][some.to(logits.device)], _rounding(logits)
    logits = logits[some.to(logits.device)]
    last = [weight for weight in probe.weights.values() if weight.shape == (logits.shape[1], values.shape[1])]
    for weight in last:
        rest = logits.double() - F.linear(values.double(), weight.double())
        if torch.allclose(rest, rest.mean(dim=0).expand_as(rest), rtol=0, atol=rounding):
            return weight
    return None


def _rounding(logits: torch.Tensor) -> float:
    """How far float32 logits may be from their own sum in float64."""
    return 1e-4 * max(1e-3, float(logits.abs().max()))


@measure(
    columns=[
        Column("rank", "singular values above `share` of the largest", min=0),
        Column(
            "effective_rank",
            "exp of the entropy of the singular values",
            min=1 - 1e-9,
            missing="when no unit varies",
        ),
    ],
    per=["layer"],
    source="Fan et al. 2024, arXiv 2405.19454",
    knows=[],
)
def feature_rank(
    probe: Probe,
    *,
    share: Annotated[float, Param("of the largest singular value that counts", above=0, below=1)] = 1e-3,
) -> Iterator[dict[str, Any]]:
    """How many directions each hidden layer's activations use on the training split.

    Of the singular values s of the activations: `rank` = how many exceed `share` of the largest;
    `effective_rank` = exp(-sum_i p_i log p_i), p_i = s_i / sum_j s_j (Roy & Vetterli 2007), between 1 and
    min(n - 1, d). Unchanged by scale and rotation.

    Shapes and units:
        Activations (n, d), centred by unit; one row per hidden layer, directions.

    How it is computed:
        Float64, from the Gram matrix of the shorter side: singular values below 1e-8 of the largest are
        rounding.

    Cost:
        10 ms for 3763 x 250.

    Traps:
        `rank` counts directions however little they carry, and its threshold is a cliff: read both columns.

    Source:
        Fan et al. 2024, "Deep grokking: would deep neural networks generalize better?", who see feature rank
        fall in two stages as a deep network generalises.

    Raises:
        MeasureError: activations that are not finite, or no room for all pairs of units or of examples.
        NotApplicable: there is no hidden layer.
    """
    from grokscope_representations.functional import feature_rank as formula

    probe.require_hidden()
    for layer, values in probe.activations("train").items():
        probe.require_finite(f"feature_rank: the activations of {layer}", layer, "train")
        wide = values.shape[1] > len(values)
        products = probe.gram(layer, "train") if wide else probe.moments(layer, "train")[1]
        rank, effective = formula(values, share, products)
        yield {"layer": layer, "rank": rank, "effective_rank": effective}


def _share(right: torch.Tensor) -> float:
    return right.double().mean().item() if len(right) else math.nan
