"""Where a feature map lies on the image, and its evidence laid there.

The cells of most maps divide the image evenly among them, which is what up-sampling takes for granted. Unpadded
convolutions and crops give maps of the image's inner part, networks that pad their input give maps with cells beyond
it. Which it is can depend on the image's size, so it is found anew for each size, by `waves`. The difference is made
good in whole cells; what cannot be (a map that is mirrored, rolled, warped, …) has a `fault`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ModelError
from ..feature_maps import MapName, find_module
from .example_run import undisturbed
from .waves import Waves, send_waves

_FAINT = 5e-8
"""Of a wave of `waves.HEIGHT` no more than rounding errors may be left, as where attention mixed all places."""

_SILENT = 0.1
"""Of the strongest row of cells: rows with less look at no place of the image."""

_FEW = 0.2
"""Of what arrives, so much may be in cells whose place is hidden, by borders or by what is seen from afar."""

_WHOLE_CELL = 0.65
"""From here on a cell is missing, or one too many. Strides displace a map by up to half a cell, and stay as they are:
what a trained network makes of them is less than the theory says (docs/method.md)."""

_SHARP = 0.15
"""Of a cell: rows of cells that lie so near to a line, but for a few, say one place each."""

_SHIFTED = 1.5
"""Cells: a map that fits the image is moved by no less; padding of one side and strides make up to one."""

_CONTEXT = 8
"""Coarser context in a map that fits may lie beside its place by this part of the image, and draws the map there."""

_TILTED = 24
"""Across an axis, places along it may change by this part of it."""

_RESIZED = 48
"""A map of its own step may be off by this part of the image: resizing rounds."""

_REPEATED = 0.5
"""Where so much more than the image is seen, it is no border: the image is shown again."""

_LOPSIDED = 0.4
"""Where so much more of an axis is missing at one end than at the other, the image was cut, not only left unpadded."""


@dataclass(frozen=True)
class Placement:
    """How a feature map lies on the image.

    Attributes
    ----------
    margins : along each axis, the cells that are missing before the first and after the last; negative where so many
        lie beyond the image.
    fault : in words that complete "it shows the image …", why its evidence cannot be placed; None where it can.
    cells : the map's size; empty where nothing had to be asked.
    """

    margins: tuple[tuple[int, int], ...]
    fault: str | None = None
    cells: tuple[int, ...] = ()


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
    asked = [(name, stride or [0.0] * len(size)) for name, stride in zip(names, strides, strict=True)
             if not (_vouches(cnn, MapName.parse(name)) or image.is_meta)]  # fmt: skip
    found = dict.fromkeys(names, evenly)
    try:
        with undisturbed(cnn):
            for seed in range(2 if asked else 0):
                arrived = send_waves(cnn, [name for name, _ in asked], image[:1], seed)
                random = not torch.equal(torch.get_rng_state(), torch.manual_seed(seed).get_state())
                for (name, stride), waves in zip(asked, arrived, strict=True):
                    place = _read(waves, stride, size)
                    by_chance = seed and place != found[name]
                    found[name] = replace(place, fault="at places that it draws by chance") if by_chance else place
                if not random:  # numbers that the network drew; a second drawing moves no place, or it is told
                    break
    except ModelError:
        raise
    except Exception as error:  # the network's own; it took the image itself
        words = f"in a way that depends on what is in it ({type(error).__name__} in an even image)"
        return [Placement(evenly.margins, words)] * len(names)
    return [found[name] for name in names]


def _vouches(cnn: nn.Module, where: MapName) -> bool:
    return not where.at_input and hasattr(find_module(cnn, where.module), "level_stride")


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

    Raises
    ------
    ModelError : the map has not the size that it had when it was asked where it lies.
    """
    if placement.cells not in ((), tuple(level_map.shape[2:])):
        raise ModelError(
            f"The network gives maps of {placement.cells} and {tuple(level_map.shape[2:])} cells for images of one "
            "size: it cuts or resizes them by what is in them, so its evidence cannot be placed.",
            "Cut the images beforehand, and wrap the part of the network that takes them so.",
        )
    if not any(map(any, placement.margins)):
        return level_map
    padding = [cells for before_and_after in reversed(placement.margins) for cells in before_and_after]
    laid = F.pad(level_map, padding)
    space = tuple(range(2, level_map.ndim))
    laid = laid * (laid[0, 0].numel() / level_map[0, 0].numel())
    if min(padding) < 0:
        laid = laid + (level_map.mean(space, keepdim=True) - laid.mean(space, keepdim=True))
    return laid


