"""The probability atlas: how often each structure lies at a place of MNI space, in 20 heads.

Made by ``hrcam_research/atlas/build.py`` from the label maps of SynthSeg (Billot et al., Medical Image Analysis 2023;
Apache-2.0). Both halves of the brain are averaged, so only one is stored.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from ..scan.geometry import Geometry
from .structures import STRUCTURES

FILE = "structures.npz"
STEP_MM = 2.0
LOWEST_RAS = (0.0, -110.0, -72.0)
"""Center of the first voxel; left-right is the distance from the midline."""

SHAPE = (38, 95, 81)
"""Voxels along distance from the midline, front-back, foot-head."""

LEVELS = 63
"""Probabilities are stored as whole parts of this."""

Probabilities = npt.NDArray[np.float64]


@lru_cache(maxsize=1)
def load_atlas() -> npt.NDArray[np.uint8]:
    """Structures × `SHAPE`, uint8, sums of `LEVELS` over the structures."""
    with resources.files(__package__).joinpath(FILE).open("rb") as stream, np.load(stream) as stored:
        return np.asarray(stored["probability"])


def atlas_grid() -> Geometry:
    """The whole atlas, both halves: LPS, `STEP_MM`."""
    across, along, up = SHAPE
    right, back, low = (across - 1) * STEP_MM, LOWEST_RAS[1], LOWEST_RAS[2]
    return Geometry((2 * across - 1, along, up), (-right, -(back + (along - 1) * STEP_MM), low), (STEP_MM,) * 3,
                    np.eye(3))


def unfolded(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Values of `SHAPE` for both halves, KJI on `atlas_grid`."""
    return np.concatenate([values[:0:-1], values]).transpose(2, 1, 0)[:, ::-1]


def probabilities_at(mni_ras: npt.ArrayLike, atlas: npt.NDArray[np.uint8] | None = None) -> Probabilities:
    """Probability of each structure (in the order of `STRUCTURES`) at points N×3 of MNI space, RAS mm; N×structures.

    Linear between voxels; beyond the atlas everything lies outside the brain.
    """
    from scipy.ndimage import map_coordinates

    stored = load_atlas() if atlas is None else atlas
    points = np.asarray(mni_ras, np.float64).reshape(-1, 3).copy()
    points[:, 0] = np.abs(points[:, 0])
    index = ((points - LOWEST_RAS) / STEP_MM).T
    found = np.stack([map_coordinates(one, index, np.float64, order=1) for one in stored], axis=1) / LEVELS
    found[:, 0] += np.maximum(0.0, 1.0 - found.sum(axis=1))
    return np.asarray(found)


def sizes(atlas: npt.NDArray[np.uint8] | None = None) -> Probabilities:
    """Mean volume of each structure, as a part of the largest one's."""
    stored = load_atlas() if atlas is None else atlas
    total = stored.sum(axis=(1, 2, 3), dtype=np.float64)
    return np.asarray(np.maximum(total, 1.0) / total.max())


def name_of(number: int) -> str:
    """Name of a structure by its place in `STRUCTURES`."""
    return list(STRUCTURES)[number]
