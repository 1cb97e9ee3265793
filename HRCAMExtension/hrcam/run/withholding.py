"""The class that a scan is called, and so whether evidence is marked in it: the rule, and how often it was wrong.

Evidence levels limit false marks in a single slice. A scan of many slices has more chances of some, so its own
probabilities, which weigh all slices, decide whether anything is marked. `hrcam_train.withholding` fits the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..words import readable
from .result import percent


def predicted_class(
    probabilities: Mapping[str, float], pathology: Mapping[str, bool], rule: Mapping[str, Any] | None
) -> str:
    """The class that a scan is called: one without pathology exactly where marks are withheld.

    Parameters
    ----------
    probabilities : class name to calibrated probability of the whole scan.
    pathology : class name to whether it is one.
    rule : the bundle's ``withholding``: the likeliest pathology where no pathology has a probability of at most
        ``above``. None (bundles without one, and single images), or pathologies alone: the likeliest class.
    """
    candidates = list(probabilities)
    if rule is not None and not all(pathology.values()):
        normal = _absent(probabilities, pathology) > float(rule["above"])
        candidates = [name for name in candidates if bool(pathology[name]) != normal]
    return max(candidates, key=lambda name: probabilities[name])


def is_withheld(
    probabilities: Mapping[str, float], pathology: Mapping[str, bool], rule: Mapping[str, Any] | None
) -> bool:
    """Whether nothing is to be marked on a scan for which no class was asked: its `predicted_class` is no pathology."""
    return not pathology[predicted_class(probabilities, pathology, rule)]


def withheld_in_words(
    probabilities: Mapping[str, float], pathology: Mapping[str, bool], rule: Mapping[str, Any] | None
) -> str:
    """What the reader of a withheld result must know: why nothing is marked, what that costs, and what to do."""
    words = "Spots where the map exceeds the evidence levels are not marked: "
    if rule is None:
        predicted = readable(predicted_class(probabilities, pathology, rule))
        words += f'the most probable class is "{predicted}".'
    else:
        found = percent(_absent(probabilities, pathology))
        words += (f"the scan shows no pathology with a probability of {found}; above {percent(float(rule['above']))} "
                  "nothing is marked.")
        if "pathology_withheld" in rule:
            words += (f" In validation this left {percent(float(rule['pathology_withheld']))} of the scans with "
                      f"pathology unmarked, and kept marks on {percent(float(rule['normal_shown']))} of those without.")
    return words + " Choose a class to see the spots."


def _absent(probabilities: Mapping[str, float], pathology: Mapping[str, bool]) -> float:
    return sum(p for name, p in probabilities.items() if not pathology[name])