def _read(waves: Sequence[Waves], strides: Sequence[float], size: Sequence[int]) -> Placement:
    margins, cells = [], waves[0].shape
    for axis, (wave, stride, length) in enumerate(zip(waves, strides, size, strict=True)):
        found = _read_axis(np.moveaxis(wave, axis, 0), length, stride)
        if isinstance(found, str):
            faint = np.abs(wave).max() < _FAINT
            fault = "too faintly for its places to be told" if faint else found.format(axis=axis + 2)
            return Placement(((0, 0),) * len(size), fault)
        margins.append(found)
    return Placement(tuple(margins), None, cells)


def _read_axis(wave: Waves, length: int, stride: float) -> tuple[int, int] | str:
    """Margins along the first axis of what arrived, or what is wrong; a stride of 0 is not known."""
    n = len(wave)
    fits = abs(n * stride - length) <= stride
    if n == 1 or (fits and not wave.any()):
        return 0, 0  # with nothing to be told apart, or to be heard, the recorded run is believed
    if not np.isfinite(wave).all() or not wave.any():
        return "in a way that cannot be followed"
    step = length / n
    even = _Line(wave, length, step, step / 2 - 0.5)
    if even.holds((_SHIFTED if fits else _WHOLE_CELL) * step):
        return 0, 0
    line, blurred = _Line(wave, length, stride or None), False
    if not (stride and line.holds(_WHOLE_CELL * stride)):
        moved = line.sharp
        line = _Line(wave, length)
        resized = line.sharp and line.holds(_WHOLE_CELL * abs(line.step))
        blurred = fits and not (moved or resized) and even.tilt < length / _TILTED
        # What all cells share came from the whole image, as attention brings it, and not from a place.
        local = _Line(wave - wave.mean(), length, step, even.first)
        near = max(_SHIFTED * step, length / _CONTEXT)
        if blurred and (even.holds(near) or local.holds(near)):
            return 0, 0
    if not line.holds(max(_WHOLE_CELL * abs(line.step), length / _RESIZED)):
        across = [np.abs(_profile(wave, axis)).sum() for axis in range(wave.ndim)]
        if max(across) > 2 * across[0]:
            return "with its axes exchanged"
        return f"{'so blurred or mixed that it' if blurred else 'in a way that'} cannot be followed"
    if line.step <= 0:
        return "mirrored along axis {axis}"
    before, after = (line.first + 0.5) / line.step - 0.5, (length - 0.5 - line.last) / line.step - 0.5
    if min(before, after) < -_WHOLE_CELL and max(before, after) > _WHOLE_CELL and line.come_back:
        return "rolled along axis {axis}"
    if line.come_back > _REPEATED:
        return "more than once along axis {axis}"
    if abs(max(after, 0) - max(before, 0)) * line.step > _LOPSIDED * length:
        return "cut to a part"
    return _whole(before), _whole(after)


