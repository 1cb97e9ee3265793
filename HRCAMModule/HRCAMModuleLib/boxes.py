"""Bounding boxes of what exceeds a threshold in a volume, found in steps of a few milliseconds."""

from __future__ import annotations

import numpy as np

from .steps import Steps, slabs

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def boundingBoxSteps(array: np.ndarray, threshold: float) -> Steps:
    """First and last index along K, J, I of values at or above ``threshold``; returns None where there are none.

    Example
    -------
    >>> from HRCAMModuleLib.steps import runToEnd
    >>> runToEnd(boundingBoxSteps(np.eye(3)[None], 1.0))
    ((0, 0), (0, 2), (0, 2))
    """
    low, high = np.array(array.shape), np.full(3, -1)
    for part in slabs(array):
        mask = array[part] >= threshold
        for axis, others in enumerate(((1, 2), (0, 2), (0, 1))):
            hits = np.flatnonzero(mask.any(axis=others))
            if hits.size:
                offset = part.start if axis == 0 else 0
                low[axis] = min(low[axis], hits[0] + offset)
                high[axis] = max(high[axis], hits[-1] + offset)
        yield min(1.0, part.stop / len(array))
    return None if high[0] < 0 else tuple((int(a), int(b)) for a, b in zip(low, high, strict=True))
