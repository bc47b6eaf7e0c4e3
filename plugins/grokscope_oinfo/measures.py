"""The measure `oinfo`: what is read from the network, which settings there are, and what a row says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from grokscope import Column, MeasureError, NotApplicable, Param, measure

if TYPE_CHECKING:
    import torch

    from grokscope import Probe
    from grokscope_oinfo.search import Multiplets

EXHAUSTIVE_LIMIT = 20
NONE = "no multiplet has a value: too few units vary, or all multiplets are singular"


@measure(
    columns=[
        Column(
            "synergy",
            "-(least Omega): > 0 where some multiplet is synergistic",
            unit="nats",
            direction="peak",
            missing=NONE,
            role="synergy",
        ),
        Column(
            "redundancy",
            "greatest Omega: > 0 where some multiplet is redundant",
            unit="nats",
            missing=NONE,
            role="redundancy",
        ),
        Column(
            "synergy_bins",
            "size of the most synergistic multiplet",
            unit="clusters",
            min=2,
            max=62,
            missing=NONE,
        ),
        Column(
            "redundancy_bins",
            "size of the most redundant multiplet",
            unit="clusters",
            min=2,
            max=62,
            missing=NONE,
        ),
        Column(
            "synergy_neurons",
            "units in the most synergistic multiplet: the synergistic sub-network's size",
            unit="units",
            min=2,
            missing=NONE,
        ),
        Column(
            "redundancy_neurons",
            "units in the most redundant multiplet",
            unit="units",
            min=2,
            missing=NONE,
        ),
        Column(
            "constant_units",
            "units with one value on every example, dead ones among them: left out",
            unit="units",
            min=0,
            tally=True,
        ),
        Column(
            "undefined_multiplets",
            "multiplets without a value, their variables being functions of one another: NaN in `omega`",
            unit="multiplets",
            min=0,
            tally=True,
        ),
        Column(
            "search",
            "exhaustive: the optima over all multiplets; greedy: the best that were met, a bound",
            text=True,
        ),
    ],
    arrays={
        "cluster": "(units,) cluster of each hidden unit, numbered by first unit; -1 for constant units",
        "synergy_multiplet": "the clusters of the most synergistic multiplet, empty when there is none",
        "redundancy_multiplet": "the clusters of the most redundant multiplet, empty when there is none",
        "multiplets": "(M,) every multiplet looked at, rising: masks, bit c for cluster c",
        "omega": "(M,) Omega of each of `multiplets` in nats; NaN where it is undefined",
    },
    array_roles={"groups": "cluster", "synergistic": "synergy_multiplet"},
    version=2,
    source="Clauw et al. 2024, arXiv 2408.08944, section 3: O-information, clusters and multiplets",
    knows=[],
)
def oinfo(
    probe: Probe,
    *,
    variables: Annotated[
        Literal["mean", "units"],
        Param("a cluster is one variable, its units' mean; or a multiplet is all its clusters' units"),
    ] = "units",
    clusters: Annotated[int, Param("clusters of units", min=2, max=62)] = 10,
    min_size: Annotated[int, Param("clusters in the smallest multiplet", min=2)] = 2,
    max_size: Annotated[int, Param("clusters in the largest multiplet", min=2)] = 10,
    search: Annotated[
        Literal["exhaustive", "greedy"],
        Param("all multiplets, or a beam search; beyond 20 clusters greedy only"),
    ] = "exhaustive",
    ties: Annotated[
        Literal["average", "argsort"], Param("equal activations share their mean rank, or rank by row order")
    ] = "average",
    bias_correction: Annotated[bool, Param("subtract the finite sample's bias (digamma terms)")] = False,
    layer: Annotated[str | None, Param("layer, by name; none: the first hidden one")] = None,
    split: Annotated[Literal["train", "test", "all"], Param("examples used")] = "train",
    grouping: Annotated[
        Literal["ward", "spectral", "correlation"],
        Param(
            "how units are clustered: by distance, or by abs(correlation) as a graph or as nearness",
            later=True,
        ),
    ] = "ward",
    heads: Annotated[
        int | None,
        Param("attention heads of which the layer is made: each is one variable", min=2, max=16, later=True),
    ] = None,
) -> dict[str, Any]:
    """Synergy and redundancy of the hidden units: the extremes of O-information over multiplets of clusters.

    Omega(Z) = (m - 2) H(Z) + sum_j [H(Z_j) - H(Z without j)] of m variables: > 0 where redundancy outweighs
    synergy, < 0 the other way round. H is the entropy of the Gaussian copula: each variable's ranks become
    normal scores, ndtri(rank / (n + 1)), and with R their correlation matrix Omega = 1/2 [-2 log det R -
    sum_j log (R^-1)_jj]. `synergy` = -(least Omega), `redundancy` = greatest Omega; of multiplets that tie
    within 1e-12 nats, the one with the smallest mask is named.

    Shapes and units:
        The activations (n, units) of the hidden layer after its non-linearity, n examples. Nats.

    How it is computed:
        All is computed in float64. Constant units are dropped and counted; the rest are clustered (Ward,
        Euclidean, scikit-learn's partition), and Omega is computed of every multiplet of `min_size` to
        `max_size` clusters, by default all 1013 of ten.

        `variables=units`, as in the authors' released code: a multiplet's variables are the single units of
        its clusters, up to all units of the layer. `variables=mean`, as the text can be read: they are its
        clusters' mean activations; pairs have Omega 0 identically, so synergy and redundancy are at least 0
        unless pairs are left out. With no more varying units than `clusters`, each unit is its own cluster.
        With fewer than `min_size` of them, there is no multiplet and the columns are NaN. The released code
        leaves out the multiplet of all clusters (`max_size=9`) and ranks by `ties=argsort`.

        Other clusters, by abs(r) of two units' Pearson correlation: `grouping=correlation` merges them by
        average linkage on 1 - abs(r), `grouping=spectral` cuts the graph whose edges weigh abs(r) (Ng, Jordan
        & Weiss 2001; labels by pivoted QR, Damle et al. 2019, so nothing is drawn at random; now and then it
        finds fewer clusters than asked for).

        Attention heads: `heads=4` with `layer=blocks.0.attn_heads` (or a layer of another network's of which
        each head is seen to move its own units alone, before they are mixed) makes each head one variable of
        as many numbers as it is wide. Omega is then that of vectors, H(Z) = 1/2 log det of its numbers' R;
        `variables`, `clusters` and `grouping` play no part, and a bin is a head. It takes one factorisation
        for each of 2^heads sets: 3 ms for 4 heads of 32, 11 s for 12 of 64.

    Cost:
        3763 x 250 activations take 65 ms, half of them for the unions, a quarter for the units' ranks; with
        `mean` 13 ms.
        Clusters by correlation take 5 ms more than Ward's, spectral ones 9.
        Memory and time of the exhaustive search double with each cluster, so more than 20 are refused;
        `search=greedy` looks at all pairs and triples and extends the best 50 of each size, for either
        direction, by every other cluster: its optima are bounds.

    Traps:
        ReLU units are full of ties, and `ties=argsort`, which reproduces the released code, takes them for
        agreement: two independent units that are 84 % zeros correlate at 0.44, or 0.37 where the sort is
        unstable; average ranks give 0. Here argsort is stable: ties rank by row order. A variable of which
        the others explain all but 1e-9 of the variance makes a multiplet singular: its Omega is NaN, it is
        counted in `undefined_multiplets`, and the optima are those of the rest. High synergy certifies
        nothing: with cluster means and a hidden bias a network that never fits its training data, at weight
        decay 10, was seen to show more of it than any that groks.

        Finite sample. `units` needs many more examples than units: the bias of Omega grows with the
        multiplet. For some 200 of 250 units on 3763 examples it is small: at its synergy peak `clauw` has 3.3
        to 3.5 nats (three seeds), less 0.03 to 0.05 with `bias_correction`; the same multiplet has 0.96 to
        1.13 of that on halves of the examples and 0.97 to 1.00 on all 9409 pairs; with each unit permuted on
        its own the search finds 0.1 nats of synergy and no redundancy. What moves it more is which clusters
        are found: anew on halves, they give 2.9 to 3.6, and from checkpoint to checkpoint raw values jump by
        up to 1.1, so smooth before a peak is read. Last bits of training, of another processor or version,
        grow to other jumps (tests/plugins/oinfo/test_finite_sample.py prints these numbers).

    Source:
        Clauw et al. 2024, arXiv 2408.08944; Omega after Rosas et al. 2019; `bias_correction` is gcmi's (Ince
        et al. 2017), which depends on the multiplet's size alone. The paper finds a peak of synergy between
        memorisation and generalisation. Its plots scale both curves to [0, 1] over the run; these values are
        raw.

    Raises:
        MeasureError: an exhaustive search beyond 20 clusters, min_size above max_size, no such layer, fewer
            than 2 examples, activations that are not finite, no room for all pairs of units, or another
            number of heads than the layer's.
        NotApplicable: the network has no hidden layer, or `heads` is asked of a layer that is not made of
            attention heads.
    """
    from grokscope_oinfo.clusters import DROPPED, chosen_units

    _check(clusters, min_size, max_size, search)
    name = _layer(probe, layer, split)
    values = _activations(probe, name, split)
    if heads is None:
        cluster = _clusters(probe, name, split, values, clusters, grouping)
    else:
        cluster = _heads(probe, layer, values, heads, search)
    live = cluster != DROPPED
    labels = cluster[live]
    found = _multiplets(
        chosen_units(values, live),
        labels,
        variables=variables if heads is None else "heads",
        sizes=(min_size, max_size),
        search=search,
        ties=ties,
        bias_correction=bias_correction,
    )
    return {
        **_optimum("synergy", found, -1, labels),
        **_optimum("redundancy", found, 1, labels),
        "constant_units": int((~live).sum()),
        "undefined_multiplets": int(found.omega.isnan().sum()),
        "search": search,
        "cluster": cluster,
        "multiplets": found.masks,
        "omega": found.omega,
    }


def _check(clusters: int, min_size: int, max_size: int, search: str) -> None:
    if min_size > max_size:
        raise MeasureError(
            f"oinfo.min_size must be at most max_size, got {min_size} and {max_size}; set either of them"
        )
    if search == "exhaustive" and clusters > EXHAUSTIVE_LIMIT:
        raise MeasureError(
            f"oinfo.clusters must be at most {EXHAUSTIVE_LIMIT} for an exhaustive search "
            f"(2^{clusters} multiplets), got {clusters}; set fewer, or search=greedy"
        )


def _layer(probe: Probe, layer: str | None, split: str) -> str:
    if layer is None:
        return probe.require_hidden()[0]
    known = [name for name, values in probe.trace(split).items() if values.ndim == 2 and name != "logits"]
    if layer not in known:
        raise MeasureError(f"oinfo.layer must be one of {', '.join(known)}, got {layer!r}")
    return layer


def _clusters(
    probe: Probe, layer: str, split: str, values: torch.Tensor, clusters: int, grouping: str
) -> torch.Tensor:
    """Return each unit's cluster, (units,); all settings that cluster alike share it."""
    from grokscope_oinfo.clusters import cluster_units
    from grokscope_oinfo.functional import is_constant

    def compute() -> torch.Tensor:
        varying = int((~is_constant(values)).sum())
        probe.require_room(f"oinfo: the correlations of the units of {layer}", varying)
        return cluster_units(values, clusters, grouping)

    return probe.shared(("oinfo", "cluster", layer, split, clusters, grouping), compute)


