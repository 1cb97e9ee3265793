"""Volumes too large for one pass: overlapping windows whose maps and logits equal those of the whole.

Each level's evidence at a place depends on the input within the network's reach alone. Windows overlap by that reach,
start where all strides start, and give only their inner part, so nothing is averaged or faded: what is put together is
the map of the whole volume, and the logits are its means (`HRCAM.native_maps`: ``z = Σ mean(map) + b``).
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..cam.model import HRCAM
from ..errors import ModelError
from ..networks.layers import of_dims

STEP = 32
"""Windows start and end at multiples of it, the stride of the deepest common level."""

LARGEST_VOLUME = 1 << 23
"""Voxels that go through a 3D network at once: 200³, some GiB in a small network."""

_LONGEST_PROBE = 512
"""A network that looks farther than half of it is not worth cutting for: the windows would be all rim."""

_reaches: WeakKeyDictionary[HRCAM, int | None] = WeakKeyDictionary()


@dataclass(frozen=True)
class Windows:
    """How a volume is cut.

    Attributes
    ----------
    cores : voxels kept of each window along each axis, multiples of `STEP`.
    overlap : the network's `reach`, by which windows look beyond what they keep.
    voxels : of the largest window.
    """

    cores: tuple[int, ...]
    overlap: int
    voxels: int


@dataclass(frozen=True)
class _Span:
    """One window along one axis: what the network sees, and the part of it that is kept, in voxels of the volume."""

    seen: slice
    kept: slice


def cut(network: HRCAM, size: Sequence[int], voxels: int) -> Windows:
    """Choose windows of at most so many voxels (or the smallest there are) that compute the least of all in sum.

    Raises
    ------
    ModelError : the volume cannot be cut, or not into anything smaller; the message says why.
    """
    whole = "It goes through the network in one piece."
    if any(side % STEP for side in size):
        raise ModelError(f"A network's input of {_sides(size)} voxels cannot be cut into windows, whose sides are "
                         f"multiples of {STEP}.", whole)
    if any(stride != stride // 1 or STEP % int(stride) for level in network.levels for stride in level.stride):
        raise ModelError(f"The volume cannot be cut into windows: not all of the network's strides divide {STEP}.",
                         whole)
    if any(hasattr(module, "level_stride") for module in network.cnn.modules()):  # see `levels`
        raise ModelError("The volume cannot be cut into windows: the network looks at whole slices of it.", whole)
    if any(any(map(any, place.margins)) for place in network.placements(torch.zeros(1, 1, *[4 * STEP] * len(size)))):
        raise ModelError("The volume cannot be cut into windows: the network pads or crops what it gets.", whole)
    if network not in _reaches:
        _reaches[network] = reach(network)
    overlap = _reaches[network]
    if overlap is None:
        raise ModelError("The volume cannot be cut into windows: each place of the network's map depends on all of it.",
                         whole)
    axes = [_choices(side, _rim(overlap)) for side in size]
    found = [(math.prod(one.longest for one in axis), math.prod(one.sum for one in axis), axis)
             for axis in itertools.product(*axes)]
    fitting = [one for one in found if one[0] <= voxels] or [min(found, key=lambda one: one[:2])]
    largest, _, chosen = min(fitting, key=lambda one: (one[1], one[0]))
    if largest >= math.prod(size):
        raise ModelError(f"The network looks {overlap} voxels far: windows of a volume of {_sides(size)} voxels would "
                         "be no smaller than the volume.", whole)
    return Windows(tuple(one.core for one in chosen), overlap, largest)


def reach(network: HRCAM) -> int | None:
    """How far, in voxels, evidence at a place depends on the input; None where it depends on all of the image.

    Found on a copy with positive weights, for which no two ways from input to output cancel out: from where the
    gradient of one place is not 0. Networks that normalize over the image or gate by its average reach everywhere.
    """
    probe = copy.deepcopy(network).cpu().double().eval()
    with torch.no_grad():
        for value in itertools.chain(probe.parameters(), probe.buffers()):
            if value.is_floating_point():
                value.copy_(value.abs().clamp(min=1e-3, max=1.0))
    _let_gradients_through(probe)
    farthest = 0
    for axis in range(probe.num_dims):
        found = _reach_along(probe, axis)
        if found is None:
            return None
        farthest = max(farthest, found)
    return farthest


def _reach_along(probe: HRCAM, axis: int) -> int | None:
    length = 4 * STEP
    while length <= _LONGEST_PROBE:
        size = [STEP] * probe.num_dims
        size[axis] = length
        x = torch.rand(1, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        _, levels = probe.native_maps(x, 0)
        touched = []
        for level in levels:
            middle = level.shape[2 + axis] // 2
            (gradient,) = torch.autograd.grad(level.select(2 + axis, middle).sum(), x, retain_graph=True)
            where = gradient.ne(0).movedim(2 + axis, 0).flatten(1).any(1).nonzero().flatten()
            if not len(where):
                return None  # something saturates or cuts the gradient off: the reach cannot be known
            touched += [length // 2 - int(where.min()), int(where.max()) - length // 2]
        if max(touched) < length // 2 - 1:
            return max(touched)
        length *= 2
    return None


def _let_gradients_through(module: nn.Module) -> None:
    """A maximum passes the gradient of one voxel alone and would hide the others; what saturates passes none."""
    for name, child in module.named_children():
        if isinstance(child, nn.Hardtanh | nn.Hardsigmoid | nn.Hardswish):  # ReLU6 is a Hardtanh
            setattr(module, name, nn.ReLU())
            continue
        dims = next((n for n in (2, 3) if isinstance(child, getattr(nn, f"MaxPool{n}d"))), None)
        if dims is None:
            _let_gradients_through(child)
        else:
            average = of_dims("AvgPool", dims)(child.kernel_size, child.stride, child.padding, child.ceil_mode)
            setattr(module, name, average)


@torch.inference_mode()
def windowed_maps(
    network: HRCAM,
    x: Tensor,
    windows: Windows,
    classes: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
    done: Callable[[float], None] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """`HRCAM.native_maps` of images B×C×*size, window by window.

    Parameters
    ----------
    network : where the windows are sent to; the levels' strides divide `STEP`.
    x : its sides are multiples of `STEP`; it stays on its own device, and so do the maps.
    windows : see `cut`.
    classes : whose maps are returned, in this order; None for all. The logits are those of all.
    dtype : of the maps returned.
    done : called before each window with the share that is done; what it raises ends the computation.

    Raises
    ------
    ModelError : a level's maps do not go evenly into a window.
    """
    device, kept_classes = network.head.weight.device, list(range(network.num_classes) if classes is None else classes)
    axes = [list(_spans(side, core, _rim(windows.overlap)))
            for side, core in zip(x.shape[2:], windows.cores, strict=True)]
    whole: list[Tensor] = []
    pooled = torch.zeros(len(x), network.num_classes, dtype=torch.float64)
    total = math.prod(len(axis) for axis in axes)
    for number, spans in enumerate(itertools.product(*axes)):
        if done is not None:
            done(number / total)
        window = x[_within(span.seen for span in spans)]
        _, levels = network.native_maps(window.to(device))
        strides = [_stride(window.shape[2:], level.shape[2:]) for level in levels]
        if not whole:
            sizes = [[side // stride for side in x.shape[2:]] for stride in strides]
            whole = [x.new_empty(len(x), len(kept_classes), *size, dtype=dtype) for size in sizes]
        for level, stride, store in zip(levels, strides, whole, strict=True):
            inner = level[_within(_scaled(span.kept, span.seen.start, stride) for span in spans)]
            pooled += inner.flatten(2).sum(2, dtype=torch.float64).cpu() / math.prod(store.shape[2:])
            target = _within(_scaled(span.kept, 0, stride) for span in spans)
            store[target] = inner[:, kept_classes].to(store)
    return (pooled + network.head.bias.to(pooled)).to(x), whole


@dataclass(frozen=True)
class _Choice:
    """One way to cut an axis: what is kept of a window, the longest window, and all windows together."""

    core: int
    longest: int
    sum: int


def _choices(side: int, rim: int) -> list[_Choice]:
    choices = []
    for core in range(STEP, side + 1, STEP):
        lengths = [span.seen.stop - span.seen.start for span in _spans(side, core, rim)]
        choices.append(_Choice(core, max(lengths), sum(lengths)))
    return choices


def _within(parts: Iterable[slice]) -> tuple[Any, ...]:
    """Index of a part of the spatial axes."""
    return (..., *parts)


def _rim(overlap: int) -> int:
    return math.ceil(overlap / STEP) * STEP


def _sides(size: Sequence[int]) -> str:
    return " × ".join(map(str, size))


def _spans(side: int, core: int, rim: int) -> Iterator[_Span]:
    if side % STEP or core % STEP:
        raise ModelError(f"Windows need sides that are multiples of {STEP}, not {side}.", "Use the volume as a whole.")
    if side <= core + rim:
        yield _Span(slice(0, side), slice(0, side))
        return
    for start in range(0, side, core):
        stop = min(start + core, side)
        yield _Span(slice(max(0, start - rim), min(side, stop + rim)), slice(start, stop))


def _stride(size: Sequence[int], native: Sequence[int]) -> int:
    strides = {side / fine for side, fine in zip(size, native, strict=True)}
    stride = int(max(strides))
    if len(strides) > 1 or strides != {stride} or STEP % stride:
        raise ModelError(f"A level of {tuple(native)} for {tuple(size)} voxels cannot be put together from windows.",
                         "Crop or resample the volume.")
    return stride


def _scaled(part: slice, start: int, stride: int) -> slice:
    return slice((part.start - start) // stride, (part.stop - start) // stride)
