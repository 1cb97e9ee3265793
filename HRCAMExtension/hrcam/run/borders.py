"""Borders of regions that follow the image: within a map's halo, voxels as bright as the region's core belong to it.

A map is coarser than the image it was made of. Which regions there are, and the weakest evidence that is marked, the
calibrated levels alone decide (``marking.py``); here only the share of a region's peak moves at which its halo is
trimmed, down where a voxel looks like the core and up where it looks like what surrounds the region.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..bundle.evidence_level import EvidenceLevel
from ..scan.intensity import CEILING, Scale, scale_of
from .components import Box, Components, connected, touching

if TYPE_CHECKING:
    from ..bundle.bundle import Bundle
    from ..scan.volume import Volume

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_CORE = 0.5
"""Share of the peak, before the maps' power, from which a voxel is the region's core."""

_NEAR_MM, _FAR_MM = 1.0, 8.0
"""Surroundings lie further from the region than the first and no further than the second, in its slices."""

_TISSUE = 0.1
"""Normalized brightness from which surroundings are tissue."""

_BIN, _SMOOTH_BINS, _SPREAD = 0.05, 2.0, 0.01
"""Of histograms: a bin's width, how they are smoothed, the part that is spread over all bins."""

_SMOOTH_MM = 0.7
_MOST = 2.0
"""Of the log-likelihood ratio, in either direction."""

_FEWEST = 10
"""Voxels of core and of surroundings below which brightness tells nothing."""


@dataclass(frozen=True, eq=False)
class Borders:
    """How the regions of one scan follow its image.

    Attributes
    ----------
    image : KJI, in scanner units.
    scale : that normalizes it.
    spacing : of K, J and I in mm; infinite across slices.
    rule : the bundle's ``borders``: ``weight`` of brightness, and ``power`` that the network raises its maps to.
    """

    image: npt.NDArray[Any]
    scale: Scale
    spacing: tuple[float, float, float]
    rule: Mapping[str, Any]

    def draw(self, labels: npt.NDArray[np.uint8], evidence: Floats, level: EvidenceLevel) -> None:
        """Move the borders of what is marked at the weakest level, in place; what reaches a higher one stays.

        Parameters
        ----------
        labels : uint8 KJI, as ``marking.label_levels`` returns it.
        evidence : float32 KJI, logits.
        level : the weakest, which bounds the evidence of all that is marked.
        """
        if not labels.any():
            return
        import SimpleITK as sitk  # noqa: N813 - its customary name

        box, numbers = connected(evidence >= level.threshold)
        found = sitk.LabelShapeStatisticsImageFilter()
        found.Execute(sitk.GetImageFromArray(numbers))
        reach = [_pixels(_FAR_MM, step) for step in self.spacing]
        for number in found.GetLabels():
            if found.GetNumberOfPixels(number) < _FEWEST:
                continue
            corner, size = np.split(np.array(found.GetBoundingBox(number)).reshape(2, 3)[:, ::-1], 2)
            first = np.array([part.start for part in box]) + corner[0]
            around = [slice(max(0, at - n), min(at + length + n, end)) for at, length, n, end in
                      zip(first.tolist(), size[0].tolist(), reach, evidence.shape, strict=True)]  # fmt: skip
            here = (around[0], around[1], around[2])
            own = _own(numbers, number, box, here)
            target, root = labels[here], 1 / self.rule["power"]
            share = np.where(own, evidence[here], np.float32(0))
            share = (share / share.max()) ** np.float32(root)
            kept = self._region(share, own, self.image[here], level.of_peak**root)
            kept = touching(kept, (share >= _CORE) | (own & (target > 1)))
            target[own & ~kept] = 0
            np.maximum(target, kept, out=target, casting="unsafe")

    def _region(self, share: Floats, own: Mask, image: npt.NDArray[Any], wanted: float) -> Mask:
        likelier = self._likelier(self.scale.apply(image), share, own & (share >= wanted))
        return np.asarray(own & (share + np.float32(self.rule["weight"]) * likelier >= wanted))

    def _likelier(self, image: Floats, share: Floats, region: Mask) -> Floats:
        """How much likelier a voxel's brightness is in the core than in the surroundings: logarithm of the ratio."""
        image = _smoothed(image, self.spacing)
        near, far = (_dilated(region, [_pixels(mm, step) for step in self.spacing]) for mm in (_NEAR_MM, _FAR_MM))
        core, ring = region & (share >= _CORE), far & ~near & (image > _TISSUE)
        if min(np.count_nonzero(core), np.count_nonzero(ring)) < _FEWEST:
            return np.zeros_like(image)
        count = round(CEILING / _BIN)
        bins = np.minimum(image / _BIN, count - 1).astype(np.int64)
        inside, outside = (_histogram(bins[part], count) for part in (core, ring))
        ratio = np.log(inside / outside).clip(-_MOST, _MOST).astype(np.float32)
        return np.asarray(ratio[bins])


def borders_of(volume: Volume, bundle: Bundle) -> Borders | None:
    """How regions of the scan follow its image; None where the model does not say so."""
    rule = bundle.borders
    if rule is None:
        return None
    across = volume.geometry.acquisition_axis
    i, j, k = (math.inf if n == across else step for n, step in enumerate(volume.geometry.spacing))
    return Borders(volume.array, scale_of(volume.ordered, bundle.input.intensity), (k, j, i), rule)


def _own(numbers: Components, number: int, box: Box, here: Box) -> Mask:
    """The component in a part of the volume that holds all of it."""
    own = np.zeros([part.stop - part.start for part in here], bool)
    inner = [(max(b.start, h.start), min(b.stop, h.stop)) for b, h in zip(box, here, strict=True)]
    target = tuple(slice(low - h.start, high - h.start) for (low, high), h in zip(inner, here, strict=True))
    source = tuple(slice(low - b.start, high - b.start) for (low, high), b in zip(inner, box, strict=True))
    own[target] = numbers[source] == number
    return own


def _pixels(mm: float, step: float) -> int:
    return 0 if math.isinf(step) else max(1, round(mm / step))


def _dilated(mask: Mask, pixels: Sequence[int]) -> Mask:
    """All within a box of so many pixels to each side."""
    for axis, n in enumerate(pixels):
        if n:
            before = np.cumsum(np.moveaxis(mask, axis, 0), axis=0, dtype=np.int32)
            before = np.concatenate([np.zeros_like(before[:1]), before])
            at = np.arange(len(before) - 1)
            mask = np.moveaxis(before[np.minimum(at + n + 1, at[-1] + 1)] > before[np.maximum(at - n, 0)], 0, axis)
    return mask


def _smoothed(image: Floats, spacing: Sequence[float]) -> Floats:
    import SimpleITK as sitk  # noqa: N813 - its customary name

    variance = [(_SMOOTH_MM / step) ** 2 for step in reversed(spacing)]
    smoother = sitk.DiscreteGaussianImageFilter()
    smoother.SetVariance(variance)
    smoother.SetUseImageSpacing(False)
    return np.asarray(sitk.GetArrayFromImage(smoother.Execute(sitk.GetImageFromArray(image))))


def _histogram(bins: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """Shares of all bins, none of them 0."""
    at = np.arange(-round(4 * _SMOOTH_BINS), round(4 * _SMOOTH_BINS) + 1)
    found = np.convolve(np.bincount(bins, minlength=count), np.exp(-0.5 * (at / _SMOOTH_BINS) ** 2), "same")
    return np.asarray((1 - _SPREAD) * found / found.sum() + _SPREAD / count)
