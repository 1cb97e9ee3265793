"""Small images with and without a simulated lesion, labelled as images: the first lesson in where evidence belongs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from hrcam.simulate.lesion import LOOKS, insert_lesion, random_lesion, tumor_lesion
from torch import Tensor, nn
from torch.nn import functional as F

from .data import SPACING_MM, Images
from .network import any_tumor
from .views import SIZE, appear, pose

PER_LESION = {28: 10, 40: 8, 56: 5, 80: 3}
"""Side of a patch, pixels → positive patches drawn around a lesion."""

_HEAD = 0.12
_FEWEST_LESION_PIXELS = 12
_DARK_SLICE = 0.03


@dataclass(frozen=True)
class Healthy:
    """Lesion-free slices of two sources; those of enhanced scans carry the normal enhancement that must stay silent."""

    plain: npt.NDArray[np.float16]
    enhanced: npt.NDArray[np.float16]

    @classmethod
    def of(cls, normal: Images, volumes: Images, normal_label: int) -> Healthy:
        """`no_tumor`, and the slices of `t1ce_volumes` without tumor that show enough head."""
        free = volumes.pixels[volumes.labels == normal_label]
        return cls(normal.pixels, free[free.mean((1, 2), dtype=np.float32) > _DARK_SLICE])

    def draw(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
        """`count` slices, three in five of them enhanced."""
        sources = [self.plain if rng.random() < 0.4 else self.enhanced for _ in range(count)]
        return np.stack([source[rng.integers(len(source))] for source in sources]).astype(np.float32)


def draw_patches(
    healthy: Healthy, rng: np.random.Generator, heads: int, sides: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Patches N×1×side×side of `heads` slices, and whether each shows a lesion.

    The truth of the simulation serves to name the patch "lesion" (at least an eighth of it is lesion, or most of the
    lesion is in it) or "none" (not a pixel is); patches between are not used.
    """
    side = int(rng.choice(sides))
    slices = healthy.draw(rng, heads)
    drawn = [_with_lesion(image, rng) for image in slices]
    seeds = rng.integers(0, 2**31, heads)
    stack = np.concatenate([np.stack([image for image, _ in drawn]), slices, np.stack([mask for _, mask in drawn])])
    posed = pose(stack, np.tile(seeds, 3))
    masks = posed[2 * heads :, 0].numpy() > 0.5
    shown = appear(posed[: 2 * heads], np.tile(seeds, 2))[:, 0]
    patches, labels = [], []
    for n in range(heads):
        for top, left, positive in _places(masks[n], shown[n].numpy() > _HEAD, side, rng):
            window = slice(top, top + side), slice(left, left + side)
            patches.append(shown[n][window])
            labels.append(positive)
            if positive:
                patches.append(shown[heads + n][window])
                labels.append(False)
    return torch.stack(patches)[:, None], torch.tensor(labels).float()


def patch_loss(network: nn.Module, patches: Tensor, labels: Tensor, share: float) -> Tensor:
    """Image-level cross-entropy on the strongest `share` of a patch's pixels, and silence all over one that is "none".

    A quarter of that share speaks for a patch without lesion, so that one false spot counts.
    """
    pixels, _ = network(patches)
    evidence = any_tumor(pixels).flatten(1)
    ranked = evidence.sort(1, descending=True)[0]
    count = max(2, int(share * ranked.shape[1]))
    pooled = torch.where(labels > 0, ranked[:, :count].mean(1), ranked[:, : max(1, count // 4)].mean(1))
    absent = 1 - labels
    silence = (F.softplus(evidence).mean(1) * absent).sum() / absent.sum().clamp(min=1)
    return F.binary_cross_entropy_with_logits(pooled, labels, pos_weight=torch.tensor(1.5)) + silence


def _with_lesion(
    image: npt.NDArray[np.float32], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    if rng.random() < 0.8:
        spec = tumor_lesion(rng, str(rng.choice(LOOKS, p=[0.45, 0.4, 0.15])))
    else:
        spec = random_lesion(rng, diameter_mm=(5, 40), bright=0.75)
    return insert_lesion(image, (SPACING_MM, SPACING_MM), rng, spec)


def _places(
    mask: npt.NDArray[np.bool_], head: npt.NDArray[np.bool_], side: int, rng: np.random.Generator
) -> Iterator[tuple[int, int, bool]]:
    """(top, left, has lesion) of patches around the lesion, and as many anywhere in the head."""
    lesion, room = np.argwhere(mask), np.argwhere(head[::4, ::4]) * 4
    if len(lesion) < _FEWEST_LESION_PIXELS or not len(room):
        return
    total = np.pad(mask.cumsum(0).cumsum(1), ((1, 0), (1, 0)))

    def corner(center: npt.NDArray[np.floating]) -> tuple[int, int]:
        top, left = (int(np.clip(c - side / 2, 0, SIZE - side)) for c in center)
        return top, left

    for _ in range(PER_LESION[side]):
        top, left = corner(lesion[rng.integers(len(lesion))] + rng.uniform(-0.45, 0.45, 2) * side)
        inside = _count(total, top, left, side)
        if inside > 0.12 * side * side or inside > 0.6 * len(lesion):
            yield top, left, True
        top, left = corner(room[rng.integers(len(room))])
        if _count(total, top, left, side) == 0:
            yield top, left, False


def _count(total: npt.NDArray[np.int_], top: int, left: int, side: int) -> int:
    return int(total[top + side, left + side] - total[top, left + side] - total[top + side, left] + total[top, left])


