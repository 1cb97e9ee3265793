"""Whether a file is DICOM, by its first bytes. Other scans need no pydicom, whose import takes a fifth of a second."""

from __future__ import annotations

from pathlib import Path


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM signature after its preamble, or begins with DICOM's first elements.

    What is no regular file is none: opening a named pipe would wait for ever.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return bool(form_of(file.read(132)))
    except OSError:
        return False


def form_of(head: bytes) -> str:
    """``file`` with preamble and signature, ``bare`` without them, empty for what is no DICOM."""
    if head[128:132] == b"DICM":
        return "file"
    # Without a preamble the first element shows: of group 2 or 8, its representation two letters or its length small.
    first = head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0"
    bare = first and ((head[4:6].isalpha() and head[4:6].isupper()) or head[5:8] == bytes(3))
    return "bare" if bare and len(head) == 132 else ""
