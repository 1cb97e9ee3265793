"""Files that survive a power cut, and folders that two processes do not rename into at the same time."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError
from .words import shown

PATIENCE_S = 30.0
"""Longest wait for another process's renames, which take milliseconds."""


def sync_file(path: Path) -> None:
    """Have a file's content on the disk before its name says that it is there.

    A rename may reach the disk before the content does; after a power cut the file would be there, and empty. Raises
    ``OSError`` where the disk is full and the file system had promised otherwise (network drives).
    """
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk; a file system that cannot (Windows, some network drives) does so by itself."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder while several files are renamed into it, so that they are all of one writer.

    The lock is the operating system's on the folder itself: it leaves no file, and ends with its process. Where there
    is none (Windows, some network drives) nothing is held.

    Raises ``OutputError`` when another process holds the folder for longer than ``PATIENCE_S``.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    end = time.monotonic() + PATIENCE_S
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise OutputError(f'Another process keeps the folder "{shown(folder)}" busy.',
                                      "Wait for it to end, or choose another folder.") from None
                time.sleep(0.01)
            except OSError:  # a file system without locks
                break
            else:
                break
        yield
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path, via: Path | None = None) -> Iterator[Path]:
    """Give the name of a new file, with the suffixes of `path`, that takes its place when the block ends well.

    It vanishes otherwise; nobody ever sees half a file under the name `path`. The new file lies in a hidden folder of
    its own in ``via`` (None: beside `path`), on the same disk. Raises ``OSError`` where it cannot be written.
    """
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-", dir=path.parent if via is None else via))
    try:
        yield holder / path.name
        sync_file(holder / path.name)
        (holder / path.name).replace(path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
