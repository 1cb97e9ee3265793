"""Is a file whole? ITK takes broken MetaImage streams for pixels, and does not look at checksums.

A map on a half-read scan would be quietly wrong, so the stated size, the checksums and the detached data of a file are
checked here before ITK reads it, and the few things in a header that end the whole process inside ITK. What a header
leaves open, such as which side is left, is returned as notes for the result.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ...words import shown
from .damage import LONGEST, SIDES_UNKNOWN, damaged, expect, refuse_giant
from .formats import check_file, suffix_of
from .nifti import NiftiForms, check_nifti

_CHUNK = 1 << 20  # a multiple of every voxel size
_HEADER_LIMIT = 1 << 20
_LONGEST_FIELD = 800
"""Bytes of a line of an NRRD header: ITK's NRRD reader (teem) writes its complaint about a longer one past the end of a
buffer of 1,025, and the process ends. Values of keys and free texts may be longer."""
_FREE_TEXTS = ("content", "labels", "units", "spaceunits", "sampleunits")
_MOST_DIMENSIONS = 10
"""Of a MetaImage; ITK's reader uses the number as it stands, and the process ends."""
_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4,
               "LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}

_SPACES = {"right-anterior-superior": (-1.0, -1.0, 1.0), "ras": (-1.0, -1.0, 1.0),
           "left-anterior-superior": (1.0, -1.0, 1.0), "las": (1.0, -1.0, 1.0),
           "left-posterior-superior": (1.0, 1.0, 1.0), "lps": (1.0, 1.0, 1.0)}
"""NRRD's spaces that name the sides of the patient, and the signs that lead from them to LPS."""
_MILLIMETERS = re.compile(r"(mm|millimet(er|re)s?)?", re.IGNORECASE)
_OTHER_LENGTHS = re.compile(r"[ncuµ]?m|(nano|micro|centi)?met(er|re)s?", re.IGNORECASE)
_WITH_TIME = {"rast": "ras", "last": "las", "lpst": "lps"}


@dataclass(frozen=True)
class Stated:
    """What a good file states beyond what ITK reads of it.

    Attributes
    ----------
    notes : what it leaves open, empty where it states everything.
    forms : both positions of a NIfTI file, else None.
    signs : of the axes of ITK's grid that lead to LPS, where ITK did not turn them.
    spacing_known : whether it states any distance of its voxels.
    void_shift : what ITK adds to the values though it counts for nothing.
    """

    notes: tuple[str, ...] = ()
    forms: NiftiForms | None = None
    signs: tuple[float, float, float] = (1.0, 1.0, 1.0)
    spacing_known: bool = True
    void_shift: float = 0.0


def check_integrity(path: Path) -> Stated:
    """Raise ``InputError`` where a file is cut short, corrupted or lacks its data file, and its reader would not say.

    NIfTI, NRRD and MetaImage.
    """
    try:
        suffix = suffix_of(path)
        if suffix in (".nii", ".nii.gz", ".hdr"):
            forms, void_shift, notes = check_nifti(path)
            return Stated(notes, forms, void_shift=void_shift)
        if suffix in (".mha", ".mhd"):
            return _check_meta(path)
        if suffix in (".nrrd", ".nhdr"):
            return _check_nrrd(path)
    except (OSError, EOFError, zlib.error, struct.error, ValueError, OverflowError) as error:
        # Python's gzip and zlib say "CRC check failed", "invalid stored block lengths" and the like.
        raise damaged(path, str(error)) from None
    return Stated()


def _header_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        text = file.read(_HEADER_LIMIT)
    for line in text.split(b"\n"):
        yield line.decode("latin-1")


