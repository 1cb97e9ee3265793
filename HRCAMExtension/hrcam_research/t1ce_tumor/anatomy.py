"""Where a slice of a pituitary tumor is healthy: pituitary tumors lie in and above the sella, nowhere else.

A textbook's knowledge, not an outline. It says where to look in these slices, and it makes healthy tissue of every
plane, scanner and contrast dose of the tumor slices themselves, which no collection of healthy scans here has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_HEAD = 0.1
_THIN = 8
"""Rows and columns with fewer pixels of head are an ear or noise."""

_CALVARIA = 140
"""Rows below the vertex in which the head's breadth or length is measured: the neck is not."""


@dataclass(frozen=True)
class Sella:
    """Two masks H×W of a slice; between them lies what may be either.

    Attributes
    ----------
    near : where a pituitary tumor is looked for.
    healthy : head that no pituitary tumor reaches.
    """

    near: npt.NDArray[np.bool_]
    healthy: npt.NDArray[np.bool_]


def find_sella(image: npt.NDArray[np.floating], plane: str) -> Sella:
    """By the outline of the head alone, of an H×W slice in [0, 1.5].

    `plane`: "ax" (front at the top), "co" or "sa" (vertex at the top, face to the right). Both masks are empty where no
    head is seen. The shares below are of the head's width, length and breadth; they were read off training slices.
    """
    nothing = np.zeros(image.shape, bool)
    head = ndimage.binary_opening(np.asarray(image, np.float32) > _HEAD, iterations=2)
    parts, count = ndimage.label(head)
    if not count:
        return Sella(nothing, nothing)
    largest = 1 + int(np.argmax(ndimage.sum(head, parts, range(1, count + 1))))
    head = ndimage.binary_fill_holes(parts == largest)
    rows, columns = np.flatnonzero(head.sum(1) > _THIN), np.flatnonzero(head.sum(0) > _THIN)
    if not len(rows) or not len(columns):
        return Sella(nothing, nothing)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    top = rows[0]
    if plane == "ax":
        length, width = rows[-1] - top, columns[-1] - columns[0]
        aside, depth = np.abs(x - (columns[0] + columns[-1]) / 2) / width, (y - top) / length
        near = (aside < 0.18) & (depth > 0.20) & (depth < 0.57)
        return Sella(near, (aside > 0.26) | (depth > 0.68) | (depth < 0.12))
    extents = [float(np.ptp(np.flatnonzero(row))) if row.any() else 0.0 for row in head[top : top + _CALVARIA]]
    extent = max(float(np.percentile(extents, 90)), 1.0)
    depth = (y - top) / extent
    calvaria = np.flatnonzero(head[top : top + int(0.7 * extent) + 1].sum(0) > _THIN)
    if not len(calvaria):
        return Sella(nothing, nothing)
    if plane == "co":
        aside = np.abs(x - (calvaria[0] + calvaria[-1]) / 2) / extent
        near = (aside < 0.24) & (depth > 0.50) & (depth < 0.90)
        return Sella(near, (depth < 0.52) & ~near | (aside > 0.29) & (depth < 0.72))
    forward = (x - calvaria[0]) / extent
    near = (depth > 0.46) & (depth < 0.80) & (forward > 0.38) & (forward < 0.80)
    return Sella(near, (depth < 0.45) | (forward < 0.36) & (depth < 0.75))
