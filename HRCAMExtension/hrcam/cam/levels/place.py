"""Where a feature map lies on the image, and its evidence laid there.

The cells of most maps divide the image evenly among them, which is what up-sampling takes for granted. Unpadded
convolutions and crops give maps of the image's inner part, networks that pad their input give maps with cells beyond
it. Which it is can depend on the image's size, so it is found anew for each size, by `waves`. The difference is made
good in whole cells; what cannot be (a map that is mirrored, rolled, warped, …) has a `fault`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn import functional as F

from ..feature_maps import MapName, find_module
from .example_run import undisturbed
from .waves import Answers, send_waves

_COHERENT = 0.8
"""Share of what arrives in a map that must be of one phase, beside that of the places that are looked at."""

_SILENT = 0.1
"""Of the strongest answer: cells with less look at no place of the image."""

_FAINT = 1e-6
"""Of a wave of `waves.HEIGHT` no more than rounding errors may be left, as where attention mixed all places."""

_PARTS = 4
"""An axis is looked at in so many parts, of which places are averaged."""

_FEW = 0.2
"""In this share of the parts a place may be hidden, by borders or by what is seen from afar."""

_WHOLE_CELL = 0.65
"""From here on a cell is missing, or one too many. Strides displace a map by up to half a cell, and stay as they are:
what a trained network makes of them is less than the theory says (docs/method.md)."""

_SHIFTED = 1.5
"""Cells: a map that fits the image is moved by no less; padding of one side and strides make up to one."""

_CONTEXT = 8
"""Coarser context within a map may lie beside its place by this part of the image, and draws the map there."""

_SHARP = 0.15
"""Of a step: where cells lie so near to one line, no context hides where they are."""

_TILTED = 24
"""Across an axis, places along it may change by this part of it."""

_REPEATED = 0.5
"""Where so much more than the image is answered, it is no border: the image is shown again."""

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
    asked = [name for name in names if not (_vouches(cnn, MapName.parse(name)) or image.is_meta)]
    with undisturbed(cnn):
        answers = dict(zip(asked, send_waves(cnn, asked, image[:1]), strict=True)) if asked else {}
    return [_read(answers[name], stride, size) if name in answers else evenly
            for name, stride in zip(names, strides, strict=True)]  # fmt: skip


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
            faint = np.abs(waves).max() < _FAINT
            return Placement(((0, 0),) * len(size), "too faintly for its places to be told" if faint else found)
        margins.append(found)
    return Placement(tuple(margins))


def _read_axis(answers: Answers, axis: int, length: int, stride: float) -> tuple[int, int] | str:
    """Margins along an axis of the image, or what is wrong; a stride of 0 is not known."""
    n = answers.shape[axis]
    fits = abs(n * stride - length) <= stride
    if n == 1 or (fits and not answers.any()):
        return 0, 0  # with nothing to be told apart, or to be heard, the recorded run is believed
    if not np.isfinite(answers).all() or not answers.any():
        return "in a way that cannot be followed"
    answers = np.moveaxis(answers, axis, 0)
    step = length / n
    even = _Fit(answers, _Line(step / 2 - 0.5, step), length, context=fits)
    if even.holds((_SHIFTED if fits else _WHOLE_CELL) * step):
        return 0, 0
    if fits and not even.sharp and even.holds(length / _CONTEXT):
        return 0, 0
    line = _find_line(answers, length, stride or None)
    if not (stride and _Fit(answers, line, length).holds(_WHOLE_CELL * stride)):
        line = _find_line(answers, length)
    fit = _Fit(answers, line, length)
    if not fit.holds(max(_WHOLE_CELL * abs(line.step), length / _TILTED)):
        across = [np.abs(_profile(answers, other)).sum() for other in range(answers.ndim)]
        return "with its axes exchanged" if max(across) > 2 * across[0] else "in a way that cannot be followed"
    if line.step <= 0:
        return f"mirrored along axis {axis + 2}"
    before, after = (line.first + 0.5) / line.step - 0.5, (length - 0.5 - line.at(n - 1)) / line.step - 0.5
    if min(before, after) < -_WHOLE_CELL and max(before, after) > _WHOLE_CELL and fit.come_back:
        return f"rolled along axis {axis + 2}"
    if fit.come_back > _REPEATED:
        return f"more than once along axis {axis + 2}"
    if abs(max(after, 0) - max(before, 0)) * line.step > _LOPSIDED * length:
        return "cut to a part"
    return _whole(before), _whole(after)


class _Line(NamedTuple):
    """The place of a map's first cell along an axis of the image, in pixels, and the step from each to the next."""

    first: float
    step: float

    def at(self, cell: Any) -> Any:
        """Place of a cell, or of many."""
        return self.first + self.step * cell


