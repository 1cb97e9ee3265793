"""The probability of no pathology above which a scan is left unmarked, fitted on validation scans."""

from collections.abc import Sequence

import numpy as np
from hrcam.errors import InputError

CANDIDATES = tuple(float(p) for p in np.round(1 / (1 + np.exp(-np.arange(-0.85, 4.7, 0.15))), 4))
"""Probabilities of no pathology among which `fit_withholding` chooses: .3 to .99, even in log-odds, since scans of one
kind may lie all beyond .95."""

TOLERANCE = 0.03
"""Of the cost, which is a share of scans: validation has too few to tell smaller differences."""


def fit_withholding(absent: Sequence[float], has_pathology: Sequence[bool]) -> dict[str, float | int]:
    """Choose the probability of no pathology above which nothing is marked, on validation scans.

    A scan with pathology above it and a scan without below it weigh the same, each as a share of its kind. Of the
    `CANDIDATES` that cost within `TOLERANCE` of the least the lowest is taken: healthy heads from elsewhere look less
    normal to a model than those of its validation.

    Parameters
    ----------
    absent : probability of no pathology of each scan, 0–1.
    has_pathology : of each scan.

    Returns
    -------
    The bundle's ``withholding``: above, pathology_withheld (share of the scans with pathology that are left unmarked),
    normal_shown (share of those without on which marks are shown where the map has any), scans.

    Raises
    ------
    InputError : scans of one kind alone, or lists of different lengths.
    """
    sick, chance = np.asarray(has_pathology, bool), np.asarray(absent, float)
    if len(sick) != len(chance) or sick.all() or not sick.any():
        raise InputError("Withholding is fitted on scans with and without pathology.", "Give some of each.")

    def cost(above: float) -> tuple[float, float]:
        return float((chance > above)[sick].mean()), float((chance <= above)[~sick].mean())

    totals = np.array([sum(cost(above)) for above in CANDIDATES])
    best = np.flatnonzero(totals <= totals.min() + TOLERANCE)
    above = CANDIDATES[int(best[0])]
    missed, shown = cost(above)
    return {"above": above, "pathology_withheld": round(missed, 4), "normal_shown": round(shown, 4), "scans": len(sick)}
