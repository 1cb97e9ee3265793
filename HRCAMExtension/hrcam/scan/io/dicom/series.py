"""The series of a folder: listed, chosen by number, UID or file, and made one volume or refused in words."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ....errors import InputError
from ....words import shown
from ..damage import SIDES_UNKNOWN, damaged
from .folder import PACKED, Folder, entry_of, look_into, lost_slices, number_of, why_lost
from .frames import Entry, Frame
from .signature import is_dicom
from .volumes import FrameGroup, Stack, are_apart, stack_of, tell_apart

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
    not), what is known already to stop it, and the UID of its series where it is all that the folder holds of it.
    """

    path: str
    name: str
    passed_over: str = ""
    error: InputError | None = None
    uid: str = ""


def series_at(path: Path) -> Series | None:
    """The volume that ``folder#series``, ``folder#series#volume`` or ``file#volume`` names; None for other paths.

    A series is named by SeriesInstanceUID or SeriesNumber, a volume by its number in the message that lists them. Where
    the folder's own files hold no such series, those below it do.
    """
    for marks in (1, 2):
        place, *choice = str(path).rsplit("#", marks)
        if len(choice) < marks or not all(choice) or os.path.lexists(path):
            return None
        if Path(place).is_dir():
            return _chosen(Path(place), choice[0], choice[1] if marks == 2 else "")
        if marks == 1 and is_dicom(Path(place)):
            return _of_file(Path(place), choice[0])
    return None


def single_series(path: Path) -> Series:
    """The one series of a folder, or what the file ``path`` belongs to: itself if it has several frames, else its
    series.

    Raises ``InputError`` where there is none, more than one, or an incomplete one.
    """
    if not path.is_dir():
        return _of_file(path, "")
    found = look_into(path)
    if not found.series:
        if found.broken and found.broken[0].problem is not None:
            raise found.broken[0].problem
        for file in lost_slices(found, []):
            if (why := why_lost(file)) == PACKED:
                raise damaged(file, why)
        raise InputError(f'The folder "{shown(path)}" holds no DICOM images.',
                         "Give the folder that directly contains the slices of one series.")
    if len(found.series) > 1:
        raise InputError(f'The folder "{shown(path)}" holds {len(found.series)} DICOM series.', _choices(found.series))
    (entries,) = found.series.values()
    for broken in found.broken:
        if broken.problem is not None:
            raise broken.problem
    for file in lost_slices(found, entries):
        raise damaged(file, why_lost(file))
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
        if not path.is_dir() and not is_dicom(path):
            return ()
        series = single_series(path)
    return series.stack.frames


def frames_in(files: Sequence[str]) -> tuple[Frame, ...]:
    """The frames of some files, as the files come; empty unless all of them are images."""
    entries = [entry_of(Path(file), Path(file).stat()) for file in files]
    whole = all(entry is not None and entry.problem is None for entry in entries)
    return tuple(frame for entry in entries if entry is not None for frame in entry.frames) if whole else ()


def list_series(folder: Path) -> list[Listed]:
    """All volumes of a folder (not its subfolders), and what is passed over; empty where it holds no DICOM.

    Raises ``InputError`` where all that it holds is damaged.
    """
    found = look_into(folder)
    listed = []
    for uid, entries in found.series.items():
        name, why = _name(folder, uid, entries, found.series), _why_passed_over(entries)
        if len(entries) > 1 and all(len(entry.frames) > 1 for entry in entries) and not _is_one_stack(entries):
            listed += [Listed(entry.path, f"{name}_{Path(entry.path).stem}", why) for entry in entries]
        else:
            problem = next((entry.problem for entry in entries if entry.problem is not None), None)
            listed.append(Listed(f"{folder}#{uid}" if len(found.series) > 1 else str(folder), name, why, problem, uid))
    if found.broken and not listed and found.broken[0].problem is not None:
        raise found.broken[0].problem
    if len(found.series) > 1:  # of a single series they are: it is refused with them
        listed += [Listed(entry.path, Path(entry.path).name, str(entry.problem)) for entry in found.broken]
    if found.objects and not listed:
        listed.append(Listed(str(folder), folder.name, "it holds DICOM objects, but no image"))
    return listed


