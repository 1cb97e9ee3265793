"""Numbers that describe how a scan looks, and how far they lie from what a model was trained on.

The same function fills a bundle's ``input_statistics`` at training and checks a new scan. All statistics are free of
the intensity's scale and offset, because MR units mean nothing; they see contrast, noise, sharpness and empty space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .intensity import otsu_of, otsu_threshold, percentile
from .thinning import positions

Array = npt.NDArray[np.float32]

STATISTICS = ("foreground_fraction", "foreground_mean", "foreground_spread", "foreground_skewness", "entropy",
              "dark_fraction", "gradient")

MOST_SLICES = 24
"""So many slices, evenly spread, describe a volume; more change the medians by less than slices differ."""

_BINS = 64
_SMALLEST_FOREGROUND = 16


def intensity_statistics(images: npt.ArrayLike) -> dict[str, float]:
    """Describe one image or the slices of one volume.

    Parameters
    ----------
    images : rows × columns, or slices × rows × columns, in any unit. Of a volume, give the slices of the plane that
        the model reads; the median over its fuller slices is returned, so that numbers of volumes and of single
        training slices compare.

    Returns
    -------
    The names of ``STATISTICS``; empty where nothing but background is shown. With y the image scaled linearly so that
    its 1st percentile is 0 and the foreground's 99.5th is 1, and F the foreground by Otsu's threshold:
    ``foreground_fraction`` |F| / pixels; ``foreground_mean``, ``foreground_spread``, ``foreground_skewness`` mean,
    standard deviation and skewness of y in F; ``entropy`` of y in F over 64 bins, as a share of 6 bits;
    ``dark_fraction`` share of all pixels with y < 0.05; ``gradient`` mean length of the gradient of y in F, per pixel.
    """
    stack = np.asarray(images, dtype=np.float32)
    stack = stack[np.newaxis] if stack.ndim == 2 else stack
    if not stack.size or stack.min() == stack.max():
        return {}
    found = [one for image in _fuller(stack) if (one := _describe(image))]
    return {name: float(np.median([one[name] for one in found])) for name in STATISTICS} if found else {}


def ranges(samples: Sequence[Mapping[str, float]], low: float = 1.0, high: float = 99.0) -> dict[str, list[float]]:
    """A bundle's ``input_statistics``: the ``low`` and ``high`` percentile of each statistic over training samples."""
    return {
        name: [float(np.percentile([sample[name] for sample in samples if sample], q)) for q in (low, high)]
        for name in STATISTICS
    }


def distances(statistics: Mapping[str, float], expected: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """How far each statistic lies outside its ``[low, high]``, in widths of that range; 0 inside.

    Statistics that either side lacks are left out.
    """
    found = {}
    for name in STATISTICS:
        if name in statistics and name in expected:
            low, high = expected[name]
            outside = max(low - statistics[name], statistics[name] - high, 0.0)
            found[name] = outside / max(high - low, 1e-6)
    return found


def padded(statistics: Mapping[str, float], share: float) -> dict[str, float]:
    """The same statistics with empty space around each slice, which then takes ``share`` (0 to 1) of the pixels."""
    changed = {
        "foreground_fraction": share * statistics["foreground_fraction"],
        "dark_fraction": 1.0 - share * (1.0 - statistics["dark_fraction"]),
    } if statistics else {}  # fmt: skip
    return {**statistics, **changed}


def _fuller(stack: Array) -> Array:
    """Slices with at least half of the foreground of the fullest one, at most ``MOST_SLICES``, evenly spread."""
    rows, columns = (positions(side, max(1, side // 2)) for side in stack.shape[1:])
    coarse = stack[:, rows[:, None], columns]
    shares = (coarse > otsu_threshold(coarse)).mean(axis=(1, 2))
    full = np.flatnonzero(shares >= 0.5 * shares.max())
    return stack[full[positions(len(full), MOST_SLICES)]]


def _describe(image: Array) -> dict[str, float]:
    ordered = np.sort(image, axis=None)
    threshold = otsu_of(ordered)
    foreground, low = image > threshold, percentile(ordered, 1.0)
    if np.count_nonzero(foreground) < _SMALLEST_FOREGROUND:
        return {}
    high = percentile(ordered[np.searchsorted(ordered, np.float32(threshold), "right") :], 99.5)
    if not high > low:
        return {}
    scaled = np.clip((image - low) / (high - low), 0.0, 1.5)
    inside = scaled[foreground]
    mean, spread = float(inside.mean()), float(inside.std())
    counts = np.histogram(inside, bins=_BINS, range=(0.0, 1.0))[0]
    shares = counts[counts > 0] / max(int(counts.sum()), 1)
    down, right = np.gradient(scaled) if min(image.shape) > 1 else (np.zeros_like(scaled),) * 2
    return {
        "foreground_fraction": float(foreground.mean()),
        "foreground_mean": mean,
        "foreground_spread": spread,
        "foreground_skewness": float(((inside - mean) ** 3).mean() / max(spread, 1e-6) ** 3),
        "entropy": float(-(shares * np.log2(shares)).sum() / np.log2(_BINS)),
        "dark_fraction": float((scaled < 0.05).mean()),
        "gradient": float(np.hypot(down, right)[foreground].mean()),
    }
