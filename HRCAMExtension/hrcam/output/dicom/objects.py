"""A result as DICOM objects that refer to one another and to the series that was read, made with highdicom.

They hold what the readers behind 3D Slicer's import (dcmqi) ask for beyond the standard: frames from the lowest slice
on (see `frame_order`), a map's anatomy, no empty segment before one that marks something, and a report whose groups of
measurements refer to a segment each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from ...bundle.evidence_level import EvidenceLevel
from ...errors import OutputError
from ...run.regions import number_regions
from ...run.result import Region, Result
from ...scan.volume import Volume
from ..segment import segment_id
from ..terminology import DEFAULT_TERMINOLOGY
from .frame_order import order_upwards
from .places import SCHEME, position_codes, side_code, structure_code
from .references import refer
from .source import source_of

RESEARCH_USE_LABEL = "Research use only, not for diagnosis"
EVIDENCE = Code("evidence", SCHEME, "Evidence for a class")
PEAK = Code("peak-evidence", SCHEME, "Peak evidence for a class")
MEAN = Code("mean-evidence", SCHEME, "Mean evidence for a class")
REGIONS = Code("regions", SCHEME, "Number of regions")
UNITLESS = Code("1", "UCUM", "no units")
_MILLIMETER = Code("mm", "UCUM", "millimeter")
_VOLUME, _MILLILITER = Code("118565006", "SCT", "Volume"), Code("mL", "UCUM", "milliliter")
_ARTIFICIAL_INTELLIGENCE = Code("123109", "DCM", "Artificial Intelligence")
_FIRST_SERIES_NUMBER = 9000
_TISSUE = "SCT^85756007^Tissue"
_SEGMENTATION = Code("113076", "DCM", "Segmentation")
_UNSPECIFIED = Code("112187", "DCM", "Unspecified method of calculation")
"""How frames were derived from the scan's slices (CID 7203)."""