def _check_meta(path: Path) -> Stated:
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
    binary = fields.get("BinaryData", "true").lower() == "true"
    if not binary and data is not path:  # ITK reads letters from the header's own file alone
        raise InputError(f'"{shown(path.name)}" spells its voxels as text in another file, which is not read.',
                         "Save it as binary, in one file.")
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    refuse_giant(path, sizes, channels * item)
    needed = math.prod(sizes) * channels * item
    before = offset if data is path else max(0, int(fields.get("HeaderSize", "0")))
    if fields.get("DistanceUnits", "mm").lower() not in ("mm", "?"):
        raise _in_other_units(path, [fields["DistanceUnits"]])
    if fields.get("CompressedData", "").lower() == "true":
        packed, stated = _check_zlib(path, data, needed, before), int(fields.get("CompressedDataSize", "0"))
        if stated < packed and (stated or data is path):  # ITK would unpack other bytes, or fewer
            raise damaged(path, f"it states {stated:,} bytes of compressed data, and has {packed:,}")
    elif binary:
        expect(path, data.stat().st_size, before + needed)
    oriented = bool(fields.keys() & {"TransformMatrix", "Orientation", "Rotation"})
    notes = () if oriented else (SIDES_UNKNOWN.format(why="its header holds no TransformMatrix"),)
    return Stated(notes, spacing_known=bool(fields.keys() & {"ElementSpacing", "ElementSize"}))


def _check_zlib(path: Path, data: Path, needed: int, offset: int) -> int:
    """Unpack to the end; the number of packed bytes."""
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
    return data.stat().st_size - offset - len(unpack.unused_data)


def _check_nrrd(path: Path) -> Stated:
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
    if fields.get("encoding", "").lower() in ("bzip2", "bz2"):
        raise InputError(f'"{shown(path.name)}" is packed with bzip2, which is not read.', "Save it raw or with gzip.")
    units = re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))[:3]
    units += [unit for unit in re.findall(r'"([^"]*)"', fields.get("units", ""))[:3] if _OTHER_LENGTHS.fullmatch(unit)]
    if not all(_MILLIMETERS.fullmatch(unit.strip()) for unit in units):
        raise _in_other_units(path, units)
    data = _detached(path, fields["datafile"]) if "datafile" in fields else path
    if data is not path and fields.get("encoding", "").lower() == "raw":  # ITK would leave it open
        voxels = math.prod(int(n) for n in fields.get("sizes", "").split())
        expect(path, data.stat().st_size,
               voxels * _nrrd_bytes(fields.get("type", "").lower()) + max(0, int(fields.get("byteskip", "0"))))
    if fields.get("encoding", "").lower() in ("gzip", "gz"):
        _check_gzip(path, data, end if data is path else 0, int(fields.get("lineskip", "0")))
    directions = fields.get("spacedirections", "").lower()
    vectors = directions.count("(")
    if directions and vectors < min(3, int(fields.get("dimension", "0"))):
        raise damaged(path, "an axis has no direction")
    if vectors and directions.partition(")")[0].count(",") + 1 > vectors:
        raise InputError(f'"{shown(path.name)}" is a single slice in a space of more axes, which is not read.',
                         "Save it with a third axis of size 1, which has a direction too.")
    if not directions or "space" not in fields:
        return Stated((SIDES_UNKNOWN.format(why="its header names no anatomical space"),),
                      spacing_known=bool(directions) or "spacings" in fields)
    space = fields["space"].lower()
    three = space.removesuffix("-time") if space.endswith("-time") else _WITH_TIME.get(space, space)
    if three not in _SPACES:
        why = f'its space "{shown(fields["space"])}" names no side of the patient'
        return Stated((SIDES_UNKNOWN.format(why=why),))
    # ITK turns the axes of spaces without time alone.
    return Stated() if three == space else Stated(signs=_SPACES[three])


def _in_other_units(path: Path, units: Sequence[str]) -> InputError:
    return InputError(f'"{shown(path.name)}" states its grid in {shown(", ".join(units))}, not in mm.',
                      "Save it with a grid in mm.")


def _nrrd_bytes(kind: str) -> int:
    """Bytes of a voxel; 0 for a type that is not known. Each has many names: "short", "int16_t", "signed short int"."""
    for parts, size in ((("char", "8"), 1), (("short", "16"), 2), (("longlong", "long long", "64", "double"), 8),
                        (("int", "32", "float"), 4)):
        if any(part in kind for part in parts):
            return size
    return 0


def _check_gzip(path: Path, data: Path, offset: int, lines: int) -> None:
    """Read to the checksum, which ITK does not; the length it does compare. ``lines`` precede the packed data."""
    with data.open("rb") as file:
        file.seek(offset)
        for _ in range(lines):
            file.readline()
        stream, length = gzip.GzipFile(fileobj=file), 0
        while chunk := stream.read(_CHUNK):
            length += len(chunk)
            if length > LONGEST:
                raise damaged(path, f"it unpacks to more than {LONGEST:,} bytes")


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
