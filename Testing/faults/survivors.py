"""Mutants that live, and why that is right: the change makes no difference that anybody could see."""

from __future__ import annotations

_EXACT = "Differs at one exact value of a floating-point bound alone, which no header can state."
_REFUSED = "Decides which of two refusals, both true, a matrix gets that is no rotation."
_LENGTHS = "`zip(strict=…)`: the lengths are the same by construction."

EXPLAINED: dict[tuple[str, str], str] = {
    ("bundle.py: read_limited", "1 → 2"): "One byte more is read of a file that is refused.",
    ("network.py: build_hrcam", "1 → 2"): "A made-up batch of two instead of one, to look for levels.",
    ("write.py: save_bundle", "1 → 2"): "The depth of the JSON's indentation.",
    ("install.py: _read_zip", "1 → 2"): "One byte more is read of a file that is refused.",
    ("fusion.py: _box", "x.ndim - 2 → x.ndim + 2"): "Windows of one voxel more, which change nothing.",
    ("geometry.py: _check", "np.abs(direction).max() <= 2.0 → np.abs(direction).max() < 2.0"): _REFUSED,
    ("geometry.py: _check", "2.0 → 3.0"): _REFUSED,
    ("fusion.py: fuse_guided", "variance + GUIDE_SMOOTHNESS * _whole_mean(guide ** 2) + floor → variance + "
     "GUIDE_SMOOTHNESS * _whole_mean(guide ** 2) - floor"): "A floor counts where there is no contrast, by its size.",
    ("fusion.py: fuse_guided", "1 → 2"): "Asks another axis than the channels': one channel's mean is itself anyway.",
    ("fusion.py: upsample", "True → False"): "`zip(strict=…)`: `fuse` has compared the lengths before.",
    ("geometry.py: _check", "abs(np.linalg.det(direction)) < ORTHONORMAL_TOLERANCE → abs(np.linalg.det(direction)) <= "
     "ORTHONORMAL_TOLERANCE"): _EXACT,
    ("geometry.py: _check", "np.abs(direction.T @ direction - np.eye(3)).max() > ORTHONORMAL_TOL… → "
     "np.abs(direction.T @ direction - np.eye(3)).max() >= ORTHONORMAL_TO…"): _EXACT,
    ("geometry.py: Geometry.acquisition_axis", "len(candidates) > 1 → len(candidates) >= 1"):
        "A single candidate is also what the longer way returns.",
    ("geometry.py: Geometry.acquisition_axis", "-1 → +1"):
        "Where the axial axis is no candidate and there are several, there are exactly two.",
    ("geometry.py: Geometry.__post_init__", "3 → 4"):
        "The shape decides only whether nine numbers are brought into 3x3, or into NaN that is refused; both happen.",
    ("geometry.py: Geometry.from_ijk_to_ras", "spacing > 0 → spacing >= 0"):
        "A column of no length is refused by its spacing, whatever its direction.",
    ("geometry.py: Geometry.from_ijk_to_ras", "1.0 → 2.0"):
        "A column of no length is refused by its spacing, whatever its direction.",
    ("geometry.py: Geometry.from_ijk_to_ras", "3 → 4"): "The last row of an affine matrix adds 0 to a column's length.",
    ("geometry.py: Geometry.lps_to_ijk", "False → True"): "One copy more of a 4x4 matrix.",
    ("geometry.py: Geometry.extent_mm", "True → False"): _LENGTHS,
    ("geometry.py: Geometry.orientation", "self.direction_lps[axis, n] >= 0 → self.direction_lps[axis, n] > 0"):
        "The cosine towards the nearest axis is never 0.",
}
"""(where, change), as ``mutants.py`` prints them, to the reason."""
