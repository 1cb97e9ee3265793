"""What a teacher's evidence says about where an image's label holds: one region, the rest is "none"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

LARGEST_SHARE = 0.05
"""Of the field of view: no tumor's cross-section is taken to be larger."""

_HEAD = 0.1
_SMALLEST = 5


@dataclass(frozen=True)
class PseudoLabel:
    """1 the region, 0 elsewhere, −1 undecided, h×w; and how far the region stands out, 0–1."""

    labels: npt.NDArray[np.int64]
    confidence: float


def guided_filter(evidence: Tensor, images: Tensor, radius: int = 3, epsilon: float = 0.003) -> Tensor:
    """Align evidence B×h×w with the edges of B×1×H×W images (He, Sun, Tang: Guided image filtering, 2013)."""
    guide = F.interpolate(images, size=evidence.shape[1:], mode="area")
    target = evidence[:, None]

    def box(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)

    mean_guide, mean_target = box(guide), box(target)
    slope = (box(guide * target) - mean_guide * mean_target) / (box(guide * guide) - mean_guide**2 + epsilon)
    return (box(slope) * guide + box(mean_target - slope * mean_guide))[:, 0]


def pseudo_label(evidence: npt.NDArray[np.float32], image: npt.NDArray[np.float32], level: float) -> PseudoLabel:
    """The connected region around the strongest evidence, of a slice known to show a tumor.

    Parameters
    ----------
    evidence, image : h×w on the same grid.
    level : the region ends where evidence falls to this fraction between the head's median and the peak; raised where
        the region would exceed `LARGEST_SHARE`.
    """
    head = image > _HEAD
    rest, peak = float(np.median(evidence[head])) if head.sum() > 20 else float(evidence.min()), float(evidence.max())
    seed = np.unravel_index(int(evidence.argmax()), evidence.shape)
    for fraction in (level, (level + 1) / 2, 0.25 * level + 0.75, 0.95):
        components, _ = ndimage.label(evidence > rest + fraction * (peak - rest))
        region = components == components[seed]
        if region.sum() < LARGEST_SHARE * evidence.size:
            break
    region = ndimage.binary_fill_holes(region)
    if region.sum() < _SMALLEST:
        region = ndimage.binary_dilation(region)
    border = ndimage.binary_dilation(region)
    far = np.where(ndimage.binary_dilation(region, iterations=4), -np.inf, evidence)
    labels = np.zeros(evidence.shape, np.int64)
    labels[border | (evidence > rest + 0.85 * (peak - rest))] = -1
    labels[region] = 1
    alone, certain = peak - float(far.max()) - 0.3, peak + 1.0
    return PseudoLabel(labels, float(1 / (1 + np.exp(-2 * alone)) / (1 + np.exp(-certain))))


def edge_loss(probabilities: Tensor, images: Tensor, width: float = 0.05) -> Tensor:
    """Neighbors of one intensity should agree (gated CRF loss, Obukhov et al. 2019): B×h×w and B×1×H×W → scalar."""
    x = F.interpolate(images, size=probabilities.shape[1:], mode="area")[:, 0]
    offsets = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if (dy, dx) > (0, 0)]
    total = probabilities.new_zeros(())
    for offset in offsets:
        other, y = (torch.roll(t, offset, (1, 2)) for t in (probabilities, x))
        alike = torch.exp(-((x - y) ** 2) / (2 * width**2) - (offset[0] ** 2 + offset[1] ** 2) / 8.0)
        total = total + (alike * (probabilities * (1 - other) + other * (1 - probabilities))).mean()
    return total / len(offsets)
