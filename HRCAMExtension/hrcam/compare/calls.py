"""What can have become of a region, and the color of each; apart from the rules, so that a panel needs no SciPy."""

from __future__ import annotations

from collections.abc import Mapping

from ..output.segment import Segment
from ..output.terminology import DEFAULT_TERMINOLOGY

NEW, GROWING, STABLE, SHRINKING, RESOLVED, NOT_COVERED = (
    "new", "growing", "stable", "shrinking", "resolved", "not covered"
)
CALLS: Mapping[str, tuple[float, float, float]] = {
    NEW: (0.90, 0.10, 0.55), GROWING: (0.95, 0.45, 0.10), STABLE: (0.65, 0.68, 0.72), SHRINKING: (0.25, 0.60, 0.95),
    RESOLVED: (0.30, 0.75, 0.40), NOT_COVERED: (0.45, 0.40, 0.55),
}
"""Call to its color (red, green, blue, 0–1), worst first."""


def call_segments(class_name: str, terminology: str | None) -> list[Segment]:
    """A segment for each call of a class's regions, in the order of `CALLS`.

    ``terminology`` is the class's; None for a lesion in general.
    """
    return [Segment(call.replace(" ", "_"), f"{class_name}: {call}", color,
                    {"TerminologyEntry": terminology or DEFAULT_TERMINOLOGY}) for call, color in CALLS.items()]


def spelled_call(call: str, beyond_repeatability: bool) -> str:
    """A call for people: with a question mark where a change is no larger than two runs on one scan may differ by."""
    return call if beyond_repeatability or call in (STABLE, NOT_COVERED) else f"{call}?"
