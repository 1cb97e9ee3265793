"""The segments of a segmentation: apart from what writes it, so that a scene is made without SimpleITK."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..bundle.evidence_level import EvidenceLevel
from .terminology import DEFAULT_TERMINOLOGY


@dataclass(frozen=True)
class Segment:
    """One value of a label map.

    Parameters
    ----------
    key : its ID in Slicer, which stays when it is renamed.
    name, color : as shown; red, green, blue, 0–1.
    tags : further things that Slicer keeps with it.
    """

    key: str
    name: str
    color: tuple[float, float, float]
    tags: Mapping[str, str]


def segment_id(number: int) -> str:
    """Id of the segment of the nth level, 1 for the weakest."""
    return f"evidence_{number}"


def level_segments(class_name: str, levels: Collection[EvidenceLevel], terminology: str | None) -> list[Segment]:
    """A segment for each evidence level of a class, weakest first, with its threshold in logits.

    ``terminology`` is the class's; None for a lesion in general.
    """
    return [
        Segment(segment_id(number), f"{class_name}: {level.name}", level.color,
                {"TerminologyEntry": terminology or DEFAULT_TERMINOLOGY, "HRCAM.Threshold": f"{level.threshold:g}"})
        for number, level in enumerate(levels, start=1)
    ]
