"""Frames of one series become volumes: told apart where several lie at one place, each an even, ordered stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ....errors import InputError
from ....words import shown
from ...geometry import ORTHONORMAL_TOLERANCE, PLANES, Geometry
from .frames import MARKS, TIMES, Frame, Numbers

POSITION_TOLERANCE = 0.02
"""Deviation of a slice's position from an even stack, as a fraction of the slice distance, plus 0.01 mm."""

SAME_PLACE_MM = 0.01
"""Slices that lie closer than this along their normal lie at the same place."""

_LIKENESS = 1e-3
"""Largest difference of direction cosines, and of spacings (relative), within one stack."""

_STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Axes of a slice that states none."""

Value = str | float
Likeness = Callable[[Frame], "tuple[Numbers | None, float, str]"]
"""What is compared, how closely, and what it is called."""


@dataclass(frozen=True)
class FrameGroup:
    """Frames of one volume, and what it is called (empty where there is only one)."""

    frames: tuple[Frame, ...]
    label: str = ""


@dataclass(frozen=True)
class Stack:
    """A complete, evenly spaced stack of frames, ordered along the normal of the slices, and its grid."""

    frames: tuple[Frame, ...]
    geometry: Geometry
    spacing_known: bool
    oriented: bool


def tell_apart(frames: Sequence[Frame]) -> list[FrameGroup]:
    """Groups of frames that are volumes of their own: of other sizes or orientations, or at places that others fill.

    What tells frames at one place apart decides: stack, part of complex numbers, kind of image, echo, inversion time,
    flip angle, b-value, direction, file, and at last time. Copies stay together, and are refused with their stack.
    """
    groups = [FrameGroup(tuple(frames))]
    for likeness in (_size, _orientation, _spacing):
        groups = [part for group in groups for part in _split(group, _alike(group.frames, likeness))]
    for mark in (*MARKS, *TIMES):
        groups = [part for group in groups for part in _split_doubled(group, mark)]
    return groups


def _split(group: FrameGroup, values: Sequence[Value], mark: str = "") -> list[FrameGroup]:
    """Parts of a group by the value of each frame: numbers in their order, others as they come."""
    parts: dict[Value, list[Frame]] = {}
    for frame, value in zip(group.frames, values, strict=True):
        parts.setdefault(value, []).append(frame)
    if len(parts) == 1:
        return [group]
    found = list(parts.items())
    if all(isinstance(value, float) for value in parts):
        found.sort(key=lambda part: part[0])
    return [FrameGroup(tuple(some), ", ".join(filter(None, [group.label, _called(mark, value)])))
            for value, some in found]


def _called(mark: str, value: Value) -> str:
    words = f"{value:g}" if isinstance(value, float) else value.replace("\\", " ")
    if mark in TIMES:
        return f"time {words}"
    return MARKS.get(mark, "{}").format(words) if words else f"without {mark}"


def _split_doubled(group: FrameGroup, mark: str) -> list[FrameGroup]:
    """Parts of a group by a mark, where frames at the same place differ in it; of times their order there counts."""
    if len(group.frames) < 2 or any(frame.position is None for frame in group.frames):
        return [group]
    values = [_mark(frame, mark) for frame in group.frames]
    if len(set(values)) == 1:
        return [group]
    places: dict[int, list[int]] = {}
    for n, place in enumerate(_places(group.frames)):
        places.setdefault(place, []).append(n)
    if all(len({values[n] for n in here}) == 1 for here in places.values()):
        return [group]
    if mark in TIMES:
        for here in places.values():
            order = sorted({values[n] for n in here}, key=lambda value: (isinstance(value, str), value))
            for n, value in zip(here, [values[n] for n in here], strict=True):
                values[n] = float(order.index(value) + 1)
    return _split(group, values, mark)


def _mark(frame: Frame, mark: str) -> str | float:
    if mark == "file":
        return Path(frame.file.path).name if frame.file.count > 1 else ""
    return frame.marks.get(mark, "")


def _places(frames: Sequence[Frame]) -> list[int]:
    """Number of each frame's place along the normal."""
    along = _along(frames)
    order = np.argsort(along, kind="stable")
    numbers = np.empty(len(frames), int)
    numbers[order] = np.concatenate([[0], np.cumsum(np.diff(along[order]) > SAME_PLACE_MM)])
    return [int(n) for n in numbers]


def _along(frames: Sequence[Frame]) -> npt.NDArray[np.float64]:
    return np.array([frame.position for frame in frames], np.float64) @ _normal(frames[0].axes)


def _normal(axes: Numbers | None) -> npt.NDArray[np.float64]:
    row_column = np.array(axes or _STRAIGHT, np.float64)
    return np.cross(row_column[:3], row_column[3:])


