"""What a scan is called, and whether evidence is marked in it: from the rules of its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.bundle import Bundle
from .agreement import HalfArray, agreed_logits, agreed_voxels
from .volume_rule import softmax
from .withholding import predicted_class, withheld_in_words


@dataclass(frozen=True, eq=False)
class Decision:
    """The answer for a scan.

    Attributes
    ----------
    probabilities : class name to calibrated probability.
    predicted : the class that the scan is called.
    withheld : that class is no pathology and no class was asked for: nothing is marked.
    rule : by which it is called, see `withholding.predicted_class`.
    agreed : bool KJI, where all planes see enough; None: one plane was read, or the class was asked for.
    """

    probabilities: dict[str, float]
    predicted: str
    withheld: bool
    rule: Mapping[str, Any] | None
    agreed: npt.NDArray[np.bool_] | None


def decide(
    bundle: Bundle,
    logits: npt.NDArray[np.float64],
    agreement: HalfArray | None,
    single_image: bool,
    asked: bool,
) -> Decision:
    """Call a scan.

    Parameters
    ----------
    logits : calibrated, one a class.
    agreement : of several planes on pathology, KJI, logits; it decides in place of the logits where there is one.
    single_image : levels, not the rule for scans, were fitted to single images.
    asked : the user chose the class, so that nothing is withheld.
    """
    rule, agreed = None if single_image else bundle.withholding, None
    if bundle.agreement is not None and agreement is not None:
        logits = agreed_logits(agreement, bundle.agreement, list(bundle.pathology.values()))
        rule = {"above": 0.5, **bundle.agreement}  # the log-odds are 0 at the agreement's limit
        agreed = None if asked else agreed_voxels(agreement, bundle.agreement)
    probabilities = dict(zip(bundle.class_names, softmax(logits).tolist(), strict=True))
    predicted = predicted_class(probabilities, bundle.pathology, rule)
    return Decision(probabilities, predicted, not asked and not bundle.pathology[predicted], rule, agreed)


def unmarked_in_words(decision: Decision, pathology: Mapping[str, bool], minimum_ml: float) -> str:
    """Why nothing is marked on a scan whose map exceeds the levels, and what to do."""
    if decision.withheld:
        return withheld_in_words(decision.probabilities, pathology, decision.rule)
    return ("Spots where the map exceeds the evidence levels are not marked: each is smaller than "
            f"{minimum_ml:g} ml. Ask for a smaller minimum region, or look at the continuous map.")
