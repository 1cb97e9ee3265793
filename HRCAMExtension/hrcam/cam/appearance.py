"""Weights for a map's pixels by how their brightness occurs in and around what the map points at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WEIGHT = 0.3
"""Power of the likelihood ratio by which evidence is multiplied (chosen on `lgg` and `t1ce_volumes`,
docs/RESEARCH.md)."""

_CORE, _REGION = 0.25, 0.04
"""Shares of the map's peak from which a pixel is in the core, and in the region that the surroundings begin beyond."""

_BINS, _SMOOTH_BINS, _SPREAD = 32, 3.0, 0.01
"""Of histograms: how many, how they are smoothed, the part that is spread over all of them."""

_RANGE = 2.5
"""Standard deviations of brightness that the bins reach to each side of its mean; what lies beyond is in the last."""

_TISSUE, _MOST = 0.6, 2.0
"""Of the logarithm of the likelihood ratio, in either direction: what healthy tissues differ by among themselves, which
is taken off, and the most that is left."""

_FEWEST = 10
"""Pixels of core and of surroundings below which brightness tells nothing."""


def weigh_by_appearance(maps: Tensor, gray: Tensor, reach: int) -> Tensor:
    """Raise positive evidence where brightness is that of the map's core, and lower it where it is the surroundings'.

    Two histograms, of the core and of a ring around the region (the appearance models of Rother, Kolmogorov, Blake:
    GrabCut, SIGGRAPH 2004), give each pixel's likelihood ratio. Evidence is multiplied by the power `WEIGHT` of it, as
    far as it is clear, and then all positive evidence by what gives the map its former mean back. Evidence against the
    class stays.

    Parameters
    ----------
    maps : B×C×*size, logits; each map is weighed by itself.
    gray : B×1×*size, what the network saw, its pixels' noise taken out.
    reach : pixels: how far the surroundings reach beyond the region.

    Returns
    -------
    B×C×*size : of the same mean. Maps without positive evidence, and images without contrast, stay as they are.
    """
    weighed = maps.clone()
    peaks = maps.detach().flatten(2).amax(2)
    for item, kind in torch.nonzero(peaks > 0).tolist():
        evidence = maps[item, kind].float().clamp(min=0)
        factor = _factor(evidence.detach(), gray[item, 0].detach(), reach)
        if factor is not None:
            raised = evidence * factor
            weighed[item, kind] += (raised * (evidence.sum() / raised.sum()) - evidence).to(maps)
    return weighed


def _factor(evidence: Tensor, gray: Tensor, reach: int) -> Tensor | None:
    """Of each pixel's evidence; None where brightness tells nothing."""
    ratio = _log_likelihood_ratio(gray, *_core_and_ring(evidence, gray, reach))
    return None if ratio is None else torch.exp(WEIGHT * ratio)


def _core_and_ring(evidence: Tensor, gray: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Where the evidence is strongest, and what lies around all of it, but for empty background."""
    peak = evidence.max()
    region = evidence >= _REGION * peak
    ring = _dilated(region, reach) & ~region & (gray > gray.min())
    return evidence >= _CORE * peak, ring


def _log_likelihood_ratio(gray: Tensor, core: Tensor, ring: Tensor) -> Tensor | None:
    """Of each pixel's brightness, in the core against the ring; None where they are too small or without contrast."""
    if min(int(core.sum()), int(ring.sum())) < _FEWEST:
        return None
    variance, mean = torch.var_mean(gray[core | ring].float())
    if not float(variance) > torch.finfo(gray.dtype).eps * float(mean) ** 2:
        return None  # rounding errors are no contrast
    place = (gray.float() - mean) / (2 * _RANGE * variance.sqrt()) + 0.5
    bins = (place * _BINS).long().clamp(0, _BINS - 1)
    ratio = torch.log(_histogram(bins[core]) / _histogram(bins[ring]))
    return F.softshrink(ratio, _TISSUE).clamp(-_MOST, _MOST)[bins]


def _histogram(bins: Tensor) -> Tensor:
    """Shares of all bins, none of them 0."""
    n = round(4 * _SMOOTH_BINS)
    at = torch.arange(-n, n + 1, device=bins.device)
    kernel = torch.exp(-0.5 * (at / _SMOOTH_BINS) ** 2)
    found = F.conv1d(torch.bincount(bins, minlength=_BINS).to(kernel)[None, None], kernel[None, None], padding=n)[0, 0]
    return (1 - _SPREAD) * found / found.sum() + _SPREAD / _BINS


def _dilated(mask: Tensor, reach: int) -> Tensor:
    """All within a box of so many pixels to each side: windows that hold any, by their sums."""
    for axis, n in enumerate(mask.shape):
        sums = torch.cat([torch.zeros_like(mask.narrow(axis, 0, 1), dtype=torch.int32),
                          mask.cumsum(axis, dtype=torch.int32)], axis)  # fmt: skip
        at = torch.arange(n, device=mask.device)
        last, first = (at + reach + 1).clamp(max=n), (at - reach).clamp(min=0)
        mask = sums.index_select(axis, last) > sums.index_select(axis, first)
    return mask
