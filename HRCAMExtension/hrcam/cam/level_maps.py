"""A network's output for the items of a plan: level maps stay at their own size until one class is chosen.

A CT of 600 slices has some GiB of level maps. They are kept as they are while they are small, in half precision where
they are larger, and beyond that in a file without a name that ends with the process.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..errors import OutputError
from .fusion import fuse

Array = npt.NDArray[np.float32]
Parts = Iterator[tuple[slice, Array]]
"""Which items, and their maps n×*size, or of a coarser grid over the same extent."""

MAPS_IN_FULL = 1 << 30
"""Bytes; maps of more are kept in half precision until they go back to the input's grid (relative error ≤ 0.05 %)."""

MAPS_IN_MEMORY = 1 << 30
"""Bytes, in half precision; maps of more slices are kept in a file."""

_PART = 8


class Maps(Protocol):
    """Maps of items, count×C'×*native."""

    def __getitem__(self, chosen: slice) -> npt.NDArray[Any]:
        """Some items' maps."""
        ...


class Store(Maps, Protocol):
    """An array, or a file that is read and written like one."""

    def __setitem__(self, chosen: slice, maps: npt.NDArray[Any]) -> None:
        """Keep some items' maps."""
        ...


@dataclass(frozen=True, eq=False)
class Output:
    """What the network said about a plan's items.

    Evidence is kept at each level's own size: which class will be shown is known only when all items are computed, and
    levels are up-sampled and fused for that class alone.

    Attributes
    ----------
    logits : count×K, float32.
    size : spatial size of the network's input.
    classes : indices of the classes whose evidence is kept.
    levels : level name to count×C'×*native, fine → coarse, logit units; float32, or float16 for very large volumes.
    bias : K.
    images : some items as the network saw them, n×1×*size: the plan's `load`.
    """

    logits: Array
    size: tuple[int, ...]
    classes: tuple[int, ...]
    levels: Mapping[str, Maps]
    bias: Array
    images: Callable[[slice], Array]

    def fused(self, class_index: int, fusion: str) -> Parts:
        """The fused map of a class, a few items at a time, float32, logit units."""
        for part in self._parts():
            images = None if fusion == "sum" else torch.from_numpy(self.images(part))
            levels = [torch.from_numpy(self._maps(class_index, name, part)) for name in self.levels]
            with torch.inference_mode():
                yield part, fuse(levels, self.size, fusion, images)[:, 0].numpy()

    def of_class(self, class_index: int) -> Mapping[str, Maps]:
        """The maps of one class alone, each count×1×*native; the other classes' can go then."""
        if len(self.classes) == 1:
            return self.levels
        column = self.classes.index(class_index)
        first = [store[slice(0, 1)][:, [column]] for store in self.levels.values()]
        kept = make_room(list(self.levels), len(self.logits), first, 1)
        for name, store in self.levels.items():
            for part in self._parts():
                kept[name][part] = store[part][:, [column]]
        return kept

    def completeness_error(self, class_index: int, means: npt.NDArray[np.float64]) -> float:
        """Max over items of |mean(map) + bias - logit| for the means of the fused maps of a class."""
        return float(np.abs(means + self.bias[class_index] - self.logits[:, class_index]).max())

    def _parts(self) -> Iterator[slice]:
        for start in range(0, len(self.logits), _PART):
            yield slice(start, min(start + _PART, len(self.logits)))

    def _maps(self, class_index: int, name: str, part: slice) -> Array:
        """n×1×*native, float32."""
        column = self.classes.index(class_index)
        return self.levels[name][part][:, column, None].astype(np.float32)


def in_half(values: int) -> bool:
    """Whether so many values are too many for full precision."""
    return 4 * values > MAPS_IN_FULL


def adopt(names: Sequence[str], levels: Sequence[npt.NDArray[Any]]) -> dict[str, Store]:
    """Keep the maps of a plan's only item without a copy, unless they are large."""
    half = in_half(sum(level.size for level in levels))
    return {name: level.astype(np.float16, copy=False) if half else level
            for name, level in zip(names, levels, strict=True)}


def make_room(names: Sequence[str], count: int, levels: Sequence[npt.NDArray[Any]], sharing: int) -> dict[str, Store]:
    """Empty room for all items' level maps, shaped as those of a first batch; `sharing` plans divide the memory.

    Raises ``OutputError`` where a file is needed and none can be made.
    """
    values = sharing * count * sum(level[0].size for level in levels)
    shapes = [(count, *level.shape[1:]) for level in levels]
    if 2 * values > MAPS_IN_MEMORY and in_half(values):
        return {name: _OnDisk(shape) for name, shape in zip(names, shapes, strict=True)}
    dtype = np.float16 if in_half(values) else np.float32
    return {name: np.empty(shape, dtype) for name, shape in zip(names, shapes, strict=True)}


class _OnDisk:
    """Half-precision maps in a file. It is read and written, not mapped: mapped pages would be the process's memory."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape, self._item = shape[1:], 2 * math.prod(shape[1:])
        try:
            self._file = tempfile.TemporaryFile(prefix="hrcam-")  # noqa: SIM115 - it lives as long as the maps
        except OSError as error:
            raise _no_room(error) from error

    def __getitem__(self, chosen: slice) -> npt.NDArray[np.float16]:
        maps = np.empty((chosen.stop - chosen.start, *self._shape), np.float16)
        self._file.seek(chosen.start * self._item)
        self._file.readinto(maps.reshape(-1).view(np.uint8).data)  # type: ignore[attr-defined]
        return maps

    def __setitem__(self, chosen: slice, maps: npt.NDArray[Any]) -> None:
        try:
            self._file.seek(chosen.start * self._item)
            self._file.write(np.ascontiguousarray(maps, np.float16).reshape(-1).view(np.uint8).data)
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error


def _no_room(error: OSError) -> OutputError:
    return OutputError(f"The level maps are too large for the memory and cannot be kept in {tempfile.gettempdir()} "
                       f"({error.strerror}).", "Free space there, or set TMPDIR to a folder with more.")
