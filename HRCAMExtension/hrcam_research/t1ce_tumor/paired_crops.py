"""Pairs: a slice with a simulated tumor and the same without, which say where evidence belongs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrcam_research.paired.pair_loss import CHANGED, EQUAL, LEVEL_WEIGHT, pair_loss
from hrcam_research.simulate.lesion import LOOKS, insert_lesion, random_lesion, tumor_lesion

from .data import SPACING_MM
from .healthy import LOOK_SHARES, Background, Healthy
from .network import any_tumor
from .views import SIZE, appear, pose

SIDE = 96
"""Of a crop, pixels: the tumor and what surrounds it."""

_LEAST = 0.03
"""Pairs that differ less show a tumor that nobody could see."""


@dataclass(frozen=True)
class PairedCrops:
    """N pairs of crops.

    Attributes
    ----------
    ill, well : with a simulated tumor and without, N×1×side×side.
    difference : of the slices before the scanner's changes, N×1×side×side.
    unknown : 1 where nobody knows whether the slice without simulated tumor is healthy, N×1×side×side.
    """

    ill: Tensor
    well: Tensor
    difference: Tensor
    unknown: Tensor


def draw_crops(healthy: Healthy, rng: np.random.Generator, count: int) -> PairedCrops:
    """Crops of at most `count` slices, posed and changed alike; the tumor is anywhere in them but at the very edge."""
    backgrounds = [healthy.background(rng) for _ in range(count)]
    drawn = [_with_lesion(background, rng) for background in backgrounds]
    seeds = rng.integers(0, 2**31, count)
    ill = [np.zeros_like(b.image) if b.free is None else ~b.free for b in backgrounds]
    stack = np.stack([*drawn, *(b.image for b in backgrounds), *ill]).astype(np.float32)
    posed = pose(stack, np.tile(seeds, 3))
    shown = appear(posed[: 2 * count], np.tile(seeds, 2))
    difference = (posed[:count] - posed[count : 2 * count]).abs()
    crops: list[list[Tensor]] = [[], [], [], []]
    for n in range(count):
        changed = difference[n, 0].numpy()
        if changed.max() < _LEAST:
            continue
        rows, columns = _around(changed, rng)
        for store, stored in zip(
            crops, (shown[n], shown[count + n], difference[n], posed[2 * count + n]), strict=True
        ):
            store.append(stored[:, rows, columns])
    return PairedCrops(*(torch.stack(store) for store in crops))


def crops_loss(network: nn.Module, crops: PairedCrops) -> Tensor:
    """`pair_loss` of any tumor against "none", for the sum of the levels and for each alone."""
    seen = network(torch.cat([crops.ill, crops.well]))
    size = seen.pixels.shape[2:]
    difference, unknown = (F.interpolate(t, size, mode="area")[:, 0] for t in (crops.difference, crops.unknown))
    share = difference / difference.amax((1, 2), keepdim=True)
    known = (unknown < 0.1).float()
    changed, equal = (share > CHANGED).float() * known, (share < EQUAL).float() * known

    def loss(pixels: Tensor) -> Tensor:
        ill, well = any_tumor(pixels).chunk(2)
        return pair_loss(ill, well, changed, equal, known, hardest=0.3)

    return loss(seen.pixels) + LEVEL_WEIGHT * torch.stack([loss(level) for level in seen.levels]).sum()


def _with_lesion(background: Background, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    if rng.random() < 0.8:
        spec = tumor_lesion(rng, str(rng.choice(LOOKS, p=LOOK_SHARES)))
    else:
        spec = random_lesion(rng, diameter_mm=(5, 40), bright=0.6)
    return insert_lesion(background.image, (SPACING_MM, SPACING_MM), rng, spec, background.site)[0]


def _around(changed: npt.NDArray[np.float32], rng: np.random.Generator) -> tuple[slice, slice]:
    places = np.argwhere(changed > 0.5 * changed.max())
    center = places[rng.integers(len(places))] + rng.uniform(-0.4, 0.4, 2) * SIDE
    top, left = (int(np.clip(c - SIDE / 2, 0, SIZE - SIDE)) for c in center)
    return slice(top, top + SIDE), slice(left, left + SIDE)
