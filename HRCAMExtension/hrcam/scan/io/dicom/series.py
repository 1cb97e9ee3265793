"""The series of a folder: listed, chosen by number, UID or file, and made one volume or refused in words."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from ....errors import InputError
from ....words import reason, shown
from ..damage import SIDES_UNKNOWN, damaged
from .dataset import is_dicom
from .frames import Entry, Frame, read_entry
from .volumes import FrameGroup, Stack, stack_of, tell_apart

_SLICE_ENDINGS = (".dcm", ".ima", ".dicom", ".dcm.gz", ".ima.gz")
_JUST_WRITTEN_NS = 100_000_000
"""A file this young may be written again without its time telling so: what is read of it is not kept."""
_MOST_CHOICES = 8


@dataclass(frozen=True)
class Series:
    """One volume of a series: its stack, what it is called, and what speaks against trusting it."""

    stack: Stack
    name: str
    source: str
    modality: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """A volume that a folder holds: what ``read_volume`` takes, a name for it, why it is passed over (empty if it is
    not), and what is known already to stop it.
    """

    path: str
    name: str
    passed_over: str = ""
    error: InputError | None = None


@dataclass
class _Folder:
    """What lies in a folder: files by series; damaged ones of no known series; those that are no DICOM; and whether
    there are objects that are no images.
    """

    series: dict[str, list[Entry]] = field(default_factory=dict)
    broken: list[Entry] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    objects: bool = False


def series_at(path: Path) -> Series | None:
    """The volume that ``folder#series``, ``folder#series#volume`` or ``file#volume`` names; None for other paths.

    A series is named by SeriesInstanceUID or SeriesNumber, a volume by its number in the message that lists them.
    """
    for marks in (1, 2):
        place, *choice = str(path).rsplit("#", marks)
        if len(choice) < marks or not all(choice) or os.path.lexists(path):
            return None
        if Path(place).is_dir():
            return _chosen(Path(place), choice[0], choice[1] if marks == 2 else "")
        if marks == 1 and Path(place).is_file() and is_dicom(Path(place)):
            return _of_file(Path(place), choice[0])
    return None


def single_series(path: Path) -> Series:
    """The one series of a folder, or what the file ``path`` belongs to: itself if it has several frames, else its
    series.

    Raises ``InputError`` where there is none, more than one, or an incomplete one.
    """
    if not path.is_dir():
        return _of_file(path, "")
    found = _look_into(path)
    if not found.series:
        if found.broken and found.broken[0].problem is not None:
            raise found.broken[0].problem
        raise InputError(f'The folder "{shown(path)}" holds no DICOM images.',
                         "Give the folder that directly contains the slices of one series.")
    if len(found.series) > 1:
        raise InputError(f'The folder "{shown(path)}" holds {len(found.series)} DICOM series.', _choices(found.series))
    (entries,) = found.series.values()
    for broken in found.broken:
        if broken.problem is not None:
            raise broken.problem
    for file in _lost_slices(found, entries):
        raise damaged(file, _why_lost(file))
    return _volume(entries, path, path.resolve().name, str(path), "")


def files_of(source: str) -> list[str]:
    """The files of the DICOM volume that a scan's ``source`` names, in the order of its slices; empty for others.

    Raises ``InputError`` where the series cannot be read any more.
    """
    return list(dict.fromkeys(frame.file.path for frame in frames_of(source)))


def frames_of(source: str) -> tuple[Frame, ...]:
    """The frames of the DICOM volume that a scan's ``source`` names, in the order of its slices; empty for others.

    Raises ``InputError`` where the series cannot be read any more.
    """
    path = Path(source)
    if not source:
        return ()
    series = series_at(path)
    if series is None:
        if not path.is_dir() and not (path.is_file() and is_dicom(path)):
            return ()
        series = single_series(path)
    return series.stack.frames


def frames_in(files: Sequence[str]) -> tuple[Frame, ...]:
    """The frames of some files, as the files come; empty unless all of them are images."""
    entries = [_entry(Path(file), Path(file).stat()) for file in files]
    whole = all(entry is not None and entry.problem is None for entry in entries)
    return tuple(frame for entry in entries if entry is not None for frame in entry.frames) if whole else ()


def list_series(folder: Path) -> list[Listed]:
    """All volumes of a folder (not its subfolders), and what is passed over; empty where it holds no DICOM.

    Raises ``InputError`` where all that it holds is damaged.
    """
    found = _look_into(folder)
    listed = []
    for uid, entries in found.series.items():
        name, why = _name(folder, uid, entries, found.series), _why_passed_over(entries)
        if len(entries) > 1 and all(len(entry.frames) > 1 for entry in entries):
            listed += [Listed(entry.path, f"{name}_{Path(entry.path).stem}", why) for entry in entries]
        else:
            problem = next((entry.problem for entry in entries if entry.problem is not None), None)
            listed.append(Listed(f"{folder}#{uid}" if len(found.series) > 1 else str(folder), name, why, problem))
    if found.broken and not listed and found.broken[0].problem is not None:
        raise found.broken[0].problem
    if len(found.series) > 1:  # of a single series they are: it is refused with them
        listed += [Listed(entry.path, Path(entry.path).name, str(entry.problem)) for entry in found.broken]
    if found.objects and not listed:
        listed.append(Listed(str(folder), folder.name, "it holds DICOM objects, but no image"))
    return listed


def series_of(file: Path) -> Listed | None:
    """The series that a file of one frame belongs to; None for any other file."""
    entry = _entry(file, file.stat())
    if entry is None or len(entry.frames) != 1:
        return None
    found = _look_into(file.parent)
    entries = found.series.get(entry.series, [entry])
    return Listed(f"{file.parent}#{entry.series}", _name(file.parent, entry.series, entries, found.series))


def _name(folder: Path, uid: str, entries: list[Entry], others: dict[str, list[Entry]]) -> str:
    """The folder's name and the series' number, whatever else lies there; its UID's end where two have one number."""
    return f"{folder.resolve().name}_{_own_number(entries, others) or uid[-12:]}"


