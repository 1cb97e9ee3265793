"""When a scan that shows spots of evidence is left unmarked: the rule, what it costs, and how it is fitted.

Levels bound false evidence a slice. A scan of many slices has more chances to show some, and the scan's own
probabilities, which weigh all slices, tell whether there is anything to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .result import percent

CANDIDATES = (*(round(0.3 + 0.05 * n, 2) for n in range(14)), 0.98, 0.99)
"""Probabilities of no pathology among which `fit_withholding` chooses."""

TOLERANCE = 0.03
"""Of the cost, which is a share of scans: validation has too few to tell smaller differences."""

def is_withheld(
    probabilities: Mapping[str, float], pathology: Mapping[str, bool], rule: Mapping[str, Any] | None
) -> bool:
    """Whether nothing is to be marked on a scan for which no class was asked.

    Parameters
    ----------
    probabilities : class name to calibrated probability of the whole scan.
    pathology : class name to whether it is one.
    rule : the bundle's ``withholding``; None (bundles without one, and single images): withheld where the most probable
        class is none.
    """
    if all(pathology.values()):
        return False
    if rule is None:
        return not pathology[max(probabilities, key=lambda name: probabilities[name])]
    return _absent(probabilities, pathology) > float(rule["above"])


def withheld_in_words(
    probabilities: Mapping[str, float], pathology: Mapping[str, bool], rule: Mapping[str, Any] | None
) -> str:
    """What the reader of a withheld result must know: why nothing is marked, what that costs, and what to do."""
    words = "Spots where the map exceeds the evidence levels are not marked: "
    if rule is None:
        predicted = max(probabilities, key=lambda name: probabilities[name])
        words += f'the most probable class is "{predicted}".'
    else:
        found = percent(_absent(probabilities, pathology))
        words += f"no pathology has a probability of {found}, and above {percent(float(rule['above']))} nothing is."
        if "pathology_withheld" in rule:
            words += (f" In validation this left {percent(float(rule['pathology_withheld']))} of the scans with "
                      f"pathology unmarked, and kept marks on {percent(float(rule['normal_shown']))} of those without.")
    return words + " Choose a class to see the spots."


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


def _absent(probabilities: Mapping[str, float], pathology: Mapping[str, bool]) -> float:
    return sum(p for name, p in probabilities.items() if not pathology[name])
