"""How well one map finds one lesion: pure functions of a map and a mask, 2D or 3D.

Every map is `float` of the mask's shape, larger = more evidence. Lengths are in mm through `spacing` (one number an
axis, in the array's axis order).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import (
    compute_fp_tp_probs_nd,
    compute_froc_curve_data,
    compute_froc_score,
    compute_hausdorff_distance,
)
from scipy import ndimage
from skimage.feature import peak_local_max
from sklearn.metrics import precision_recall_curve

# MONAI calls its own edge finder with an argument that it has deprecated; its users can do nothing about that.
warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)

POINTING_TOLERANCE_PX = 15  # Zhang et al., Top-down Neural Attention by Excitation Backprop, IJCV 2018, §4.1
PEAK_DISTANCE_PX = 10
MAX_PEAKS = 20
MIN_REGION_PX = 10


@dataclass(frozen=True)
class Ranking:
    """What can be said without choosing a threshold."""

    average_precision: float
    best_dice: float
    best_threshold: float


def ranking(values: np.ndarray, mask: np.ndarray) -> Ranking:
    """Pixel average precision (scikit-learn's definition, no interpolation) and the best Dice any threshold reaches."""
    if values.shape != mask.shape:
        raise ValueError(f"map {values.shape} and mask {mask.shape} differ in shape")
    if not mask.any():
        raise ValueError("average precision is not defined without a lesion")
    precision, recall, thresholds = precision_recall_curve(mask.ravel(), values.ravel())
    average_precision = float(-np.sum(np.diff(recall) * precision[:-1]))
    dice = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], 1e-12)
    best = int(np.argmax(dice))
    return Ranking(average_precision, float(dice[best]), float(thresholds[best]))


def pointing(values: np.ndarray, mask: np.ndarray, tolerance_px: float = 0.0) -> float:
    """1 when the map's peak lies in the lesion (or within `tolerance_px` of it), else 0.

    Where several pixels share the maximum, the share of them that hit: what a reader who picks one at random would
    get, so that a flat map earns no luck from the order of pixels.
    """
    peak = values == values.max()
    if tolerance_px > 0:
        mask = ndimage.distance_transform_edt(~mask) <= tolerance_px
    return float(mask[peak].mean())


def dice(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Dice coefficient of two boolean arrays; 1 when both are empty."""
    total = int(prediction.sum()) + int(mask.sum())
    return 1.0 if total == 0 else 2.0 * int((prediction & mask).sum()) / total


def iou(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of two boolean arrays; 1 when both are empty."""
    union = int((prediction | mask).sum())
    return 1.0 if union == 0 else int((prediction & mask).sum()) / union


def hausdorff95(prediction: np.ndarray, mask: np.ndarray, spacing: Sequence[float]) -> float:
    """95th percentile of the symmetric surface distance in mm (MONAI); the field's diagonal for an empty overlay."""
    if not prediction.any():
        return float(np.linalg.norm(np.asarray(mask.shape) * np.asarray(spacing)))

    def batch(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array)[None, None]

    distance = compute_hausdorff_distance(
        batch(prediction), batch(mask), include_background=True, percentile=95, spacing=list(spacing)
    )
    return float(distance)


def equal_diameter(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """Diameter in mm of the disc (2D) or ball (3D) that is as large as the mask."""
    measure = int(mask.sum()) * float(np.prod(spacing))
    return float(2 * np.sqrt(measure / np.pi)) if mask.ndim == 2 else float(np.cbrt(6 * measure / np.pi))


@dataclass(frozen=True)
class RegionCount:
    """Lesions of a case, how many a region touches, and how many regions touch none."""

    lesions: int
    found: int
    false_regions: int


def _components(binary: np.ndarray) -> tuple[np.ndarray, int]:
    return ndimage.label(binary, structure=np.ones((3,) * binary.ndim))


def count_regions(prediction: np.ndarray, mask: np.ndarray, min_region_px: int = MIN_REGION_PX) -> RegionCount:
    """Count regions (connected, corners touch, at least `min_region_px` pixels) against the lesions of the mask."""
    lesions, lesion_count = _components(mask)
    regions, region_count = _components(prediction)
    sizes = np.bincount(regions.ravel(), minlength=region_count + 1)
    kept = np.flatnonzero(sizes >= min_region_px)
    kept = kept[kept > 0]
    overlap = regions * (lesions > 0)
    touching = np.intersect1d(np.unique(overlap), kept)
    found = np.unique(lesions[np.isin(overlap, touching)]) if len(touching) else np.array([], dtype=int)
    return RegionCount(lesion_count, int(np.count_nonzero(found)), len(kept) - len(touching))


def peaks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Candidate detections: up to 20 local maxima at least 10 pixels apart; their scores and coordinates (n × axes)."""
    coordinates = peak_local_max(values, min_distance=PEAK_DISTANCE_PX, num_peaks=MAX_PEAKS, exclude_border=False)
    return values[tuple(coordinates.T)], coordinates


@dataclass(frozen=True)
class Detections:
    """Scores of a case's lesions that a peak hits (its best), of its false peaks, and how many lesions none hits."""

    true: np.ndarray
    false: np.ndarray
    missed: int


def detect(values: np.ndarray, mask: np.ndarray) -> Detections:
    """Judge a map's local maxima against the connected lesions of the mask (MONAI's rule: a hit lies in the lesion)."""
    scores, coordinates = peaks(values)
    lesions, count = _components(mask)
    if len(scores) == 0:
        return Detections(np.empty(0), np.empty(0), count)
    # MONAI marks a missed lesion by probability 0: scores, of any unit and sign, are lifted above it for the call.
    lift = 1.0 - float(scores.min())
    false, true, _ = compute_fp_tp_probs_nd(scores.astype(np.float64) + lift, coordinates, lesions)
    hit = np.asarray(true)[np.asarray(true) > 0]
    return Detections(hit - lift, np.asarray(false) - lift, count - len(hit))


def froc_sensitivity(cases: Sequence[Detections], false_per_case: float) -> float:
    """Share of lesions found where `false_per_case` false peaks a case are allowed (MONAI); NaN without lesions."""
    true = np.concatenate([case.true for case in cases])
    false = np.concatenate([case.false for case in cases])
    missed = sum(case.missed for case in cases)
    if len(true) + missed == 0:
        return float("nan")
    if len(true) + len(false) == 0:
        return 0.0
    lowest = min(true.min(initial=np.inf), false.min(initial=np.inf))
    # MONAI skips the lowest score, meaning the 0 of missed lesions: one more 0 keeps it from skipping a real score.
    lifted = np.concatenate([true - lowest + 1.0, np.zeros(missed + 1)])
    rates, found = compute_froc_curve_data(false - lowest + 1.0, lifted, len(true) + missed, len(cases))
    return float(compute_froc_score(rates, found, eval_thresholds=(false_per_case,)))
