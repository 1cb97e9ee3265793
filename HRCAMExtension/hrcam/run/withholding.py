"""When a scan that shows spots of evidence is left unmarked: the rule, and what it costs.

Levels bound false evidence a slice. A scan of many slices has more chances to show some, and the scan's own
probabilities, which weigh all slices, tell whether there is anything to show. `hrcam_train.withholding` fits the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .result import percent


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


def _absent(probabilities: Mapping[str, float], pathology: Mapping[str, bool]) -> float:
    return sum(p for name, p in probabilities.items() if not pathology[name])
