"""What a comparison found: a frozen record, and the JSON document that describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import schemas
from ..align.rigid import Alignment
from ..run.result import RESEARCH_USE, FloatArray, LabelArray, Result, plain
from ..scan.geometry import LPS_TO_RAS
from ..scan.volume import Volume
from .acquisition import NOT_STATED, Acquisition
from .calls import CALLS
from .changes import RegionChange
from .repeatability import Repeatability

FORMAT = "hrcam-comparison"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two dates of one person. Arrays are KJI on the later scan's grid; evidence is logits.

    Parameters
    ----------
    earlier, later : what was found in each scan, on its own grid; both show the same class.
    later_scan : the later scan.
    earlier_scan : the earlier scan's intensities on the later scan's grid.
    earlier_map, earlier_labels : the earlier evidence and levels there; 0 where the earlier scan shows nothing.
    change : later minus earlier evidence, what speaks against the class counting as none; 0 where only one scan shows
        the place.
    change_labels : n where the region's call is the n-th of `CALLS`; 0 outside regions.
    changes : one a region, strongest peak first.
    alignment : how the scans lie to one another.
    repeatability : what 95 of 100 runs on one scan differ by, the mean of as many runs as were done here.
    differences : of regions' diameters (mm) and log peaks between runs on one scan, as they were measured here.
    earlier_acquisition, later_acquisition : dates, where DICOM states them.
    warnings : what the reader must know.
    timings : stage to seconds.
    provenance : of the comparison; each result has its own.
    """

    earlier: Result
    later: Result
    later_scan: Volume
    earlier_scan: FloatArray
    earlier_map: FloatArray
    earlier_labels: LabelArray
    change: FloatArray
    change_labels: LabelArray
    changes: tuple[RegionChange, ...]
    alignment: Alignment
    repeatability: Repeatability
    differences: tuple[tuple[float, float], ...] = ()
    earlier_acquisition: Acquisition = NOT_STATED
    later_acquisition: Acquisition = NOT_STATED
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def count(self, call: str) -> int:
        """Number of regions with this call."""
        return sum(change.call == call for change in self.changes)

    def to_json(self, files: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The comparison without its arrays, as ``schemas/comparison.schema.json`` has it.

        Parameters
        ----------
        files : kind of output to file name, for comparisons on disk.
        """
        document: dict[str, Any] = plain({
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "intended_use": RESEARCH_USE,
            "case": self.later.case,
            "shown_class": self.later.shown_class,
            "evidence_levels": [asdict(level) for level in self.later.evidence_levels],
            "earlier": _date(self.earlier, self.earlier_acquisition),
            "later": _date(self.later, self.later_acquisition),
            "alignment": {
                "method": self.alignment.method,
                "later_to_earlier_ras": (LPS_TO_RAS @ self.alignment.later_to_earlier @ LPS_TO_RAS).tolist(),
                "agreement_mm": self.alignment.agreement_mm,
                "similarity": self.alignment.similarity,
                "common": self.alignment.common,
            },
            "repeatability": asdict(self.repeatability),
            "calls": {call: self.count(call) for call in CALLS},
            "changes": [asdict(change) for change in self.changes],
            "warnings": list(self.warnings),
            "timings": self.timings,
            "provenance": self.provenance,
            "files": dict(files or {}),
        })
        return document


def summary_of(comparison: Comparison) -> str:
    """One line for people: "1 new, 2 stable"."""
    counts = [f"{comparison.count(call)} {call}" for call in CALLS if comparison.count(call)]
    return ", ".join(counts) or "no region on either date"


def validate_comparison(document: Mapping[str, Any]) -> None:
    """Raise ``InputError`` naming the field when ``document`` is not a comparison."""
    schemas.require(schemas.COMPARISON, document, "hrcam compare")


def _date(result: Result, acquisition: Acquisition) -> dict[str, Any]:
    return {
        "case": result.case,
        "date": acquisition.shown or None,
        "predicted": result.predicted,
        "probabilities": result.probabilities,
        "withheld": result.withheld,
        "regions": [asdict(region) for region in result.regions],
        "warnings": list(result.warnings),
        "provenance": result.provenance,
    }