def series_of(file: Path) -> Listed | None:
    """The series that a file of one frame belongs to; None for any other file."""
    entry = entry_of(file, file.stat())
    if entry is None or len(entry.frames) != 1:
        return None
    found = look_into(file.parent)
    entries = found.series.get(entry.series, [entry])
    return Listed(f"{file.parent}#{entry.series}", _name(file.parent, entry.series, entries, found.series),
                  uid=entry.series)


def spread_series(uid: str, folders: Sequence[Path]) -> Listed | None:
    """The series that lies in several folders, as some exports spread the slices; None where they hold copies of each
    other, or volumes of their own.
    """
    try:
        whole = Path(os.path.commonpath(folders))
    except ValueError:  # relative paths and absolute ones, or several drives
        return None
    entries = [entry for folder in folders for entry in look_into(folder).series.get(uid, [])]
    frames = [frame for entry in entries for frame in entry.frames]
    if whole in folders or any(entry.problem for entry in entries) or not are_apart(frames):
        return None
    return Listed(f"{whole}#{uid}", f"{whole.resolve().name}_{number_of(entries) or uid[-12:]}", uid=uid)


def _is_one_stack(entries: Sequence[Entry]) -> bool:
    frames = [frame for entry in entries for frame in entry.frames]
    try:
        return are_apart(frames) and bool(stack_of(frames, "").frames)
    except InputError:
        return False


def _name(folder: Path, uid: str, entries: list[Entry], others: dict[str, list[Entry]]) -> str:
    """The folder's name and the series' number, whatever else lies there; its UID's end where two have one number."""
    return f"{folder.resolve().name}_{_own_number(entries, others) or uid[-12:]}"


def _own_number(entries: list[Entry], others: dict[str, list[Entry]]) -> str:
    """The number of a series, where no other one has it; else empty."""
    number = number_of(entries)
    return number if sum(number_of(one) == number for one in others.values()) == 1 else ""


def _why_passed_over(entries: list[Entry]) -> str:
    """Words for a series that nobody wants localized unless it is named: pictures in color, localizers."""
    kinds = {_aside(entry.frames[0]) for entry in entries if entry.frames}
    return f"{len(entries)} {kinds.pop()}" if len(kinds) == 1 and "" not in kinds else ""


def _aside(frame: Frame) -> str:
    """What a picture is that is made beside a scan; empty for its slices."""
    localizer = "LOCALIZER" in frame.file.image_type.split("\\")
    return "color pictures" if frame.file.colored else "images of a localizer" if localizer else ""


def _chosen(folder: Path, choice: str, volume: str) -> Series:
    found = look_into(folder)
    matches = _matches(found, choice)
    if not matches:
        found = look_into(folder, below=True)
        matches = _matches(found, choice)
    if len(matches) != 1:
        raise InputError(f'"{shown(folder)}" holds {len(matches) or "no"} series "{shown(choice)}".',
                         _choices(found.series))
    ((uid, entries),) = matches.items()
    name = _name(folder, uid, entries, found.series)
    series = _volume(entries, folder, name, f"{folder}#{choice}", volume)
    unread = [Path(entry.path).name for entry in found.broken] + [file.name for file in lost_slices(found, entries)]
    return _with_note(series, unread)


def _matches(found: Folder, choice: str) -> dict[str, list[Entry]]:
    return {uid: entries for uid, entries in found.series.items() if choice in (uid, number_of(entries))}


def _of_file(path: Path, volume: str) -> Series:
    """What a named file belongs to."""
    entry = entry_of(path, path.stat())
    if entry is None:
        raise InputError(f'"{shown(path.name)}" is a DICOM file without an image.',
                         "Give the folder of the image series.")
    if entry.problem is not None:
        raise entry.problem
    part = entry.frames[0].file.concatenation
    if len(entry.frames) > 1 and not part:
        return _volume([entry], path, path.stem, str(path), volume)
    found = look_into(path.parent)
    entries = [one for one in found.series.get(entry.series, [entry])
               if not part or (one.frames and one.frames[0].file.concatenation == part)]
    name = _name(path.parent, entry.series, entries, found.series) if len(found.series) > 1 \
        else path.parent.resolve().name
    series = _volume(entries, path.parent, name, f"{path.parent}#{entry.series}", volume)
    unread = [Path(one.path).name for one in found.broken] + [file.name for file in lost_slices(found, entries)]
    return _with_note(series, unread)


