"""Maps without any network: how bright the image is, and how unlike its own mirror image.

A method that these beat has not earned its network. Both ways round, for a lesion may be dark (T1 without contrast
agent). Images are those that the network takes, so that all methods see the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy.ndimage import center_of_mass, gaussian_filter

from hrcam_research.evaluate.rivals import Family, Maps, Method

PACKAGE = "no network"

FOREGROUND = 0.06
"""Of the prepared image: 15 of 255."""

FOREGROUND_SIGMA, EDGE_SIGMA, SMOOTH_SIGMA = 3.0, 8.0, 2.0
INSIDE = 0.9
"""Where the foreground, smoothed by `EDGE_SIGMA` pixels, is above this lies the eroded head."""

NAMES = ("brightness", "darkness", "brighter-than-mirror", "darker-than-mirror")


def baseline_maps(image: np.ndarray) -> dict[str, np.ndarray]:
    """Brightness, darkness and the two differences from the mirror image, inside the eroded head.

    Parameters
    ----------
    image : H×W or D×H×W in [0, 1.5]. It is mirrored along its last axis, left to right in all planes but the sagittal,
        about the head's center.

    Returns
    -------
    Name (of `NAMES`) to float64 of the image's shape, not negative.
    """
    foreground = gaussian_filter(image.astype(float), FOREGROUND_SIGMA) > FOREGROUND
    inside = gaussian_filter(foreground.astype(float), EDGE_SIGMA) > INSIDE
    smooth = gaussian_filter(image.astype(float), SMOOTH_SIGMA)
    middle = center_of_mass(foreground)[-1] if foreground.any() else (image.shape[-1] - 1) / 2
    mirrored = np.roll(smooth[..., ::-1], round(2 * middle - (image.shape[-1] - 1)), axis=-1)
    found = (smooth, smooth.max() - smooth, np.clip(smooth - mirrored, 0, None), np.clip(mirrored - smooth, 0, None))
    return {name: one * inside for name, one in zip(NAMES, found, strict=True)}


class Baselines(Family):
    """`baseline/NAME` for each of `NAMES`; the class does not matter to them."""

    methods = tuple(Method(f"baseline/{name}", PACKAGE, "brightness") for name in NAMES)

    def maps(self, x: torch.Tensor, classes: torch.Tensor, wanted: Iterable[str]) -> Maps:
        """See `Family`."""
        made = [baseline_maps(image) for image in x.detach().cpu().numpy()[:, 0]]
        return {
            f"baseline/{name}": torch.from_numpy(np.stack([one[name] for one in made]).astype(np.float32))
            for name in NAMES
            if f"baseline/{name}" in set(wanted)
        }
