"""What the network for sequences sees of a scan: some slices, in which ranks stand for intensities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..scan.intensity import otsu_threshold
from ..scan.preparation import SlicePreparation
from ..scan.sampling import plan_slices
from ..scan.volume import Volume

Array = npt.NDArray[np.float32]

SLICES = 16
"""Looked at, evenly spread; those with less than half of the fullest one's foreground are left out."""

SIZE, SPACING_MM = 128, 1.8
_FOREGROUND = 0.12
_DARKEST = 0.1
"""Rank of the darkest tissue; the background is 0."""

_QUANTILES = 129
_FEWEST_PIXELS = 50


def slices_of(volume: Volume) -> Array:
    """Slices of a usable scan that show much of the head, N×H×W in [0, 1.5], as a radiologist sees them.

    Raises
    ------
    InputError : nothing but background, or an absurd spacing.
    """
    plan = plan_slices(volume, SlicePreparation(SIZE, SPACING_MM))
    chosen = np.unique(np.linspace(0, plan.count - 1, SLICES).round().astype(int))
    images = np.concatenate([plan.load(slice(n, n + 1))[:, 0] for n in chosen])
    shown = (images > _FOREGROUND).mean(axis=(1, 2))
    return np.asarray(images[shown >= 0.5 * shown.max()], np.float32)


def equalized(image: Array) -> Array:
    """Replace intensities of one slice by their ranks within the head: scanner, window and scale vanish.

    Parameters
    ----------
    image : rows × columns, in any unit that grows with brightness.

    Returns
    -------
    Rows × columns in [0, 1]; 0 is background, which is darker than half of Otsu's threshold.
    """
    head = image > 0.5 * otsu_threshold(image)
    ranks = np.zeros(image.shape, np.float32)
    values = image[head]
    if len(values) < _FEWEST_PIXELS:
        return ranks
    levels = np.linspace(0, 1, _QUANTILES)
    # Equal quantiles, as of a slice that is cut at its brightest, must not stand still.
    rising = np.maximum.accumulate(np.quantile(values[::3], levels) + np.arange(_QUANTILES) * 1e-6)
    ranks[head] = _DARKEST + (1 - _DARKEST) * np.interp(values, rising, levels)
    return ranks
