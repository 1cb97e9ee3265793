"""A good series beside what else hospitals put into its folder: objects that are no images, and other pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom.uid as uids
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from .dicom import series
from .kinds import head, kind

OBJECTS: dict[str, tuple[UID, dict[str, object]]] = {
    "plan": (uids.RTPlanStorage, {"RTPlanLabel": "A"}),
    "structure_set": (uids.RTStructureSetStorage, {"StructureSetLabel": "A"}),
    "dose": (uids.RTDoseStorage, {"Rows": 4, "Columns": 4, "NumberOfFrames": 2, "BitsAllocated": 16,
                                  "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
                                  "GridFrameOffsetVector": [0, 3], "PixelData": bytes(64)}),
    "pdf": (uids.EncapsulatedPDFStorage, {"EncapsulatedDocument": b"%PDF-1.4\n%%EOF\n"}),
    "presentation_state": (uids.GrayscaleSoftcopyPresentationStateStorage, {}),
    "registration": (uids.SpatialRegistrationStorage, {}),
    "raw_data": (uids.RawDataStorage, {}),
    "spectrum": (uids.MRSpectroscopyStorage, {"SpectroscopyData": bytes(64), "Rows": 1, "Columns": 1}),
    "real_world_map": (uids.RealWorldValueMappingStorage, {}),
    "waveform": (uids.TwelveLeadECGWaveformStorage, {}),
    "key_objects": (uids.KeyObjectSelectionDocumentStorage, {}),
    "segmentation": (uids.SegmentationStorage, {"Rows": 8, "Columns": 8, "BitsAllocated": 1, "BitsStored": 1,
                                                "HighBit": 0, "SamplesPerPixel": 1, "NumberOfFrames": 1,
                                                "PhotometricInterpretation": "MONOCHROME2", "PixelData": bytes(8)}),
    "parametric_map": (uids.ParametricMapStorage, {"Rows": 2, "Columns": 2, "NumberOfFrames": 1,
                                                   "FloatPixelData": bytes(16)}),
    "of_a_maker": (UID("1.3.12.2.1107.5.9.1"), {}),
}
"""Name to class and elements of objects that are no scans."""


def write_object(path: Path, sop: UID, **elements: object) -> Path:
    """Write a small object of a class, in a series of its own."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = sop, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["object", str(sop)])
    made = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = sop, meta.MediaStorageSOPInstanceUID
    made.Modality, made.SeriesInstanceUID = "OT", generate_uid(entropy_srcs=["series of", str(sop)])
    made.SeriesNumber, made.PatientName = 9, "Test^Head"
    for name, value in elements.items():
        setattr(made, name, value)
    if "PixelData" in made:
        made["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return path


def palette(one: FileDataset, index: int) -> None:
    """Make a slice a picture of 256 colors of gray."""
    as_picture(one, index)
    one.PhotometricInterpretation = "PALETTE COLOR"
    ramp = np.arange(256, dtype=np.uint16) * 257
    for color in ("Red", "Green", "Blue"):
        setattr(one, f"{color}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(one, f"{color}PaletteColorLookupTableData", ramp.tobytes())


def ybr(one: FileDataset, index: int) -> None:
    """Make a slice a picture in YBR_FULL_422, two bytes a pixel."""
    as_picture(one, index)
    one.SamplesPerPixel, one.PlanarConfiguration, one.PhotometricInterpretation = 3, 0, "YBR_FULL_422"
    one.PixelData = bytes(one.Rows * one.Columns * 2)


def as_picture(one: FileDataset, index: int) -> None:
    """Make a slice a secondary capture of 8 bits that lies nowhere."""
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = uids.SecondaryCaptureImageStorage
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 8, 8, 7, 0
    one.PixelData = (head()[index] // 4).clip(0, 255).astype(np.uint8).tobytes()
    del one.ImagePositionPatient, one.ImageOrientationPatient


def three_planes(one: FileDataset, index: int) -> None:
    """Make slices a localizer."""
    one.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    one.ImageOrientationPatient = [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]][index]


def _beside(name: str, sop: UID, elements: dict[str, object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        made = series(folder / "series")
        write_object(made / "extra.dcm", sop, **elements)
        return made

    make.__name__ = f"dicom_{name}_beside_images"
    return make


for _name, (_sop, _elements) in OBJECTS.items():
    kind(None)(_beside(_name, _sop, _elements))


@kind(None)
def dicom_palette_picture_of_another_series(folder: Path) -> str:
    series(folder / "series", palette, number=9, prefix="P", count=1)
    return f"{series(folder / 'series')}#3"


@kind(None)
def dicom_ybr_picture_of_another_series(folder: Path) -> str:
    series(folder / "series", ybr, number=9, prefix="P", count=1)
    return f"{series(folder / 'series')}#3"


@kind(None)
def dicom_localizer_of_another_series(folder: Path) -> Path:
    series(folder / "series", three_planes, number=1, prefix="L", count=3)
    return series(folder / "series") / "IM095.dcm"


@kind(None)
def dicom_damaged_file_of_another_series(folder: Path) -> str:
    made = series(folder / "series")
    (made / "other").write_bytes(bytes(128) + b"DICM" + bytes(range(200)))
    return f"{made}#3"


@kind(None)
def dicom_picture_of_gray_colors(folder: Path) -> Path:
    return series(folder / "series", palette, count=1)


@kind("is a color picture")
def dicom_picture_in_ybr(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        ybr(one, index)
        one.PixelData = np.random.default_rng(0).integers(0, 255, len(one.PixelData), np.uint8).tobytes()

    return series(folder / "series", change, count=1)


@kind("differ in orientation")
def dicom_localizer(folder: Path) -> Path:
    return series(folder / "series", three_planes, count=3)


@kind("is a mosaic")
def dicom_mosaic(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        one.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]

    return series(folder / "series", change, count=3)


@kind("is a mosaic")
def dicom_mosaic_by_private_element(folder: Path) -> Path:
    """Its image type does not say so."""
    def change(one: FileDataset, index: int) -> None:
        block = one.private_block(0x19, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0A, "US", 36)

    return series(folder / "series", change, count=3)


@kind("Modality LUT")
def dicom_values_by_a_table(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        table = Dataset()
        table.LUTDescriptor, table.ModalityLUTType, table.LUTData = [2, 0, 16], "US", [0, 1]
        table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
        one.ModalityLUTSequence = Sequence([table])

    return series(folder / "series", change)


@kind("it is empty")
def dicom_last_slice_empty(folder: Path) -> Path:
    return _last(folder, lambda content: b"")


@kind("the DICOM signature is missing")
def dicom_last_slice_of_zeros(folder: Path) -> Path:
    return _last(folder, lambda content: bytes(len(content)))


@kind("the DICOM signature is missing")
def dicom_last_slice_without_its_first_sector(folder: Path) -> Path:
    return _last(folder, lambda content: bytes(512) + content[512:])


@kind(None)
def dicom_last_slice_without_preamble(folder: Path) -> Path:
    return _last(folder, lambda content: content[132:])


@kind("packed with gzip")
def dicom_last_slice_packed(folder: Path) -> Path:
    import gzip

    return _last(folder, gzip.compress)


@kind(None)
def dicom_hidden_files_of_a_mac(folder: Path) -> Path:
    made = series(folder / "series")
    for file in list(made.iterdir()):
        (made / f"._{file.name}").write_bytes(b"\0\5\x16\7" + bytes(60))
    return made


def _last(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    """A series whose last slice is another file."""
    made = series(folder / "series")
    file = made / "IM090.dcm"
    file.write_bytes(change(file.read_bytes()))
    return made
