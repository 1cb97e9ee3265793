"""Is a file whole? ITK fills the missing end of a NIfTI with nothing and takes broken MetaImage streams for pixels.

A map on a half-read scan would be quietly wrong, so the stated size, the checksums and the detached data of a file are
checked here before ITK reads it, and the few things in a header that end the whole process inside ITK. What a header
leaves open, such as which side is left, is returned as notes for the result.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import InputError
from ...words import shown
from .formats import check_file, suffix_of
from .jpeg import check_jpeg

_CHUNK = 1 << 20  # a multiple of every voxel size
_TRAILER = 16 << 20
"""Bytes that may follow the voxels; more is a decompression bomb or another file."""
_LONGEST = 8 * 512 * 512 * 1024
"""Bytes of the largest volume that is read, as doubles. What states more is not unpacked to see whether it is true."""
_HEADER_LIMIT = 1 << 20
_LONGEST_FIELD = 800
"""Bytes of a line of an NRRD header: ITK's NRRD reader (teem) writes its complaint about a longer one past the end of a
buffer of 1,025, and the process ends. Values of keys and free texts may be longer."""
_FREE_TEXTS = ("content", "labels", "units", "spaceunits", "sampleunits")
_MOST_DIMENSIONS = 10
"""Of a MetaImage; ITK's reader uses the number as it stands, and the process ends."""
_COPY_AGAIN = "Copy, convert or export it again from its source."
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4,
               "LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_BMP_HEAD, _BMP_INFO = struct.Struct("<10xIIii2xHI"), 40
"""Start of the pixels, size of the second header, width, height, bits a pixel, coding; and the least
size of a second header that has all of these."""


SIDES_UNKNOWN = "The file does not state how the patient lies ({why}): left and right may be swapped."
_SIDES_CONTRADICT = ("The file states two orientations that contradict each other (qform and sform): left and right "
                     "may be swapped.")
_SIZES_CONTRADICT = "The file states two voxel sizes that contradict each other: sizes in mm and ml may be wrong."
_TURN_TOLERANCE = 0.05
"""Largest difference of direction cosines (about 3 degrees) that still is one orientation."""
_SIZE_TOLERANCE = 0.02


def check_integrity(path: Path) -> tuple[str, ...]:
    """Raise ``InputError`` where a file is cut short, corrupted or lacks its data file, and its reader would not say.

    NIfTI, NRRD, MetaImage, JPEG and BMP; the readers of PNG and TIFF notice by themselves.

    Returns
    -------
    Notes on what a good file leaves open, empty where it states everything.
    """
    try:
        suffix = suffix_of(path)
        if suffix in (".nii", ".nii.gz"):
            return _check_nifti(path)
        if suffix in (".mha", ".mhd"):
            return _check_meta(path)
        if suffix in (".nrrd", ".nhdr"):
            return _check_nrrd(path)
        if suffix in (".jpg", ".jpeg"):
            check_jpeg(path.read_bytes())
        elif suffix == ".bmp":
            _check_bmp(path)
    except (OSError, EOFError, zlib.error, struct.error, ValueError, OverflowError) as error:
        # Python's gzip and zlib say "CRC check failed", "invalid stored block lengths" and the like.
        raise damaged(path, str(error)) from None
    return ()


def damaged(path: Path, why: str) -> InputError:
    """The error for a file that is not what its name says."""
    return InputError(f'"{shown(path.name)}" is damaged or not a valid {_KINDS.get(suffix_of(path), "DICOM")} file '
                      f"({why.strip().rstrip('.')}).", _COPY_AGAIN)


_KINDS = {".nii": "NIfTI", ".nii.gz": "NIfTI", ".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MetaImage",
          ".mhd": "MetaImage", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF",
          ".tiff": "TIFF"}


def _check_nifti(path: Path) -> tuple[str, ...]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
        header = _nifti_header(path, stream.read(348))
        stream.seek(0)
        length, bad = 0, 0
        for chunk in _chunks(stream, header.offset):
            if header.floats and length >= header.offset:
                whole = max(0, min(len(chunk), header.needed - length)) // header.item
                bad += whole - int(np.isfinite(np.frombuffer(chunk, header.floats, whole)).sum())
            length += len(chunk)
            if length > header.needed + _TRAILER:
                raise damaged(path, f"it unpacks to far more than the {header.needed:,} bytes its header states")
        _expect(path, length, header.needed)
    if bad:
        raise InputError(f'"{shown(path.name)}" holds {bad:,} voxels that are not finite numbers (NaN or infinite).',
                         "Replace them, for example by the background value, and try again.")
    return header.notes


def _chunks(stream: IO[bytes], first: int) -> Iterator[bytes]:
    """The ``first`` bytes, then the others, in pieces of bounded size that never hold both."""
    while first and (chunk := stream.read(min(first, _CHUNK))):
        first -= len(chunk)
        yield chunk
    while chunk := stream.read(_CHUNK):
        yield chunk


