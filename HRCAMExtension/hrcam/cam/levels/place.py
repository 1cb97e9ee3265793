"""Where a feature map lies on the image, and its evidence laid there.

The cells of most maps divide the image evenly among them, which is what up-sampling takes for granted. Unpadded
convolutions and crops give maps of the image's inner part, networks that pad their input give maps with cells beyond
it. Which it is can depend on the image's size, so it is found anew for each size, by `waves`. The difference is made
good in whole cells; what cannot be (a map that is mirrored, rolled, warped, …) has a `fault`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn import functional as F

from ..feature_maps import Tap, find_module
from .example_run import undisturbed
from .waves import Answers, send_waves

_COHERENT = 0.7
"""Share of the answers along an axis that must agree across the other axes."""

_SILENT = 0.1
"""Of the strongest answer: cells with less look at no place of the image."""

_PARTS = 4
"""An axis is looked at in so many parts: places are averaged over one."""

_FINEST = 12
"""A place is not asked for more exactly than to this part of an axis, and in `_FEW` of the cells not at all."""

_FEW = 0.4

_SHIFTED = 1.5
"""Cells: a map that fits the image is moved by no less; padding of one side and coarser context make up to one."""

_SHARP = 0.15
"""Of a step: a map as a whole is moved only where its cells lie so near to one line."""

_MIXED = 0.2
"""By less than this part a step may differ from a stride that fits the image."""

_LOPSIDED = 0.4
"""Where so much more of an axis is missing at one end than at the other, the image was cut, not only left unpadded."""

_WHOLE_CELL = 0.65
"""From here on a cell is missing, or one too many. Strides displace a map by up to half a cell, and stay as they are:
what a trained network makes of them is less than the theory says (docs/method.md)."""


@dataclass(frozen=True)
class Placement:
    """How a feature map lies on the image.

    Attributes
    ----------
    margins : along each axis, the cells that are missing before the first and after the last; negative where so many
        lie beyond the image.
    fault : in words that complete "it shows the image …", why its evidence cannot be placed; None where it can.
    """

    margins: tuple[tuple[int, int], ...]
    fault: str | None = None


def find_places(
    cnn: nn.Module, names: Sequence[str], image: Tensor, strides: Sequence[Sequence[float] | None]
) -> list[Placement]:
    """Find how the named feature maps lie on images of a size; costs about as much as a few forward passes.

    What a module with a ``level_stride`` gives (see `find`) lies on the image evenly, as it vouches; so do, at sizes
    that the strides divide, all maps of a network that says so by ``lies_evenly``, and nothing is asked of it then.

    Parameters
    ----------
    names : as in `feature_maps`; maps B×C×*native.
    image : B×C×*size, of the network's type and device; its values are not used.
    strides : of the maps, as the recorded run has them; None where they are not known.
    """
    size = tuple(image.shape[2:])
    evenly = Placement(((0, 0),) * len(size))
    lies_evenly = getattr(cnn, "lies_evenly", False)
    if lies_evenly and all(
        stride is not None and not any(side % each for side, each in zip(size, stride, strict=True))
        for stride in strides
    ):
        return [evenly] * len(names)
    asked = [name for name in names if not (_vouches(cnn, Tap.parse(name)) or image.is_meta)]
    with undisturbed(cnn):
        answers = dict(zip(asked, send_waves(cnn, asked, image[:1]), strict=True)) if asked else {}
    found = [_read(answers[name], stride, size) if name in answers else evenly
             for name, stride in zip(names, strides, strict=True)]  # fmt: skip
    # A few cells on a small image may answer too faintly to be followed; such a network is known to mix up nothing.
    return [evenly if lies_evenly and one.fault else one for one in found]


def _vouches(cnn: nn.Module, tap: Tap) -> bool:
    return not tap.at_input and hasattr(find_module(cnn, tap.module), "level_stride")


def lay(level_map: Tensor, placement: Placement) -> Tensor:
    """Make a map cover the image evenly: cells beyond it are left out, and where there are none evidence is 0.

    The mean stays, so that completeness does: as fewer cells make the mean, each counts for more of the image; and
    what lay in cells beyond the image is given to all places alike.

    Parameters
    ----------
    level_map : B×C×*native, logit units.

    Returns
    -------
    B×C×*cells.
    """
    if not any(map(any, placement.margins)):
        return level_map
    padding = [cells for before_and_after in reversed(placement.margins) for cells in before_and_after]
    laid = F.pad(level_map, padding)
    space = tuple(range(2, level_map.ndim))
    laid = laid * (laid[0, 0].numel() / level_map[0, 0].numel())
    if min(padding) < 0:
        laid = laid + (level_map.mean(space, keepdim=True) - laid.mean(space, keepdim=True))
    return laid


def _read(answers: Sequence[Answers], strides: Sequence[float] | None, size: Sequence[int]) -> Placement:
    margins = []
    for axis, (waves, stride, length) in enumerate(zip(answers, strides or [0.0] * len(size), size, strict=True)):
        found = _read_axis(waves, axis, length, stride)
        if isinstance(found, str):
            return Placement(((0, 0),) * len(size), found)
        margins.append(found)
    return Placement(tuple(margins))


def _read_axis(answers: Answers, axis: int, length: int, stride: float) -> tuple[int, int] | str:
    """Margins along an axis of the image, or what is wrong; a stride of 0 is not known."""
    n, strength = answers.shape[axis], np.abs(answers)
    fits = abs(n * stride - length) <= stride
    if fits and n > 1 and (strength > _SILENT * strength.max()).all():
        # A wave has no mean then: what all cells share came through the image's mean, not from a place.
        answers = answers - answers.mean()
        strength = np.abs(answers)
    if fits and not strength.any():
        return 0, 0  # something on the way is constant; nothing speaks against what the recorded run says
    if not np.isfinite(strength).all() or not strength.any():
        return "in a way that cannot be followed"
    agreeing = [np.abs(_along(answers, other)).sum() / strength.sum() for other in range(answers.ndim)]
    if agreeing[axis] < _COHERENT:
        return "with its axes exchanged" if max(agreeing) > _COHERENT else "with its places mixed up"
    if n == 1:
        return 0, 0
    profile = _along(answers, axis)
    # Up-sampling within the network makes places go up in stairs, whose mean counts.
    heard = np.moveaxis(_averaged(strength > _SILENT * strength.max()), axis, -1) > 1 - 1e-6  # by all of the cells
    answers = np.moveaxis(_averaged(answers), axis, -1)
    found = _line(_along(answers, -1), _along(heard, -1) > 0, length)
    if found is None:
        return "in a way that cannot be followed"
    first, step = found
    if step <= 0:
        return f"mirrored along axis {axis + 2}"
    even = fits  # coarse context may then lie beside its place, as up-sampling within the network has it
    fits = fits and abs(step - stride) < _MIXED * stride
    if fits:  # what differs comes of context laid on the map more coarsely
        first, step = first + (step - stride) * (answers.shape[-1] - 1) / 2, stride
    first -= step * (n - answers.shape[-1]) / 2  # an average stands for the middle of its cells
    first -= length * np.floor((first + step * (n - 1) / 2) / length)  # the map's middle lies on the image
    expected = first + step * (np.arange(answers.shape[-1]) + (n - answers.shape[-1]) / 2)
    inside = (expected > -0.5 - step / 2) & (expected < length - 0.5 + step / 2)
    off = np.abs(_wrapped(_places(answers, length) - expected, length))
    wrong = off > max(_WHOLE_CELL * step, length / (_FINEST if not even else _FINEST / 3))
    if (wrong & inside & heard).sum() > _FEW * (inside & heard).sum():
        return "warped by the network itself"
    last = first + step * (n - 1)
    before, after = (first + 0.5) / step - 0.5, (length - 0.5 - last) / step - 0.5
    if even and max(abs(before), abs(after)) < _SHIFTED:
        return 0, 0
    line = first + step * np.arange(n)
    beside = np.abs(_wrapped(_places(profile, length) - line, length))
    if fits and np.median(beside) > _SHARP * step:
        return 0, 0  # the map is what its own cells say, of which coarser context hides where they lie
    beyond = np.maximum(-0.5 - line, line - length + 0.5)
    comes_back = (np.abs(profile) > _SILENT * np.abs(profile).max()) & (beyond > step / 2) & (beside < beyond / 2)
    if min(before, after) < -_WHOLE_CELL and max(before, after) > _WHOLE_CELL and comes_back.any():
        return f"rolled along axis {axis + 2}"
    if not even and abs(max(after, 0) - max(before, 0)) * step > _LOPSIDED * length:
        return "cut to a part"
    return _whole(before), _whole(after)


def _along(values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """The sum over all axes but one."""
    summed: npt.NDArray[Any] = values.sum(tuple(a for a in range(values.ndim) if a != axis % values.ndim))
    return summed


def _averaged(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Running means over one of `_PARTS` parts of each axis, where they lie within the map."""
    for axis, n in enumerate(values.shape):
        width = max(1, n // _PARTS)
        summed = np.insert(np.cumsum(values, axis, dtype=np.result_type(values, float)), 0, 0, axis)
        values = np.diff(np.take(summed, [range(n - width + 1), range(width, n + 1)], axis), axis=axis) / width
        values = np.squeeze(values, axis)
    return values


def _wrapped(difference: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float64]:
    return (difference + length / 2) % length - length / 2


def _places(answers: Answers, length: int) -> npt.NDArray[np.float64]:
    return np.angle(answers) / (2 * np.pi) * length


def _line(profile: Answers, heard: npt.NDArray[np.bool_], length: int) -> tuple[float, float] | None:
    """Place of the first cell, and the step to the next, of the line on which most neighboring cells lie."""
    places, even = _places(profile, length), length / len(profile)
    steps = _wrapped(np.diff(places), length)
    if len(places) == 2:  # half an axis on: no wave tells whether forth or back
        steps = even + _wrapped(steps - even, length)
    pairs = heard[1:] & heard[:-1]
    if not pairs.any():
        return None
    usual = float(np.median(steps[pairs]))
    regular = pairs & (np.abs(steps - usual) < 0.5 * max(abs(usual), even))
    ends = np.flatnonzero(np.diff(np.concatenate([[False], regular, [False]]).astype(int)))
    if not len(ends):
        return None
    start, stop = max(zip(ends[::2], ends[1::2], strict=True), key=lambda run: run[1] - run[0])
    unrolled = places[start] + np.concatenate([[0.0], np.cumsum(steps[start:stop])])
    step, first = np.polyfit(np.arange(start, stop + 1), unrolled, 1)
    return float(first), float(step)


def _whole(cells: float) -> int:
    whole = int(abs(cells) + 1 - _WHOLE_CELL)
    return whole if cells > 0 else -whole
