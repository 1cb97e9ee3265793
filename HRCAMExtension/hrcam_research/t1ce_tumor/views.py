"""Random views of slices: one draw of geometry and of appearance an image, shared by an image and its counterpart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 224
CEILING = 1.6


def pose(images: npt.NDArray[np.floating], seeds: npt.NDArray[np.integer]) -> Tensor:
    """Turn, scale, mirror and shift: N×256×256 → N×1×SIZE×SIZE; equal seeds give equal poses."""
    theta = torch.zeros(len(images), 2, 3)
    for n, seed in enumerate(seeds):
        rng = np.random.default_rng(int(seed))
        angle, scale = np.deg2rad(rng.uniform(-15, 15)), np.exp(rng.uniform(-0.22, 0.22))
        mirror, stretch = rng.choice([-1, 1]), np.exp(rng.uniform(-0.08, 0.08))
        shift = rng.uniform(-0.1, 0.1, 2)
        c, s = np.cos(angle) / scale, np.sin(angle) / scale
        theta[n] = torch.tensor([[c * mirror * stretch, -s * stretch, shift[0]], [s * mirror, c, shift[1]]])
    x = torch.from_numpy(np.asarray(images, np.float32))[:, None]
    grid = F.affine_grid(theta, [len(x), 1, SIZE, SIZE], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def appear(images: Tensor, seeds: npt.NDArray[np.integer]) -> Tensor:
    """Contrast, coil, resolution and noise of another scan; equal seeds give equal changes."""
    return torch.cat([_appear(image[None], np.random.default_rng(int(seed) + 7))
                      for image, seed in zip(images, seeds, strict=True)])  # fmt: skip


def _appear(x: Tensor, rng: np.random.Generator) -> Tensor:
    x = x.clamp(min=0) ** float(np.exp(rng.uniform(-0.35, 0.35))) * float(np.exp(rng.uniform(-0.25, 0.25)))
    if rng.random() < 0.5:
        coarse = 0.12 * torch.from_numpy(rng.standard_normal((1, 1, 4, 4))).float()
        x = x * torch.exp(F.interpolate(coarse, x.shape[2:], mode="bicubic", align_corners=False))
    if rng.random() < 0.35:
        low = F.interpolate(x, scale_factor=float(rng.uniform(0.4, 0.9)), mode="area")
        x = F.interpolate(low, x.shape[2:], mode="bilinear", align_corners=False)
    if rng.random() < 0.6:
        x = x + torch.from_numpy(rng.standard_normal(x.shape[2:]) * rng.uniform(0, 0.04)).float()
    return x.clamp(0, CEILING)