@contextmanager
def _silent() -> Iterator[None]:
    """No remarks of pydicom and highdicom on values of the source that break the standard: they stay as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _made_once(make: Callable[[DicomObjects], Dataset]) -> cached_property[Dataset]:
    @wraps(make)
    def made(self: DicomObjects) -> Dataset:
        with _silent():
            return make(self)

    return cached_property(made)


class DicomObjects:
    """The DICOM objects of a result; each is made when first asked for.

    Parameters
    ----------
    result : what is written; its geometry is theirs.
    volume : the scan. Where it was read from DICOM, its patient, study and images are referred to; elsewhere the
        objects state a derived identity and refer to no image.

    Raises
    ------
    OutputError : highdicom is missing, or the source's headers lack what objects of the same study need.
    """

    def __init__(self, result: Result, volume: Volume) -> None:
        try:
            import highdicom
        except ImportError as error:
            raise OutputError(f"DICOM objects need highdicom, which cannot be imported ({error}).",
                              "Install it with: pip install 'hrcam[dicom]'.") from error
        self._hd: Any = highdicom
        self._result = result
        with _silent():
            self._source = source_of(volume)
        model = result.provenance.get("model", {})
        self._version = str(result.provenance.get("hrcam_version", "")) or "unknown"
        self._model = f"{model.get('name', '')} {model.get('version', '')}".strip() or "unknown"
        self._model_sha256 = str(model.get("sha256", ""))
        geometry = result.geometry
        kji_to_lps = geometry.ijk_to_lps.copy()
        kji_to_lps[:, :3] = kji_to_lps[:, 2::-1]
        self._affine = kji_to_lps
        self._tracks = {region.label: generate_uid() for region in result.regions}

    @_made_once
    def segmentation(self) -> Dataset:
        """Evidence levels as segments, coded as the shown class, in the levels' colors, on the whole grid.

        A level that marks nothing below one that does is left out: dcmqi's label maps would give its name to the next.
        """
        levels, labels = self._result.evidence_levels, self._result.labels
        kept = [n for n in range(1, len(levels) + 1) if n > labels.max(initial=0) or (labels == n).any()]
        numbers = np.zeros(len(levels) + 1, np.uint8)
        numbers[kept] = range(1, len(kept) + 1)
        segments = [self._described(number, f"{self._result.shown_class}: {levels[n - 1].name}", levels[n - 1],
                                    segment_id(n), generate_uid()) for number, n in enumerate(kept, start=1)]
        return self._segmented(numbers[labels], segments, "HRCAM_LEVELS", 0, whole=True)

    @_made_once
    def regions(self) -> Dataset:
        """Regions as segments, numbered as they are: what the report measures. There must be one at least."""
        result = self._result
        levels = {level.name: level for level in result.evidence_levels}
        segments = [self._described(region.label, f"Region {region.label}: {region.level}", levels[region.level],
                                    f"Region {region.label}", self._tracks[region.label]) for region in result.regions]
        numbers = number_regions(result.labels, result.geometry, result.regions)
        return self._segmented(numbers, segments, "HRCAM_REGIONS", 3, whole=False)

    @_made_once
    def parametric_map(self) -> Dataset:
        """The evidence map, 32-bit floats in logits."""
        hd, values = self._hd, self._result.map
        mapping = hd.pm.RealWorldValueMapping(
            lut_label="logit", lut_explanation=f"Evidence for {self._result.shown_class}, logits"[:64], unit=UNITLESS,
            value_range=(float(values.min()), float(values.max())), slope=1.0, intercept=0.0,
            quantity_definition=EVIDENCE)
        width = max(float(np.abs(values).max()), 1e-3)
        made = hd.pm.ParametricMap(
            [self._source.header], self._on_grid(values), contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.0, window_width=2 * width)],
            content_label="HRCAM_MAP", content_description=RESEARCH_USE_LABEL, content_creator_name="HR-CAM^",
            **self._identity(1))
        made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(self._result)]
        return self._finished(made, "evidence map", _UNSPECIFIED)

    @_made_once
    def report(self) -> Dataset:
        """TID 1500: each region's volume and evidence, its finding, what computed it, and its segment in `regions`."""
        hd = self._hd
        device = hd.sr.ObserverContext(
            observer_type=Code("121007", "DCM", "Device"),
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                uid=generate_uid(), name="HR-CAM", manufacturer_name="HR-CAM", model_name=self._model))
        content = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=device),
            procedure_reported=Code("363679005", "SCT", "Imaging procedure"),
            imaging_measurements=[self._group(region) for region in self._result.regions] or [self._no_region()],
            title=Code("126000", "DCM", "Imaging Measurement Report"),
            referenced_images=[one for one in self._source.images if "PixelSpacing" in one] or None)
        identity = self._identity(2)
        segments = [self.regions] if self._result.regions else []  # last: Slicer looks up the groups in the last one
        made = hd.sr.ComprehensiveSR(
            evidence=[self.segmentation, self.parametric_map, *segments, *self._source.images], content=content[0],
            series_instance_uid=identity["series_instance_uid"], series_number=identity["series_number"],
            sop_instance_uid=identity["sop_instance_uid"], instance_number=1, manufacturer="HR-CAM",
            is_complete=True, is_final=False, is_verified=False)
        made.CompletionFlagDescription = f"{RESEARCH_USE_LABEL}. Computed, not verified."
        return self._finished(made, "report")

    def _algorithm(self, *parameters: str) -> Any:
        return self._hd.sr.AlgorithmIdentification("HR-CAM", self._version, [
            RESEARCH_USE_LABEL, f"model {self._model}", f"weights SHA-256 {self._model_sha256}",
            f"shown class {self._result.shown_class}", *parameters])

    def _no_region(self) -> Any:
        """A report must measure something: that there are none."""
        hd = self._hd
        return hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(uid=generate_uid(), identifier="No region"),
            algorithm_id=self._algorithm(), measurements=[hd.sr.Measurement(REGIONS, 0.0, UNITLESS)])

    def _group(self, region: Region) -> Any:
        hd = self._hd
        _, kind = _terms(self._result)
        measured = [(_VOLUME, region.volume_ml, _MILLILITER), (PEAK, region.peak, UNITLESS),
                    (MEAN, region.mean, UNITLESS)]
        sites = None
        if region.place is not None:
            sites = [hd.sr.FindingSite(structure_code(region.place), laterality=side_code(region.place))]
            measured += [(name, value, _MILLIMETER)
                         for name, value in zip(position_codes(), region.place.mni_ras, strict=True)]
        return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(self._tracks[region.label], f"Region {region.label}"),
            referenced_segment=self._segment(region.label), finding_type=kind,
            algorithm_id=self._algorithm(f"evidence level {region.level}"), finding_sites=sites,
            measurements=[hd.sr.Measurement(name, float(value), unit) for name, value, unit in measured])

    def _segment(self, number: int) -> Any:
        """A reference to a region's segment, and to the series that it was drawn on: the map's where the scan was no
        DICOM.
        """
        hd, regions = self._hd, self.regions
        series = self._source.images[0] if self._source.images else self.parametric_map
        return hd.sr.ReferencedSegment(
            regions.SOPClassUID, regions.SOPInstanceUID, number,
            source_series=hd.sr.SourceSeriesForSegmentation(series.SeriesInstanceUID))

    def _described(self, number: int, label: str, level: EvidenceLevel, track: str, uid: str) -> Any:
        """A segment in its level's color, coded as the shown class."""
        hd = self._hd
        algorithm = hd.AlgorithmIdentificationSequence(
            name=f"HR-CAM {self._model}"[:64], family=_ARTIFICIAL_INTELLIGENCE, version=self._version)
        return hd.seg.SegmentDescription(
            number, label[:64], *_terms(self._result), "AUTOMATIC", algorithm, tracking_uid=uid, tracking_id=track,
            display_color=hd.color.CIELabColor.from_rgb(*(round(255 * part) for part in level.color)))

    def _segmented(self, numbers: Any, segments: list[Any], label: str, place: int, whole: bool) -> Dataset:
        """Segment numbers KJI as a Segmentation; on all slices where it is ``whole``, else on those that hold some."""
        made = self._hd.seg.Segmentation(
            [self._source.header], self._on_grid(numbers), "BINARY", segments, content_label=label,
            content_description=RESEARCH_USE_LABEL, content_creator_name="HR-CAM^", omit_empty_frames=not whole,
            **self._identity(place))
        return self._finished(made, "evidence levels" if whole else "regions", _SEGMENTATION)

    def _on_grid(self, array: Any) -> Any:
        frame = self._source.header.FrameOfReferenceUID
        return self._hd.Volume(array, self._affine, coordinate_system="PATIENT", frame_of_reference_uid=frame)

    def _identity(self, place: int) -> dict[str, Any]:
        return {
            "series_instance_uid": generate_uid(), "series_number": _FIRST_SERIES_NUMBER + place,
            "sop_instance_uid": generate_uid(), "instance_number": 1, "manufacturer": "HR-CAM",
            "manufacturer_model_name": self._model, "software_versions": self._version,
            "device_serial_number": self._model_sha256[:64] or "none",
        }

    def _finished(self, made: Dataset, what: str, derivation: Code | None = None) -> Dataset:
        made.SeriesDate, made.SeriesTime = made.ContentDate, made.ContentTime
        made.SeriesDescription = f"HR-CAM {what} {self._result.shown_class}, research use only"[:64]
        if "StudyDescription" in self._source.header:
            made.StudyDescription = self._source.header.StudyDescription
        if derivation is not None:  # an image
            order_upwards(made)
            refer(made, self._source, self._result.geometry, derivation)
        return made


