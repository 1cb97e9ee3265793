"""Is a JPEG whole? libjpeg paints what is missing gray and goes on after a wrong code, and ITK passes that on as good.

So the codes are followed here to the end of every scan: each must exist, and the last one must end in the last byte.
A JPEG has no checksum, and a change that keeps the codes in step goes unseen: in the digits of a coefficient, in a
quantization table, or from one code to another of the same length and run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_SCAN_END = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_PIECE, _MARGIN = 1 << 16, 1 << 12
"""Bytes of a scan whose codes are looked up at once, and more than ten blocks of 64 codes can take."""
_MOST_PIXELS = 512 * 512 * 1024
"""What states more is refused by its size, whatever its codes."""
_MOST_COLORS, _MOST_BLOCKS, _MOST_SCANS = 4, 10, 200
"""Of a picture that ITK reads, of an MCU by the standard, and of any honest progressive picture by far."""
_DC_DIGITS, _AC_DIGITS = 11, 10
"""Of a coefficient of 8-bit pixels."""
_NEXT_BLOCK, _NO_CODE = 128, 255
"""Steps of the code that ends a block, and of bits that are no code."""

_CUT = "its end is missing"
_CORRUPT = "its data are corrupt"


@dataclass
class _Component:
    """A color: its sampling, its size in blocks, and the coefficients (64 a block) that are not 0 so far."""

    across: int
    down: int
    blocks: int = 0
    filled: bytearray = field(default_factory=bytearray)


@dataclass
class _Frame:
    """The picture: its size in pixels, its components by name, and those of which a scan has begun."""

    progressive: bool
    width: int
    height: int
    components: dict[int, _Component]
    begun: set[int] = field(default_factory=set)

    @property
    def sampling(self) -> tuple[int, int]:
        """The largest of all components."""
        return max(c.across for c in self.components.values()), max(c.down for c in self.components.values())


@dataclass(frozen=True, eq=False)
class _Table:
    """What begins with any 16 bits: the code's symbol, its length with the digits that follow (0: there is no code),
    and how many coefficients further the next code belongs.
    """

    symbol: npt.NDArray[np.uint8]
    length: npt.NDArray[np.uint8]
    step: npt.NDArray[np.uint8]


def check_jpeg(content: bytes) -> None:
    """Raise ``ValueError``, in words, unless this is a baseline or progressive JPEG whose codes end as its scans do."""
    if not content.startswith(b"\xff\xd8"):
        raise ValueError("the JPEG signature is missing")
    tables: dict[int, _Table] = {}
    frame: _Frame | None = None
    at, interval, scans = 2, 0, 0
    while (found := _MARKER.search(content, at)) is not None and found[1] != b"\xd9":
        if content[at : found.start()].strip(b"\0"):
            raise ValueError(_CORRUPT)
        marker, at = found[1][0], found.end()
        length = int.from_bytes(content[at : at + 2], "big")
        body, at = content[at + 2 : at + length], at + length
        if length < 2 or at > len(content):
            raise ValueError(_CUT)
        if marker == 0xC4:
            _read_tables(body, tables)
        elif marker == 0xDD:
            interval = int.from_bytes(body[:2], "big")
        elif marker in (0xC0, 0xC1, 0xC2) and frame is None:
            frame = _read_frame(body, marker == 0xC2)
            if frame.width * frame.height > _MOST_PIXELS:
                return
        elif 0xC0 <= marker <= 0xCF and marker != 0xCC:
            raise ValueError("it is of a kind that is not read: lossless, hierarchical or arithmetic")
        elif marker == 0xDA:
            end, scans = _SCAN_END.search(content, at), scans + 1
            if end is None:
                raise ValueError(_CUT)
            if scans > _MOST_SCANS:
                raise ValueError(f"it has more than {_MOST_SCANS} scans")
            try:
                _follow_scan(content[at : end.start()], body, frame, tables, interval)
            except IndexError:  # a code beyond the last byte
                raise ValueError(_CORRUPT) from None
            at = end.start()
    if found is None:
        raise ValueError(_CUT)
    if frame is None or len(frame.begun) < len(frame.components):
        raise ValueError("a part of the picture is missing")


def _read_frame(body: bytes, progressive: bool) -> _Frame:
    if len(body) < 6 or len(body) != 6 + 3 * body[5] or not 1 <= body[5] <= _MOST_COLORS:
        raise ValueError(_CORRUPT)
    if body[0] != 8:
        raise ValueError(f"it has {body[0]} bits a pixel instead of 8")
    parts = {body[n]: _Component(body[n + 1] >> 4, body[n + 1] & 15) for n in range(6, len(body), 3)}
    frame = _Frame(progressive, int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"), parts)
    if not frame.width or not frame.height or not all(1 <= n <= 4 for c in parts.values() for n in (c.across, c.down)):
        raise ValueError(_CORRUPT)
    across, down = frame.sampling
    for part in parts.values():
        part.blocks = _blocks(frame.width * part.across, across) * _blocks(frame.height * part.down, down)
    return frame


def _blocks(pixels: int, sampling: int) -> int:
    """Blocks of 8 pixels along a side, at one of ``sampling`` parts of its resolution."""
    return -(-pixels // (8 * sampling))


def _read_tables(body: bytes, tables: dict[int, _Table]) -> None:
    """Add the Huffman tables of a segment, by class (16: AC) and number."""
    while body:
        counts, symbols = body[1:17], body[17 : 17 + sum(body[1:17])]
        if len(counts) < 16 or len(symbols) < sum(counts) or body[0] & 15 > 3 or body[0] > 31:
            raise ValueError(_CORRUPT)
        table = _Table(*(np.full(1 << 16, value, np.uint8) for value in (0, 0, _NO_CODE)))
        place, number = 0, 0
        for size, count in enumerate(counts, 1):
            for symbol in symbols[number : number + count]:
                these = slice(place, place + (1 << 16 - size))
                table.symbol[these] = symbol
                table.length[these], table.step[these] = _dc(size, symbol) if body[0] < 16 else _ac(size, symbol)
                place = these.stop
            number += count
        if place > 1 << 16:
            raise ValueError(_CORRUPT)
        tables[body[0]] = table
        body = body[17 + number :]


def _dc(size: int, digits: int) -> tuple[int, int]:
    """Length with digits, and step, of a block's first code."""
    return (size + digits, 1) if digits <= _DC_DIGITS else (0, _NO_CODE)