def _own_number(entries: list[Entry], others: dict[str, list[Entry]]) -> str:
    """The number of a series, where no other one has it; else empty."""
    number = _number(entries)
    return number if sum(_number(one) == number for one in others.values()) == 1 else ""


def _number(entries: list[Entry]) -> str:
    return next((entry.frames[0].file.number for entry in entries if entry.frames), "")


def _why_passed_over(entries: list[Entry]) -> str:
    """Words for a series that nobody wants localized unless it is named: pictures in color, localizers."""
    files = [entry.frames[0].file for entry in entries if entry.frames]
    if files and all(file.colored for file in files):
        return f"{len(files)} color pictures"
    if files and all("LOCALIZER" in file.image_type.split("\\") for file in files):
        return f"a localizer of {len(files)} images"
    return ""


def _look_into(folder: Path) -> _Folder:
    found = _Folder()
    by_uid: dict[str, list[Entry]] = defaultdict(list)
    for file, stamp in _files(folder):
        entry = _entry(file, stamp)
        if entry is not None and not entry.series and entry.problem is not None:
            found.broken.append(entry)
        elif entry is not None:
            by_uid[entry.series].append(entry)
        elif is_dicom(file):
            found.objects = True
        else:
            found.foreign.append(file)
    found.series = dict(sorted(by_uid.items(), key=lambda item: (int(_number(item[1]) or 0), item[0])))
    return found


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


def _entry(file: Path, stamp: os.stat_result) -> Entry | None:
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


def _chosen(folder: Path, choice: str, volume: str) -> Series:
    found = _look_into(folder)
    matches = {uid: entries for uid, entries in found.series.items() if choice in (uid, _number(entries))}
    if len(matches) != 1:
        raise InputError(f'"{shown(folder)}" holds {len(matches) or "no"} series "{shown(choice)}".',
                         _choices(found.series))
    ((uid, entries),) = matches.items()
    name = _name(folder, uid, entries, found.series)
    series = _volume(entries, folder, name, f"{folder}#{choice}", volume)
    unread = [Path(entry.path).name for entry in found.broken] + [file.name for file in _lost_slices(found, entries)]
    return _with_note(series, unread)


def _of_file(path: Path, volume: str) -> Series:
    """What a named file belongs to."""
    entry = _entry(path, path.stat())
    if entry is None:
        raise InputError(f'"{shown(path.name)}" is a DICOM file without an image.',
                         "Give the folder of the image series.")
    if entry.problem is not None:
        raise entry.problem
    if len(entry.frames) > 1:
        return _volume([entry], path, path.stem, str(path), volume)
    found = _look_into(path.parent)
    entries = found.series.get(entry.series, [entry])
    name = _name(path.parent, entry.series, entries, found.series) if len(found.series) > 1 \
        else path.parent.resolve().name
    series = _volume(entries, path.parent, name, f"{path.parent}#{entry.series}", volume)
    unread = [Path(one.path).name for one in found.broken] + [file.name for file in _lost_slices(found, entries)]
    return _with_note(series, unread)


def _volume(entries: list[Entry], where: Path, name: str, source: str, volume: str) -> Series:
    """The one volume of a series, or the one of several that ``volume`` numbers."""
    for entry in entries:
        if entry.problem is not None:
            raise entry.problem
    frames = [frame for entry in entries for frame in entry.frames]
    groups = tell_apart(frames)
    if volume:
        if not volume.isdecimal() or not 1 <= int(volume) <= len(groups):
            raise InputError(f'"{shown(source)}" holds no volume "{shown(volume)}".', _volume_choices(groups, source))
        group, name, source = groups[int(volume) - 1], f"{name}_{volume}", f"{source}#{volume}"
    elif len(groups) > 1:
        raise _several(groups, where, source)
    else:
        group = groups[0]
    stack = stack_of(group.frames, str(where))
    first = stack.frames[0].file
    modality = " ".join(filter(None, [first.modality, first.description])) or None
    return Series(stack, name, source, modality, (*_notes(stack, groups, len(frames)),))