def _terms(result: Result) -> tuple[Code, Code]:
    """Category and type of a segment, from Slicer's terminology entry of the shown class."""
    parts, fallback = _terminology(result), DEFAULT_TERMINOLOGY.split("~")
    codes = []
    for part, other in zip(parts[1:3], fallback[1:3], strict=False):
        scheme, value, meaning = (part if part.count("^") == 2 and all(part.split("^")) else other).split("^")
        codes.append(Code(value, scheme, meaning))
    return codes[0], codes[1]


def _terminology(result: Result) -> list[str]:
    return str(result.provenance.get("shown_terminology") or DEFAULT_TERMINOLOGY).split("~")


def _anatomy(result: Result) -> Dataset:
    """Where a map's frames lie in the body: what the terminology entry names, or tissue; the side is not stated."""
    region = "".join(_terminology(result)[5:6])
    value = (region if region.count("^") == 2 and all(region.split("^")) else _TISSUE).split("^")
    code, anatomy = Dataset(), Dataset()
    code.CodingSchemeDesignator, code.CodeValue, code.CodeMeaning = value
    anatomy.AnatomicRegionSequence, anatomy.FrameLaterality = [code], "U"
    return anatomy


def write_object(dataset: Dataset, path: Path) -> None:
    """Write one object as a DICOM file."""
    with _silent():
        dataset.save_as(path, enforce_file_format=True)