def _alike(frames: Sequence[Frame], likeness: Likeness) -> list[str]:
    """The words of each frame's likeness; those within the tolerance of an earlier one get the words of that one."""
    seen: list[tuple[Numbers | None, str]] = []
    found = []
    for frame in frames:
        value, tolerance, words = likeness(frame)
        known = next((text for other, text in seen if _close(value, other, tolerance)), None)
        if known is None:
            same = sum(text.startswith(words) for _, text in seen)
            known = f"{words} ({same + 1})" if same else words
            seen.append((value, known))
        found.append(known)
    return found


def _close(one: Numbers | None, other: Numbers | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= tolerance * max(1.0, abs(b)) for a, b in zip(one, other, strict=True))


def _size(frame: Frame) -> tuple[Numbers, float, str]:
    size = frame.file.columns, frame.file.rows
    return (*size, frame.file.colored), 0.0, f"{size[0]} x {size[1]}{' in color' if frame.file.colored else ''}"


def _orientation(frame: Frame) -> tuple[Numbers | None, float, str]:
    if frame.axes is None:
        return None, 0.0, "without orientation"
    return frame.axes, _LIKENESS, PLANES[int(np.abs(_normal(frame.axes)).argmax())]


def _spacing(frame: Frame) -> tuple[Numbers | None, float, str]:
    if frame.spacing is None:
        return None, 0.0, "without spacing"
    return frame.spacing, _LIKENESS, f"{frame.spacing[0]:g} x {frame.spacing[1]:g} mm"


def are_apart(frames: Sequence[Frame]) -> bool:
    """Whether the frames are of one volume by all that they state, each at a place of its own."""
    return len(tell_apart(frames)) == 1 and all(frame.position for frame in frames) \
        and len(set(_places(frames))) == len(frames)


def stack_of(frames: Sequence[Frame], where: str) -> Stack:
    """The frames of one volume in order; ``where`` is named in the message.

    Raises ``InputError`` where they do not lie in one even, straight stack.
    """
    first = frames[0]
    _refuse_unplaced(frames, where)
    axes = np.array(first.axes or _STRAIGHT, np.float64)
    normal = _normal(first.axes)
    if abs(float(np.linalg.norm(normal)) - 1.0) > ORTHONORMAL_TOLERANCE:
        raise InputError(f'The rows and columns of the slices of "{shown(where)}" are not perpendicular.',
                         "Export the series again from its source.")
    positions = np.array([frame.position or (0.0, 0.0, 0.0) for frame in frames], np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    distance = _even_spacing(positions[order], normal, where) if len(frames) > 1 else first.thickness or 1.0
    x, y, z = positions[order[0]].tolist()
    geometry = Geometry((first.file.columns, first.file.rows, len(frames)), (x, y, z),
                        (*(first.spacing or (1.0, 1.0)), distance), np.stack([axes[:3], axes[3:], normal], axis=1))
    return Stack(tuple(frames[n] for n in order), geometry, first.spacing is not None, first.axes is not None)


def _refuse_unplaced(frames: Sequence[Frame], where: str) -> None:
    """Refuse several slices without places; those of one file may lie at a stated distance, in no known direction."""
    if len(frames) == 1:
        return
    several = frames[0].file.count > 1
    if any(frame.position is None or (frame.axes is None and not several) for frame in frames):
        if several:
            raise InputError(f'The {len(frames)} frames of "{shown(Path(frames[0].file.path).name)}" do not state '
                             "where they lie.", "Convert it to NRRD or NIfTI with a tool that knows such files.")
        raise InputError(f'The slices of "{shown(where)}" do not state their position and orientation.',
                         "Convert the series to NRRD or NIfTI with a tool that knows its order.")


def _even_spacing(positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64], where: str) -> float:
    """Distance of the sorted slices in mm."""
    along = positions @ normal
    steps = np.diff(along)
    apart = steps > SAME_PLACE_MM
    typical = float(np.median(steps[apart])) if apart.any() else 0.0
    doubled = int(np.count_nonzero(~apart))
    if doubled:
        raise InputError(f'{doubled} slices of "{shown(where)}" lie at the position of another (copies, or several '
                         "time points or echoes).", "Keep one slice for each position.")
    tolerance = POSITION_TOLERANCE * typical + 0.01
    gaps = steps - typical
    if np.any(np.abs(gaps) > tolerance):
        lost = np.rint(steps / typical) - 1
        if np.all(np.abs(steps - (lost + 1) * typical) <= tolerance * (lost + 1)) and lost.min() >= 0:
            raise InputError(f'{int(lost.sum())} slices of "{shown(where)}" are missing between '
                             f"{along[0]:.1f} and {along[-1]:.1f} mm.", "Export the whole series again.")
        raise InputError(f'The slices of "{shown(where)}" are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} '
                         "mm).", "Resample the series to an even spacing first (in Slicer: the DICOM import does).")
    sideways = positions - positions[0] - np.outer(along - along[0], normal)
    if np.abs(sideways).max() > tolerance:
        raise InputError(f'The slices of "{shown(where)}" are shifted against each other (tilted gantry).',
                         "Resample the series to an orthogonal grid first (in Slicer: the DICOM import does).")
    return float((along[-1] - along[0]) / (len(along) - 1))