class _Fit:
    """How well a wave arrived along the first axis of a map, if its cells lie on a line.

    With `context`, what all cells share is taken away before: it came from the whole image, not from a place.
    """

    def __init__(self, answers: Answers, line: _Line, length: int, context: bool = False) -> None:
        self.line, self.length, self.places = line, length, line.at(np.arange(len(answers)))
        self.beyond = np.maximum(-0.5 - self.places, self.places - length + 0.5)
        self.inside = self.beyond < abs(line.step) / 2
        wave = np.exp(2j * np.pi * self.places / length).reshape(-1, *[1] * (answers.ndim - 1))
        self.turned = answers * wave.conj()
        seen = answers[self.inside]
        if context and len(answers) > 2:
            loud = _profile(np.abs(seen), 0)
            loud = loud > _SILENT * loud.max()
            on_image = wave[self.inside]
            seen = seen - _shared(seen[loud], on_image[loud]) * loud.reshape(on_image.shape)
        self.local = seen * wave[self.inside].conj()

    @property
    def sharp(self) -> bool:
        """Whether the cells themselves lie on one line, this or another."""
        rows = _profile(self.local, 0)
        heard = np.abs(rows) > _SILENT * np.abs(rows).max()
        if heard.sum() < 2:
            return bool(heard.any())
        off = np.unwrap(np.angle(rows))[heard] / (2 * np.pi) * self.length
        cells = np.flatnonzero(heard)
        off -= np.polyval(np.polyfit(cells, off, 1), cells)
        return bool(np.median(np.abs(off)) < _SHARP * abs(self.line.step))

    @property
    def come_back(self) -> float:
        """Of how many cells that are on the image, as a share, cells beyond it look at its other end."""
        rows = _profile(self.turned, 0)
        near = np.abs(np.angle(rows)) / (2 * np.pi) * self.length < self.beyond / 2
        back = near & (np.abs(rows) > _SILENT * np.abs(rows).max()) & (self.beyond > abs(self.line.step) / 2)
        return float(back.sum() / self.inside.sum())

    def holds(self, tolerance: float) -> bool:
        """Whether nearly all parts of the map lie within a tolerance, in pixels, of the line, and none is tilted."""
        if not self.local.any() or np.abs(self.local.sum()) < _COHERENT * np.abs(self.local).sum():
            return False
        parts = _averaged(self.local)
        off, strength = np.angle(parts) / (2 * np.pi) * self.length, np.abs(parts)
        heard = strength > _SILENT * strength.max()
        far = np.abs(off) > tolerance
        weights = strength[heard]
        design = np.stack([np.ones(heard.sum()), *(_centered(heard.shape, axis)[heard] for axis in range(heard.ndim))])
        slopes = np.linalg.lstsq((design * weights).T, off[heard] * weights, rcond=None)[0]
        tilt = np.abs(slopes[2:]).max(initial=0)
        return bool((far & heard).sum() <= _FEW * heard.sum() and tilt <= self.length / _TILTED)


def _centered(shape: Sequence[int], axis: int) -> npt.NDArray[np.float64]:
    """Of each part its place along an axis, which runs from -0.5 to 0.5."""
    places = (np.arange(shape[axis]) + 0.5) / shape[axis] - 0.5
    return np.broadcast_to(np.expand_dims(places, [a for a in range(len(shape)) if a != axis]), shape)


def _shared(answers: Answers, wave: Answers) -> complex:
    """What all cells have in common where the rest follows a wave: the constant of a linear regression."""
    centered = wave - wave.mean()
    gain = (answers * centered.conj()).mean() / (np.abs(centered) ** 2).mean()
    return complex(answers.mean() - gain * wave.mean())


def _profile(values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """The sum over all axes but one."""
    summed: npt.NDArray[Any] = values.sum(tuple(a for a in range(values.ndim) if a != axis))
    return summed


def _averaged(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Means of `_PARTS` parts of each axis, or of fewer where there are fewer cells."""
    for axis, n in enumerate(values.shape):
        edges = np.linspace(0, n, min(_PARTS, n) + 1).round().astype(int)
        widths = np.diff(edges).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        values = np.add.reduceat(values, edges[:-1], axis) / widths
    return values


def _find_line(answers: Answers, length: int, step: float | None = None) -> _Line:
    """The line on which most cells lie along the first axis: the strongest frequency, or a known step, and its phase.

    Medians, so that what is mirrored at a border does not count. The line's middle lies on the image.
    """
    profile = _profile(answers, 0)
    n, cells = len(profile), np.arange(len(profile))
    strength = np.abs(profile)
    heard = strength > _SILENT * strength.max()
    if step is None:
        frequency = np.fft.fftfreq(16 * n)[np.argmax(np.abs(np.fft.fft(profile, 16 * n)))]
        apart = max(1, n // 8)
        turned = profile[apart:] * profile[:-apart].conj() * np.exp(-2j * np.pi * frequency * apart)
        both = heard[apart:] & heard[:-apart]
        finer = np.median(np.angle(turned[both])) / (2 * np.pi * apart) if both.any() else 0.0
        step = float((frequency + finer) * length)
    local = profile * np.exp(-2j * np.pi * step * cells / length)
    usual = np.angle(local.sum())
    first = (usual + np.median(np.angle(local[heard] * np.exp(-1j * usual)))) / (2 * np.pi) * length
    middle = first + step * (cells * strength).sum() / strength.sum()
    return _Line(float(first - length * np.floor((middle + 0.5) / length)), step)


def _whole(cells: float) -> int:
    whole = int(abs(cells) + 1 - _WHOLE_CELL)
    return whole if cells > 0 else -whole
