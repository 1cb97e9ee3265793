"""From which logits on evidence is worth showing: thresholds measured on validation scans and stored in the bundle."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.errors import InputError

LEVEL_RULES = (
    ("possible", 0.002, 0.95, (1.00, 0.86, 0.25), 0.35),
    ("probable", 0.0005, 0.99, (1.00, 0.52, 0.10), 0.60),
    ("strong", 0.0, 1.00, (0.88, 0.10, 0.16), 0.80),
)
"""Level, largest share of the head it may cover, on which share of normal scans, color, share of a region's peak."""

SHOWN_NORMALS = 0.04
"""Largest share of normal validation scans that may carry a mark, those that are withheld being empty."""

MINIMUM_STEP = 0.1
"""Least distance between neighboring thresholds, logits: levels that coincide say nothing."""


def fit_evidence_levels(normals: Iterable[npt.ArrayLike], exponent: int = 1) -> tuple[EvidenceLevel, ...]:
    """Choose absolute thresholds from normal validation scans alone: no mask is needed.

    A level's threshold is the evidence that 95 % (possible) or 99 % (probable) of the normal scans exceed on no more
    than 0.2 % or 0.05 % of the head, and that none exceeds anywhere (strong); see `LEVEL_RULES`. So nearly every normal
    scan shows nothing, on purpose at the price of faint lesions; `level_rates` says what that price is.

    Parameters
    ----------
    normals : per normal scan (or slice) the evidence, in logits, of the class that would be shown (the strongest
        pathology), inside the head; any shape.
    exponent : power that the network raises its feature maps to. Shares of a region's peak are raised to it too: a
        third of the peak of maps is a ninth of that of their squares.

    Raises
    ------
    InputError : no scan given.
    """
    rows = []
    for one in normals:
        values = np.asarray(one, np.float32).ravel()
        if values.size:
            rows.append([float(np.quantile(values, 1.0 - share)) for _, share, *_ in LEVEL_RULES])
    if not rows:
        raise InputError("There is no normal scan to measure evidence levels on.",
                         "Add scans of a class that is not a pathology to the validation data.")
    table = np.asarray(rows)
    levels: list[EvidenceLevel] = []
    for column, (name, _, scans, color, of_peak) in enumerate(LEVEL_RULES):
        threshold = float(np.quantile(table[:, column], scans))
        floor = levels[-1].threshold + MINIMUM_STEP if levels else MINIMUM_STEP
        levels.append(EvidenceLevel(name, round(max(threshold, floor), 4), color, round(of_peak**exponent, 4)))
    return tuple(levels)


def lower_possible(levels: Sequence[EvidenceLevel], peaks: npt.ArrayLike) -> tuple[EvidenceLevel, ...]:
    """The levels with the weakest as low as normal scans allow that would be *shown*, if that is lower.

    `fit_evidence_levels` takes normal scans as if all were marked. Most are withheld (``withholding.py``); what a user
    sees is bounded here: no more than `SHOWN_NORMALS` of the normal scans carry any mark.

    Parameters
    ----------
    levels : of `fit_evidence_levels`.
    peaks : greatest evidence of each normal validation scan, logits; -inf where its marks are withheld.
    """
    ordered = np.sort(np.asarray(peaks, float))[::-1]
    allowed = int(SHOWN_NORMALS * len(ordered))
    if allowed + 1 > len(ordered) or not np.isfinite(ordered[allowed]):
        return tuple(levels)
    above = ordered[allowed - 1] if allowed else ordered[0] + 2 * MINIMUM_STEP
    threshold = max(float(ordered[allowed] + above) / 2, MINIMUM_STEP)
    weakest = min(levels[0].threshold, round(threshold, 4))
    return (replace(levels[0], threshold=weakest), *levels[1:])


def level_rates(evidence: Iterable[npt.ArrayLike], levels: Sequence[EvidenceLevel]) -> dict[str, dict[str, float]]:
    """What the levels show on given scans: per level the share of scans with any evidence, and the mean share of area.

    On normal scans these are false positives; on scans with pathology "scans" is the sensitivity.
    """
    shares = [
        [float(np.mean(values >= level.threshold)) for level in levels] for values in map(np.asarray, evidence)
    ]
    if not shares:
        raise InputError("There is no scan to measure.", "Give at least one map.")
    table = np.asarray(shares)
    return {
        level.name: {"scans": float(np.mean(table[:, n] > 0)), "area": float(np.mean(table[:, n]))}
        for n, level in enumerate(levels)
    }