def _ac(size: int, symbol: int) -> tuple[int, int]:
    """Length with digits, and step, of a later code; that of a run of blocks has the exponent's number of digits."""
    zeros, digits = symbol >> 4, symbol & 15
    if digits > _AC_DIGITS:
        return 0, _NO_CODE
    if digits or zeros == 15:
        return size + digits, zeros + 1
    return size + zeros, _NO_CODE if zeros else _NEXT_BLOCK


def _follow_scan(data: bytes, header: bytes, frame: _Frame | None, tables: dict[int, _Table], interval: int) -> None:
    """Follow the codes of one scan, between its header and the next marker."""
    names, choices = header[1:-3:2], header[2:-3:2]
    if frame is None or not names or len(header) != 4 + 2 * header[0] or not frame.components.keys() >= set(names):
        raise ValueError(_CORRUPT)
    first, last, refines = header[-3], header[-2], header[-1] >> 4
    parts = [frame.components[name] for name in names]
    if first == 0:
        frame.begun.update(names)
    if len(parts) == 1:
        plan, mcus = [choices[0]], parts[0].blocks
    else:
        across, down = frame.sampling
        plan = [chosen for part, chosen in zip(parts, choices, strict=True) for _ in range(part.across * part.down)]
        mcus = _blocks(frame.width, across) * _blocks(frame.height, down)
    pieces = _RESTART.split(data)
    if len(pieces) > 1 and not pieces[-1]:
        pieces.pop()
    interval = interval or mcus
    if len(plan) > _MOST_BLOCKS or len(pieces) != -(-mcus // interval) or not first <= last < 64:
        raise ValueError(_CORRUPT)
    for number, piece in enumerate(pieces):
        turns = range(number * interval, min((number + 1) * interval, mcus))
        bits = piece.replace(b"\xff\x00", b"\xff")
        if not frame.progressive:
            used = _whole_blocks(bits, turns, [(_chosen(tables, n >> 4), _chosen(tables, 16 | n & 15)) for n in plan])
        elif first > 0:
            used = _band(bits, turns, parts[0], _chosen(tables, 16 | choices[0] & 15), first, last, refines > 0)
        elif refines:
            used = len(turns) * len(plan)
        else:
            used = _whole_blocks(bits, turns, [(_chosen(tables, n >> 4), None) for n in plan])
        if used > 8 * len(bits) or bits[-(-used // 8) :].strip(b"\0"):
            raise ValueError(_CORRUPT)


def _chosen(tables: dict[int, _Table], number: int) -> _Table:
    if number not in tables:
        raise ValueError("a Huffman table is missing")
    return tables[number]


def _windows(bits: bytes, first: int) -> npt.NDArray[np.uint16]:
    """16 bits from each bit on, of the piece that begins with byte ``first``."""
    piece = np.frombuffer(bits[first : first + _PIECE + _MARGIN] + b"\0\0\0", np.uint8).astype(np.uint32)
    three = piece[:-2] << 16 | piece[1:-1] << 8 | piece[2:]
    return (three[:, np.newaxis] >> np.arange(8, 0, -1, dtype=np.uint32)).astype(np.uint16).ravel()


def _whole_blocks(bits: bytes, mcus: range, plan: Sequence[tuple[_Table, _Table | None]]) -> int:
    """Follow the blocks of MCUs, or (progressive) their first coefficients alone; returns how many bits they take."""
    begin = at = end = 0
    looked: list[tuple[bytes, bytes, bytes]] = []
    for _ in mcus:
        if at >= end:
            begin, at, end = begin + (at >> 3), at & 7, 8 * _PIECE
            windows = _windows(bits, begin)
            found = {table: (table.length[windows].tobytes(), table.step[windows].tobytes())
                     for pair in set(plan) for table in pair if table}
            looked = [(found[dc][0], *(found[ac] if ac else (b"", b""))) for dc, ac in plan]
        for dc, length, step in looked:
            if not dc[at]:
                raise ValueError(_CORRUPT)
            at += dc[at]
            place = 1 if length else 64
            while place < 64:
                place += step[at]
                at += length[at]
            if place != 64 and not _NEXT_BLOCK < place < _NEXT_BLOCK + 64:
                raise ValueError(_CORRUPT)
    return 8 * begin + at


def _band(bits: bytes, blocks: range, part: _Component, table: _Table, first: int, last: int, refines: bool) -> int:
    """Follow a band of the coefficients of a progressive picture; returns how many bits it takes.

    A code may end the band in a run of blocks. A scan that refines has one bit more for each filled coefficient.
    """
    filled = part.filled = part.filled or bytearray(64 * part.blocks)
    begin = at = end = run = 0
    for block in blocks:
        if at >= end:
            begin, at, end = begin + (at >> 3), at & 7, 8 * _PIECE
            windows = _windows(bits, begin)
            length, symbol = table.length[windows].tobytes(), table.symbol[windows].tobytes()
        place, stop = 64 * block + first, 64 * block + last
        while not run and place <= stop:
            zeros, digits = symbol[at] >> 4, symbol[at] & 15
            if not length[at] or (refines and digits > 1):
                raise ValueError(_CORRUPT)
            at += length[at]
            if not digits and zeros < 15:
                run = (1 << zeros) + (int(windows[at - zeros]) >> (16 - zeros))
                break
            while refines and place <= stop and (filled[place] or zeros):
                zeros -= not filled[place]
                at += filled[place]
                place += 1
            if not refines:
                place += zeros
            if digits:
                if place > stop:
                    raise ValueError(_CORRUPT)
                filled[place] = 1
            place += 1
        if run:
            at += sum(filled[place : stop + 1]) if refines else 0
            run -= 1
    if run:
        raise ValueError(_CORRUPT)
    return 8 * begin + at