class _Line:
    """A line on which cells may lie along the first axis of a map, and how well a wave arrived there.

    Attributes
    ----------
    first, last, step : places of the first and the last cell on the image's axis, and from each to the next, in pixels.
        A step that is not given is the strongest frequency; a first place that is not given is that of most cells, by
        medians, so that what is mirrored at a border does not count, and with the line's middle on the image.
    """

    def __init__(self, wave: Waves, length: int, step: float | None = None, first: float | None = None) -> None:
        self.length = length
        profile, cells = _profile(wave, 0), np.arange(len(wave))
        strength = np.abs(profile)
        heard = strength > _SILENT * strength.max()
        self.step = _frequency(profile, heard) * length if step is None else step
        if first is None:
            local = profile * np.exp(-2j * np.pi * self.step * cells / length)
            usual = np.angle(local.sum())
            first = (usual + np.median(np.angle(local[heard] * np.exp(-1j * usual)))) / (2 * np.pi) * length
            middle = first + self.step * (cells * strength).sum() / strength.sum()
            first -= length * np.floor((middle + 0.5) / length)
        places = first + self.step * cells
        self.first, self.last = float(places[0]), float(places[-1])
        self.beyond = np.maximum(-0.5 - places, places - length + 0.5)
        self.inside = self.beyond < abs(self.step) / 2
        self.turned = wave * np.exp(-2j * np.pi * places / length).reshape(-1, *[1] * (wave.ndim - 1))

    def holds(self, tolerance: float) -> bool:
        """Whether nearly all that arrived is within a tolerance, in pixels, of the line."""
        cells = self.turned[self.inside]
        off, strength = np.abs(np.angle(cells)) / (2 * np.pi) * self.length, np.abs(cells)
        return bool(strength.any() and strength[off > tolerance].sum() <= _FEW * strength.sum())

    @property
    def sharp(self) -> bool:
        """Whether the rows of cells, each as a whole, lie on the line: no context from afar hides where they are."""
        rows = _profile(self.turned[self.inside], 0)
        heard = np.abs(rows) > _SILENT * np.abs(rows).max(initial=0)
        off = np.abs(np.angle(rows[heard])) / (2 * np.pi) * self.length
        return bool(len(off) and np.quantile(off, 1 - _FEW) < _SHARP * abs(self.step))

    @property
    def tilt(self) -> float:
        """By how many pixels places along the axis change from one end of another axis to the other."""
        cells = self.turned[self.inside]
        pixels = np.angle(cells) / (2 * np.pi) * self.length
        slopes = [0.0]
        for axis in range(1, cells.ndim):
            across = np.linspace(-0.5, 0.5, cells.shape[axis]).reshape([-1] + [1] * (cells.ndim - axis - 1))
            slopes.append(float((np.abs(cells) * pixels * across).sum() / (np.abs(cells) * across**2).sum()))
        return max(map(abs, slopes))

    @property
    def come_back(self) -> float:
        """Of how many cells that are on the image, as a share, cells beyond it look at its other end."""
        rows = _profile(self.turned, 0)
        near = np.abs(np.angle(rows)) / (2 * np.pi) * self.length < self.beyond / 2
        back = near & (np.abs(rows) > _SILENT * np.abs(rows).max()) & (self.beyond > abs(self.step) / 2)
        return float(back.sum() / self.inside.sum())


def _frequency(profile: Waves, heard: npt.NDArray[np.bool_]) -> float:
    """The strongest frequency along a line of cells, in turns a cell."""
    n = len(profile)
    rough = np.fft.fftfreq(16 * n)[np.argmax(np.abs(np.fft.fft(profile, 16 * n)))]
    apart = max(1, n // 8)
    turned = profile[apart:] * profile[:-apart].conj() * np.exp(-2j * np.pi * rough * apart)
    both = heard[apart:] & heard[:-apart]
    return float(rough + (np.median(np.angle(turned[both])) / (2 * np.pi * apart) if both.any() else 0.0))


def _profile(values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """The sum over all axes but one."""
    summed: npt.NDArray[Any] = values.sum(tuple(a for a in range(values.ndim) if a != axis))
    return summed


def _whole(cells: float) -> int:
    whole = int(abs(cells) + 1 - _WHOLE_CELL)
    return whole if cells > 0 else -whole
