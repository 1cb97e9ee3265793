"""A small generated head with a bright lesion, for the self-test and for a first try without any download."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

SHAPE_KJI = (26, 192, 160)
SPACING_MM = (1.0, 1.0, 5.0)
LESION_RAS, LESION_RADIUS_MM = (44.0, 40.0, 0.0), 16.0


def syntheticScan(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (int16, KJI) and 4x4 IJK-to-RAS matrix of a head-like ellipsoid with one bright ball at its border.

    It has a scalp, a skull, fluid, two tissues, ventricles, a fissure, noise, and a lesion that enhances as a
    meningioma does. It imitates contrast-enhanced T1 just well enough to walk through every step, with intensities that
    the tumor model expects; it says nothing about accuracy.
    """
    rng = np.random.default_rng(seed)
    half = [(n - 1) / 2 * s for n, s in zip(SHAPE_KJI[::-1], SPACING_MM, strict=True)]
    k, j, i = np.indices(SHAPE_KJI, dtype=np.float32)
    right, front, up = (axis * step - middle for axis, step, middle in zip((i, j, k), SPACING_MM, half, strict=True))
    radius = np.sqrt((right / 72) ** 2 + (front / 88) ** 2 + (up / 62) ** 2)
    voxels = np.zeros(SHAPE_KJI, np.float32)
    voxels[radius < 1.0] = 640
    voxels[radius < 0.95] = 60
    voxels[radius < 0.90] = 110
    voxels[radius < 0.87] = 270
    voxels[radius < 0.80 - 0.05 * _smooth(rng, 6)] = 330
    tissue = (voxels > 200) & (radius < 0.88)
    voxels[tissue] *= 1 + 0.09 * _smooth(rng, 2)[tissue]
    for side in (-8, 8):
        voxels[((right - side) / 5) ** 2 + ((front + 5) / 26) ** 2 + ((up - 8) / 9) ** 2 < 1] = 110
    voxels[(np.abs(right) < 1.2) & (radius > 0.6) & (radius < 0.9)] = 120
    lesion = sum((axis - at) ** 2 for axis, at in zip((right, front, up), LESION_RAS, strict=True))
    voxels = np.where(lesion < LESION_RADIUS_MM**2, 760 * (1 + 0.04 * _smooth(rng, 2)), voxels)
    for axis in (1, 2):
        voxels = (np.roll(voxels, 1, axis) + 2 * voxels + np.roll(voxels, -1, axis)) / 4
    voxels += rng.normal(0, 16, SHAPE_KJI)
    matrix = np.diag([*SPACING_MM, 1.0])
    matrix[:3, 3] = [-middle for middle in half]
    return np.clip(voxels, 0, None).astype(np.int16), matrix


def addSyntheticScan(name: str = "HRCAMSyntheticTumor") -> Any:
    """Add the generated scan to the scene and return its volume node."""
    voxels, matrix = syntheticScan()
    return slicer.util.addVolumeFromArray(voxels, matrix, name)


def _smooth(rng: np.random.Generator, reach: int) -> np.ndarray:
    """Random field of mean 0 and standard deviation 1; means over ``2 * reach + 1`` voxels within slices."""
    field = rng.normal(size=SHAPE_KJI)
    for axis in (1, 2):
        field = np.mean([np.roll(field, shift, axis) for shift in range(-reach, reach + 1)], axis=0)
    return (field / field.std()).astype(np.float32)
