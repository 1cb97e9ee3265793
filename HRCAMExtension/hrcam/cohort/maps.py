"""Group maps: sums over cases one by one, so that memory does not depend on how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..align.transforms import carried
from ..errors import InputError
from ..run.result import FloatArray
from ..scan.geometry import Geometry
from .cases import Member

MNI, OWN = "mni", "own"
"""Spaces: the template's, by the registration of ``--place``; or the one that all cases lie in already."""

STEP_MM = 2.0
_SIZE, _ORIGIN_RAS = (91, 109, 91), (90.0, -126.0, -72.0)

FEWEST_FOR_T = 3
"""Cases that a voxel needs for a t value."""

Sums = npt.NDArray[np.float64]


@dataclass(eq=False)
class GroupMaps:
    """Running sums of a group; arrays KJI on the common grid.

    Parameters
    ----------
    count : cases that show each voxel.
    mean, squares : mean, and sum of squared deviations from it (Welford).
    reached : cases whose evidence reaches the lowest level.
    """

    count: npt.NDArray[np.int32]
    mean: Sums
    squares: Sums
    reached: npt.NDArray[np.int32]

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> GroupMaps:
        """Of no case."""
        return cls(np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int32))

    def add(self, evidence: FloatArray, covered: npt.NDArray[np.bool_], threshold: float) -> None:
        """Take in a case's evidence where its scan covers the grid."""
        self.count += covered
        step = np.where(covered, evidence - self.mean, 0.0)
        self.mean += step / np.maximum(self.count, 1)
        self.squares += step * np.where(covered, evidence - self.mean, 0.0)
        self.reached += covered & (evidence >= threshold)

    @property
    def variance(self) -> Sums:
        """Of the cases; 0 where there are fewer than two."""
        return np.where(self.count > 1, self.squares / np.maximum(self.count - 1, 1), 0.0)

    @property
    def t(self) -> FloatArray:
        """One-sample t: mean over its standard error; 0 where too few cases show the voxel or none varies."""
        error = np.sqrt(self.variance / np.maximum(self.count, 1))
        known = (self.count >= FEWEST_FOR_T) & (error > 0)
        return np.where(known, self.mean / np.where(known, error, 1.0), 0.0).astype(np.float32)

    @property
    def prevalence(self) -> FloatArray:
        """Share of the cases whose evidence reaches the lowest level."""
        return (self.reached / np.maximum(self.count, 1)).astype(np.float32)


def welch_t(one: GroupMaps, other: GroupMaps) -> FloatArray:
    """Welch's t of two groups' means, a voxel; 0 where too few cases show it."""
    error = np.sqrt(one.variance / np.maximum(one.count, 1) + other.variance / np.maximum(other.count, 1))
    known = (one.count >= FEWEST_FOR_T) & (other.count >= FEWEST_FOR_T) & (error > 0)
    return np.where(known, (one.mean - other.mean) / np.where(known, error, 1.0), 0.0).astype(np.float32)


def common_grid(members: Sequence[Member], space: str) -> Geometry:
    """The grid of group maps: the template's at `STEP_MM`, or the first case's.

    Raises ``InputError`` where cases do not lie in the space that was asked for.
    """
    if space == OWN:
        return members[0].geometry
    r, a, s = _ORIGIN_RAS
    return Geometry(_SIZE, (-r, -(a + (_SIZE[1] - 1) * STEP_MM), s), (STEP_MM,) * 3, np.eye(3))


def on_grid(member: Member, grid: Geometry, space: str) -> tuple[FloatArray, npt.NDArray[np.bool_]] | None:
    """A case's evidence on the common grid, and which voxels its scan covers; None where its place is not known."""
    there = np.eye(4) if space == OWN else member.template_to_scan
    if there is None:
        return None
    geometry = member.geometry
    if geometry == grid and space == OWN:
        return member.read_map(), np.ones(grid.shape_kji, bool)
    covered = carried(np.ones(geometry.shape_kji, np.uint8), geometry, grid, there, nearest=True).astype(bool)
    if not covered.any():
        raise InputError(f'The case "{member.name}" does not lie where the others do.',
                         "Leave it out, or use --space mni with results of hrcam batch --place.")
    return carried(member.read_map(), geometry, grid, there).astype(np.float32), covered
