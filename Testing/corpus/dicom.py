"""DICOM series with missing, doubled, mixed, damaged or misplaced slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedSRStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from .kinds import SPACING, cut, head, kind

Change = Callable[[FileDataset, int], None]


def series(folder: Path, change: Change | None = None, number: int = 3, prefix: str = "IM", count: int = 10) -> Path:
    """Write the head as axial MR slices, last slice first, each edited by ``change(dataset, index)``."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = generate_uid(entropy_srcs=["series", str(number), prefix])
    for index, pixels in enumerate(head()[:count]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[uid, str(index)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{prefix}{99 - index:03d}.dcm"
        one = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
        one.SOPClassUID, one.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        one.Modality, one.SeriesDescription, one.SeriesNumber = "MR", "AX T1 POST", number
        one.PatientName, one.PatientID = "Test^Head", "0"
        one.StudyInstanceUID, one.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), uid
        one.InstanceNumber = index + 1
        one.Rows, one.Columns = pixels.shape
        one.PixelSpacing = [SPACING[1], SPACING[0]]
        one.SliceThickness = SPACING[2]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [-70.5, -90.25, -50 + SPACING[2] * index]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.PixelData = pixels.tobytes()
        if change is not None:
            change(one, index)
        one.save_as(path)
    return folder


def slice_file(folder: Path, index: int, prefix: str = "IM") -> Path:
    """File of slice ``index``."""
    return folder / f"{prefix}{99 - index:03d}.dcm"


@kind(None)
def dicom_series(folder: Path) -> Path:
    return series(folder / "series")


@kind(None)
def dicom_one_file_of_a_series(folder: Path) -> Path:
    return slice_file(series(folder / "series"), 4)


@kind(None)
def dicom_without_file_endings(folder: Path) -> Path:
    made = series(folder / "series")
    for file in list(made.iterdir()):
        file.rename(file.with_suffix(""))
    return made


@kind(None)
def dicom_one_slice(folder: Path) -> Path:
    return series(folder / "series", count=1)


@kind(None)
def dicom_slope_of_each_slice(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.RescaleSlope, one.RescaleIntercept = 1 + index / 8, -10 * index

    return series(folder / "series", change)


@kind(None)
def dicom_chosen_series(folder: Path) -> str:
    series(folder / "both", number=3)
    return f"{series(folder / 'both', number=4, prefix='B')}#4"


@kind(None)
def dicom_report_beside_images(folder: Path) -> Path:
    made = series(folder / "series")
    _report(made / "report.dcm")
    (made / "notes.txt").write_text("not an image")
    return made


@kind('holds no series "7"')
def dicom_series_that_is_not_there(folder: Path) -> str:
    return f"{series(folder / 'series')}#7"


@kind("holds 2 DICOM series")
def dicom_two_series(folder: Path) -> Path:
    series(folder / "both", number=3)
    return series(folder / "both", number=4, prefix="B")


@kind("1 slices of")
def dicom_slice_missing(folder: Path) -> Path:
    made = series(folder / "series")
    slice_file(made, 4).unlink()
    return made


@kind("lie at the position of another")
def dicom_slice_doubled(folder: Path) -> Path:
    made = series(folder / "series")
    (made / "copy.dcm").write_bytes(slice_file(made, 4).read_bytes())
    return made


@kind("lie at the position of another")
def dicom_two_time_points(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.ImagePositionPatient = [0, 0, 9 * (index % 5)]
        one.AcquisitionNumber = index // 5

    return series(folder / "series", change)


MAKERS: dict[str, tuple[int, str, int, str, Callable[[int], object]]] = {
    "siemens": (0x19, "SIEMENS MR HEADER", 0x0C, "IS", int),
    "ge": (0x43, "GEMS_PARM_01", 0x39, "IS", lambda b: [1_000_000_000 + b, 8, 0, 0]),
    "philips": (0x2001, "Philips Imaging DD 001", 0x03, "FL", float),
    "united_imaging": (0x65, "Image Private Header", 0x09, "FD", float),
}
"""Where a maker states b-values: group, creator, element, representation, and how."""


def weighted(maker: str) -> Change:
    """Two volumes of five slices with b-values of 0 and 800 in a maker's own element."""
    group, creator, element, representation, stated = MAKERS[maker]

    def change(one: FileDataset, index: int) -> None:
        one.ImagePositionPatient = [0, 0, 9 * (index % 5)]
        block = one.private_block(group, creator, create=True)
        block.add_new(element, representation, stated(800 * (index // 5)))

    return change


def _of_maker(maker: str) -> None:
    def make(folder: Path) -> Path:
        return series(folder / "series", weighted(maker))

    make.__name__ = f"dicom_b_values_of_{maker}"
    kind("the series holds 2 volumes")(make)


for _maker in MAKERS:
    _of_maker(_maker)


@kind("unevenly spaced")
def dicom_uneven(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.ImagePositionPatient = [0, 0, 9 * index + (3 if index > 5 else 0)]

    return series(folder / "series", change)


@kind("shifted against each other")
def dicom_tilted_gantry(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.ImagePositionPatient = [0, 3 * index, 9 * index]

    return series(folder / "series", change)


@kind("differ in orientation")
def dicom_with_localizer(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        if index == 0:
            one.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    return series(folder / "series", change)


@kind("differ in size")
def dicom_sizes_differ(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        if index == 2:
            one.Rows -= 2
            one.PixelData = one.PixelData[: one.Rows * one.Columns * 2]

    return series(folder / "series", change)


@kind("differ in pixel spacing")
def dicom_spacings_differ(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        if index == 2:
            one.PixelSpacing = [5, 5]

    return series(folder / "series", change)


@kind("do not state their position")
def dicom_no_positions(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        del one.ImagePositionPatient

    return series(folder / "series", change)


@kind("are not perpendicular")
def dicom_rows_along_columns(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]

    return series(folder / "series", change)


@kind("is damaged or not a valid DICOM file")
def dicom_slice_cut(folder: Path) -> Path:
    made = series(folder / "series")
    cut(slice_file(made, 4), 0.6)
    return made


@kind("is damaged or not a valid DICOM file")
def dicom_slice_header_cut(folder: Path) -> Path:
    made = series(folder / "series")
    cut(slice_file(made, 4), 0.25)
    return made


@kind("is damaged or not a valid DICOM file")
def dicom_pixels_fewer_than_stated(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.PixelData = one.PixelData[:200]

    return series(folder / "series", change)


@kind("holds no DICOM images")
def dicom_report_alone(folder: Path) -> Path:
    (folder / "series").mkdir()
    _report(folder / "series" / "report.dcm")
    return folder / "series"


@kind("is a DICOM file without an image")
def dicom_report_file(folder: Path) -> Path:
    return _report(folder / "report.dcm")


@kind("holds no DICOM images")
def dicom_empty_folder(folder: Path) -> Path:
    (folder / "series").mkdir()
    return folder / "series"


@kind("holds no DICOM images")
def dicom_folder_of_text(folder: Path) -> Path:
    (folder / "series").mkdir()
    (folder / "series" / "IM001.dcm").write_text("not DICOM at all" * 40)
    return folder / "series"


@kind("is a color picture")
def dicom_color_capture(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        rgb = np.random.default_rng(1).integers(0, 255, (one.Rows, one.Columns, 3), np.uint8)
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PlanarConfiguration = 3, "RGB", 0
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 8, 8, 7, 0
        one.PixelData = rgb.tobytes()

    return series(folder / "series", change, count=1)


@kind(None)
def dicom_ct(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = CTImageStorage
        one.Modality, one.RescaleSlope, one.RescaleIntercept = "CT", 1, -1024

    return series(folder / "series", change)


def _report(path: Path) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = EnhancedSRStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["report"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    report.SOPClassUID, report.SOPInstanceUID = EnhancedSRStorage, meta.MediaStorageSOPInstanceUID
    report.Modality, report.SeriesInstanceUID = "SR", generate_uid(entropy_srcs=["sr"])
    report.save_as(path)
    return path
