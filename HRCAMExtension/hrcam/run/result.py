"""What one localization found: frozen records, and the JSON document that describes them.

Arrays are ``KJI`` on exactly the input's grid; positions are RAS mm; evidence and thresholds are logits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import schemas
from ..bundle.evidence_level import EvidenceLevel
from ..errors import InputError
from ..scan.geometry import Geometry

if TYPE_CHECKING:
    from .borders import Borders

FORMAT = "hrcam-result"
FORMAT_VERSION = 1
OUTSIDE_THE_BRAIN = "outside the brain"
RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment."

Point = tuple[float, float, float]
FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """Where in the brain something lies; see the room ``place``.

    Parameters
    ----------
    side : "left" or "right" of the patient, or "midline".
    structure : likeliest structure of the atlas.
    probability : share of the region, weighted by evidence, that lies in it.
    mni_ras : middle of the region in MNI space, RAS mm.
    """

    side: str
    structure: str
    probability: float
    mni_ras: Point

    @property
    def words(self) -> str:
        """The place as people say it: "right putamen", or "brainstem" in the middle."""
        outside = self.side == "midline" or self.structure == OUTSIDE_THE_BRAIN
        return self.structure if outside else f"{self.side} {self.structure}"


@dataclass(frozen=True)
class Region:
    """One connected component of what is marked.

    Parameters
    ----------
    label : 1 for the strongest region, 2 for the next, ….
    level : name of the highest evidence level that marks one of its voxels.
    volume_ml : volume of the whole component.
    peak, mean : highest and mean evidence, logits.
    centroid_ras, peak_ras : RAS mm; the centroid is weighted by evidence.
    plane, slice_index : the slice of the strongest voxel; index along the axis that steps through ``plane``.
    place : where in the brain it lies, where that was asked for and is known.
    """

    label: int
    level: str
    volume_ml: float
    peak: float
    mean: float
    centroid_ras: Point
    peak_ras: Point
    plane: str
    slice_index: int
    place: Place | None = None


@dataclass(frozen=True)
class SliceEvidence:
    """One slice of the plane that was read.

    Parameters
    ----------
    index : along the index axis that steps through ``Result.plane``.
    position_ras : center of the slice, RAS mm.
    evidence : mean evidence of the shown class over the slice, logits; 0 for an empty slice.
    probabilities : class probabilities of this slice alone; empty for an empty slice and for 3D models.
    peak : strongest evidence in the slice, logits; None in results of before 0.2.
    """

    index: int
    position_ras: Point
    evidence: float
    probabilities: dict[str, float]
    peak: float | None = None


@dataclass(frozen=True)
class Faithfulness:
    """What the answer loses when the strongest region is filled with the tissue around it; see ``faithfulness.py``.

    Parameters
    ----------
    drop : fall of the shown class's log-odds, natural logarithm, calibrated.
    random_drops : the same for holes of the same shape at other places; empty where there was no room.
    filled_ml : volume of the region.
    seed : of the places.
    """

    drop: float
    random_drops: tuple[float, ...]
    filled_ml: float
    seed: int

    @property
    def score(self) -> float | None:
        """``drop`` above the mean of ``random_drops``; None where there are none."""
        return self.drop - sum(self.random_drops) / len(self.random_drops) if self.random_drops else None


@dataclass(frozen=True, eq=False)
class Result:
    """Everything that one localization found.

    Parameters
    ----------
    case : name of the input.
    probabilities : class name to calibrated probability of the whole volume; they sum to 1.
    predicted : what the scan is called: the most probable class or, where the bundle states a limit, pathology within
        that limit; see ``withholding.predicted_class``.
    shown_class : class whose evidence ``map`` shows.
    map : float32 KJI, evidence for ``shown_class`` in logits, on the input's grid.
    labels : uint8 KJI, what is marked: 0 nothing, n at ``evidence_levels[n - 1]``; see ``marking.mark``.
    evidence_levels : lowest threshold first.
    regions : strongest peak first.
    slices : in order of index, one for every slice of ``plane``.
    plane : axial, coronal, sagittal, or volume for 3D models; "all" where three planes were averaged.
    geometry : the input's grid.
    level_maps : CNN level name to its share of ``map``, or None when not asked for.
    warnings : what the reader of the result must know.
    completeness_error : max over slices of |mean(map) + bias - logit| at the network's resolution; None where the
        fusion makes no such promise.
    timings : stage to seconds.
    provenance : versions, checksums, options, model.
    faithfulness : of the map for this scan, where it was asked for.
    withheld : nothing is marked, whatever the map holds, because the scan is called normal; see ``withholding.py``.
    agreed : bool KJI, where all planes that were read see enough, which decided what is marked; None where it did not,
        and in results that were read from files. See ``agreement.py``.
    borders : how regions followed the image; None where the model does not say so, and in results that were read from
        files. See ``borders.py``.
    """

    case: str
    probabilities: dict[str, float]
    predicted: str
    shown_class: str
    map: FloatArray
    labels: LabelArray
    evidence_levels: tuple[EvidenceLevel, ...]
    regions: tuple[Region, ...]
    slices: tuple[SliceEvidence, ...]
    plane: str
    geometry: Geometry
    level_maps: Mapping[str, FloatArray] | None = None
    warnings: tuple[str, ...] = ()
    completeness_error: float | None = None
    timings: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    faithfulness: Faithfulness | None = None
    withheld: bool = False
    agreed: npt.NDArray[np.bool_] | None = None
    borders: Borders | None = None

    def to_json(self, files: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The result without its arrays, as a document that ``schemas/result.schema.json`` accepts.

        Parameters
        ----------
        files : kind of output ("map", "labels", …) to file name, for results on disk.
        """
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "intended_use": RESEARCH_USE,
            "case": self.case,
            "predicted": self.predicted,
            "shown_class": self.shown_class,
            "probabilities": plain(self.probabilities),
            "plane": self.plane,
            "withheld": self.withheld,
            "evidence_levels": [plain(asdict(level)) for level in self.evidence_levels],
            "regions": [plain(asdict(region)) for region in self.regions],
            "slices": [plain(asdict(one)) for one in self.slices],
            "warnings": list(self.warnings),
            "completeness_error": plain(self.completeness_error),
            "faithfulness": None if self.faithfulness is None else plain(
                {**asdict(self.faithfulness), "score": self.faithfulness.score}
            ),
            "timings": plain(self.timings),
            "provenance": plain(self.provenance),
            "geometry": {
                "size_ijk": list(self.geometry.size_ijk),
                "origin_lps": list(self.geometry.origin_lps),
                "spacing": list(self.geometry.spacing),
                "direction_lps": np.asarray(self.geometry.direction_lps).tolist(),
            },
            "files": dict(files or {}),
        }

    @classmethod
    def from_json(
        cls,
        document: Mapping[str, Any],
        map_kji: npt.ArrayLike,
        labels: npt.ArrayLike,
        level_maps: Mapping[str, npt.ArrayLike] | None = None,
    ) -> Result:
        """The inverse of ``to_json``; the arrays come from the files beside the document.

        Raises ``InputError`` when the document breaks the schema or an array has another shape than its geometry.
        """
        validate_result(document)
        geometry = Geometry(**document["geometry"])
        return cls(
            case=document["case"],
            probabilities=dict(document["probabilities"]),
            predicted=document["predicted"],
            shown_class=document["shown_class"],
            map=_on_grid(map_kji, np.float32, geometry, "map"),
            labels=_on_grid(labels, np.uint8, geometry, "label map"),
            evidence_levels=tuple(EvidenceLevel(**_tuples(level)) for level in document["evidence_levels"]),
            regions=tuple(read_region(region) for region in document["regions"]),
            slices=tuple(SliceEvidence(**_tuples(one)) for one in document["slices"]),
            plane=document["plane"],
            geometry=geometry,
            level_maps=None if level_maps is None else {
                name: _on_grid(one, np.float32, geometry, f'map of level "{name}"') for name, one in level_maps.items()
            },
            warnings=tuple(document["warnings"]),
            completeness_error=document["completeness_error"],
            timings=dict(document["timings"]),
            provenance=dict(document["provenance"]),
            faithfulness=read_faithfulness(document.get("faithfulness")),
            withheld=bool(document.get("withheld", False)),
        )


