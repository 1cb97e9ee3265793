"""Is a file whole? ITK fills the missing end of a NIfTI with nothing and takes broken MetaImage streams for pixels.

A map on a half-read scan would be quietly wrong, so the stated size, the checksums and the detached data of a file are
checked here before ITK reads it.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import InputError
from .formats import check_file, shown, suffix_of

_CHUNK = 1 << 20
_TRAILER = 16 << 20
"""Bytes that may follow the voxels; more is a decompression bomb or another file."""
_HEADER_LIMIT = 1 << 16
_COPY_AGAIN = "Copy, convert or export it again from its source."
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4,
               "LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_integrity(path: Path) -> None:
    """Raise ``InputError`` where a NIfTI, NRRD or MetaImage file is cut short, corrupted or lacks its data file."""
    try:
        suffix = suffix_of(path)
        if suffix in (".nii", ".nii.gz"):
            _check_nifti(path)
        elif suffix in (".mha", ".mhd"):
            _check_meta(path)
        elif suffix in (".nrrd", ".nhdr"):
            _check_nrrd(path)
    except (OSError, EOFError, zlib.error, struct.error, ValueError, OverflowError) as error:
        # Python's gzip and zlib say "CRC check failed", "invalid stored block lengths" and the like.
        raise damaged(path, str(error)) from None


def damaged(path: Path, why: str) -> InputError:
    """The error for a file that is not what its name says."""
    return InputError(f'"{shown(path.name)}" is damaged or not a valid {_KINDS.get(suffix_of(path), "DICOM")} file '
                      f"({why.strip().rstrip('.')}).", _COPY_AGAIN)


_KINDS = {".nii": "NIfTI", ".nii.gz": "NIfTI", ".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MetaImage",
          ".mhd": "MetaImage", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF",
          ".tiff": "TIFF"}


def _check_nifti(path: Path) -> None:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
        needed = _nifti_bytes(path, stream.read(540))
        stream.seek(0)
        if not packed:
            _expect(path, path.stat().st_size, needed)
            return
        length = 0
        while chunk := stream.read(_CHUNK):
            length += len(chunk)
            if length > needed + _TRAILER:
                raise damaged(path, f"it unpacks to far more than the {needed:,} bytes its header states")
        _expect(path, length, needed)


def _nifti_bytes(path: Path, header: bytes) -> int:
    """Bytes of a whole file, from a NIfTI-1 or NIfTI-2 header of either byte order."""
    if len(header) < 348:
        raise damaged(path, "the header is cut short")
    for order in "<>":
        version = struct.unpack_from(f"{order}i", header)[0]
        if version == 348 and header[344:348] == b"n+1\0":
            dim = struct.unpack_from(f"{order}8h", header, 40)
            bits = struct.unpack_from(f"{order}h", header, 72)[0]
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
        elif version == 540 and header[4:7] == b"n+2" and len(header) == 540:
            dim = struct.unpack_from(f"{order}8q", header, 16)
            bits = struct.unpack_from(f"{order}h", header, 14)[0]
            offset = struct.unpack_from(f"{order}q", header, 168)[0]
        else:
            continue
        if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 0 or not 0 <= offset < 1 << 31:
            raise damaged(path, f"impossible dimensions {dim[0]}: {dim[1:]}")
        return int(offset) + math.prod(dim[1 : dim[0] + 1]) * bits // 8
    raise damaged(path, "the NIfTI signature is missing")


def _expect(path: Path, length: int, needed: int) -> None:
    if length < needed:
        raise damaged(path, f"it ends after {length:,} of {needed:,} bytes")


def _header_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        text = file.read(_HEADER_LIMIT)
    for line in text.split(b"\n"):
        yield line.decode("latin-1").strip("\r\0 \t")


def _check_meta(path: Path) -> None:
    fields: dict[str, str] = {}
    offset = 0
    for line in _header_lines(path):
        offset += len(line.encode("latin-1")) + 1
        key, equals, value = line.partition("=")
        fields[key.strip()] = value.strip()
        if not equals or key.strip() == "ElementDataFile":
            break
    target = fields.get("ElementDataFile", "")
    if not target:
        raise damaged(path, "the header has no ElementDataFile")
    data = path if target.upper() == "LOCAL" else _detached(path, target)
    if fields.get("CompressedData", "").lower() != "true":
        return
    item = _META_BYTES.get(fields.get("ElementType", "").removeprefix("MET_"))
    if item is None:
        raise damaged(path, f"unknown ElementType {fields.get('ElementType', '')!r}")
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    needed = math.prod(int(n) for n in fields.get("DimSize", "").split()) * channels * item
    _check_zlib(path, data, needed, 0 if data is not path else _end_of_meta_header(path))


def _end_of_meta_header(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(_HEADER_LIMIT)
    return head.index(b"\n", head.index(b"ElementDataFile")) + 1


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


def _check_nrrd(path: Path) -> None:
    for number, line in enumerate(_header_lines(path)):
        if number == 0 and not line.startswith("NRRD"):
            raise damaged(path, "the NRRD signature is missing")
        if not line:
            return
        field = re.match(r"data ?file: *(.*)", line, re.IGNORECASE)
        if field:
            _detached(path, field.group(1))


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
