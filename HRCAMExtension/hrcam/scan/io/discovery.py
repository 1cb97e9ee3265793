"""What a user names (files, folders, patterns) becomes a list of cases with unique names."""

from __future__ import annotations

import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...words import reason, shown
from .dicom.signature import is_dicom
from .formats import (
    PACKED,
    PICTURE_SUFFIXES,
    SUPPORTED,
    VOLUME_SUFFIXES,
    absent,
    header_of_pair,
    safe_name,
    stem_of,
    suffix_of,
)

if TYPE_CHECKING:
    from .dicom.series import Listed

SKIPPED_FOLDERS = {"derivatives", "sourcedata", "code"}
"""Folders of a BIDS data set that hold no raw scans; hidden folders are skipped too."""

SKIPPED_ENDINGS = ("_mask", "_label", "_labels", "_seg", "_dseg", "_probseg", "_map", "_overview", ".seg")
"""Ends of file stems that mark masks, segmentations and our own results; such a file is read only if named itself."""


_UNPACK = ": unpack them first"

_BIDS_KINDS = {"anat", "dwi", "fmap", "func", "perf", "pet", "swi"}
"""Folders that the names of BIDS's files make superfluous."""


@dataclass(frozen=True)
class Case:
    """One scan to process.

    ``path`` is what ``read_volume`` takes (a file, a DICOM folder, or ``folder#series``); ``name`` is unique among
    the cases of one call and safe as a file name; ``error`` says why the case cannot even be looked at, or is None.
    """

    name: str
    path: str
    error: InputError | None = None


@dataclass(frozen=True)
class PassedOver:
    """What was found in a folder and is no case, and why: objects without image, pictures in color, repeated links."""

    path: str
    why: str


@dataclass
class _Finding:
    """Cases as (parts of the name, path, error), what was passed over, and by UID of a DICOM series the folders that
    hold slices of it, with the paths of their cases.
    """

    cases: list[tuple[list[str], str, InputError | None]] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    series: dict[str, dict[Path, str]] = field(default_factory=dict)

    def add_series(self, folder: Path, folders: list[str], listed: Listed) -> None:
        """A case that is a DICOM series of a folder; ``folders`` come before its name."""
        self.cases.append(([*folders, listed.name], listed.path, listed.error))
        if listed.uid:
            self.series.setdefault(listed.uid, {})[folder] = listed.path


def discover(inputs: Sequence[str | Path]) -> list[Case]:
    """List the scans behind files, folders (searched recursively), glob patterns and ``folder#series``.

    In folders, every NRRD, NIfTI, MetaImage and picture file is a case, except masks and results by the end of their
    name (``SKIPPED_ENDINGS``) and what lies in ``SKIPPED_FOLDERS``. Every DICOM series is one case, also where its
    slices lie in several folders or are named singly; a DICOMDIR stands for its folder. Links to folders are followed,
    each folder once. A BIDS data set is a folder like any other: narrow it with a pattern such as
    ``"bids/**/*_T1w.nii.gz"``.

    The name of a scan in a folder or of a pattern is its path below it, which no other scan changes; BIDS's own names
    and those of files named singly stay as they are. Equal names are told apart by parent folders, formats, and at
    last numbers. What cannot be opened is a case with ``error``; nothing is raised. The order is that of the inputs,
    sorted within each.
    """
    return find_cases(inputs)[0]


def find_cases(inputs: Sequence[str | Path]) -> tuple[list[Case], list[PassedOver]]:
    """The cases of ``discover``, and what was found besides and passed over."""
    found = _Finding()
    for entry in inputs:
        _expand(str(entry), found)
    _join_spread_series(found)
    unique = list({_identity(case[1]): case for case in reversed(found.cases)}.values())[::-1]
    names = _unique_names([(parts, path) for parts, path, _ in unique])
    return [Case(name, path, error) for name, (_, path, error) in zip(names, unique, strict=True)], found.passed_over


def _expand(entry: str, found: _Finding) -> None:
    try:
        path = Path(entry)
        if path.name.upper() == "DICOMDIR" and path.is_file():
            path = path.parent
        folder, mark, series = entry.rpartition("#")
        if path.is_dir():
            before, before_packed = len(found.cases), len(found.passed_over)
            _search(path, path, found)
            if len(found.cases) == before:
                packed = any(one.why.endswith(_UNPACK) for one in found.passed_over[before_packed:])
                found.cases.append(([path.resolve().name], entry, InputError(
                    f'The folder "{shown(entry)}" holds no scan{", but packed files" * packed}.',
                    "Unpack them first." if packed else f"Give {SUPPORTED}.")))
        elif os.path.lexists(path):
            _file(path, [], found)
        elif mark and Path(folder).exists():
            found.cases.append(([f"{stem_of(Path(folder).resolve())}_{series[-12:]}"], entry, None))
        elif glob.has_magic(entry):
            _pattern(entry, found)
        else:
            found.cases.append(([stem_of(path)], entry, absent(entry)))
    except (OSError, ValueError) as error:
        found.cases.append(([Path(entry).name], entry, InputError(
            f'"{shown(entry)}" cannot be opened: {reason(error)}.', "Check the path.")))


def _pattern(entry: str, found: _Finding) -> None:
    matches = sorted(glob.glob(entry, recursive=True))  # noqa: PTH207 - absolute patterns too
    if not matches:
        found.cases.append((["case"], entry, InputError(f'No file matches "{shown(entry)}".', "Check the pattern.")))
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), Path(entry).parts))
    base = Path(*fixed) if fixed else Path()
    for match in map(Path, matches):
        if match.is_dir():
            _search(match, base, found)
        else:
            _file(match, list(match.parent.relative_to(base).parts), found)


