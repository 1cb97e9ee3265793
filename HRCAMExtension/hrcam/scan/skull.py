"""Whether a scan shows the whole head, or a brain without its skull."""

from __future__ import annotations

import numpy as np

from .intensity import otsu_threshold
from .volume import Volume

VOXELS = 250_000
"""A scan is thinned to about so many: scalp and brain are told apart all the same."""

SHELL = 0.1
"""Depth of the outermost layer, as a share of the greatest depth: the scalp, or the cortex where there is none."""

DARK_SHELL = 0.9
"""Scalp and fat are as bright as brain, or brighter; the rim of a brain alone is cortex and fluid.

The shell's mean against the median of what lies deeper than three shells was 1.2 to 1.5 in whole heads (T1, T1-CE and
FLAIR of several hospitals) and 0.5 to 0.8 in brains without skull.
"""


def is_stripped(volume: Volume) -> bool:
    """Whether a scan of a head shows the brain alone.

    Parameters
    ----------
    volume : a usable scan; a single slice will do.
    """
    import SimpleITK as sitk  # noqa: N813 - its customary name

    step = max(1, round((volume.array.size / VOXELS) ** (1 / 3)))
    coarse = np.ascontiguousarray(volume.array[:: step if volume.array.shape[0] > 2 * step else 1, ::step, ::step])
    above = sitk.GetImageFromArray((coarse > otsu_threshold(coarse) * 0.5).astype(np.uint8))
    filled = np.zeros(coarse.shape, bool)
    depth = np.zeros(coarse.shape, np.float32)
    for number in range(coarse.shape[0]):
        whole = sitk.BinaryFillhole(above[:, :, number])
        filled[number] = sitk.GetArrayFromImage(whole) > 0
        if filled[number].any():
            depth[number] = -sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(whole, squaredDistance=False))
    greatest = float(depth.max())
    shell, inner = filled & (depth <= SHELL * greatest), depth > 3 * SHELL * greatest
    if not shell.any() or not inner.any():
        return False
    lowest = float(coarse.min())
    return float(coarse[shell].mean()) - lowest < DARK_SHELL * (float(np.median(coarse[inner])) - lowest)
