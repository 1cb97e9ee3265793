"""One evidence level: a step of the label overlay, calibrated in training and stored in a bundle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvidenceLevel:
    """One step of the label overlay.

    Parameters
    ----------
    name : "possible", "probable", ….
    threshold : evidence in logits from which something is marked.
    color : red, green, blue, 0–1.
    of_peak : share of its own region's greatest evidence, 0–1, that a voxel must reach too: strong evidence has a wide
        halo. See ``marking.label_levels``.
    """

    name: str
    threshold: float
    color: tuple[float, float, float]
    of_peak: float = 0.0
