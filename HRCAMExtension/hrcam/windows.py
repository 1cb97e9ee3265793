"""Volumes too large for one pass: overlapping windows whose maps and logits equal those of the whole.

Each level's evidence at a place depends on the input within the network's reach alone. Windows overlap by that reach,
start where all strides start, and give only their inner part, so nothing is averaged or faded: what is put together is
the map of the whole volume, and the logits are its means (`HRCAM.native_maps`: ``z = Σ mean(map) + b``).
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .errors import ModelError
from .model import HRCAM
from .network_parts import of_dims

STEP = 32
"""Windows start and end at multiples of it, the stride of the deepest common level."""

LARGEST_VOLUME = 1 << 23
"""Voxels that go through a 3D network at once: 200³, some GiB in a small network."""

_CORE = 64
_LONGEST_PROBE = 1024


@dataclass(frozen=True)
class _Span:
    """One window along one axis: what the network sees, and the part of it that is kept, in voxels of the volume."""

    seen: slice
    kept: slice


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
    _average_instead_of_maximum(probe)
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
            touched += [length // 2 - int(where.min()), int(where.max()) - length // 2]
        if max(touched) < length // 2 - 1:
            return max(touched)
        length *= 2
    return None


def _average_instead_of_maximum(module: nn.Module) -> None:
    """A maximum passes the gradient of one voxel alone and would hide the others."""
    for name, child in module.named_children():
        dims = next((n for n in (2, 3) if isinstance(child, getattr(nn, f"MaxPool{n}d"))), None)
        if dims is None:
            _average_instead_of_maximum(child)
        else:
            average = of_dims("AvgPool", dims)(child.kernel_size, child.stride, child.padding, child.ceil_mode)
            setattr(module, name, average)


@torch.inference_mode()
def windowed_maps(network: HRCAM, x: Tensor, overlap: int, core: int = _CORE) -> tuple[Tensor, list[Tensor]]:
    """`HRCAM.native_maps` of images B×C×*size, window by window.

    Parameters
    ----------
    network : where the windows are sent to; the levels' strides divide `STEP`.
    x : its sides are multiples of `STEP`; it stays on its own device, and so do the maps.
    overlap : the network's `reach`.
    core : kept of each window along each axis, a multiple of `STEP`.

    Raises
    ------
    ModelError : a level's maps do not go evenly into a window.
    """
    device = network.head.weight.device
    rim = math.ceil(overlap / STEP) * STEP
    axes = [list(_spans(side, core, rim)) for side in x.shape[2:]]
    whole: list[Tensor] = []
    for spans in itertools.product(*axes):
        window = x[(..., *(span.seen for span in spans))]
        _, levels = network.native_maps(window.to(device))
        strides = [_stride(window.shape[2:], level.shape[2:]) for level in levels]
        if not whole:
            sizes = [[side // stride for side in x.shape[2:]] for stride in strides]
            whole = [x.new_empty(*level.shape[:2], *size) for level, size in zip(levels, sizes, strict=True)]
        for level, stride, store in zip(levels, strides, whole, strict=True):
            target = tuple(_scaled(span.kept, 0, stride) for span in spans)
            source = tuple(_scaled(span.kept, span.seen.start, stride) for span in spans)
            store[(..., *target)] = level[(..., *source)].to(store)
    pooled = torch.stack([level.flatten(2).double().mean(2) for level in whole]).sum(0)
    return (pooled + network.head.bias.to(pooled)).to(x.dtype), whole


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


def _scaled(part: slice, origin: int, stride: int) -> slice:
    return slice((part.start - origin) // stride, (part.stop - origin) // stride)
