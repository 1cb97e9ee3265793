"""Mutants that live, and why that is right: the change makes no difference that anybody could see."""

from __future__ import annotations

_EXACT = "Differs at one exact value of a floating-point bound alone, which no header can state."
_REFUSED = "Decides which of two refusals, both true, a matrix gets that is no rotation."
_BOUND = "Differs where evidence is exactly a share of the peak, which no map of a network is."
_ROUNDING = "How much contrast counts as a rounding error: images are normalized, their mean is near 1."
_SCALES = "Both histograms alike: their ratio stays."
_LONGER = "One entry more, which nothing looks at."
_TRIMS_NOTHING = "Saves a pass that clears nothing: a share of the peak that lies below the level bounds no region."
_LENGTHS = "`zip(strict=…)`: the lengths are the same by construction."

EXPLAINED: dict[tuple[str, str], str] = {
    ("appearance.py: _histogram", "4 → 5"): "The tail of a Gaussian beyond four standard deviations.",
    ("appearance.py: _dilated", "0 → 1"): "Which row gives zeros their shape.",
    ("appearance.py: _core_and_ring", "evidence >= _CORE * peak → evidence > _CORE * peak"): _BOUND,
    ("appearance.py: _core_and_ring", "evidence >= _REGION * peak → evidence > _REGION * peak"): _BOUND,
    ("appearance.py: _log_likelihood_ratio", "2 → 3"): _ROUNDING,
    ("appearance.py: _log_likelihood_ratio", "float(variance) > torch.finfo(gray.dtype).eps * float(mean) ** 2 → "
     "float(variance) >= torch.finfo(gray.dtype).eps * float(mean) ** 2"): _ROUNDING,
    ("appearance.py: _log_likelihood_ratio", "torch.finfo(gray.dtype).eps * float(mean) ** 2 → "
     "torch.finfo(gray.dtype).eps / float(mean) ** 2"): _ROUNDING,
    ("appearance.py: weigh_by_appearance", "peaks > 0 → peaks >= 0"): "A map without evidence has no surroundings.",
    ("borders.py: Borders.draw", "evidence >= level.threshold → evidence > level.threshold"): _BOUND,
    ("borders.py: Borders.draw", "share >= _CORE → share > _CORE"): _BOUND,
    ("borders.py: Borders.draw", "True → False"): _LENGTHS,
    ("borders.py: Borders.draw", "found.GetNumberOfPixels(number) < _FEWEST → found.GetNumberOfPixels(number) <= "
     "_FEWEST"): "Ten voxels are either all core, which stays, or have too little of it to be told by brightness.",
    ("borders.py: Borders._region", "share + np.float32(self.rule['weight']) * likelier >= wanted → share + "
     "np.float32(self.rule['weight']) * likelier > wanted"): _BOUND,
    ("borders.py: Borders._region", "share >= wanted → share > wanted"): _BOUND,
    ("borders.py: Borders._likelier", "share >= _CORE → share > _CORE"): _BOUND,
    ("borders.py: Borders._likelier", "image > _TISSUE → image >= _TISSUE"): _BOUND,
    ("borders.py: Borders._likelier", "1 → 2"): "The brightest of thirty bins joins the one beside it.",
    ("borders.py: _own", "True → False"): _LENGTHS,
    ("borders.py: _smoothed", "False → True"): "The image that is smoothed states no spacing but 1.",
    ("borders.py: _histogram", "1 → 2"): _SCALES,
    ("borders.py: _histogram", "1 - _SPREAD → 1 + _SPREAD"): _SCALES,
    ("components.py: trim", "1 → 2"): _LONGER,
    ("components.py: trim", "True → False"): _LENGTHS,
    ("components.py: touching", "1 → 2"): _LONGER,
    ("components.py: bounds", "1 → 2"): "A box of one voxel more, in which nothing is.",
    ("components.py: bounds", "3 → 4"): "A fourth axis is looked at and not used.",
    ("agreement.py: join_planes", "True → False"): _LENGTHS,
    ("decision.py: decide", "True → False"): _LENGTHS,
    ("marking.py: label_levels", "peak >= level.threshold → peak > level.threshold"): _TRIMS_NOTHING,
    ("marking.py: label_levels", "level.of_peak * peak > level.threshold → level.of_peak * peak >= level.threshold"):
        _TRIMS_NOTHING,
    ("marking.py: label_levels", "peak >= level.threshold and level.of_peak * peak > level.threshold → peak >= "
     "level.threshold or level.of_peak * peak > level.threshold"): _TRIMS_NOTHING,
    ("marking.py: mark", "minimum_ml > 0 → minimum_ml >= 0"): "No region is smaller than nothing.",
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
