"""A small generated head with a bright lesion, for the self-test and for a first try without any download."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

SHAPE_KJI = (24, 96, 96)
SPACING_MM = (2.0, 2.0, 5.0)


def syntheticScan(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (int16, KJI) and 4x4 IJK-to-RAS matrix of a head-like ellipsoid with one bright ball.

    It has a scalp, a brain of two tissues, noise, and a lesion of 14 mm radius at about R 24, A 10, S 10 mm. It
    imitates contrast-enhanced T1 just well enough to walk through every step; it says nothing about accuracy.
    """
    rng = np.random.default_rng(seed)
    half = [(n - 1) / 2 * s for n, s in zip(SHAPE_KJI[::-1], SPACING_MM, strict=True)]
    k, j, i = np.indices(SHAPE_KJI, dtype=np.float32)
    right, front, up = (axis * step - middle for axis, step, middle in zip((i, j, k), SPACING_MM, half, strict=True))
    radius = np.sqrt((right / 72) ** 2 + (front / 88) ** 2 + (up / 58) ** 2)
    voxels = np.zeros(SHAPE_KJI, np.float32)
    voxels[radius < 1.0] = 420
    voxels[radius < 0.92] = 60
    voxels[radius < 0.86] = 260
    voxels[(radius < 0.62) & (np.sin(right / 9) * np.sin(front / 11) > -0.5)] = 330
    lesion = np.sqrt((right - 24) ** 2 + (front - 10) ** 2 + (up - 10) ** 2)
    voxels[lesion < 14] = 620
    voxels += rng.normal(0, 12, SHAPE_KJI)
    matrix = np.diag([*SPACING_MM, 1.0])
    matrix[:3, 3] = [-middle for middle in half]
    return np.clip(voxels, 0, None).astype(np.int16), matrix


def addSyntheticScan(name: str = "HRCAMSyntheticTumor") -> Any:
    """Add the generated scan to the scene and return its volume node."""
    voxels, matrix = syntheticScan()
    return slicer.util.addVolumeFromArray(voxels, matrix, name)