def _heads(probe: Probe, layer: str | None, values: torch.Tensor, heads: int, search: str) -> torch.Tensor:
    """Return each unit's head, (units,), of a layer that is made of `heads` of them."""
    import torch

    from grokscope_oinfo.clusters import head_units

    if layer is None:
        raise MeasureError("oinfo.layer must name the layer that the heads make, blocks.0.attn_heads for one")
    if search != "exhaustive":
        raise MeasureError(f"oinfo.search must be exhaustive with oinfo.heads, got {search}")
    first = probe.encoded_some("train", torch.arange(1)), probe.inputs("train")[:1]
    real = {reads.shape[1] for reads in probe.model.attention(*first).values()}
    made_of = [count for count in sorted(real) if probe.model.mixes_heads(layer, count, *first)]
    if not made_of:
        raise NotApplicable(
            "oinfo.heads is of a layer made of attention heads one after the other, as blocks.0.attn_heads: "
            f"{layer} is none"
        )
    if heads not in made_of:
        have = " or ".join(map(str, made_of))
        raise MeasureError(f"oinfo.heads must be as many as the attention has, {have}, got {heads}")
    return head_units(values, heads)


def _activations(probe: Probe, layer: str, split: str) -> torch.Tensor:
    """Return the layer's activations, (n, units) on the CPU."""
    values = probe.trace(split)[layer].cpu()
    if len(values) < 2:
        raise MeasureError(f"oinfo - the {split} split must hold at least 2 examples, got {len(values)}")
    probe.require_finite(f"oinfo - the activations of {layer} at step {probe.step}", layer, split)
    return values


