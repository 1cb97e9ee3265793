"""Real slices that teach: those without a lesion as backgrounds, and tumors whose place a bundle's own map tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .fields import Floats, pixel_axes, smooth_noise
from .heads import Ground


@dataclass(frozen=True)
class Backgrounds:
    """Slices of one source without a lesion.

    Attributes
    ----------
    pixels : N×256×256, prepared as for a bundle.
    brains : N×256×256, where lesions may be put.
    free : N×256×256, where they are known to be healthy; None: everywhere.
    sequence : one of `contrasts.SEQUENCES`; "any" where it is not known.
    share : how often the source is drawn, beside the others.
    """

    pixels: npt.NDArray[np.float16]
    brains: npt.NDArray[np.bool_]
    sequence: str
    share: float
    free: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Tumors:
    """Slices with a tumor, and where a weakly supervised map sees it: N×256×256 in [0, 1], between .2 and .5 unsure."""

    pixels: npt.NDArray[np.float16]
    seen: npt.NDArray[np.float16]


def _pose(
    rng: np.random.Generator, images: Sequence[npt.NDArray[np.generic]], size: int, spacing: float
) -> list[Floats]:
    """The same random view of each image, size × size; `spacing` in source pixels."""
    scale, angle = spacing * rng.uniform(0.85, 1.18), rng.uniform(-0.25, 0.25)
    rows, columns = (((axis - (size - 1) / 2) * scale).astype(np.float32) for axis in pixel_axes(size))
    shift = rng.uniform(-12, 12, 2)
    y = np.cos(angle) * rows - np.sin(angle) * columns
    x = np.sin(angle) * rows + np.cos(angle) * columns
    y, x = y + np.float32(2.5) * smooth_noise(rng, size, 45), x + np.float32(2.5) * smooth_noise(rng, size, 45)
    if rng.random() < 0.5:
        x = -x
    middle = np.array(images[0].shape) / 2 - 0.5
    at = np.stack([y + middle[0] + shift[0], x + middle[1] + shift[1]]).astype(np.float32)
    return [ndimage.map_coordinates(image.astype(np.float32), at, order=1) for image in images]


def _tone(rng: np.random.Generator, image: Floats) -> Floats:
    """Another contrast of the same slice: a random curve, at times one that does not rise throughout."""
    knots = np.linspace(0, 1.5, 6)
    if rng.random() < 0.6:
        values = np.cumsum(rng.uniform(0.05, 0.6, 6))
        values = (values - values[0]) / (values[-1] - values[0]) * 1.3
    else:
        values = rng.uniform(0.1, 1.2, 6)
        values[0] = 0
    return np.interp(image, knots, values).astype(np.float32)


def draw_background(
    rng: np.random.Generator, sources: Sequence[Backgrounds], size: int, spacing: float
) -> tuple[Ground, Floats]:
    """One real slice in a random view, at times in a contrast of its own, and how sure each pixel is healthy."""
    shares = np.array([source.share for source in sources])
    source = sources[int(rng.choice(len(sources), p=shares / shares.sum()))]
    number = int(rng.integers(len(source.pixels)))
    free = np.ones_like(source.brains[number]) if source.free is None else source.free[number]
    image, brain, free = _pose(rng, [source.pixels[number], source.brains[number] & free, free], size, spacing)
    free = np.where(image > 0.02, free, 1).astype(np.float32) if source.free is not None else np.ones_like(image)
    sequence = source.sequence
    if rng.random() < 0.35:
        image, sequence = _tone(rng, image), "any"
    inside = brain > 0.5
    middle = max(float(np.median(image[inside])), 0.1) if inside.sum() > 50 else 0.6
    image = np.asarray(image / np.float32(middle))
    smooth = ndimage.uniform_filter(image, 5)
    fluid = inside & (smooth < 0.55) if sequence in ("t1", "t1ce", "flair") else np.zeros_like(inside)
    pull = np.clip(smooth - 1, -0.3, 0.25) if sequence in ("t1", "t1ce") else 0.1 * smooth_noise(rng, size, 10)
    return Ground(image, inside, fluid, pull.astype(np.float32), sequence, True), free


def draw_tumor(rng: np.random.Generator, tumors: Tumors, size: int, spacing: float) -> tuple[Floats, Floats]:
    """One real slice with a tumor in a random view, and the map of where it is."""
    number = int(rng.integers(len(tumors.pixels)))
    image, seen = _pose(rng, [tumors.pixels[number], tumors.seen[number]], size, spacing)
    if rng.random() < 0.2:
        image = _tone(rng, image)
    return image, seen
