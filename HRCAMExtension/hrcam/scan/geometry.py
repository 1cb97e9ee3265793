"""Where the voxels of a volume lie in the patient: index, LPS and RAS coordinates, orientation, slice planes.

Indices are ``(i, j, k)``, ``i`` fastest in memory; numpy arrays are ``KJI``. LPS is the frame of ITK, DICOM and
NRRD (x to the patient's left, y to posterior, z to superior); RAS is the frame of Slicer and NIfTI. Units are mm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np
import numpy.typing as npt

from ..errors import InputError

Matrix = npt.NDArray[np.float64]

PLANES = ("sagittal", "coronal", "axial")
"""Planes in the order of the LPS axes that they are perpendicular to."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""4x4; its own inverse."""

ORTHONORMAL_TOLERANCE = 1e-3
"""Largest deviation of DᵀD from identity; rounded DICOM cosines stay below it, a shear of 0.1° does not."""

SIMILAR_SPACING = 1.1
"""Spacings within this factor of each other count as equal when the acquisition plane is sought."""

FEW_SLICES = 0.5
"""An axis with fewer voxels than this times the next shorter axis is taken for the stack of slices."""

_SHEAR_HINT = "Resample the volume to an orthogonal grid first (in Slicer: Resample Scalar Volume), then try again."


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a volume; valid by construction and preserved exactly, left-handed and oblique grids included.

    Parameters
    ----------
    size_ijk : voxels along i, j, k.
    origin_lps : center of voxel (0, 0, 0), LPS, mm.
    spacing : mm along i, j, k.
    direction_lps : 3x3; column n is the unit vector along which index axis n grows, LPS.

    Raises
    ------
    InputError : an axis is empty, a number is not finite, the spacing is not positive, or the direction is singular
        or sheared.
    """

    size_ijk: tuple[int, int, int]
    origin_lps: tuple[float, float, float]
    spacing: tuple[float, float, float]
    direction_lps: Matrix

    def __post_init__(self) -> None:
        """Normalize the types and refuse grids that no anatomy can have."""
        size = _three("size", self.size_ijk)
        origin = _three("origin", self.origin_lps)
        spacing = _three("spacing", self.spacing)
        direction = np.array(self.direction_lps, dtype=np.float64)
        if direction.shape != (3, 3):
            direction = direction.reshape(3, 3) if direction.size == 9 else np.full((3, 3), np.nan)
        direction.setflags(write=False)
        _check(size, origin, spacing, direction)
        object.__setattr__(self, "size_ijk", tuple(int(n) for n in size))
        object.__setattr__(self, "origin_lps", tuple(origin))
        object.__setattr__(self, "spacing", tuple(spacing))
        object.__setattr__(self, "direction_lps", direction)

    @classmethod
    def from_ijk_to_ras(cls, matrix: npt.ArrayLike, size_ijk: Sequence[int]) -> Geometry:
        """Geometry of a 4x4 index-to-RAS matrix, as Slicer's volume nodes and NIfTI give it.

        Raises ``InputError`` for a singular or sheared matrix.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # a spacing that is not finite is refused with the grid
            lps = LPS_TO_RAS @ np.asarray(matrix, dtype=np.float64).reshape(4, 4)
            spacing = np.linalg.norm(lps[:3, :3], axis=0)
            direction = lps[:3, :3] / np.where(spacing > 0, spacing, 1.0)
        return cls(_triple_int(size_ijk), tuple(lps[:3, 3]), tuple(spacing), direction)

    def __eq__(self, other: object) -> bool:
        """Exact equality of all numbers."""
        if not isinstance(other, Geometry):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        """Agrees with equality."""
        return hash(self._key)

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return self.size_ijk, self.origin_lps, self.spacing, tuple(self.direction_lps.ravel().tolist())

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """Shape of the volume's array."""
        i, j, k = self.size_ijk
        return k, j, i

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return math.prod(self.spacing) / 1000.0

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Length of the volume along i, j, k in mm, whole voxels included."""
        i, j, k = (n * s for n, s in zip(self.size_ijk, self.spacing, strict=True))
        return i, j, k

    @cached_property
    def ijk_to_lps(self) -> Matrix:
        """4x4, index (voxel centers) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction_lps * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin_lps
        matrix.setflags(write=False)
        return matrix

    @cached_property
    def lps_to_ijk(self) -> Matrix:
        """4x4, LPS mm to continuous index."""
        return np.linalg.inv(self.ijk_to_lps).astype(np.float64, copy=False)

    @cached_property
    def ijk_to_ras(self) -> Matrix:
        """4x4, index (voxel centers) to RAS mm."""
        return LPS_TO_RAS @ self.ijk_to_lps

    @cached_property
    def ras_to_ijk(self) -> Matrix:
        """4x4, RAS mm to continuous index."""
        return self.lps_to_ijk @ LPS_TO_RAS

    def points_to_lps(self, ijk: npt.ArrayLike) -> Matrix:
        """Indices ``(…, 3)`` in i, j, k order to LPS mm ``(…, 3)``."""
        return _apply(self.ijk_to_lps, ijk)

    def points_to_ras(self, ijk: npt.ArrayLike) -> Matrix:
        """Indices ``(…, 3)`` in i, j, k order to RAS mm ``(…, 3)``."""
        return _apply(self.ijk_to_ras, ijk)

    def points_from_lps(self, lps: npt.ArrayLike) -> Matrix:
        """LPS mm ``(…, 3)`` to continuous indices ``(…, 3)`` in i, j, k order."""
        return _apply(self.lps_to_ijk, lps)

    def points_from_ras(self, ras: npt.ArrayLike) -> Matrix:
        """RAS mm ``(…, 3)`` to continuous indices ``(…, 3)`` in i, j, k order."""
        return _apply(self.ras_to_ijk, ras)

    @cached_property
    def patient_axes(self) -> tuple[int, int, int]:
        """LPS axis (0 left-right, 1 front-back, 2 foot-head) nearest to index axes i, j, k.

        A one-to-one assignment, the one with the largest sum of absolute cosines, so that a volume turned by 45° has
        three different planes too.
        """
        cosines = np.abs(self.direction_lps)
        best = max(permutations(range(3)), key=lambda axes: sum(cosines[axes[n], n] for n in range(3)))
        return best[0], best[1], best[2]

    @property
    def orientation(self) -> str:
        """Three letters: towards which side of the patient i, j and k grow (identity direction: ``LPS``).

        The convention of ``SimpleITK.DICOMOrient`` and nibabel's ``aff2axcodes``.
        """
        letters = ("LR", "PA", "SI")
        return "".join(
            letters[axis][0 if self.direction_lps[axis, n] >= 0 else 1] for n, axis in enumerate(self.patient_axes)
        )

    def axis_of(self, plane: str) -> int:
        """Index axis (0 i, 1 j, 2 k) that steps through slices of ``plane`` (axial, coronal or sagittal).

        Raises ``InputError`` for another name.
        """
        if plane not in PLANES:
            raise InputError(f'There is no plane "{plane}".', "Choose axial, coronal or sagittal.")
        return self.patient_axes.index(PLANES.index(plane))

    def plane_of(self, axis: int) -> str:
        """Plane whose slices index axis ``axis`` (0 i, 1 j, 2 k) steps through."""
        return PLANES[self.patient_axes[axis]]

    @property
    def acquisition_axis(self) -> int:
        """Index axis across the acquired slices.

        An axis of one voxel (a single slice); else the axis of clearly largest spacing; else, among the axes of
        (nearly) the largest spacing, one with far fewer voxels than the others, because headers that state 1 mm for
        thick slices exist; else (isotropic) the axial one, in which brains are read; else the slowest in memory.
        """
        largest = max(self.spacing)
        candidates = [n for n in range(3) if self.spacing[n] * SIMILAR_SPACING > largest]
        single = [n for n in range(3) if self.size_ijk[n] == 1]
        if single:
            return single[-1]
        if len(candidates) > 1:
            shortest, second, _ = sorted(self.size_ijk)
            thin = self.size_ijk.index(shortest)
            if thin in candidates and shortest < FEW_SLICES * second:
                return thin
            axial = self.axis_of("axial")
            return axial if axial in candidates else candidates[-1]
        return candidates[0]

    @property
    def acquisition_plane(self) -> str:
        """Plane of the acquired slices, see ``acquisition_axis``."""
        return self.plane_of(self.acquisition_axis)

    def slice_centre_ras(self, axis: int, index: int) -> tuple[float, float, float]:
        """RAS mm of the center of slice ``index`` along index axis ``axis``."""
        ijk = [(n - 1) / 2 for n in self.size_ijk]
        ijk[axis] = float(index)
        r, a, s = self.points_to_ras(ijk).tolist()
        return r, a, s


