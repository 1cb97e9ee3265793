"""Where a lesion may lie: the part of an image that looks like brain, found quickly, and a place in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hrcam.errors import InputError
from scipy import ndimage

Array = np.ndarray

LOCATIONS = ("any", "deep", "dural", "sellar")
_GRID_MM = {2: 2.0, 3: 3.0}
_SKULL_MM = 7.0
_NECK_MM = 5.0
_APART_MM, _FARTHER_APART_MM, _LEAST_LEFT = (2.0, 5.0), (4.5, 6.0), 0.4
"""How far the brain is worn down, to part it from scalp and orbits, and grown again. Volumes have more ways out, and
are worn down farther unless less than that share is left: then it was the brain that fell apart, not its surroundings.
"""


def block_steps(spacing_mm: Sequence[float]) -> tuple[int, ...]:
    """Size of a block in voxels, so that it is about 2 mm wide (2D) or 3 mm (3D)."""
    grid = _GRID_MM[len(spacing_mm)]
    return tuple(max(1, round(grid / spacing)) for spacing in spacing_mm)


def _ball(radius_mm: float, spacing_mm: Sequence[float]) -> Array:
    sizes = [int(radius_mm / spacing) for spacing in spacing_mm]
    axes = np.ogrid[tuple(slice(-n, n + 1) for n in sizes)]
    distance = sum((axis * spacing) ** 2 for axis, spacing in zip(axes, spacing_mm, strict=True))
    return np.asarray(distance <= max(radius_mm, min(spacing_mm)) ** 2)


def _largest(mask: Array) -> Array:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _coarse(image: Array, steps: Sequence[int]) -> Array:
    """Means of blocks; a remainder at the far end of an axis is dropped."""
    size = [max(n // s, 1) for n, s in zip(image.shape, steps, strict=True)]
    for axis, (n, s) in enumerate(zip(size, steps, strict=True)):
        head = np.take(image, np.arange(min(n * s, image.shape[axis])), axis)
        shape = (*head.shape[:axis], n, -1, *head.shape[axis + 1 :])
        image = head.reshape(shape).mean(axis + 1)
    return np.asarray(image)


def coarse_brain(image: Array, spacing_mm: Sequence[float]) -> tuple[Array, Array, tuple[int, ...]]:
    """Find head and brain on a coarse grid.

    Not a skull stripping: good enough to place lesions. Works for T1-like images whose background is dark, with or
    without the skull.

    Returns
    -------
    Head and brain (bool, block grid) and the block's size in voxels along each axis.
    """
    steps = block_steps(spacing_mm)
    spacing = [s * n for s, n in zip(spacing_mm, steps, strict=True)]
    low = _coarse(image, steps)
    floor = float(low.min())
    head = low > floor + 0.1 * (float(np.percentile(low, 99)) - floor)
    head = ndimage.binary_fill_holes(_largest(ndimage.binary_closing(head, _ball(4.0, spacing))))
    if head.sum() < 4:
        raise InputError("No head was found in the image.", "Give an image that is not constant, or `where`.")
    depth = depth_in(head, steps, spacing_mm)
    inside = depth > min(_SKULL_MM, 0.3 * float(depth.max()))
    level = float(np.median(low[inside & (depth > 0.4 * depth.max())])) - floor
    tissue = inside & (low - floor > 0.6 * level) & (low - floor < 1.5 * level)
    brain = _part(tissue, spacing, *_APART_MM)
    if image.ndim == 3:
        farther = _part(tissue, spacing, *_FARTHER_APART_MM)
        if farther.sum() > _LEAST_LEFT * brain.sum():
            brain = farther
    element = _ball(_NECK_MM, spacing)
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(brain, 8), element)[(slice(8, -8),) * brain.ndim])
    brain &= inside
    if brain.sum() < 0.15 * head.sum():
        brain = depth > min(12.0, 0.4 * float(depth.max()))
    return head, brain, steps


def _part(tissue: Array, spacing_mm: Sequence[float], wear_mm: float, grow_mm: float) -> Array:
    """The largest piece of what is left when a mask is worn down, grown again."""
    worn = ndimage.binary_erosion(tissue, _ball(wear_mm, spacing_mm))
    return np.asarray(ndimage.binary_dilation(_largest(worn), _ball(grow_mm, spacing_mm)))


def block_means(mask: Array, steps: Sequence[int]) -> Array:
    """Bring a mask of the image's own grid to the block grid of :func:`coarse_brain`."""
    return _coarse(np.asarray(mask, np.float32), steps) > 0.5


def depth_in(mask: Array, steps: Sequence[int], spacing_mm: Sequence[float]) -> Array:
    """Depth in mm below the surface of a mask on the block grid; the picture's edge counts as surface."""
    spacing = [s * n for s, n in zip(spacing_mm, steps, strict=True)]
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[(slice(1, -1),) * mask.ndim]
    return np.asarray(depth, np.float32)


def choose_center(
    rng: np.random.Generator,
    head: Array,
    brain: Array,
    depth: Array,
    steps: Sequence[int],
    spacing_mm: Sequence[float],
    radius_mm: float,
    location: str,
) -> Array:
    """Choose the index coordinates (float, image grid) of a lesion's center.

    ``deep`` keeps the lesion inside the brain; ``dural`` lets it touch the brain's outer edge; ``sellar`` means the
    middle of the head, where the skull base lies in pictures of all three planes (rows top to bottom are superior to
    inferior, or anterior to posterior).
    """
    spacing = [s * n for s, n in zip(spacing_mm, steps, strict=True)]
    if location == "sellar":
        candidates = _middle(head)
    elif location == "dural":
        candidates = brain & (depth >= 0.35 * radius_mm) & (depth <= max(0.9 * radius_mm, 1.5 * max(spacing)))
    else:
        wanted = (1.0 if location == "deep" else 0.5) * radius_mm
        candidates = brain & (depth >= min(wanted, 0.8 * float(depth.max())))
    if not candidates.any():
        candidates = brain
    places = np.flatnonzero(candidates)
    chosen = np.unravel_index(places[rng.integers(len(places))], brain.shape)
    block = np.asarray(steps, float)
    return np.asarray((np.asarray(chosen) + rng.random(brain.ndim)) * block - 0.5)


def _middle(head: Array) -> Array:
    """The head's center: 40–62 % of its height and depth, 40–60 % of its width."""
    middle = np.zeros_like(head)
    box = ndimage.find_objects(head.astype(np.uint8))[0]
    window = []
    for axis, part in enumerate(box):
        size = part.stop - part.start
        low, high = (0.40, 0.60) if axis == head.ndim - 1 else (0.40, 0.62)
        window.append(slice(part.start + int(low * size), part.start + int(high * size) + 1))
    middle[tuple(window)] = True
    return middle & head