def _volume(entries: list[Entry], where: Path, name: str, source: str, volume: str) -> Series:
    """The one volume of a series, or the one of several that ``volume`` numbers."""
    for entry in entries:
        if entry.problem is not None:
            raise entry.problem
    frames = [frame for entry in entries for frame in entry.frames]
    groups, left = tell_apart(frames), 0
    if len(groups) > 1 and not volume:
        slices = [frame for frame in frames if not _aside(frame)]
        if slices and len(scan := tell_apart(slices)) == 1:
            groups, frames, left = scan, slices, len(frames) - len(slices)
    if volume:
        if not volume.isdecimal() or not 1 <= int(volume) <= len(groups):
            raise InputError(f'"{shown(source)}" holds no volume "{shown(volume)}".', _volume_choices(groups, source))
        group, name, source = groups[int(volume) - 1], f"{name}_{volume}", f"{source}#{volume}"
    elif len(groups) > 1:
        raise _several(groups, where, source)
    else:
        group = groups[0]
    _refuse_missing_parts(entries, where)
    stack = stack_of(group.frames, str(where))
    first = stack.frames[0].file
    modality = " ".join(filter(None, [first.modality, first.description])) or None
    return Series(stack, name, source, modality, (*_notes(stack, groups, len(frames), left),))


def _refuse_missing_parts(entries: list[Entry], where: Path) -> None:
    """Refuse an image in several files (a concatenation) that are not all there."""
    there = Counter(entry.frames[0].file.concatenation for entry in entries)
    for file in (entry.frames[0].file for entry in entries):
        if file.concatenation and there[file.concatenation] < file.parts:
            raise InputError(f'{file.parts - there[file.concatenation]} of the {file.parts} files of one image in '
                             f'"{shown(where)}" are missing.', "Export the whole series again.")


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


def _notes(stack: Stack, groups: list[FrameGroup], total: int, left: int) -> list[str]:
    """What is not stated or was left out, and what speaks for missing slices at an end, where no gap shows them."""
    notes = [] if stack.oriented else [SIDES_UNKNOWN.format(why="it has no orientation")]
    if left:
        notes.append(f"Localizers or pictures in color were left out of the series ({left} of {total + left} images).")
    here, most = len(stack.frames), max(len(group.frames) for group in groups)
    if here < most:
        notes.append(f"Another volume of the series has {most} slices, this one {here}: slices may be missing.")
    expected = max(frame.file.expected for frame in stack.frames)
    if expected > total:
        notes.append(f"The header states {expected} images of this acquisition, {total} are there: slices may be "
                     "missing at an end of the scan.")
    elif len(groups) == 1:
        first = _first_number(stack.frames)
        if 1 + left < first <= here:  # larger numbers count through other series too
            notes.append(f"The slices are numbered from {first} on: {first - 1 - left} may be missing at an end of the "
                         "scan.")
    return notes


def _first_number(frames: Sequence[Frame]) -> int:
    """Lowest number of slices that are numbered one by one along the stack, up or down; 1 where they are not."""
    numbers = [frame.instance for frame in frames if frame.instance is not None]
    steps = {after - before for before, after in pairwise(numbers)}
    return min(numbers) if len(numbers) == len(frames) > 2 and steps in ({1}, {-1}) else 1


def _with_note(series: Series, unread: list[str]) -> Series:
    if not unread:
        return series
    named = ", ".join(shown(name) for name in unread[:3]) + (f" and {len(unread) - 3} more" if unread[3:] else "")
    note = f"Files beside the slices cannot be read ({named}): if they are of this series, its end is missing."
    return Series(series.stack, series.name, series.source, series.modality, (*series.notes, note))