@dataclass(frozen=True)
class _Nifti:
    """What is checked of a header: bytes before the voxels, bytes in all, NumPy type of float voxels (or none), bytes
    of a voxel; and what it leaves open.
    """

    offset: int
    needed: int
    floats: str
    item: int
    notes: tuple[str, ...]


_NIFTI_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 1536: 16,
                1792: 16, 2048: 32, 2304: 4}
"""Datatype to bytes a voxel. ITK goes by the datatype, so the header's own number of bits may not be believed."""


def _nifti_header(path: Path, header: bytes) -> _Nifti:
    """Read a NIfTI-1 header of either byte order; refuse sizes and positions that ITK would mend silently.

    ITK turns a spacing of 0 or NaN into 1 mm, and voxels of NaN into 0.
    """
    if len(header) < 348:
        raise damaged(path, "the header is cut short")
    for order in "<>":
        version = struct.unpack_from(f"{order}i", header)[0]
        if version == 348 and header[344:348] == b"n+1\0":
            dim = struct.unpack_from(f"{order}8h", header, 40)
            kind = struct.unpack_from(f"{order}h", header, 70)[0]
            turn, *spacing = struct.unpack_from(f"{order}4f", header, 76)
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
            forms = struct.unpack_from(f"{order}2h", header, 252)
            places = struct.unpack_from(f"{order}6f", header, 256), struct.unpack_from(f"{order}12f", header, 280)
        elif version == 540 and header[4:7] == b"n+2":
            raise InputError(f'"{shown(path.name)}" is a NIfTI-2 file, which ITK cannot read.',
                             "Save it as NIfTI-1 or NRRD.")
        else:
            continue
        if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1 or not version <= offset < 1 << 31:
            raise damaged(path, f"impossible dimensions {dim[0]}: {', '.join(map(str, dim[1:]))}")
        if not all(math.isfinite(s) and s != 0 for s in spacing[: min(dim[0], 3)]):
            raise damaged(path, f"the spacing {' x '.join(f'{s:g}' for s in spacing)} mm is impossible")
        if not all(math.isfinite(v) for used, values in zip(forms, places, strict=True) if used > 0 for v in values):
            raise damaged(path, "its position in space is not finite")
        item = _NIFTI_BYTES.get(kind)
        if item is None:
            raise damaged(path, f"unknown type of voxels {kind}")
        _refuse_giant(path, dim[1 : dim[0] + 1], item)
        needed = int(offset) + math.prod(dim[1 : dim[0] + 1]) * item
        floats = f"{order}f{item}" if kind in (16, 64) else ""
        return _Nifti(int(offset), needed, floats, item, _nifti_notes(forms, *places, spacing[: dim[0]], turn))
    raise damaged(path, "the NIfTI signature is missing")


def _nifti_notes(forms: Sequence[int], quaternion: Sequence[float], rows: Sequence[float], spacing: Sequence[float],
                 turn: float) -> tuple[str, ...]:
    """What qform and sform leave open; ``turn`` is the header's qfac, negative for a left-handed qform."""
    if max(forms) <= 0:
        return (SIDES_UNKNOWN.format(why="qform and sform are not set"),)
    if forms[1] <= 0:
        return ()
    columns = np.reshape(rows, (3, 4))[:, :3].astype(np.float64)
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.all():
        return ()  # refused with its geometry
    notes = []
    if forms[0] > 0:
        b, c, d = (float(q) for q in quaternion[:3])
        a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
        turned = np.array([
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]) * (1.0, 1.0, -1.0 if turn < 0 else 1.0)
        if np.abs(turned - columns / lengths).max() > _TURN_TOLERANCE:
            notes.append(_SIDES_CONTRADICT)
    stated = np.abs(spacing)
    if np.abs(lengths[: len(stated)] / stated - 1.0).max() > _SIZE_TOLERANCE:
        notes.append(_SIZES_CONTRADICT)
    return tuple(notes)


def _refuse_giant(path: Path, sizes: Sequence[int], item: int) -> None:
    """Refuse a header that promises more than is ever read, before anything is unpacked."""
    if math.prod(sizes) * item > _LONGEST:
        raise InputError(f'"{shown(path.name)}" states {" x ".join(map(str, sizes))} voxels, more than the limit.',
                         "Crop or resample it first.")


def _expect(path: Path, length: int, needed: int) -> None:
    if length < needed:
        raise damaged(path, f"it ends after {length:,} of {needed:,} bytes")


def _header_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        text = file.read(_HEADER_LIMIT)
    for line in text.split(b"\n"):
        yield line.decode("latin-1")