def _multiplets(
    values: torch.Tensor,
    labels: torch.Tensor,
    *,
    variables: str,
    sizes: tuple[int, int],
    search: str,
    ties: Literal["average", "argsort"],
    bias_correction: bool,
) -> Multiplets:
    """Return Omega of the multiplets of clusters, of varying units `values` (n, units), `labels` (units,)."""
    import torch

    from grokscope_oinfo.clusters import cluster_means
    from grokscope_oinfo.functional import copula_correlation
    from grokscope_oinfo.search import Multiplets, exhaustive, exhaustive_of_groups, greedy

    if not len(labels):
        return Multiplets(labels, torch.zeros(0, dtype=torch.float64))
    numbers, group = values, labels
    if variables == "mean":
        numbers, group = cluster_means(values, labels), torch.arange(int(labels.max()) + 1)
    looked = greedy if search == "greedy" else exhaustive_of_groups if variables == "heads" else exhaustive
    found = looked(copula_correlation(numbers, ties), group, *sizes)
    if not bias_correction or not len(found.masks):
        return found
    return Multiplets(found.masks, found.omega - _bias(found.masks, group, len(values), variables))


def _bias(masks: torch.Tensor, group: torch.Tensor, n: int, variables: str) -> torch.Tensor:
    """Return what n examples add to Omega of each multiplet of groups, (M,)."""
    import torch

    from grokscope_oinfo.functional import bias, entropy_bias, o_information_of_entropies, union_sizes
    from grokscope_oinfo.search import members

    if variables == "heads":
        entropies = entropy_bias(len(group), n)[union_sizes(torch.bincount(group))]
        return o_information_of_entropies(entropies)[masks]
    return bias(members(masks, int(group.max()) + 1)[:, group].sum(dim=1), n)


def _optimum(name: str, found: Multiplets, sign: int, labels: torch.Tensor) -> dict[str, Any]:
    """Return the columns and the array that tell the optimum of `sign` * Omega."""
    import torch

    from grokscope_oinfo.search import members

    optimum = found.optimum(sign)
    if optimum is None:
        missing = dict.fromkeys((name, f"{name}_bins", f"{name}_neurons"), math.nan)
        return {**missing, f"{name}_multiplet": torch.zeros(0, dtype=torch.int64)}
    mask, omega = optimum
    inside = members(torch.tensor([mask]), int(labels.max()) + 1)[0]
    return {
        name: sign * omega + 0.0,  # no pair has minus nothing
        f"{name}_bins": int(inside.sum()),
        f"{name}_neurons": int(inside[labels].sum()),
        f"{name}_multiplet": torch.nonzero(inside)[:, 0],
    }
