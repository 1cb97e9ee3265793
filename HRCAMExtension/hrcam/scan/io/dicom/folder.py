"""What lies in a folder: the files of each DICOM series, damaged ones, and what is no DICOM. Headers are read once."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ....errors import InputError
from ....words import reason, shown
from .frames import Entry, read_entry
from .signature import is_dicom

PACKED = "it is packed with gzip, unpack it first"

_SLICE_ENDINGS = (".dcm", ".ima", ".dicom", ".dcm.gz", ".ima.gz")
_JUST_WRITTEN_NS = 100_000_000
"""A file this young may be written again without its time telling so: what is read of it is not kept."""


@dataclass
class Folder:
    """What lies in a folder: files by series; damaged ones of no known series; those that are no DICOM; and whether
    there are objects that are no images.
    """

    series: dict[str, list[Entry]] = field(default_factory=dict)
    broken: list[Entry] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    objects: bool = False


def look_into(folder: Path, below: bool = False) -> Folder:
    """What a folder holds, or all that lies below it."""
    found = Folder()
    by_uid: dict[str, list[Entry]] = defaultdict(list)
    for file, stamp in (pair for one in (_and_below(folder) if below else [folder]) for pair in _files(one)):
        entry = entry_of(file, stamp)
        if entry is not None and not entry.series and entry.problem is not None:
            found.broken.append(entry)
        elif entry is not None:
            by_uid[entry.series].append(entry)
        elif is_dicom(file):
            found.objects = True
        else:
            found.foreign.append(file)
    found.series = dict(sorted(by_uid.items(), key=lambda item: (int(number_of(item[1]) or 0), item[0])))
    return found


def _and_below(folder: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(place)


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Files of a folder in order of their names, hidden ones and DICOMDIR left out."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and e.name.upper() != "DICOMDIR")
        found = [(folder / name, (folder / name).stat()) for name in names if (folder / name).is_file()]
    except OSError as error:
        raise InputError(f'The folder "{shown(folder)}" cannot be listed: {reason(error)}.',
                         "Check its permissions.") from None
    return found


def entry_of(file: Path, stamp: os.stat_result) -> Entry | None:
    """A file's header, read once as long as the file stays the same."""
    if time.time_ns() - stamp.st_mtime_ns < _JUST_WRITTEN_NS:
        return _read(file)
    return _kept(file, stamp.st_ino, stamp.st_size, stamp.st_mtime_ns)


@lru_cache(maxsize=20_000)
def _kept(file: Path, *_stamp: int) -> Entry | None:
    return _read(file)


def _read(file: Path) -> Entry | None:
    try:
        return read_entry(file)
    except OSError as error:
        return Entry(str(file), "", (), InputError(f'"{shown(file)}" cannot be read: {reason(error)}.',
                                                   "Check its permissions."))


def number_of(entries: list[Entry]) -> str:
    """SeriesNumber of a series, empty where none is stated."""
    return next((entry.frames[0].file.number for entry in entries if entry.frames), "")


def lost_slices(found: Folder, entries: list[Entry]) -> list[Path]:
    """Files that are no DICOM but look like slices of a series: by their ending, their name, or their size."""
    patterns, sizes = set(), set()
    for entry in entries:
        path = Path(entry.path)
        patterns.add(_pattern(path))
        sizes.add(path.stat().st_size)
    return [file for file in found.foreign if file.name.lower().endswith(_SLICE_ENDINGS)
            or _pattern(file) in patterns or file.stat().st_size in sizes]


def _pattern(path: Path) -> str:
    return re.sub(r"\d+", "0", path.name)


def why_lost(file: Path) -> str:
    """Why a slice is no DICOM, in words."""
    with file.open("rb") as stream:
        head = stream.read(2)
    if not head:
        return "it is empty"
    return PACKED if head == b"\x1f\x8b" else "the DICOM signature is missing"