def _apply(matrix: Matrix, points: npt.ArrayLike) -> Matrix:
    return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def _three(what: str, values: Sequence[float]) -> list[float]:
    numbers = [float(v) for v in values]
    if len(numbers) != 3:
        raise InputError(f"The volume's {what} has {len(numbers)} numbers instead of 3.", "Give a 3D volume.")
    return numbers


def _triple_int(values: Sequence[int]) -> tuple[int, int, int]:
    i, j, k = (int(v) for v in values)
    return i, j, k


def _check(size: list[float], origin: list[float], spacing: list[float], direction: Matrix) -> None:
    if min(size) < 1:
        raise InputError(f"The volume is empty: its size is {' x '.join(f'{n:g}' for n in size)} voxels.",
                         "Export it again from its source.")
    if not np.all(np.isfinite(spacing)) or min(spacing) <= 0:
        raise InputError(f"The voxel spacing {_numbers(spacing)} mm is not positive in every direction.",
                         "Correct the header's spacing and try again.")
    if not np.all(np.isfinite(origin)):
        raise InputError(f"The origin {_numbers(origin)} is not a finite position.",
                         "Correct the header's origin and try again.")
    if not np.all(np.isfinite(direction)):
        raise InputError("The direction matrix holds numbers that are not finite.",
                         "Correct the header's direction and try again.")
    small = np.abs(direction).max() <= 2.0  # no unit vector holds more, and squares of huge numbers overflow
    if small and abs(np.linalg.det(direction)) < ORTHONORMAL_TOLERANCE:
        raise InputError("The direction matrix is singular: two axes of the volume are parallel or one has no length.",
                         "Correct the header's direction and try again.")
    if not small or np.abs(direction.T @ direction - np.eye(3)).max() > ORTHONORMAL_TOLERANCE:
        raise InputError("The volume's axes are not perpendicular unit vectors (sheared, as with a tilted gantry).",
                         _SHEAR_HINT)


def _numbers(values: Sequence[float]) -> str:
    return " x ".join(f"{v:g}" for v in values)
