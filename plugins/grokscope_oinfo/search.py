"""Which multiplets are looked at: all of them, or those that a greedy search meets."""

from __future__ import annotations

from typing import NamedTuple

import torch

from grokscope_oinfo.functional import (
    BATCH_VALUES,
    entropies_of_unions,
    o_information,
    o_information_of_entropies,
    o_information_of_subsets,
    o_information_of_unions,
    union_sizes,
)

BEAM = 50
TIE = 1e-12  # nats; nearer optima than this differ by rounding only


class Multiplets(NamedTuple):
    """`masks` (M,) int64, rising, bit g for group g; `omega` (M,) nats, NaN where undefined."""

    masks: torch.Tensor
    omega: torch.Tensor

    def optimum(self, sign: int) -> tuple[int, float] | None:
        """Return mask and Omega where `sign` * Omega is largest: of ties the smallest mask.

        None where there is no multiplet, or only undefined ones.
        """
        signed = (sign * self.omega).nan_to_num(nan=-torch.inf)
        if not len(signed) or signed.max() == -torch.inf:
            return None
        first = int(torch.nonzero(signed >= signed.max() - TIE)[0])
        return int(self.masks[first]), self.omega[first].item()


def members(masks: torch.Tensor, groups: int) -> torch.Tensor:
    """Return which groups are in each mask, (M, groups) bool."""
    return (masks[:, None] >> torch.arange(groups)) & 1 == 1


def exhaustive(correlation: torch.Tensor, labels: torch.Tensor, min_size: int, max_size: int) -> Multiplets:
    """Return Omega of every union of `min_size` to `max_size` groups.

    Args:
        correlation: (variables, variables) with unit diagonal.
        labels: (variables,) group of each variable, 0 to k - 1; memory and time grow as 2^k.
    """
    groups = int(labels.max()) + 1
    if groups == len(labels):
        omega = o_information_of_subsets(correlation[labels.argsort()][:, labels.argsort()])
    else:
        omega = o_information_of_unions(correlation, labels)
    return _of_sizes(omega, min_size, max_size)


def exhaustive_of_groups(
    correlation: torch.Tensor, labels: torch.Tensor, min_size: int, max_size: int
) -> Multiplets:
    """Return Omega of every set of `min_size` to `max_size` groups, each group one variable of many numbers.

    Args:
        correlation: (numbers, numbers) with unit diagonal.
        labels: (numbers,) group of each number, 0 to k - 1; time grows as 2^k.
    """
    omega = o_information_of_entropies(entropies_of_unions(correlation, labels))
    return _of_sizes(omega, min_size, max_size)


def _of_sizes(omega: torch.Tensor, min_size: int, max_size: int) -> Multiplets:
    """Return the multiplets of these sizes, from Omega of all sets of groups by mask."""
    size = union_sizes(torch.ones(len(omega).bit_length() - 1, dtype=torch.int64))
    masks = torch.nonzero((size >= min_size) & (size <= max_size))[:, 0]
    return Multiplets(masks, omega[masks])


def greedy(
    correlation: torch.Tensor, labels: torch.Tensor, min_size: int, max_size: int, beam: int = BEAM
) -> Multiplets:
    """Return Omega of the multiplets that a beam search for the least and the greatest Omega meets.

    All pairs and all triples are looked at. Then, once for each direction: of the multiplets of a size the
    best `beam` are kept, each is extended by every group it lacks, and so on up to `max_size`. A bound on the
    optimum, not the optimum: a multiplet of which every part is unremarkable is not found.

    Args:
        correlation: (variables, variables) with unit diagonal.
        labels: (variables,) group of each variable, 0 to k - 1, k <= 62.
    """
    groups = int(labels.max()) + 1
    bits = 1 << torch.arange(groups)
    met = []
    start = torch.zeros(1, dtype=torch.int64)
    for _ in range(min(3, max_size, groups)):
        start = _extensions(start, bits)
        met.append(_evaluate(correlation, labels, start))
    for sign in (-1, 1):
        front = met[min(3, max_size, groups) - 1]
        for _ in range(3, min(max_size, groups)):
            front = _evaluate(correlation, labels, _extensions(_best(front, sign, beam), bits))
            met.append(front)
    return _union(met, min_size, groups)


def _extensions(masks: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Return every mask that has one group more than one of `masks`, each once."""
    extended = masks[:, None] | bits
    return extended[extended != masks[:, None]].unique()


def _best(front: Multiplets, sign: int, beam: int) -> torch.Tensor:
    signed = (sign * front.omega).nan_to_num(nan=-torch.inf)
    order = torch.argsort(signed, descending=True, stable=True)[:beam]
    return front.masks[order[signed[order] > -torch.inf]]


def _union(met: list[Multiplets], min_size: int, groups: int) -> Multiplets:
    """Return the multiplets of all batches that are large enough, each once, by rising mask."""
    masks, place = torch.cat([batch.masks for batch in met]).unique(return_inverse=True)
    omega = torch.cat([batch.omega for batch in met])
    once = omega.new_empty(len(masks)).scatter_(0, place, omega)
    large = members(masks, groups).sum(dim=1) >= min_size
    return Multiplets(masks[large], once[large])


def _evaluate(correlation: torch.Tensor, labels: torch.Tensor, masks: torch.Tensor) -> Multiplets:
    """Return Omega of each mask, in batches that stay within `BATCH_VALUES`."""
    chosen = members(masks, int(labels.max()) + 1)[:, labels]
    size = chosen.sum(dim=1)
    omega = correlation.new_full((len(masks),), torch.nan)
    if not len(masks):
        return Multiplets(masks, omega)
    batch = max(1, BATCH_VALUES // max(len(labels), int(size.max()) ** 2))
    for part in size.argsort().split(batch):
        omega[part] = _padded_o_information(correlation, chosen[part])
    return Multiplets(masks, omega.where(size >= 2, torch.nan))


def _padded_o_information(correlation: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return Omega of each row's variables; shorter rows are filled up with independent ones, which add 0."""
    width = int(chosen.sum(dim=1).max())
    index = torch.argsort(~chosen, dim=1, stable=True)[:, :width]
    real = chosen.gather(1, index)
    matrices = correlation[index[:, :, None], index[:, None, :]]
    matrices = matrices.where(real[:, :, None] & real[:, None, :], 0.0)
    return o_information(matrices + torch.diag_embed((~real).to(matrices.dtype)))
