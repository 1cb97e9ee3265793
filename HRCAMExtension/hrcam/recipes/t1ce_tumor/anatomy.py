"""Where a slice of a pituitary tumor is healthy: pituitary tumors lie in and above the sella, nowhere else.

A textbook's knowledge, not an outline: it makes healthy tissue of every plane, scanner and contrast dose of the tumor
slices themselves, which no collection of healthy scans here has.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_HEAD = 0.1
_THIN = 8
"""Rows and columns with fewer pixels of head are an ear or noise."""

AXIAL_SIDE, AXIAL_BACK, AXIAL_FRONT = 0.26, 0.68, 0.12
"""Healthy: this share of the head's width from its middle; behind, and before, these shares of its length."""

CORONAL_TOP, SAGITTAL_TOP = 0.50, 0.44
"""Healthy: down to this share of the head's breadth, or length, below its top."""


def away_from_sella(image: npt.NDArray[np.floating], plane: str) -> npt.NDArray[np.bool_]:
    """Pixels of an H×W slice, in [0, 1.5], that a pituitary tumor does not reach.

    `plane`: "ax" (front at the top), "co" or "sa" (vertex at the top). Nothing is healthy where no head is seen.
    """
    head = ndimage.binary_opening(np.asarray(image, np.float32) > _HEAD, iterations=2)
    parts, count = ndimage.label(head)
    if not count:
        return np.zeros(image.shape, bool)
    largest = 1 + int(np.argmax(ndimage.sum(head, parts, range(1, count + 1))))
    head = ndimage.binary_fill_holes(parts == largest)
    rows, columns = np.flatnonzero(head.sum(1) > _THIN), np.flatnonzero(head.sum(0) > _THIN)
    if not len(rows) or not len(columns):
        return np.zeros(image.shape, bool)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    top = rows[0]
    if plane == "ax":
        length, width, middle = rows[-1] - top, columns[-1] - columns[0], (columns[0] + columns[-1]) / 2
        aside = np.abs(x - middle) > AXIAL_SIDE * width
        return aside | (y > top + AXIAL_BACK * length) | (y < top + AXIAL_FRONT * length)
    extents = [float(np.ptp(np.flatnonzero(row))) if row.any() else 0.0 for row in head[top : top + 140]]
    share = CORONAL_TOP if plane == "co" else SAGITTAL_TOP
    return np.asarray(y < top + share * np.percentile(extents, 90))