def _several(groups: list[FrameGroup], where: Path, source: str) -> InputError:
    """The error for a series of several volumes: what tells them apart, and how one is chosen."""
    files = [group.frames[0].file for group in groups]
    first, frame = files[0], groups[0].frames[0]
    called = shown(where.name if where.is_file() else where)
    if any((file.columns, file.rows, file.colored) != (first.columns, first.rows, first.colored) for file in files):
        words = f'The slices of "{called}" differ in size ({first.columns} x {first.rows} and others).'
    elif any(not _near(group.frames[0].axes, frame.axes) for group in groups):
        words = f'The slices of "{called}" differ in orientation (a localizer, or mixed series).'
    elif any(not _near(group.frames[0].spacing, frame.spacing) for group in groups):
        words = f'The slices of "{called}" differ in pixel spacing.'
    else:
        total = sum(len(group.frames) for group in groups)
        doubled = total - max(len(group.frames) for group in groups)
        words = (f'{doubled} slices of "{called}" lie at the position of another: the series holds {len(groups)} '
                 "volumes.")
    return InputError(words, _volume_choices(groups, source))


def _near(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) < 1e-3 for a, b in zip(one, other, strict=True))


def _volume_choices(groups: list[FrameGroup], source: str) -> str:
    listed = [f"#{n} ({group.label or 'all'}, {len(group.frames)} slices)"
              for n, group in enumerate(groups[:_MOST_CHOICES], start=1)]
    more = f" and {len(groups) - _MOST_CHOICES} more" if len(groups) > _MOST_CHOICES else ""
    return f"Choose one as {shown(source)}#NUMBER: {'; '.join(listed)}{more}."


def _choices(series: dict[str, list[Entry]]) -> str:
    """Hint that names the series one may choose."""
    listed = []
    for uid, entries in list(series.items())[:_MOST_CHOICES]:
        frames = [frame for entry in entries for frame in entry.frames]
        words = ", ".join(filter(None, [frames[0].file.description, frames[0].file.modality])) if frames else "damaged"
        listed.append(f"#{_own_number(entries, series) or uid} ({words} {len(frames)} slices)")
    more = f" and {len(series) - _MOST_CHOICES} more" if len(series) > _MOST_CHOICES else ""
    return f"Choose one as FOLDER#NUMBER or FOLDER#SeriesInstanceUID: {'; '.join(listed)}{more}."


def _notes(stack: Stack, groups: list[FrameGroup], total: int) -> list[str]:
    """What speaks for slices that are missing at an end, where no gap shows it; and what is not stated."""
    notes = [] if stack.oriented else [SIDES_UNKNOWN.format(why="it has no orientation")]
    here, most = len(stack.frames), max(len(group.frames) for group in groups)
    if here < most:
        notes.append(f"Another volume of the series has {most} slices, this one {here}: slices may be missing.")
    expected = max(frame.file.expected for frame in stack.frames)
    if expected > total:
        notes.append(f"The header states {expected} images of this acquisition, {total} are there: slices may be "
                     "missing at an end of the scan.")
    elif len(groups) == 1:
        first = _first_number(stack.frames)
        if 1 < first <= here:  # larger numbers count through other series too
            notes.append(f"The slices are numbered from {first} on: {first - 1} may be missing at an end of the scan.")
    return notes


def _first_number(frames: Sequence[Frame]) -> int:
    """Lowest number of slices that are numbered one by one along the stack, up or down; 1 where they are not."""
    numbers = [frame.instance for frame in frames if frame.instance is not None]
    steps = {after - before for before, after in pairwise(numbers)}
    return min(numbers) if len(numbers) == len(frames) > 2 and steps in ({1}, {-1}) else 1


def _lost_slices(found: _Folder, entries: list[Entry]) -> list[Path]:
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


def _why_lost(file: Path) -> str:
    with file.open("rb") as stream:
        head = stream.read(2)
    if not head:
        return "it is empty"
    return "it is packed with gzip, unpack it first" if head == b"\x1f\x8b" else "the DICOM signature is missing"


def _with_note(series: Series, unread: list[str]) -> Series:
    if not unread:
        return series
    named = ", ".join(shown(name) for name in unread[:3]) + (f" and {len(unread) - 3} more" if unread[3:] else "")
    note = f"Files beside the slices cannot be read ({named}): if they are of this series, its end is missing."
    return Series(series.stack, series.name, series.source, series.modality, (*series.notes, note))
