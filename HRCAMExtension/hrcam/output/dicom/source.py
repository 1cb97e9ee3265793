"""Patient, study and images that were read, or a derived identity, stated as such, where there are none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from ...scan.geometry import Geometry
from ...scan.io.dicom.dataset import read_header, text
from ...scan.io.dicom.frames import Frame
from ...scan.io.dicom.series import frames_in, frames_of
from ...scan.volume import Volume

DERIVED = "Derived by HR-CAM from a file without a DICOM identity"

_IDENTITY = (
    "SpecificCharacterSet", "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight",
    "PatientSize", "IssuerOfPatientID", "OtherPatientIDs", "PatientIdentityRemoved", "DeidentificationMethod",
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
    "StudyDescription", "FrameOfReferenceUID", "PositionReferenceIndicator",
)
_NEEDED = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
           "AccessionNumber", "ReferringPhysicianName")
"""What must be there in every object, though it may be empty."""
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_FORMS = {"PatientBirthDate": r"\d{8}", "StudyDate": r"\d{8}", "StudyTime": r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?",
          "PatientSex": "[MFO]"}
"""Values of another form are left empty: highdicom refuses them."""
_SAME_PLACE_VOXELS = 0.02


@dataclass(frozen=True)
class Source:
    """What objects of a scan state of it.

    Attributes
    ----------
    header : patient, study, frame of reference, and the scan's grid as that of one slice; highdicom copies it.
    images : headers of the files that were read, one each, with SOP and series UIDs; empty where it was no DICOM.
    slices : for slice k of the scan's grid, the image that holds it, and the number of its frame (from 1) where the
        image has several; empty where that is not known for all slices.
    """

    header: Dataset
    images: tuple[Dataset, ...] = ()
    slices: tuple[tuple[Dataset, int | None], ...] = ()


def source_of(volume: Volume) -> Source:
    """Identity and images of the files that a scan was read from, or a derived identity.

    Files that were named beside the scan but show another place are not its own (it was moved or turned since), and
    files without UIDs cannot be referred to.

    Raises ``InputError`` where the series cannot be read any more.
    """
    frames = frames_in(volume.dicom_files) if volume.dicom_files else frames_of(volume.source)
    places = [_slice_at(volume.geometry, frame) for frame in frames]
    if volume.dicom_files and None in places:
        frames = ()
    headers = {frame.file.path: _image(frame) for frame in frames}
    if not headers or not all(one.get(keyword) for one in headers.values() for keyword in _UIDS):
        return Source(_with_grid(_derived(volume), volume.geometry))
    identity = _identity(frames[0].file.path)
    if not identity.get("FrameOfReferenceUID"):
        identity.FrameOfReferenceUID = _uid(volume, "frame of reference")
    for one in headers.values():
        one.FrameOfReferenceUID = identity.FrameOfReferenceUID
    return Source(_with_grid(identity, volume.geometry), tuple(headers.values()),
                  _slices(volume.geometry.size_ijk[2], frames, places, headers))


def is_derived(file: Path) -> bool:
    """Whether a DICOM object that HR-CAM wrote states a derived identity."""
    return str(dcmread(file, specific_tags=["StudyDescription"]).get("StudyDescription", "")) == DERIVED


def _slice_at(geometry: Geometry, frame: Frame) -> int | None:
    """The slice of a grid that a frame lies on; None where it begins at none of the grid's voxels."""
    if frame.position is None:
        return None
    index = geometry.points_from_lps(frame.position)
    return None if np.abs(index - np.round(index)).max() > _SAME_PLACE_VOXELS else round(index[2])


def _slices(
    count: int, frames: Sequence[Frame], places: Sequence[int | None], headers: dict[str, Dataset]
) -> tuple[tuple[Dataset, int | None], ...]:
    if count == len(frames) == 1:
        places = [0]  # one slice lies nowhere where its file states no place
    if sorted(place for place in places if place is not None) != list(range(count)):
        return ()
    found = {place: (headers[frame.file.path], frame.index + 1 if frame.file.count > 1 else None)
             for place, frame in zip(places, frames, strict=True)}
    return tuple(found[place] for place in range(count))


def _image(frame: Frame) -> Dataset:
    """What is referred to: the UIDs of a file, and of one slice what an image library describes."""
    stored, header = read_header(Path(frame.file.path)), Dataset()
    for keyword in (*_UIDS, "Modality"):
        setattr(header, keyword, text(stored, keyword))
    header.Rows, header.Columns = frame.file.rows, frame.file.columns
    if frame.file.count == 1 and frame.axes and frame.position and frame.spacing:
        header.ImageOrientationPatient, header.ImagePositionPatient = list(frame.axes), list(frame.position)
        header.PixelSpacing, header.SliceThickness = list(frame.spacing[::-1]), frame.thickness or 0.0
    return header


def _identity(file: str) -> Dataset:
    stored, header = read_header(Path(file), everything=True) or Dataset(), Dataset()
    for keyword in _IDENTITY:
        if keyword in stored:
            header[keyword] = stored[keyword]
    for keyword in _NEEDED:
        form = _FORMS.get(keyword)
        if keyword not in header or (form and not re.fullmatch(form, text(header, keyword))):
            setattr(header, keyword, "")
    return header


def _derived(volume: Volume) -> Dataset:
    """An identity that says that it is derived: of no patient, from the scan's checksum. Nothing may refer to it."""
    header = Dataset()
    for keyword in _NEEDED:
        setattr(header, keyword, "")
    header.PatientID = f"HRCAM-{volume.content_hash[:12]}"
    header.StudyDescription = DERIVED
    header.StudyInstanceUID, header.FrameOfReferenceUID = _uid(volume, "study"), _uid(volume, "frame of reference")
    return header


def _with_grid(header: Dataset, geometry: Geometry) -> Dataset:
    """The first slice of a grid, as an image that exists nowhere: what highdicom takes it for is forgotten again."""
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID, header.SeriesInstanceUID = MRImageStorage, generate_uid(), generate_uid()
    header.Modality = "OT"
    header.Rows, header.Columns = geometry.size_ijk[1], geometry.size_ijk[0]
    header.ImageOrientationPatient = [*map(float, geometry.direction_lps[:, 0]),
                                      *map(float, geometry.direction_lps[:, 1])]
    header.ImagePositionPatient = list(geometry.origin_lps)
    header.PixelSpacing = [geometry.spacing[1], geometry.spacing[0]]
    header.SliceThickness = geometry.spacing[2]
    return header


def _uid(volume: Volume, what: str) -> str:
    """The same for the same scan, so that objects of several runs come together."""
    return str(generate_uid(entropy_srcs=[volume.content_hash, what]))
