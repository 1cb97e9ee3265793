"""Enhanced multi-frame files as different makers write them."""

from __future__ import annotations

from collections.abc import Sequence as Several
from pathlib import Path

import numpy as np
import pydicom
import pydicom.uid as uids
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from .kinds import SPACING, head, kind

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def items(**elements: object) -> Sequence:
    """A sequence of one item."""
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return Sequence([item])


def enhanced(array: np.ndarray | None = None, places: Several[float] | None = None, axes: Several[float] = AXIAL,
             sop: UID = uids.EnhancedMRImageStorage, instance: str = "1") -> FileDataset:
    """An enhanced image: frame n lies ``places[n]`` mm along the normal from (-70.5, -90.25, -50)."""
    array = head() if array is None else array
    places = [SPACING[2] * n for n in range(len(array))] if places is None else places
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = sop, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["enhanced", instance])
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = sop, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = (generate_uid(entropy_srcs=[w]) for w in ("study", "enhanced"))
    made.Modality, made.SeriesNumber, made.SeriesDescription = "MR", 4, "AX T1"
    made.PatientName, made.PatientID, made.InstanceNumber = "Test^Head", "0", int(instance)
    made.NumberOfFrames, made.Rows, made.Columns = array.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    shared = Dataset()
    shared.PixelMeasuresSequence = items(PixelSpacing=[SPACING[1], SPACING[0]], SliceThickness=SPACING[2])
    shared.PlaneOrientationSequence = items(ImageOrientationPatient=list(axes))
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    normal = np.cross(axes[:3], axes[3:])
    groups = []
    for place in places:
        group = Dataset()
        position = [round(float(one), 6) for one in np.array([-70.5, -90.25, -50]) + place * normal]
        group.PlanePositionSequence = items(ImagePositionPatient=position)
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = Sequence(groups)
    made.PixelData = array.tobytes()
    made["PixelData"].VR = "OW"
    return made


def saved(made: FileDataset, path: Path) -> Path:
    """Write an enhanced image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return path


def volumes(**marks: Several[object]) -> FileDataset:
    """Two heads at the same places, the second twice as bright, told apart by elements of a functional group.

    The keyword is SEQUENCE__ELEMENT, its value that of either volume.
    """
    both = np.concatenate([head(), 2 * head()])
    made = enhanced(both, [SPACING[2] * n for n in range(len(head()))] * 2)
    for name, values in marks.items():
        sequence, element = name.split("__")
        for n, group in enumerate(made.PerFrameFunctionalGroupsSequence):
            setattr(group, sequence, items(**{element: values[n // len(head())]}))
    return made


def scaled(made: FileDataset) -> FileDataset:
    """Give each frame a slope and an intercept of its own."""
    for n, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.PixelValueTransformationSequence = items(RescaleSlope=1 + n / 2, RescaleIntercept=10 * n,
                                                       RescaleType="US")
    return made


@kind(None)
def dicom_enhanced(folder: Path) -> Path:
    return saved(enhanced(), folder / "a.dcm")


@kind(None)
def dicom_enhanced_of_philips(folder: Path) -> Path:
    """Every position again in a private sequence."""
    made = enhanced()
    for group in made.PerFrameFunctionalGroupsSequence:
        block = group.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        block.add_new(0x0F, "SQ", items(ImagePositionPatient=group.PlanePositionSequence[0].ImagePositionPatient))
    return saved(made, folder / "a.dcm")


@kind(None)
def dicom_enhanced_of_hyperfine(folder: Path) -> Path:
    """The first position again outside of the frames."""
    made = enhanced()
    made.ImagePositionPatient = [-70.5, -90.25, -50]
    made.ImageOrientationPatient, made.PixelSpacing = list(AXIAL), [9, 9]
    return saved(made, folder / "a.dcm")


@kind(None)
def dicom_enhanced_of_ge(folder: Path) -> Path:
    """Everything with each frame, nothing shared, last frame first."""
    made = enhanced(head()[::-1], [SPACING[2] * n for n in range(len(head()))][::-1])
    shared = made.SharedFunctionalGroupsSequence[0]
    for n, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.PixelMeasuresSequence, group.PlaneOrientationSequence = (
            shared.PixelMeasuresSequence, shared.PlaneOrientationSequence)
        group.FrameContentSequence = items(StackID="1", InStackPositionNumber=len(head()) - n)
    made.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    return saved(made, folder / "a.dcm")


@kind(None)
def dicom_enhanced_slope_of_each_frame(folder: Path) -> Path:
    return saved(scaled(enhanced()), folder / "a.dcm")


@kind(None)
def dicom_enhanced_deflated(folder: Path) -> Path:
    made = enhanced()
    made.file_meta.TransferSyntaxUID = uids.DeflatedExplicitVRLittleEndian
    return saved(made, folder / "a.dcm")


@kind(None)
def dicom_enhanced_big_endian(folder: Path) -> Path:
    made = enhanced()
    made.PixelData = head().astype(">i2").tobytes()
    made.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(folder / "a.dcm", made, little_endian=False, implicit_vr=False, force_encoding=True)
    return folder / "a.dcm"


@kind(None)
def dicom_enhanced_one_file_of_two(folder: Path) -> Path:
    for n in "12":
        saved(enhanced(instance=n), folder / f"volume{n}.dcm")
    return folder / "volume2.dcm"


@kind("the series holds 2 volumes")
def dicom_enhanced_two_files(folder: Path) -> Path:
    return dicom_enhanced_one_file_of_two(folder).parent  # type: ignore[union-attr]


@kind(None)
def dicom_enhanced_in_two_parts(folder: Path) -> Path:
    """A concatenation: one stack in two files."""
    places = [SPACING[2] * n for n in range(len(head()))]
    saved(enhanced(head()[:7], places[:7], instance="1"), folder / "s" / "1.dcm")
    saved(enhanced(head()[7:], places[7:], instance="2"), folder / "s" / "2.dcm")
    return folder / "s"


@kind("lie at the position of another: the series holds 2 volumes")
def dicom_enhanced_two_echoes(folder: Path) -> Path:
    return saved(volumes(MREchoSequence__EffectiveEchoTime=(4.6, 9.2)), folder / "a.dcm")


@kind(None)
def dicom_enhanced_second_echo(folder: Path) -> str:
    return f"{dicom_enhanced_two_echoes(folder)}#2"


@kind('holds no volume "3"')
def dicom_enhanced_third_of_two(folder: Path) -> str:
    return f"{dicom_enhanced_two_echoes(folder)}#3"


@kind("lie at the position of another")
def dicom_enhanced_copies(folder: Path) -> Path:
    return saved(volumes(), folder / "a.dcm")


@kind("describes 11 of its 12 frames")
def dicom_enhanced_frame_undescribed(folder: Path) -> Path:
    made = enhanced()
    del made.PerFrameFunctionalGroupsSequence[11]
    return saved(made, folder / "a.dcm")


@kind("do not state where they lie")
def dicom_enhanced_without_positions(folder: Path) -> Path:
    made = enhanced()
    for group in made.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    return saved(made, folder / "a.dcm")