def _file(path: Path, folders: list[str], found: _Finding) -> None:
    """A named file; a slice stands for its series, either file of a pair for both."""
    listed = None
    if is_dicom(path):
        from .dicom.series import series_of

        listed = series_of(path)
    if listed is not None:
        found.add_series(path.parent, folders[:-1], listed)
    else:
        one = header_of_pair(path) or path
        found.cases.append(([*folders, stem_of(one) or "case"], str(one), None))


def _search(folder: Path, base: Path, found: _Finding) -> None:
    """All scans below a folder, named by their paths below ``base``."""

    def unreadable(error: OSError) -> None:
        found.cases.append(([Path(str(error.filename)).name], str(error.filename), InputError(
            f'The folder "{shown(error.filename)}" cannot be listed: {reason(error)}.', "Check its permissions.")))

    first = len(found.cases)
    for here, files in _folders(folder, found, unreadable):
        below = list(here.relative_to(base).parts)
        named = [name for name in sorted(files) if _is_named_as_scan(here / name)]
        dicom = {name for name in named if is_dicom(here / name)}
        scans = [here / name for name in named if name not in dicom]
        found.cases.extend(([*below, stem_of(scan)], str(scan), None) for scan in scans)
        packed = sum(suffix_of(Path(name)) in PACKED for name in files)
        if packed:
            found.passed_over.append(PassedOver(str(here), f"{packed} packed files{_UNPACK}"))
        if dicom or any(is_dicom(here / name) for name in set(files).difference(named)):
            _series(here, below, found)
    found.cases[first:] = sorted(found.cases[first:], key=lambda case: case[1].rpartition("#")[0] or case[1])


def _folders(folder: Path, found: _Finding, unreadable: Callable[[OSError], None]) -> Iterator[tuple[Path, list[str]]]:
    """Folders with their files: real ones first, then those that links lead to, each once by its real path."""
    waiting, seen = [folder], set()
    while waiting:
        links: list[Path] = []
        for start in waiting:
            for place, folders, files in os.walk(start, onerror=unreadable):
                here, real = Path(place), os.path.realpath(place)
                if real in seen:
                    found.passed_over.append(PassedOver(place, "a link to a folder that is searched already"))
                    folders[:] = []
                    continue
                seen.add(real)
                wanted = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS)
                links += [here / f for f in wanted if (here / f).is_symlink()]
                folders[:] = [f for f in wanted if not (here / f).is_symlink()]
                yield here, files
        waiting = links


def _series(folder: Path, below: list[str], found: _Finding) -> None:
    from .dicom.series import list_series

    try:
        for one in list_series(folder):
            if one.passed_over:
                found.passed_over.append(PassedOver(one.path, one.passed_over))
            else:
                found.add_series(folder, below[:-1], one)
    except InputError as error:
        found.cases.append((below or [folder.resolve().name], str(folder), error))


def _join_spread_series(found: _Finding) -> None:
    """One case for a series whose slices lie in several folders; the first part's place in the list is its own."""
    for uid, places in found.series.items():
        if len(places) < 2:
            continue
        from .dicom.series import spread_series

        listed = spread_series(uid, list(places))
        if listed is None:
            continue
        folder, paths = next(iter(places)), set(places.values())
        up = len(folder.relative_to(listed.path.rpartition("#")[0]).parts)
        at = next(n for n, (_, path, _) in enumerate(found.cases) if path in paths)
        folders = found.cases[at][0][:-1]
        joined = ([*folders[: max(0, len(folders) - up)], listed.name], listed.path, None)
        found.cases[at] = joined
        found.cases = [case for case in found.cases if case is joined or case[1] not in paths]


_SUFFIXES = VOLUME_SUFFIXES.keys() | PICTURE_SUFFIXES


def _is_named_as_scan(file: Path) -> bool:
    if suffix_of(file) not in _SUFFIXES or file.name.startswith(".") \
            or stem_of(file).lower().endswith(SKIPPED_ENDINGS):
        return False
    return suffix_of(file) not in (".hdr", ".img") or header_of_pair(file) == file


def _identity(path: str) -> str:
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100 - the path may hold a series mark or not exist


def _unique_names(cases: Sequence[tuple[list[str], str]]) -> list[str]:
    """Names from their parts; equal ones get parent folders, then the format, at last numbers, whatever the case."""
    names = [_joined(parts) for parts, _ in cases]
    for longer in (lambda parts, path: [*Path(path).parent.parts[-1:], parts[-1]],
                   lambda parts, path: [*Path(path).parent.parts[-2:], parts[-1]],
                   lambda parts, path: [*parts, suffix_of(Path(path)).strip(".").replace(".", "_")]):
        counts = Counter(name.lower() for name in names)
        names = [_joined(longer(parts, path)) if counts[name.lower()] > 1 else name
                 for name, (parts, path) in zip(names, cases, strict=True)]
    taken: set[str] = set()
    for n, name in enumerate(names):
        candidate, number = name, 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.lower())
        names[n] = candidate
    return names


def _joined(parts: list[str]) -> str:
    """One name; folders that the last part names again (``sub-01`` of BIDS's ``sub-01_T1w``) are left out."""
    *folders, last = parts
    kept = [f for f in folders if f not in (os.sep, "..") and not (
        last.startswith("sub-") and (f in last.split("_") or f in _BIDS_KINDS))]
    return safe_name("_".join([*kept, last]))
