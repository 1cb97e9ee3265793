"""Whose scan it was: headers of the DICOM series that was read, or a stated derived identity where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from ...scan.io.dicom.series import files_of
from ...scan.volume import Volume

DERIVED = "Derived by HR-CAM from a file without a DICOM identity"

_NEEDED = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
           "AccessionNumber", "ReferringPhysicianName")
_SAME_PLACE_VOXELS = 0.02


def source_headers(volume: Volume) -> list[Dataset]:
    """Headers of the files that a scan was read from, in the order of its slices; empty where it was no DICOM.

    Files that were named beside the scan but show another place are not its own (it was moved or turned since).

    Raises ``InputError`` where the series cannot be read any more.
    """
    files = volume.dicom_files or files_of(volume.source)
    headers: list[Dataset] = [dcmread(file, stop_before_pixels=True) for file in files]
    if volume.dicom_files and not all(_lies_on(volume, header) for header in headers):
        return []
    for header in headers:
        for keyword in _NEEDED:  # of those that must be there, though they may be empty
            if keyword not in header:
                setattr(header, keyword, "")
        if "FrameOfReferenceUID" not in header:
            header.FrameOfReferenceUID = _uid(volume, "frame of reference")
    return headers


def derived_header(volume: Volume) -> Dataset:
    """An identity that says that it is derived: of no patient, from the scan's checksum. Nothing may refer to it."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in _NEEDED:
        setattr(header, keyword, "")
    header.PatientID = f"HRCAM-{volume.content_hash[:12]}"
    header.StudyDescription = DERIVED
    header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, _uid(volume, "image")
    header.StudyInstanceUID, header.SeriesInstanceUID = _uid(volume, "study"), _uid(volume, "series")
    header.FrameOfReferenceUID = _uid(volume, "frame of reference")
    header.Modality = "OT"
    header.Rows, header.Columns = volume.geometry.size_ijk[1], volume.geometry.size_ijk[0]
    header.ImageOrientationPatient = [*map(float, volume.geometry.direction_lps[:, 0]),
                                      *map(float, volume.geometry.direction_lps[:, 1])]
    header.ImagePositionPatient = list(volume.geometry.origin_lps)
    header.PixelSpacing = [volume.geometry.spacing[1], volume.geometry.spacing[0]]
    header.SliceThickness = volume.geometry.spacing[2]
    return header


def is_derived(file: Path) -> bool:
    """Whether a DICOM object of ours states a derived identity."""
    return str(dcmread(file, specific_tags=["StudyDescription"]).get("StudyDescription", "")) == DERIVED


def _lies_on(volume: Volume, header: Dataset) -> bool:
    """Whether a slice begins at a voxel of the scan; headers of many frames state their positions elsewhere."""
    position = header.get("ImagePositionPatient")
    if position is None:
        return True
    index = np.linalg.inv(volume.geometry.ijk_to_lps) @ [*map(float, position), 1.0]
    return bool(np.abs(index - np.round(index)).max() < _SAME_PLACE_VOXELS)


def _uid(volume: Volume, what: str) -> str:
    """The same for the same scan, so that objects of several runs come together."""
    return str(generate_uid(entropy_srcs=[volume.content_hash, what]))
