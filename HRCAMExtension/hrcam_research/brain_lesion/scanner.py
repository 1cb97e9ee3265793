"""What a scanner and an archive do to a clean slice: the same to an image and to its counterpart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .fields import Floats, pixel_axes, smooth_noise

USUAL_BRIGHT, USUAL_SHADE = (99.5, 99.5), 0.22


def scan(
    rng: np.random.Generator,
    images: Sequence[Floats],
    noisy: bool = True,
    bright: tuple[float, float] = USUAL_BRIGHT,
    shade: float = USUAL_SHADE,
) -> list[Floats]:
    """Blur, shade, ghost, add noise, scale and cut intensities; all images alike.

    Parameters
    ----------
    images : size × size each, white matter 1. The first sets the scale.
    noisy : clean images of generated heads get more of it; real slices (False) have their own.
    bright : the percentile of the foreground that becomes 1 is drawn between these two.
    shade : greatest standard deviation of the logarithm of the coils' sensitivity.

    Returns
    -------
    Images in [0, 1.5], as `hrcam.scan.intensity` prepares them.
    """
    size = len(images[0])
    sigma = rng.uniform(0.35, 1.3) if noisy else rng.uniform(0, 0.8)
    sigmas = [sigma, sigma]
    if rng.random() < 0.3:
        sigmas[rng.integers(2)] += rng.uniform(0.3, 1.5)
    field = np.float32(rng.uniform(0, shade)) * smooth_noise(rng, size, rng.uniform(50, 120))
    if rng.random() < 0.3:  # a surface coil: brighter towards one side or all around
        rows, columns = pixel_axes(size)
        center = rng.uniform(0.1, 0.9, 2) * size
        distance = ((rows - center[0]) ** 2 + (columns - center[1]) ** 2) / np.float32(size * size)
        field = field + np.float32(rng.uniform(-0.5, 0.7)) * (distance - distance.mean())
    field = np.exp(field)
    ghost = (
        (int(rng.integers(10, size - 10)), int(rng.integers(2)), rng.uniform(0.01, 0.07))
        if rng.random() < 0.1
        else None
    )
    level = rng.uniform(0, 0.07) if noisy else rng.uniform(0, 0.035)
    noise = [np.float32(level) * rng.standard_normal((size, size), np.float32) for _ in range(2)]
    if rng.random() < 0.4:
        noise = [1.8 * ndimage.uniform_filter(n, 2) for n in noise]
    gamma = rng.uniform(0.8, 1.25)
    background = rng.random() < 0.75
    out = []
    for image in images:
        y = ndimage.gaussian_filter(image, sigmas, truncate=3.0) if max(sigmas) > 0.3 else image
        y = y * field
        if ghost:
            y = y + np.float32(ghost[2]) * np.roll(y, ghost[0], ghost[1])
        if level:
            with_noise = np.sqrt((y + noise[0]) ** 2 + noise[1] ** 2)
            y = with_noise if background else np.where(image > 0.02, with_noise, y)
        out.append(y)
    first = out[0]
    low = float(np.percentile(first[::2, ::2], 1))
    inside = first[first > 0.25]
    high = float(np.percentile(inside[::3], rng.uniform(*bright))) if inside.size > 100 else 1.0
    high = low + max(high - low, 0.2) * float(np.exp(rng.uniform(-0.2, 0.25)))
    ceiling = 1.0 if rng.random() < 0.35 else 1.5
    eight_bit = rng.random() < 0.5
    scanned = []
    for y in out:
        y = np.clip((y - low) / np.float32(high - low), 0, ceiling) ** np.float32(gamma)
        if eight_bit:
            y = np.rint(y * 255) / 255
        scanned.append(np.clip(y, 0, 1.5).astype(np.float32))
    return scanned
