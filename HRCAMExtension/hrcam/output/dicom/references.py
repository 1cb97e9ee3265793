"""Which images objects were made of: stated as they were read, slice by slice, and nothing else."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from ...scan.geometry import Geometry
from .source import Source

_MADE_UP = ("ReferencedSeriesSequence", "SourceImageSequence", "ReferencedInstanceSequence",
            "StudiesContainingOtherReferencedInstancesSequence", "DerivationImageSequence")


def refer(dataset: Dataset, source: Source, geometry: Geometry, derivation: Code) -> None:
    """Replace what highdicom made of the header that it was given by references to the images that were read.

    Parameters
    ----------
    dataset : a Segmentation or Parametric Map on the scan's grid.
    source, geometry : the scan's.
    derivation : how a frame was made of its slice.
    """
    _forget(dataset)
    series: dict[str, list[Dataset]] = {}
    for image in source.images:
        series.setdefault(str(image.SeriesInstanceUID), []).append(_reference(image))
    if not series:
        return
    dataset.ReferencedSeriesSequence = [
        _item(ReferencedInstanceSequence=references, SeriesInstanceUID=uid) for uid, references in series.items()]
    dataset.SourceImageSequence = [_reference(image) for image in source.images]
    for group in dataset.PerFrameFunctionalGroupsSequence if source.slices else ():
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        image, number = source.slices[round(geometry.points_from_lps(position)[2])]
        one = _reference(image)
        one.SpatialLocationsPreserved = "YES"
        one.PurposeOfReferenceCodeSequence = [_code(codes.DCM.SourceImageForImageProcessingOperation)]
        if number is not None:
            one.ReferencedFrameNumber = number
        group.DerivationImageSequence = [_item(SourceImageSequence=[one], DerivationCodeSequence=[_code(derivation)])]


def _forget(dataset: Dataset) -> None:
    for keyword in _MADE_UP:
        if keyword in dataset:
            delattr(dataset, keyword)
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _forget(item)


def _reference(image: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _code(code: Code) -> Dataset:
    return _item(CodeValue=code.value, CodingSchemeDesignator=code.scheme_designator, CodeMeaning=code.meaning)


def _item(**elements: object) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made
