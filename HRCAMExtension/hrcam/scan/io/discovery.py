"""What a user names (files, folders, patterns) becomes a list of cases with unique names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ...words import reason, shown
from .dicom.dataset import is_dicom
from .dicom.series import list_series
from .formats import PICTURE_SUFFIXES, SUPPORTED, VOLUME_SUFFIXES, safe_name, stem_of, suffix_of

SKIPPED_FOLDERS = {"derivatives", "sourcedata", "code"}
"""Folders of a BIDS data set that hold no raw scans; hidden folders are skipped too."""

SKIPPED_ENDINGS = ("_mask", "_label", "_labels", "_seg", "_dseg", "_probseg", "_map", "_overview", ".seg")
"""Ends of file stems that mark masks, segmentations and our own results; such a file is read only if named itself."""


@dataclass(frozen=True)
class Case:
    """One scan to process.

    ``path`` is what ``read_volume`` takes (a file, a DICOM folder, or ``folder#series``); ``name`` is unique among
    the cases of one call and safe as a file name; ``error`` says why the case cannot even be looked at, or is None.
    """

    name: str
    path: str
    error: InputError | None = None


def discover(inputs: Sequence[str | Path]) -> list[Case]:
    """List the scans behind files, folders (searched recursively), glob patterns and ``folder#series``.

    In folders, every NRRD, NIfTI, MetaImage and picture file is a case, except masks and results by the end of their
    name (``SKIPPED_ENDINGS``) and what lies in ``SKIPPED_FOLDERS``; every DICOM series is one case. A BIDS data set
    is a folder like any other: narrow it with a pattern such as ``"bids/**/*_T1w.nii.gz"``. Names come from the file
    or folder names; equal names are told apart by their parent folders, then by numbers. What cannot be opened is a
    case with ``error``; nothing is raised. The order is that of the inputs, sorted within each.
    """
    found: list[tuple[str, InputError | None]] = []
    for entry in inputs:
        found.extend(_expand(str(entry)))
    unique = list({_identity(path): (path, error) for path, error in reversed(found)}.values())[::-1]
    names = _unique_names([path for path, _ in unique])
    return [Case(name, path, error) for name, (path, error) in zip(names, unique, strict=True)]


def _expand(entry: str) -> Iterator[tuple[str, InputError | None]]:
    try:
        path = Path(entry)
        folder, mark, _ = entry.rpartition("#")
        if path.is_dir():
            yield from _search(path) or [(entry, _nothing(entry))]
        elif os.path.lexists(path) or (mark and Path(folder).is_dir()):
            yield entry, None
        elif glob.has_magic(entry):
            matches = sorted(glob.glob(entry, recursive=True))  # noqa: PTH207 - absolute patterns too
            if not matches:
                yield entry, InputError(f'No file matches "{shown(entry)}".', "Check the pattern.")
            for match in matches:
                yield from (_search(Path(match)) if Path(match).is_dir() else [(match, None)])
        else:
            yield entry, InputError(f'There is no file or folder "{shown(entry)}".',
                                    "Check the path for typing errors.")
    except (OSError, ValueError) as error:
        yield entry, InputError(f'"{shown(entry)}" cannot be opened: {reason(error)}.', "Check the path.")


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, also for paths that no file system takes."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _nothing(entry: str) -> InputError:
    return InputError(f'The folder "{shown(entry)}" holds no scan.', f"Give {SUPPORTED}.")


def _search(folder: Path) -> list[tuple[str, InputError | None]]:
    """All scans below a folder; symbolic links to folders are not followed (they may form loops)."""
    found: list[tuple[str, InputError | None]] = []

    def unreadable(error: OSError) -> None:
        found.append((str(error.filename), InputError(
            f'The folder "{shown(error.filename)}" cannot be listed: {reason(error)}.', "Check its permissions.")))

    for place, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS)
        here = Path(place)
        scans = [here / f for f in sorted(files) if _is_scan(Path(f))]
        found.extend((str(scan), None) for scan in scans)
        if any(is_dicom(here / f) for f in files if not _is_scan(Path(f))):
            found.extend(_series(here))
    return found


def _series(folder: Path) -> list[tuple[str, InputError | None]]:
    try:
        return [(one.path, None) for one in list_series(folder) if not one.passed_over]
    except InputError as error:
        return [(str(folder), error)]


def _is_scan(file: Path) -> bool:
    known = suffix_of(file) in VOLUME_SUFFIXES or suffix_of(file) in PICTURE_SUFFIXES
    return known and not file.name.startswith(".") and not stem_of(file).lower().endswith(SKIPPED_ENDINGS)


def _identity(path: str) -> str:
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100 - the path may hold a series mark or not exist


def _unique_names(paths: Sequence[str]) -> list[str]:
    """Names from the paths: the stem, then with parent folders, at last with numbers; unique whatever the case."""
    parts = [_parts(path) for path in paths]
    names: list[str] = []
    for depth in (1, 2, 3):
        longer = [safe_name("_".join(p[-depth:])) for p in parts]
        counts = _counts(names or longer)
        names = [new if not names or counts[old.lower()] > 1 else old
                 for old, new in zip(names or longer, longer, strict=True)]
    taken: set[str] = set()
    for n, name in enumerate(names):
        candidate, number = name, 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.lower())
        names[n] = candidate
    return names


def _counts(names: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name.lower()] = counts.get(name.lower(), 0) + 1
    return counts


def _parts(path: str) -> list[str]:
    """Folder names and the stem, last the most telling."""
    folder, mark, series = path.rpartition("#")
    if mark and not os.path.lexists(path):
        return [*Path(folder).parts[1:], f"{Path(folder).name}_{series[-12:]}"]
    whole = Path(path)
    stem = whole.name if _is_folder(whole) else stem_of(whole)
    return [*(p for p in whole.parent.parts if p not in (os.sep, "..")), stem or "case"]
