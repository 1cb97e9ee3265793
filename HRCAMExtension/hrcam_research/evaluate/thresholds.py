"""One threshold for all cases of a class, chosen on other patients than it is measured on.

Patients are split in two halves; the threshold for one half is the one with the greatest mean Dice on the other
(two-fold cross-fitting). Nothing else is fitted, and no method gets a threshold per case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hrcam.scan.thinning import thin

from hrcam_research.evaluate.store import MapStore

_SAMPLE = 20_000


@dataclass(frozen=True)
class Counts:
    """Pixels at or above each threshold: `above` all, `hits` in the lesion (cases × thresholds); `lesion` (cases)."""

    thresholds: np.ndarray
    above: np.ndarray
    hits: np.ndarray
    lesion: np.ndarray

    def dice(self) -> np.ndarray:
        """Dice of each case at each threshold."""
        return 2 * self.hits / (self.above + self.lesion[:, None])

    def precision_recall(self, rows: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Precision and recall of all pixels of the cases pooled, from the highest threshold to the lowest."""
        hits, above = self.hits[rows].sum(0)[::-1], self.above[rows].sum(0)[::-1]
        return hits / np.maximum(above, 1), hits / self.lesion[rows].sum()

    def pooled_average_precision(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Average precision of all pixels pooled, on the grid of thresholds (step-wise, as scikit-learn sums it)."""
        precision, recall = self.precision_recall(rows)
        return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _grid(store: MapStore, method: str, size: int) -> np.ndarray:
    """Quantiles of all cases' values, dense towards the top where lesions are: ascending, without duplicates."""
    pooled = np.concatenate([thin(store.get(method, case), _SAMPLE) for case in store.cases(method)])
    steps = np.concatenate([np.linspace(0, 0.5, size // 8), 1 - np.geomspace(0.5, 1e-4, size - size // 8)])
    return np.unique(np.append(np.quantile(pooled, steps), pooled.max()))


def count_pixels(store: MapStore, method: str, masks: Sequence[np.ndarray], size: int = 256) -> Counts:
    """Counts of all cases that the method has maps of, `masks` in their order, at up to `size` + 1 thresholds."""
    grid = _grid(store, method, size)
    above, hits, lesion = [], [], []
    for case, mask in zip(store.cases(method), masks, strict=True):
        values = store.get(method, case)
        inside = values[mask]
        above.append(count_above(values, grid))
        hits.append(count_above(inside, grid))
        lesion.append(inside.size)
    return Counts(grid, np.array(above), np.array(hits), np.array(lesion))


def count_above(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many values are at or above each threshold."""
    ordered = np.sort(values, axis=None)
    return ordered.size - np.searchsorted(ordered, thresholds)


def cross_fit(counts: Counts, classes: Sequence[str], folds: np.ndarray) -> np.ndarray:
    """The threshold of each case: of its class, chosen on the class's cases of the other fold.

    A class whose other fold is empty (a single patient) takes the threshold of all cases of the other fold, whatever
    class; NaN where there are none at all.
    """
    kind = np.asarray(classes)
    dice = counts.dice()
    chosen = np.full(len(kind), np.nan)
    for fold in (0, 1):
        for name in np.unique(kind):
            tuning = (kind == name) & (folds != fold)
            if not tuning.any():
                tuning = folds != fold
            if tuning.any():
                chosen[(kind == name) & (folds == fold)] = counts.thresholds[int(np.argmax(dice[tuning].mean(0)))]
    return chosen


def fit_all(counts: Counts, classes: Sequence[str]) -> dict[str, float]:
    """Per class the threshold with the greatest mean Dice on all its cases: for images that take no part in the fit."""
    kind, dice = np.asarray(classes), counts.dice()
    return {str(name): float(counts.thresholds[int(np.argmax(dice[kind == name].mean(0)))]) for name in np.unique(kind)}