def percent(probability: float) -> str:
    """A probability for people: never quite certain."""
    return ">99 %" if probability > 0.99 else "<1 %" if probability < 0.01 else f"{probability:.0%}".replace("%", " %")


def read_region(record: Mapping[str, Any]) -> Region:
    """One of a result document's ``regions``; earlier versions' have no place."""
    place = record.get("place")
    return Region(**{**_tuples(record), "place": Place(**_tuples(place)) if place else None})


def read_faithfulness(record: Mapping[str, Any] | None) -> Faithfulness | None:
    """A result document's ``faithfulness``."""
    if record is None:
        return None
    return Faithfulness(**_tuples({key: value for key, value in record.items() if key != "score"}))


def faithfulness_in_words(found: Faithfulness, class_name: str) -> str:
    """What the deletion test found, in one sentence; region 1 is the strongest."""
    words = f"Without region 1 the log-odds of {class_name} fall by {found.drop:.1f}"
    if not found.random_drops:
        return f"{words}; no other place has room for its shape."
    others = sum(found.random_drops) / len(found.random_drops)
    return f"{words}; without as much tissue at {len(found.random_drops)} other places by {others:.1f} on average."


def validate_result(document: Mapping[str, Any]) -> None:
    """Raise ``InputError`` naming the field when ``document`` is not a result."""
    schemas.require(schemas.RESULT, document, "hrcam localize")


def plain(value: Any) -> Any:
    """Python numbers, lists and dictionaries alone; a number that is not finite becomes None, as JSON has none."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}


def _on_grid(array: npt.ArrayLike, dtype: npt.DTypeLike, geometry: Geometry, what: str) -> npt.NDArray[Any]:
    found = np.asarray(array, dtype=dtype)
    if found.shape != geometry.shape_kji:
        raise InputError(f"The {what} has shape {_shape(found.shape)} but the result says "
                         f"{_shape(geometry.shape_kji)}.", "Keep a result's files together and unchanged.")
    return found


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)
