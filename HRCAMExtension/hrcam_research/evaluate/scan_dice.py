"""Dice of all images of a patient together, those without lesion too: what a user sees who looks through a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hrcam_research.evaluate.statistics import patient_folds
from hrcam_research.evaluate.thresholds import Counts


def scan_dice(
    counts: Mapping[str, Counts], above: Mapping[str, np.ndarray], patients: Sequence[str], normals: Sequence[str]
) -> pd.DataFrame:
    """Dice of each method and patient, over the patient's images with and without lesion.

    One threshold for all patients, chosen on the other half of them as the one with the greatest mean of this Dice
    (two-fold cross-fitting), so that a method is asked to mark nothing where nothing is.

    Parameters
    ----------
    counts : by method, of the images with a lesion.
    above : by method, pixels at or above the same thresholds of the images without, images × thresholds.
    patients, normals : whose the images with and without lesion are.

    Returns
    -------
    Columns method, patient, threshold, dice; empty where some patient has no image without lesion, or there is but one.
    """
    names = sorted(set(patients))
    if len(names) < 2 or not set(names) <= set(normals):
        return pd.DataFrame(columns=["method", "patient", "threshold", "dice"])
    folds = patient_folds(names, [""] * len(names))
    owner, other = (np.array(each) for each in (patients, normals))
    found = []
    for method, one in counts.items():
        if method not in above:
            continue
        sums = [
            (one.hits[owner == name].sum(0), one.above[owner == name].sum(0) + above[method][other == name].sum(0),
             one.lesion[owner == name].sum())
            for name in names
        ]  # fmt: skip
        dice = np.stack([2 * hits / (marked + size) for hits, marked, size in sums])
        for fold in (0, 1):
            best = int(np.argmax(dice[folds != fold].mean(0)))
            found += [
                {"method": method, "patient": names[at], "threshold": float(one.thresholds[best]),
                 "dice": float(dice[at, best])}
                for at in np.flatnonzero(folds == fold)
            ]  # fmt: skip
    return pd.DataFrame(found, columns=["method", "patient", "threshold", "dice"])
