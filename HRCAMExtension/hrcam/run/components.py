"""Connected components of a mask, within the part of the volume that holds any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Components = npt.NDArray[np.uint32]
Box = tuple[slice, slice, slice]


def connected(mask: npt.NDArray[np.bool_]) -> tuple[Box, Components]:
    """The bounding box of a mask that holds something, and within it component numbers from 1 on; 3D.

    Voxels that touch at a face, edge or corner belong together.
    """
    import SimpleITK as sitk  # noqa: N813 - its customary name

    box = bounds(mask)
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask[box]).view(np.uint8))
    found: Components = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True))
    return box, found


def touching(mask: npt.NDArray[np.bool_], core: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The core, which holds something, and those components of both that hold some of it; the others are left out."""
    box, numbers = connected(mask | core)
    held = np.zeros(int(numbers.max()) + 1, bool)
    held[numbers[core[box]]] = True
    held[0] = False
    kept = np.zeros_like(mask)
    kept[box] = held[numbers]
    return kept


def trim(values: npt.NDArray[np.floating], reached: npt.NDArray[np.bool_], share: float) -> None:
    """Clear, in each component of ``reached``, which holds something, what lies below a share of the component's peak.

    Slice by slice: lists of a large volume's voxels would be larger than the volume.
    """
    box, components = connected(reached)
    peaks = np.full(int(components.max()) + 1, -np.inf, values.dtype)
    for numbers, rows in zip(components, values[box], strict=True):
        np.maximum.at(peaks, numbers, rows)
    limits = share * peaks
    for numbers, rows, target in zip(components, values[box], reached[box], strict=True):
        target &= rows >= limits[numbers]


def bounds(mask: npt.NDArray[np.bool_]) -> Box:
    """The bounding box of a mask that holds something; 3D."""
    found = []
    for axis in range(3):
        rest = tuple(n for n in range(3) if n != axis)
        where = np.flatnonzero(mask.any(axis=rest))
        found.append(slice(int(where[0]), int(where[-1]) + 1))
    return found[0], found[1], found[2]