def _check_meta(path: Path) -> tuple[str, ...]:
    fields: dict[str, str] = {}
    offset = 0
    for line in _header_lines(path):
        offset += len(line) + 1
        key, equals, value = (part.strip() for part in line.partition("="))
        fields[key] = value
        if key == "NDims" and not (value.isdecimal() and 1 <= int(value[:9]) <= _MOST_DIMENSIONS):
            raise damaged(path, f"impossible NDims {shown(value)!r}")
        if not equals or key == "ElementDataFile":
            break
    target = fields.get("ElementDataFile", "")
    if not target:
        raise damaged(path, "the header has no ElementDataFile")
    data = path if target.upper() == "LOCAL" else _detached(path, target)
    item = _META_BYTES.get(fields.get("ElementType", "").removeprefix("MET_"))
    if item is None:
        raise damaged(path, f"unknown ElementType {shown(fields.get('ElementType', ''))!r}")
    sizes = [int(n) for n in fields.get("DimSize", "").split()]
    if len(sizes) != int(fields.get("NDims", "0")):
        raise damaged(path, f"{len(sizes)} sizes for {fields.get('NDims', 'no')} dimensions")
    if fields.get("CompressedData", "").lower() == "true":
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        _refuse_giant(path, sizes, channels * item)
        needed = math.prod(sizes) * channels * item
        _check_zlib(path, data, needed, offset if data is path else 0)
    if not fields.keys() & {"TransformMatrix", "Orientation", "Rotation"}:
        return (SIDES_UNKNOWN.format(why="its header holds no TransformMatrix"),)
    return ()


def _check_zlib(path: Path, data: Path, needed: int, offset: int) -> None:
    unpack, length = zlib.decompressobj(), 0
    with data.open("rb") as file:
        file.seek(offset)
        while (chunk := file.read(_CHUNK)) and not unpack.eof:
            while chunk and not unpack.eof:
                length += len(unpack.decompress(chunk, _CHUNK))
                chunk = unpack.unconsumed_tail
                if length > needed:
                    raise damaged(path, f"it unpacks to more than the {needed:,} bytes its header states")
    if not unpack.eof or length != needed:
        raise damaged(path, f"its compressed data ends after {length:,} of {needed:,} bytes")


def _check_nrrd(path: Path) -> tuple[str, ...]:
    fields: dict[str, str] = {}
    end = 0
    for number, line in enumerate(_header_lines(path)):
        if number == 0 and not line.startswith("NRRD"):
            raise damaged(path, "the NRRD signature is missing")
        end += len(line) + 1
        if not line.strip("\r"):
            break
        name, colon, value = line.partition(":")
        name = name.lower().replace(" ", "")
        if line.startswith("#") or value.startswith("="):  # a comment; a key, whose value may be of any length
            continue
        if len(line) > _LONGEST_FIELD and not (colon and name in _FREE_TEXTS):
            raise damaged(path, f"a line of its header has {len(line):,} letters")
        fields[name] = value.strip()
    if end >= _HEADER_LIMIT:
        raise damaged(path, f"its header is longer than {_HEADER_LIMIT:,} bytes")
    data = _detached(path, fields["datafile"]) if "datafile" in fields else path
    if fields.get("encoding", "").lower() in ("gzip", "gz"):
        _check_gzip(path, data, end if data is path else 0)
    directions = fields.get("spacedirections", "").lower()
    if directions and directions.count("(") < min(3, int(fields.get("dimension", "0"))):
        raise damaged(path, "an axis has no direction")
    if not directions or "space" not in fields:
        return (SIDES_UNKNOWN.format(why="its header names no anatomical space"),)
    return ()


def _check_gzip(path: Path, data: Path, offset: int) -> None:
    """Read to the checksum, which ITK does not; the length it does compare."""
    with data.open("rb") as file:
        file.seek(offset)
        stream, length = gzip.GzipFile(fileobj=file), 0
        while chunk := stream.read(_CHUNK):
            length += len(chunk)
            if length > _LONGEST:
                raise damaged(path, f"it unpacks to more than {_LONGEST:,} bytes")


def _check_bmp(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(_BMP_HEAD.size)
    if head[:2] != b"BM" or len(head) < 6:
        return  # the reader says so
    size = path.stat().st_size
    _expect(path, size, struct.unpack_from("<I", head, 2)[0])
    if len(head) < _BMP_HEAD.size:
        return
    start, kind, width, height, bits, coding = _BMP_HEAD.unpack(head)
    if kind >= _BMP_INFO and coding == 0:  # rows as they are, each padded to four bytes
        _expect(path, size, start + (abs(width) * bits + 31) // 32 * 4 * abs(height))


def _detached(header: Path, name: str) -> Path:
    """The data file of a header: a regular file beside or below it, so that a header cannot reach elsewhere."""
    if not name or name.upper().startswith("LIST") or "%" in name:
        raise InputError(f'"{shown(header.name)}" spreads its voxels over several files.',
                         "Save it as one NRRD or NIfTI file.")
    relative = Path(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or ":" in name:
        raise InputError(f'"{shown(header.name)}" points to a data file outside its own folder ({shown(name)}).',
                         "Put both files into one folder, or save the volume as one NRRD or NIfTI file.")
    data = header.parent / relative
    check_file(data)
    return data
