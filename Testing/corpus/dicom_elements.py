"""DICOM slices in every way that their elements may be written, and with lengths that lead elsewhere."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    RLELossless,
)

from .dicom import Change, series
from .kinds import SPACING, cut, head, image, kind, replace

UNDEFINED = b"\xff\xff\xff\xff"
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0" + bytes(4), b"\xfe\xff\xdd\xe0" + bytes(4)
PIXELS = b"\xe0\x7f\x10\x00"
GIGABYTES = struct.pack("<I", 2_900_000_000)
FALSE = "it is cut short or states a false length"


def one_slice(folder: Path, change: Change | None = None) -> Path:
    """The one file of a series."""
    (made,) = series(folder / "series", change, count=1).iterdir()
    return made


def before_pixels(path: Path, elements: bytes) -> Path:
    """Put elements in front of the pixels."""
    content = path.read_bytes()
    at = content.index(PIXELS)
    path.write_bytes(content[:at] + elements + content[at:])
    return path


def element(group: int, number: int, representation: bytes, length: bytes, value: bytes = b"") -> bytes:
    """An explicit element with a length of four bytes, true or not."""
    return struct.pack("<HH", group, number) + representation + b"\0\0" + length + value


def nested(one: FileDataset, index: int) -> None:
    """Sequences within a sequence, with stated lengths and without, and a private element."""
    inner = Dataset()
    inner.CodeValue = "T-A0100"
    outer = Dataset()
    outer.AnatomicRegionSequence = Sequence([inner])
    one.ReferencedImageSequence = Sequence([outer, Dataset()])
    one["ReferencedImageSequence"].is_undefined_length = True
    one.ProcedureCodeSequence = Sequence([inner])
    one.add_new((0x0029, 0x0010), "LO", "HRCAM")
    one.add_new((0x0029, 0x1010), "UN", b"1234")


def in_syntax(syntax: UID) -> Change:
    """An edit that has a slice written in another transfer syntax."""

    def change(one: FileDataset, index: int) -> None:
        nested(one, index)
        if syntax == RLELossless:
            one.PixelRepresentation = 0
            one.compress(syntax)
        one.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            one.set_original_encoding(False, False)
            one.PixelData = np.frombuffer(one.PixelData, "<i2").astype(">i2").tobytes()

    return change


def written_by_itk(folder: Path, compressor: str) -> Path:
    """A slice as GDCM compresses it."""
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(folder / "a.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.Execute(image(head()[:1].astype(np.uint16)))
    return folder / "a.dcm"


@kind(None)
def dicom_implicit(folder: Path) -> Path:
    return one_slice(folder, in_syntax(ImplicitVRLittleEndian))


@kind(None)
def dicom_big_endian(folder: Path) -> Path:
    return one_slice(folder, in_syntax(ExplicitVRBigEndian))


@kind(None)
def dicom_deflated(folder: Path) -> Path:
    return one_slice(folder, in_syntax(DeflatedExplicitVRLittleEndian))


@kind(None)
def dicom_run_lengths(folder: Path) -> Path:
    return one_slice(folder, in_syntax(RLELossless))


@kind(None)
def dicom_lossless_jpeg(folder: Path) -> Path:
    return written_by_itk(folder, "JPEG")


@kind(None)
def dicom_jpeg_2000(folder: Path) -> Path:
    return written_by_itk(folder, "JPEG2000")


@kind("the end of a frame's JPEG is missing")
def dicom_jpeg_with_a_tail_of_zeros(folder: Path) -> Path:
    """As a copy that broke off leaves it on some disks; the marks of DICOM are whole."""
    made = written_by_itk(folder, "JPEG")
    content = made.read_bytes()
    keep = len(content) - 408  # the last 8 bytes end the sequence
    made.write_bytes(content[:keep] + bytes(400) + content[-8:])
    return made


@kind("is damaged or not a valid DICOM file")
def dicom_run_lengths_with_a_tail_of_zeros(folder: Path) -> Path:
    made = one_slice(folder, in_syntax(RLELossless))
    content = made.read_bytes()
    made.write_bytes(content[:-148] + bytes(140) + content[-8:])
    return made


@kind("which is not read")
def dicom_coding_that_nobody_decodes(folder: Path) -> Path:
    """High-throughput JPEG 2000."""
    made = dcmread(written_by_itk(folder, "JPEG2000"))
    made.file_meta.TransferSyntaxUID = HTJ2KLossless
    made.save_as(folder / "a.dcm")
    return folder / "a.dcm"


@kind(None)
def dicom_sequences(folder: Path) -> Path:
    return one_slice(folder, nested)


@kind(None)
def dicom_sequence_of_unknown_kind(folder: Path) -> Path:
    code = struct.pack("<HHI", 0x0008, 0x0100, 4) + b"T-A1"
    items = ITEM + struct.pack("<I", len(code)) + code + ITEM + UNDEFINED + code + ITEM_END
    return before_pixels(one_slice(folder), element(0x0029, 0x1010, b"UN", UNDEFINED, items + SEQUENCE_END))


@kind(None)
def dicom_implicit_element_in_an_explicit_file(folder: Path) -> Path:
    return before_pixels(one_slice(folder), struct.pack("<HHI", 0x0029, 0x1010, 4) + b"1234")


@kind(None)
def dicom_padded(folder: Path) -> Path:
    made = one_slice(folder)
    made.write_bytes(made.read_bytes() + element(0xFFFC, 0xFFFC, b"OB", struct.pack("<I", 6), bytes(6)) + bytes(2000))
    return made


@kind("fewer than the 1,560 bytes of pixels")
def dicom_deflated_pixels_fewer_than_stated(folder: Path) -> Path:
    def change(one: FileDataset, index: int) -> None:
        in_syntax(DeflatedExplicitVRLittleEndian)(one, index)
        one.PixelData = one.PixelData[:200]

    return one_slice(folder, change)


@kind(FALSE)
def dicom_length_of_gigabytes(folder: Path) -> Path:
    return before_pixels(one_slice(folder), element(0x0029, 0x1010, b"UN", GIGABYTES, b"1234"))


@kind(FALSE)
def dicom_length_that_shifts_all_that_follows(folder: Path) -> Path:
    """GDCM took half a minute and 1.5 GB for it."""
    return replace(one_slice(folder), b"\x08\x00\x16\x00UI\x1a\x00", b"\x08\x00\x16\x00UI\x7f\x00")


@kind(FALSE)
def dicom_length_of_gigabytes_in_an_implicit_file(folder: Path) -> Path:
    made = one_slice(folder, in_syntax(ImplicitVRLittleEndian))
    return before_pixels(made, struct.pack("<HH", 0x0029, 0x1010) + GIGABYTES)


@kind(FALSE)
def dicom_length_of_gigabytes_in_a_deflated_file(folder: Path) -> Path:
    made = before_pixels(one_slice(folder), element(0x0029, 0x1010, b"UN", GIGABYTES))
    content = made.read_bytes()
    begin = content.index(b"\x08\x00\x16\x00UI")
    pack = zlib.compressobj(wbits=-15)
    packed = pack.compress(content[begin:]) + pack.flush()
    meta = content[:begin].replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99")
    made.write_bytes(meta + packed)
    return made


@kind(FALSE)
def dicom_deflated_cut(folder: Path) -> Path:
    return cut(one_slice(folder, in_syntax(DeflatedExplicitVRLittleEndian)), 0.9)


@kind(None)
def dicom_length_of_gigabytes_in_a_sequence(folder: Path) -> Path:
    """Nobody needs to look into it: the sequence states its length."""
    inner = element(0x0008, 0x0104, b"UN", GIGABYTES)
    item = ITEM + struct.pack("<I", len(inner)) + inner
    return before_pixels(one_slice(folder), element(0x0028, 0x3010, b"SQ", struct.pack("<I", len(item)), item))


@kind(FALSE)
def dicom_item_longer_than_the_file(folder: Path) -> Path:
    return before_pixels(one_slice(folder), element(0x0028, 0x3010, b"SQ", UNDEFINED, ITEM + GIGABYTES))


@kind(FALSE)
def dicom_sequence_without_end(folder: Path) -> Path:
    return before_pixels(one_slice(folder), element(0x0028, 0x3010, b"SQ", UNDEFINED, ITEM + UNDEFINED + ITEM_END))


@kind("sequences too deep within each other")
def dicom_sequences_without_end_in_sequences(folder: Path) -> Path:
    """GDCM ended the process."""
    down = element(0x0028, 0x3010, b"SQ", UNDEFINED, ITEM + UNDEFINED)
    return before_pixels(one_slice(folder), down * 20_000 + (ITEM_END + SEQUENCE_END) * 20_000)


@kind(FALSE)
def dicom_pixels_of_gigabytes(folder: Path) -> Path:
    made = one_slice(folder)
    content = made.read_bytes()
    at = content.index(PIXELS) + 8
    made.write_bytes(content[:at] + GIGABYTES + content[at + 4 :])
    return made


@kind(FALSE)
def dicom_fragment_of_gigabytes(folder: Path) -> Path:
    made = written_by_itk(folder, "JPEG2000")
    content = made.read_bytes()
    at = content.index(ITEM, content.index(PIXELS) + 20) + 4
    made.write_bytes(content[:at] + GIGABYTES + content[at + 4 :])
    return made


@kind(FALSE)
def dicom_fragments_cut(folder: Path) -> Path:
    return cut(written_by_itk(folder, "JPEG2000"), 0.9)


@kind(None)
def dicom_element_cut_in_its_length(folder: Path) -> Path:
    """Behind the pixels, all of which are there."""
    made = one_slice(folder)
    made.write_bytes(made.read_bytes() + b"\xfc\xff\xfc\xffOB")
    return made


@kind(None)
def dicom_without_transfer_syntax(folder: Path) -> Path:
    return replace(one_slice(folder), b"\x02\x00\x10\x00UI", b"\x02\x00\x13\x00UI")


@kind(None)
def dicom_class_with_a_wrong_letter(folder: Path) -> Path:
    """No class is known by it: what has pixels is an image."""
    return replace(one_slice(folder), b"1.2.840.10008.5.1.4.1.1.4", b"1.2.84:.10008.5.1.4.1.1.4")


def _odd(name: str, change: Change) -> None:
    """A good series that a reader may stumble over."""
    def make(folder: Path) -> Path:
        return series(folder / "series", change)

    make.__name__ = f"dicom_{name}"
    kind(None)(make)


def spacing_with_comma(one: FileDataset, index: int) -> None:
    """As programs of some countries write it."""
    across, down = (f"{length:g}".replace(".", ",") for length in SPACING[:2])
    one.add_new(0x00280030, "LO", f"{down}\\{across}")
    one[0x00280030].VR = "CS"


def stored_high(one: FileDataset, index: int) -> None:
    """Twelve bits in the upper part of sixteen."""
    one.BitsStored, one.HighBit, one.PixelRepresentation = 12, 15, 0
    one.PixelData = (head()[index].astype("<u2") << 4).tobytes()


def of_32_bits(one: FileDataset, index: int) -> None:
    one.BitsAllocated, one.BitsStored, one.HighBit = 32, 32, 31
    one.PixelData = head()[index].astype("<i4").tobytes()


def of_floats(one: FileDataset, index: int) -> None:
    one.FloatPixelData, one.BitsAllocated = head()[index].astype("<f4").tobytes(), 32
    del one.PixelData


def a_little_off(one: FileDataset, index: int) -> None:
    """Positions rounded to hundredths of a millimeter."""
    one.ImagePositionPatient = [-70.5 + 0.004 * (index % 2), -90.25, -50 + 9 * index + 0.004 * (index % 3)]


ODD = {"spacing_with_comma": spacing_with_comma, "stored_in_high_bits": stored_high, "of_32_bits": of_32_bits,
       "of_floats": of_floats, "positions_a_little_off": a_little_off}
"""Name to the change of a series that holds the same head."""

for _name, _change in ODD.items():
    _odd(_name, _change)
