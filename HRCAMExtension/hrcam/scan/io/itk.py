"""SimpleITK's readers, with their exceptions turned into words."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - its customary name

from ...errors import InputError
from ...words import is_out_of_memory, shown
from .damage import damaged

_ERROR_OUTPUT = 2
"""File descriptor of the terminal's error output."""

_FAILURES = (RuntimeError, ValueError, TypeError, OverflowError)
"""What SimpleITK and its bindings raise for bad files."""


_turn = threading.Lock()
"""Warnings and the terminal belong to the whole process: one call at a time may silence them."""


@contextmanager
def silent() -> Iterator[None]:
    """Nothing of ITK, and of the libraries below it, on the terminal meanwhile: our own errors say it, in words."""
    with _turn:
        before = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            with _no_terminal():
                yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(before)


@contextmanager
def _no_terminal() -> Iterator[None]:
    """Lead the process's error output to nowhere: decoders in C print to it, past Python."""
    try:
        kept = os.dup(_ERROR_OUTPUT)
    except OSError:  # there is none, as in a program with windows alone
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), _ERROR_OUTPUT)
        yield
    finally:
        os.dup2(kept, _ERROR_OUTPUT)
        os.close(kept)


def read_header(path: Path, image_io: str) -> sitk.ImageFileReader:
    """Reader that has read the header (not the voxels) of ``path`` with the named ITK reader.

    Raises ``InputError`` where it cannot.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:  # SimpleITK would end the whole process
        raise InputError(f'The name of "{shown(path)}" is not valid UTF-8.', "Rename the file or folder.") from None
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    try:
        with silent():
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
    except _FAILURES as error:
        if "orthonormal" in str(error):
            raise InputError(f'The axes of "{shown(path.name)}" are not perpendicular (sheared or singular).',
                             "Correct the header, or resample the volume to an orthogonal grid first.") from None
        raise damaged(path, _words(error, path)) from None
    return reader


def read_voxels(reader: sitk.ImageFileReader, path: Path) -> sitk.Image:
    """The image of a prepared reader; ``path`` is named in the ``InputError`` where that fails."""
    try:
        with silent():
            return reader.Execute()
    except (MemoryError, *_FAILURES) as error:
        if is_out_of_memory(error):
            raise InputError(f'There is not enough memory to read "{shown(path.name)}".',
                             "Close other programs, or crop or resample the volume.") from None
        raise damaged(path, _words(error, path)) from None


def _words(error: BaseException, path: Path) -> str:
    """The readable part of an ITK message: its last line, without addresses, folders and non-printing characters.

    The reason that it gives is that of the system's last call, whatever that was.
    """
    text = re.sub(r"\w+\(0x[0-9a-f]+\): *", "", str(error).split("ITK ERROR:")[-1]).replace(str(path), path.name)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("Reason:")]
    return "".join(c for c in (lines[-1] if lines else "unreadable")[:160] if c.isprintable())
