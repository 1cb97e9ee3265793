"""File formats that a scan may come in, file names, and the questions asked of a path before any reader opens it."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ...errors import InputError
from ...words import printable, reason, shown

VOLUME_SUFFIXES = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".hdr": "NiftiImageIO",
    ".img": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}
"""Suffix to SimpleITK reader; a named reader keeps ITK from trying a dozen others on a damaged file."""

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
"""Pictures know no millimeters."""

PACKED = {".zip", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"}
"""Suffixes of what must be unpacked first."""

SUPPORTED = "NRRD, NIfTI, MetaImage, a DICOM series folder, PNG, JPEG, BMP or TIFF"

_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
_LONGEST_NAME = 100


def suffix_of(path: Path) -> str:
    """Lower-case suffix, ``.nii.gz`` as one; empty where there is none."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def stem_of(path: Path) -> str:
    """File name without ``suffix_of``."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix and len(suffix) < len(path.name) else path.name


def header_of_pair(path: Path) -> Path | None:
    """The header of a pair ``.hdr``, ``.img`` of which ``path`` is either file; None where it is none or not whole."""
    suffix = suffix_of(path)
    if suffix not in (".hdr", ".img"):
        return None
    other = path.with_name(path.name[:-4] + (".img" if suffix == ".hdr" else ".hdr"))
    header = path if suffix == ".hdr" else other
    return header if path.is_file() and other.is_file() else None


def safe_name(name: str) -> str:
    """A name that every file system takes and every terminal shows as it is: no separators, reserved characters or
    what is not printable (control characters, marks that turn the direction of writing), at most 100 characters.
    """
    # Surrogates stand for bytes that are not UTF-8; they cannot be written to JSON or HTML. They are not printable.
    cleaned = re.sub(r'[<>:"/\\|?*\x00]+', "_", printable(name, "\0")).strip(" .")
    while len(cleaned.encode()) > _LONGEST_NAME:
        cleaned = cleaned[:-1]
    cleaned = cleaned.strip(" .") or "case"
    stem, point, rest = cleaned.partition(".")
    return f"{stem}_{point}{rest}" if stem.lower() in _RESERVED else cleaned  # Windows looks at what precedes the point


def absent(path: Path | str) -> InputError:
    """The error for what is not there."""
    return InputError(f'There is no file or folder "{shown(path)}".', "Check the path for typing errors.")


def stat_path(path: Path) -> int:
    """File mode of an existing path.

    Raises ``InputError`` where it does not exist or cannot be looked at (loop of links, too long, no permission).
    """
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        raise absent(path) from None
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f'"{shown(path)}" cannot be opened: {reason(error)}.', "Check the path and permissions.") \
            from None


def check_file(path: Path) -> None:
    """Raise ``InputError`` unless ``path`` is a readable, non-empty regular file (a pipe would block for ever)."""
    if not stat.S_ISREG(stat_path(path)):
        raise InputError(f'"{shown(path)}" is not a regular file.', f"Give {SUPPORTED}.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f'"{shown(path)}" cannot be read: {reason(error)}.', "Check its permissions.") from None
    if empty:
        raise InputError(f'"{shown(path)}" is empty (0 bytes).', "Copy or export it again from its source.")
