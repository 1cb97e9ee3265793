"""Evidence as people read it: 1.0 is the weakest calibrated level, "possible"; 2.0 is twice that.

A logit means nothing to a reader, and every model has other ones. Panel, pictures, command and legend therefore show
evidence divided by the threshold of the model's weakest level. Files and arrays keep logits.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..bundle.evidence_level import EvidenceLevel


def unit_of(thresholds: Sequence[float]) -> float:
    """Logits of one unit: the lowest threshold; 1 where a model's levels do not begin above 0.

    Examples
    --------
    >>> unit_of([154.0, 278.0]), unit_of([])
    (154.0, 1.0)
    """
    lowest = min(thresholds, default=1.0)
    return lowest if lowest > 0 else 1.0


def in_units(evidence: float, levels: Sequence[EvidenceLevel]) -> float:
    """Evidence in logits to units of the weakest level."""
    return evidence / unit_of([level.threshold for level in levels])


def spell_units(units: float) -> str:
    """A number of units for people, two or three digits.

    Examples
    --------
    >>> spell_units(1.0), spell_units(2.508), spell_units(27.63), spell_units(-0.04)
    ('1.0', '2.5', '28', '0.0')
    """
    text = f"{units:.1f}" if abs(units) < 10 else f"{units:.0f}"
    return "0.0" if text == "-0.0" else text


def name_levels(levels: Sequence[EvidenceLevel]) -> str:
    """Where each level begins: "possible 1.0, probable 1.8, strong 2.1"."""
    return ", ".join(f"{level.name} {spell_units(in_units(level.threshold, levels))}" for level in levels)
