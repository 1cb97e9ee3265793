"""Do the data elements of a DICOM file fit into it?

GDCM believes a length before it reads: where one is false it takes gigabytes and minutes to guess what may be meant,
and sequences deep within sequences end the whole process. So the elements are walked here first, their values unread.
What breaks the standard in a way that GDCM understands (implicit elements in an explicit file, unknown representations,
a sequence whose content is none) passes. DICOM has no checksum: wrong values, of compressed pixels too, go unseen.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from pathlib import Path

_SHORT = {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
          b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
"""Value representations, by the bytes of their length: two or four."""
_IMPLICIT, _DEFLATED, _BIG_ENDIAN = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2"
_IMPLICIT_GE = b"1.2.840.113619.5.2"
_SYNTAX = (0x0002, 0x0010)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END, _PIXELS = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD), (0x7FE0, 0x0010)
_DEEPEST = 64
"""Sequences within each other; real ones stay below ten."""
_LONGEST = 1 << 29
"""Bytes that a deflated file may unpack to."""

_FALSE_LENGTH = "it is cut short or states a false length"


def check_elements(file: Path) -> int | None:
    """Raise ``ValueError``, in words, where the elements of a DICOM file (with its preamble) lead beyond its end.

    Returns
    -------
    Bytes of its pixels, None where it has none or they are compressed.
    """
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            begin, syntax = _Walk(content).meta_header(132)
            if not syntax:
                raise ValueError("its transfer syntax is missing")
            if syntax == _DEFLATED:
                unpack = zlib.decompressobj(-zlib.MAX_WBITS)
                walk, begin = _Walk(unpack.decompress(content[begin:], _LONGEST)), 0
                if unpack.unconsumed_tail:
                    raise ValueError(f"it unpacks to more than {_LONGEST:,} bytes")
            else:
                walk = _Walk(content, ">" if syntax == _BIG_ENDIAN else "<")
            walk.file(begin, explicit=syntax not in (_IMPLICIT, _IMPLICIT_GE))
            return walk.pixels
    except (struct.error, zlib.error):
        raise ValueError(_FALSE_LENGTH) from None


class _Walk:
    """Steps through elements; its methods take the place of a first byte and return the place after the last."""

    def __init__(self, content: mmap.mmap | bytes, order: str = "<") -> None:
        self._content, self._size = content, len(content)
        self.pixels: int | None = None
        self._tag, self._short, self._long = (struct.Struct(order + form) for form in ("HH", "H", "I"))

    def meta_header(self, at: int) -> tuple[int, bytes]:
        """The elements of group 2, and the transfer syntax among them."""
        syntax = b""
        while self._size - at >= 8 and (tag := self._tag.unpack_from(self._content, at))[0] == 2:
            after = self._element(at, True, 0)
            if tag == _SYNTAX:
                syntax = self._content[at + 8 : after].rstrip(b"\0 ")
            at = after
        return at, syntax

    def file(self, at: int, explicit: bool) -> None:
        """All that follows, up to padding."""
        while self._size - at >= 8 and self._content[at : at + 8] != bytes(8):
            at = self._element(at, explicit, 0)
        if self._content[at:].strip(b"\0\r\n "):
            raise ValueError(_FALSE_LENGTH)

    def _element(self, at: int, explicit: bool, depth: int) -> int:
        tag = self._tag.unpack_from(self._content, at)
        kind = self._content[at + 4 : at + 6] if explicit else b""
        if kind in _LONG:
            length, at = self._length(at + 8), at + 12
        elif kind in _SHORT or (kind.isalpha() and kind.isupper()):
            length, at = self._short.unpack_from(self._content, at + 6)[0], at + 8
        else:
            length, at = self._length(at + 4), at + 8
        if length == _UNDEFINED:
            if tag == _PIXELS or kind in (b"OB", b"OW"):
                return self._fragments(at)
            return self._items(at, None, kind if explicit else None, depth + 1)
        if length > self._size - at:
            raise ValueError(_FALSE_LENGTH)
        if tag == _PIXELS and depth == 0:
            self.pixels = length
        if kind == b"SQ":
            self._items(at, at + length, kind, depth + 1)
        return at + length

    def _length(self, at: int) -> int:
        return int(self._long.unpack_from(self._content, at)[0])

    def _items(self, at: int, end: int | None, kind: bytes | None, depth: int) -> int:
        """A sequence: to its end where that is stated, whatever it holds, else to its mark.

        ``kind`` is its representation in an explicit file. A sequence of unknown kind holds implicit elements by the
        standard, and explicit ones by some writers.
        """
        if depth > _DEEPEST:
            raise ValueError("it holds sequences too deep within each other")
        while end is None or end - at >= 8:
            tag = self._tag.unpack_from(self._content, at)
            if end is None and tag == _SEQUENCE_END:
                return at + 8
            if tag != _ITEM:
                if end is None:
                    raise ValueError(_FALSE_LENGTH)
                break
            length, at = self._length(at + 4), at + 8
            if length != _UNDEFINED and length > self._size - at:
                raise ValueError(_FALSE_LENGTH)
            explicit = kind == b"SQ" or (kind is not None and self._content[at + 4 : at + 6] in _SHORT | _LONG)
            at = self._data_set(at, None if length == _UNDEFINED else at + length, explicit, depth)
        return at if end is None else end

    def _data_set(self, at: int, end: int | None, explicit: bool, depth: int) -> int:
        """An item's elements, likewise."""
        while end is None or end - at >= 8:
            tag = self._tag.unpack_from(self._content, at)
            if end is None and tag == _ITEM_END:
                return at + 8
            if tag == _SEQUENCE_END:  # its end has no mark
                return at
            at = self._element(at, explicit, depth)
        return at if end is None else end

    def _fragments(self, at: int) -> int:
        """Compressed pixels: items of bytes up to the mark of their end."""
        while True:
            tag, length, at = self._tag.unpack_from(self._content, at), self._length(at + 4), at + 8
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM or length > self._size - at:
                raise ValueError(_FALSE_LENGTH)
            at += length
