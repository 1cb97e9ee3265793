"""Series as makers, archives and other people's programs export them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pydicom.uid as uids
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames

from .dicom import series, slice_file
from .dicom_enhanced import enhanced, items, saved
from .dicom_objects import ybr
from .kinds import SPACING, head, kind

PADDED_ROWS = 3
TIMES = 2


def spread(folder: Path, folders: int, count: int = 10) -> Path:
    """A series whose slices lie in several folders, one after another."""
    made = series(folder, count=count)
    for n in range(count):
        file = slice_file(made, n)
        part = made / f"part{n * folders // count}"
        part.mkdir(exist_ok=True)
        file.rename(part / file.name)
    return made


def part_of_three(folder: Path, number: int) -> Path:
    """A third of an enhanced image: one file of a concatenation."""
    places, third = [SPACING[2] * n for n in range(len(head()))], len(head()) // 3
    here = slice((number - 1) * third, number * third)
    made = enhanced(head()[here], places[here], instance=str(number))
    made.ConcatenationUID, made.InConcatenationNumber, made.InConcatenationTotalNumber = "1.2.3", number, 3
    return saved(made, folder / f"{number}.dcm")


def volumes_in_time(**elements: Callable[[int], object]) -> FileDataset:
    """Two volumes in one enhanced image; elements of FrameContent from the number of each (0, 1)."""
    half = len(head()) // TIMES
    made = enhanced(head(), [SPACING[2] * (n % half) for n in range(len(head()))])
    for n, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.FrameContentSequence = items(StackID="1", InStackPositionNumber=n % half + 1, **{
            name: value(n // half) for name, value in elements.items()})
    return made


def tomography(distance: float) -> FileDataset:
    """A volume of nuclear medicine: one place, and the distance of the frames, which may lead downwards."""
    made = enhanced(sop=uids.NuclearMedicineImageStorage)
    del made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence
    made.Modality, made.ImageType = "NM", ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    made.PixelSpacing, made.SpacingBetweenSlices = [SPACING[1], SPACING[0]], distance
    made.DetectorInformationSequence = items(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    return made


@kind(None)
def dicom_jpeg_ls(folder: Path) -> Path:
    return series(folder / "series", lambda one, index: one.compress(uids.JPEGLSLossless))


@kind(None)
def dicom_jpeg_ls_of_negative_values(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.BitsStored, one.HighBit = 12, 11
        one.PixelData = (one.pixel_array - 300).astype(np.int16).tobytes()
        one.compress(uids.JPEGLSLossless)

    return series(folder / "series", change)


@kind(None)
def dicom_12_bits_packed(folder: Path) -> Path:
    """Two pixels in three bytes."""
    def change(one: FileDataset, index: int) -> None:
        first, second = one.pixel_array.astype(int).ravel().reshape(-1, 2).T
        packed = np.stack([first & 255, (first >> 8) | ((second & 15) << 4), second >> 4], axis=1)
        one.BitsAllocated = one.BitsStored = 12
        one.HighBit, one.PixelRepresentation = 11, 0
        one.PixelData = packed.astype(np.uint8).tobytes()

    return series(folder / "series", change)


@kind(None)
def dicom_overlays_in_high_bits(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.BitsStored, one.HighBit, one.PixelRepresentation = 12, 11, 0
        values = one.pixel_array.astype(np.uint16)
        values[::3] |= 0x8000
        one.PixelData = values.tobytes()

    return series(folder / "series", change)


@kind(None)
def dicom_signs_differ(folder: Path) -> Path:
    """Every second slice states unsigned values."""
    def change(one: FileDataset, index: int) -> None:
        one.PixelRepresentation = index % 2

    return series(folder / "series", change)


@kind(None)
def dicom_dark_where_high(folder: Path) -> Path:
    """MONOCHROME1 of 12 bits, with a scale."""
    def change(one: FileDataset, index: int) -> None:
        one.PhotometricInterpretation = "MONOCHROME1"
        one.BitsStored, one.HighBit, one.PixelRepresentation = 12, 11, 0
        one.PixelData = (4095 - one.pixel_array.astype(int)).astype(np.uint16).tobytes()
        one.RescaleSlope, one.RescaleIntercept = 2, -100

    return series(folder / "series", change)


@kind(None)
def dicom_padding_of_the_other_sign(folder: Path) -> Path:
    """-2000 as the unsigned number of the same bits."""
    def change(one: FileDataset, index: int) -> None:
        values = one.pixel_array.copy()
        values[:PADDED_ROWS] = -2000
        one.PixelData = values.tobytes()
        one.add_new(0x00280120, "US", 65536 - 2000)

    return series(folder / "series", change)


@kind(None)
def dicom_elements_empty(folder: Path) -> Path:
    """As anonymizers leave them."""
    empty = ("InstanceNumber", "RescaleSlope", "RescaleIntercept", "SliceThickness", "EchoTime", "AcquisitionNumber",
             "PixelPaddingValue", "ImageType", "NumberOfFrames", "StudyInstanceUID", "SeriesInstanceUID",
             "AcquisitionTime", "SpecificCharacterSet", "PatientName", "SeriesDescription")

    def change(one: FileDataset, index: int) -> None:
        for keyword in empty:
            setattr(one, keyword, None)

    return series(folder / "series", change)


@kind(None)
def dicom_pixels_hardly_described(folder: Path) -> Path:
    """Without what pydicom needs to decode them; 16 bits are then unsigned, gray, and all used."""
    def change(one: FileDataset, index: int) -> None:
        for keyword in ("SamplesPerPixel", "PhotometricInterpretation", "BitsStored", "HighBit", "PixelRepresentation"):
            delattr(one, keyword)

    return series(folder / "series", change)


@kind("its RescaleSlope is no number")
def dicom_slope_in_words(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.add_new(0x00281053, "DS", "1")
        one[0x00281053] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(0x00281053), "DS", 4, b"one ", 0, False, True)

    return series(folder / "series", change)


@kind(None)
def dicom_implicit_without_transfer_syntax(folder: Path) -> Path:
    made = series(folder / "series")
    for file in made.iterdir():
        one = pydicom.dcmread(file)
        del one.file_meta.TransferSyntaxUID
        one.save_as(file, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return made


@kind("packed with gzip")
def dicom_slices_packed(folder: Path) -> Path:
    made = series(folder / "series")
    for file in list(made.iterdir()):
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    return made


@kind(None)
def dicom_series_in_two_folders(folder: Path) -> str:
    return f"{spread(folder / 'series', 2)}#3"


@kind(None)
def dicom_names_in_other_scripts(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.SpecificCharacterSet, one.PatientName = "ISO_IR 192", "王^小東=Müller^Jürgen"
        one.SeriesDescription = "Schädel axial T1 °"

    return series(folder / "Ångström 患者 é" / "#1 [x]*", change)


@kind(None)
def dicom_links_to_slices(folder: Path) -> Path:
    (folder / "links").mkdir()
    for file in series(folder / "series").iterdir():
        (folder / "links" / file.name).symlink_to(file)
    (folder / "links" / "dangling.dcm").symlink_to(folder / "nothing")
    return folder / "links"


@kind(None)
def dicom_tomography(folder: Path) -> Path:
    return saved(tomography(SPACING[2]), folder / "a.dcm")


@kind(None)
def dicom_tomography_downwards(folder: Path) -> Path:
    return saved(tomography(-SPACING[2]), folder / "a.dcm")


@kind(None)
def dicom_enhanced_pet_slope_of_each_frame(folder: Path) -> Path:
    made = enhanced(sop=uids.EnhancedPETImageStorage)
    made.Modality = "PT"
    for n, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.PixelValueTransformationSequence = items(RescaleSlope=0.5 + n / 8, RescaleIntercept=0)
    return saved(made, folder / "a.dcm")


@kind(None)
def dicom_enhanced_second_time(folder: Path) -> str:
    return f"{saved(volumes_in_time(TemporalPositionIndex=lambda n: n + 1), folder / 'a.dcm')}#2"


@kind("8 slices of")
def dicom_enhanced_directions(folder: Path) -> Path:
    """A b-value of 0, and one of 1000 in two directions."""
    made = enhanced(places=[SPACING[2] * (n % 4) for n in range(12)])
    for n, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.MRDiffusionSequence = items(DiffusionBValue=[0, 1000, 1000][n // 4])
        if n >= 4:
            group.MRDiffusionSequence[0].DiffusionGradientDirectionSequence = items(
                DiffusionGradientOrientation=[n // 8, 1 - n // 8, 0])
    return saved(made, folder / "a.dcm")


@kind("shifted against each other")
def dicom_enhanced_tilted_gantry(folder: Path) -> Path:
    made = enhanced(sop=uids.EnhancedCTImageStorage)
    for n, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.PlanePositionSequence[0].ImagePositionPatient = [-70.5, -90.25 + 3 * n, -50 + SPACING[2] * n]
    return saved(made, folder / "a.dcm")


@kind(None)
def dicom_enhanced_one_part_of_three(folder: Path) -> Path:
    return [part_of_three(folder / "series", number) for number in (1, 2, 3)][1]


@kind("1 of the 3 files of one image")
def dicom_enhanced_part_missing(folder: Path) -> Path:
    for number in (1, 2):
        part_of_three(folder / "series", number)
    return folder / "series"


@kind(None)
def dicom_localizer_in_the_series(folder: Path) -> Path:
    """The scout of a CT, under the series' own UID."""

    def change(one: FileDataset, index: int) -> None:
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if index else "LOCALIZER"]
        if not index:
            one.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    return series(folder / "series", change)


@kind(None)
def dicom_screenshot_in_the_series(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        if not index:
            ybr(one, index)

    return series(folder / "series", change)


@kind(None)
def dicom_named_like_pictures(folder: Path) -> Path:
    made = series(folder / "series")
    for n, file in enumerate(sorted(made.iterdir())):
        file.rename(file.with_suffix((".img", ".tif", ".nii")[n % 3]))
    return made


@kind(None)
def dicom_enhanced_frames_in_fragments(folder: Path) -> Path:
    made = enhanced()
    made.compress(uids.JPEGLSLossless)
    frames = list(generate_frames(made.PixelData, number_of_frames=len(head())))
    made.PixelData = encapsulate(frames, fragments_per_frame=3)
    return saved(made, folder / "a.dcm")
