"""Are compressed pixels whole? Decoders fill up what is missing, and say nothing.

A JPEG must have the mark of its end. Run lengths, JPEG-LS and JPEG 2000 do not decode when they are cut, and none of
them has a checksum of its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.encaps import encapsulate, generate_frames

from ..damage import damaged
from .dataset import FALSE_LENGTH
from .frames import ImageFile

_JPEGS = {pydicom.uid.JPEGBaseline8Bit, pydicom.uid.JPEGExtended12Bit, pydicom.uid.JPEGLossless,
          pydicom.uid.JPEGLosslessSV1}
_END_OF_JPEG = b"\xff\xd9"


def whole_fragments(stream: BinaryIO, file: ImageFile) -> bytes:
    """The items of a file's compressed pixels, one a frame, with their marks, up to the mark of their end.

    Raises ``InputError`` where they are cut.
    """
    path = Path(file.path)
    stream.seek(file.begin)
    items = list(_fragments(stream, path))
    content = b"".join(items)
    frames = [item[8:] for item in items[1:]]  # the first one is a table of where they begin
    if frames and len(frames) != file.count:  # GDCM wants one item a frame
        try:
            frames = list(generate_frames(content, number_of_frames=file.count))
        except ValueError:
            raise damaged(path, "its frames cannot be told from each other") from None
        content = encapsulate(frames)
    if file.syntax in _JPEGS and not all(frame.rstrip(b"\0").endswith(_END_OF_JPEG) for frame in frames):
        raise damaged(path, "the end of a frame's JPEG is missing")
    return content


def _fragments(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    while True:
        mark = stream.read(8)
        length = int.from_bytes(mark[4:], "little")
        if mark[:4] == b"\xfe\xff\xdd\xe0":
            return
        content = stream.read(length) if mark[:4] == b"\xfe\xff\x00\xe0" else b""
        if len(mark) < 8 or len(content) < length or mark[:4] != b"\xfe\xff\x00\xe0":
            raise damaged(path, FALSE_LENGTH)
        yield mark + content
