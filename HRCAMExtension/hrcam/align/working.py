"""The small image that registration works on: clipped, smoothed, a few mm a voxel, and where its head is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..scan.intensity import otsu_threshold
from ..scan.volume import Volume, to_sitk
from .transforms import Matrix, moved

FEWEST_SAMPLES = 32
"""An axis is never reduced to fewer: the slices of a thick stack are all there is."""

_CLIP = (0.5, 99.5)
_POINTS = 2000
_RANKS, _DARKEST = 65, 0.1


@dataclass(frozen=True, eq=False)
class WorkingImage:
    """A reduced scan.

    Parameters
    ----------
    image : SimpleITK image, float32, intensities clipped and scaled to 0–1.
    head : mask of it, uint8: what is brighter than the background, holes filled.
    points : N×3, LPS mm: centers of voxels of the head, evenly chosen; distances between transforms refer to them.
    """

    image: sitk.Image
    head: sitk.Image
    points: npt.NDArray[np.float64]

    @property
    def center(self) -> npt.NDArray[np.float64]:
        """Center of the head, LPS mm."""
        return np.asarray(self.points.mean(axis=0))


def working_image(volume: Volume, spacing_mm: float) -> WorkingImage:
    """Reduce a scan to voxels of about ``spacing_mm``; axes that are coarser, or short, stay as they are."""
    low, high = np.percentile(volume.array, _CLIP)
    scaled = np.clip((volume.array - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)
    image = to_sitk(scaled, volume.geometry)
    size, spacing = volume.geometry.size_ijk, volume.geometry.spacing
    targets = [max(own, min(spacing_mm, own * n / min(n, FEWEST_SAMPLES)))
               for n, own in zip(size, spacing, strict=True)]
    for axis, (own, target) in enumerate(zip(spacing, targets, strict=True)):
        if target > 1.3 * own and size[axis] >= 4:  # the filter needs four samples
            smooth = sitk.RecursiveGaussianImageFilter()
            smooth.SetSigma(0.4 * target)
            smooth.SetDirection(axis)
            image = smooth.Execute(image)
    counts = [max(1, round(n * own / target)) for n, own, target in zip(size, spacing, targets, strict=True)]
    reduced = [n * own / count for n, own, count in zip(size, spacing, counts, strict=True)]
    first = image.TransformContinuousIndexToPhysicalPoint(
        [0.5 * (new / own) - 0.5 for new, own in zip(reduced, spacing, strict=True)])
    image = sitk.Resample(image, counts, sitk.Transform(), sitk.sitkLinear, first, reduced, image.GetDirection())
    head = _head(image)
    return WorkingImage(image, head, points_of(head))


def shown_slices(volume: Volume) -> Volume:
    """The scan without slices of one value at its ends, which show nothing: they are not air above a head."""
    shows = np.ptp(volume.array, axis=(1, 2)) > 0
    if not shows.any() or (shows[0] and shows[-1]):
        return volume
    first, last = int(np.argmax(shows)), len(shows) - int(np.argmax(shows[::-1]))
    geometry = volume.geometry
    x, y, z = geometry.points_to_lps([0, 0, first]).tolist()
    kept = replace(geometry, size_ijk=(*geometry.size_ijk[:2], last - first), origin_lps=(x, y, z))
    return replace(volume, array=volume.array[first:last], geometry=kept)


def equalized(reduced: WorkingImage) -> WorkingImage:
    """With as many voxels of the head in each range of intensity: bright fat leaves the brain its contrast."""
    array, head = sitk.GetArrayFromImage(reduced.image), sitk.GetArrayViewFromImage(reduced.head) > 0
    if not head.any():
        return reduced
    limits = np.quantile(array[head], np.linspace(0, 1, _RANKS))
    limits += np.arange(_RANKS) * 1e-7  # np.interp wants them to rise
    ranks = np.interp(array, [0.0, *(limits + 1e-7)], [0.0, *np.linspace(_DARKEST, 1, _RANKS)])
    image = sitk.GetImageFromArray(ranks.astype(np.float32))
    image.CopyInformation(reduced.image)
    return replace(reduced, image=image)


def covered(one: WorkingImage, other: WorkingImage, there: Matrix) -> float:
    """Share of the one's head that lies within the other's field of view."""
    size = np.asarray(other.image.GetSize())
    index = np.asarray([other.image.TransformPhysicalPointToContinuousIndex(p)
                        for p in moved(there, one.points).tolist()])
    return float(np.all((index >= -0.5) & (index <= size - 0.5), axis=1).mean())


def _head(image: sitk.Image) -> sitk.Image:
    array = sitk.GetArrayViewFromImage(image)
    bright = image > 0.6 * otsu_threshold(array)
    largest = sitk.RelabelComponent(sitk.ConnectedComponent(bright), sortByObjectSize=True) == 1
    filled = sitk.BinaryFillhole(largest)
    return sitk.Cast(filled, sitk.sitkUInt8)


def points_of(head: sitk.Image) -> npt.NDArray[np.float64]:
    """Centers of voxels of a mask, evenly chosen, N×3 LPS mm; of the whole image where it is empty."""
    kji = np.argwhere(sitk.GetArrayViewFromImage(head) > 0)
    if not len(kji):
        kji = np.argwhere(np.ones(head.GetSize()[::-1], bool))
    chosen = kji[:: max(1, len(kji) // _POINTS)][:, ::-1].astype(float)
    matrix = np.reshape(head.GetDirection(), (3, 3)) * np.asarray(head.GetSpacing())
    return np.asarray(chosen @ matrix.T + np.asarray(head.GetOrigin()))
