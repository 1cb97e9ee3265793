"""Transforms as 4x4 matrices of LPS mm, and images carried along."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..scan.geometry import Geometry
from ..scan.volume import to_sitk

Matrix = npt.NDArray[np.float64]

_NUDGE_MM, _NUDGE_RADIANS = 3.0, 0.04


def matrix_of(transform: sitk.Transform) -> Matrix:
    """4x4 of a linear transform, LPS mm."""
    origin = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.asarray(transform.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.stack(columns, axis=1), origin
    return matrix


def transform_of(matrix: npt.ArrayLike) -> sitk.AffineTransform:
    """SimpleITK's transform of a 4x4, LPS mm."""
    values = np.asarray(matrix, np.float64)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(values[:3, :3].ravel().tolist())
    transform.SetTranslation(values[:3, 3].tolist())
    return transform


def inverse(matrix: Matrix) -> Matrix:
    """The way back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def moved(matrix: Matrix, points: npt.ArrayLike) -> Matrix:
    """Points (…, 3) carried by a 4x4."""
    return np.asarray(np.asarray(points, np.float64) @ matrix[:3, :3].T + matrix[:3, 3])


def nudged(matrix: Matrix, center: npt.ArrayLike) -> Matrix:
    """A transform a few mm beside another one: what comes first is moved by some mm an axis, and turned at ``center``.

    Registrations that begin there must end where the first one did.
    """
    nudge = sitk.Euler3DTransform()
    nudge.SetCenter(np.asarray(center, np.float64).tolist())
    nudge.SetRotation(_NUDGE_RADIANS, -_NUDGE_RADIANS, _NUDGE_RADIANS)
    nudge.SetTranslation((_NUDGE_MM, -_NUDGE_MM, _NUDGE_MM))
    return np.asarray(matrix @ matrix_of(nudge))


def distance_mm(one: Matrix, other: Matrix, points: npt.ArrayLike) -> float:
    """How far two transforms put the same points (N×3) apart: root of the mean square, mm."""
    apart = moved(one, points) - moved(other, points)
    return float(np.sqrt((apart**2).sum(axis=-1).mean()))


def carried(
    array: npt.NDArray[np.generic], geometry: Geometry, target: Geometry, target_to_source: Matrix,
    nearest: bool = False, outside: float = 0.0,
) -> npt.NDArray[np.generic]:
    """An array KJI of one grid on another one, of the same type.

    Parameters
    ----------
    array, geometry : what is carried, and its grid.
    target : the grid that it shall lie on.
    target_to_source : 4x4, LPS mm: from a place in the target's space to the same place in the source's.
    nearest : take the nearest voxel's value (labels) instead of a linear mean.
    outside : value of what the source does not cover.
    """
    reference = sitk.Image(list(target.size_ijk), sitk.sitkUInt8)
    reference.SetOrigin(target.origin_lps)
    reference.SetSpacing(target.spacing)
    reference.SetDirection(target.direction_lps.ravel().tolist())
    image = to_sitk(np.ascontiguousarray(array), geometry)
    kind = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    found = sitk.Resample(image, reference, transform_of(target_to_source), kind, outside, image.GetPixelID())
    return np.asarray(sitk.GetArrayFromImage(found))
