"""What label maps of heads lack and healthy ones have: vessels, choroid plexus, wide sulci; uneven brain extraction.

Networks that never saw these find evidence there; how much it helps to show them: docs/RESEARCH.md, S29 and S30.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .fields import smooth_field
from .tissues import BRAIN, INDEX

Array = np.ndarray

_VESSEL_MM, _PLEXUS_MM, _REGION_MM = 4.0, 6.0, 25.0
"""Scales of the random fields: of vessels, of plexus, and of regions in which sulci are wide or extraction errs."""


def add_details(
    rng: np.random.Generator, tissues: Array, spacing_mm: Sequence[float], style: str, mean: Array
) -> tuple[Array, Array]:
    """Draw sulci, vessels and plexus into a slice or volume of tissues.

    Parameters
    ----------
    rng : source of all randomness.
    tissues : indices of :data:`hrcam_research.simulate.tissues.TISSUES`.
    spacing_mm : in the order of the axes.
    style : tissue contrast; contrast agent is in all vessels, without it flow makes some dark and some bright.
    mean : of each tissue's intensity.

    Returns
    -------
    tissues and mean, as given but for what was drawn.
    """
    shape = tissues.shape
    tissues, mean = tissues.copy(), mean.copy()
    sinus, plexus = INDEX["sinus"], INDEX["choroid plexus"]
    if rng.random() < 0.5:
        wide = smooth_field(rng, shape, spacing_mm, _REGION_MM) > rng.uniform(0.0, 1.5)
        near = ndimage.binary_dilation(tissues == INDEX["csf"]) & (tissues == INDEX["cortex"])
        tissues[near & wide] = INDEX["csf"]
    fluid = tissues == INDEX["csf"]
    if rng.random() < 0.5:
        tissues[fluid & (smooth_field(rng, shape, spacing_mm, _PLEXUS_MM) > rng.uniform(1.3, 2.2))] = plexus
    if style == "t1ce" or rng.random() < 0.6:
        # Cortical vessels lie in the sulci; without them every bright spot in the brain would be a lesion.
        least = 1.7 if style == "t1ce" else rng.uniform(1.5, 2.4)
        tissues[fluid & (smooth_field(rng, shape, spacing_mm, _VESSEL_MM) > least)] = sinus
        if style == "t1":
            mean[sinus] = rng.uniform(15, 230)
    return tissues, mean


def extract_brain(rng: np.random.Generator, tissues: Array, spacing_mm: Sequence[float]) -> Array:
    """Return what a brain extraction leaves, bool: the brain, fluid near it, and here and there what lies beyond.

    Parameters as of :func:`add_details`.
    """
    solid = BRAIN[tissues] & (tissues != INDEX["csf"]) & (tissues != INDEX["sinus"])
    if not solid.any():
        return np.asarray(BRAIN[tissues])
    # Sulci narrower than twice `reach` stay filled, ventricles too; of the fluid around the brain a rim is left.
    depth = ndimage.distance_transform_edt(~solid, sampling=spacing_mm)
    reach, rim = rng.uniform(2.0, 6.0), rng.uniform(0.0, 2.0)
    closed = ndimage.distance_transform_edt(ndimage.binary_fill_holes(depth <= reach), sampling=spacing_mm)
    kept = (closed > reach - rim) & BRAIN[tissues]
    if rng.random() < 0.4:
        errs = smooth_field(rng, tissues.shape, spacing_mm, _REGION_MM) > rng.uniform(1.0, 2.0)
        kept |= errs & (depth <= rng.uniform(2.0, 8.0))
    return np.asarray(kept)
