"""Small images with and without a simulated lesion, labelled as images: the first lesson in where evidence belongs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from hrcam.errors import InputError
from hrcam.simulate.lesion import LOOKS, Site, find_site, insert_lesion, random_lesion, tumor_lesion
from hrcam.simulate.placement import block_means
from hrcam.train.twin_lesson import LEVEL_WEIGHT
from torch import Tensor, nn
from torch.nn import functional as F

from .anatomy import find_sella
from .data import CLASSES, NORMAL, SPACING_MM, Images
from .network import any_tumor
from .views import SIZE, appear, pose

PER_LESION = {28: 10, 40: 8, 56: 5, 80: 3}
"""Side of a patch, pixels → positive patches drawn around a lesion."""

LOOK_SHARES = (0.5, 0.38, 0.12)
"""How often a simulated tumor looks like each of `LOOKS`."""

_HEAD = 0.12
_FEWEST_LESION_PIXELS = 12
_FEWEST_BLOCKS = 20
_DARK_SLICE, _DARK = 0.03, 0.05
_UNKNOWN_SHARE = 0.03
"""A patch may hold so much tissue of which nobody knows whether it is healthy."""


@dataclass(frozen=True)
class Source:
    """Healthy tissue of one kind.

    Attributes
    ----------
    pixels : N×256×256.
    share : how often it is drawn, beside the other sources.
    free : N×256×256, where the slices are healthy; None: everywhere.
    """

    pixels: npt.NDArray[np.float16]
    share: float
    free: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Background:
    """A slice to put a lesion into; `site` and `free` say where, if not anywhere in the brain."""

    image: npt.NDArray[np.float32]
    site: Site | None = None
    free: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Pairs:
    """N slices with a simulated tumor, N×256×256, the same without, and N indices of the types it looks like."""

    ill: npt.NDArray[np.float32]
    well: npt.NDArray[np.float32]
    types: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Healthy:
    """Healthy tissue of several sources; enhanced scans carry the normal enhancement that must stay silent."""

    sources: tuple[Source, ...]

    @classmethod
    def of(cls, tumors: Images, normal: Images, heads: Images, volumes: Images | None) -> Healthy:
        """`no_tumor`; other heads in three planes; tumor slices away from their tumor; `t1ce_volumes` without tumor."""
        pituitary = tumors.chosen(tumors.labels == CLASSES.index("pituitary"))
        free = [find_sella(p, plane).healthy for p, plane in zip(pituitary.pixels, pituitary.planes, strict=True)]
        sources = [
            Source(normal.pixels, 0.42), Source(heads.pixels, 0.23), Source(pituitary.pixels, 0.35, np.stack(free))
        ]  # fmt: skip
        if volumes is not None:
            pixels = volumes.pixels[volumes.labels == CLASSES.index(NORMAL)]
            sources.append(Source(pixels[pixels.mean((1, 2), dtype=np.float32) > _DARK_SLICE], 0.25))
        return cls(tuple(sources))

    def whole(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
        """`count` slices that are healthy everywhere, N×256×256."""
        whole = [source for source in self.sources if source.free is None]
        chosen = [self._choose(whole, rng) for _ in range(count)]
        return np.stack([s.pixels[rng.integers(len(s.pixels))] for s in chosen]).astype(np.float32)

    def pairs(self, rng: np.random.Generator, count: int) -> Pairs:
        """`count` slices of any whole source with a simulated tumor, and the same without.

        Otherwise a source that is always healthy (skull-stripped templates, say) would be known as healthy by sight.
        """
        ill, well, types = [], [], []
        for look in rng.choice(LOOKS, count, p=LOOK_SHARES):
            image = self.whole(rng, 1)[0]
            shown, _ = insert_lesion(image, (SPACING_MM, SPACING_MM), rng, tumor_lesion(rng, str(look)))
            ill.append(shown)
            well.append(image)
            types.append(CLASSES.index(str(look)))
        return Pairs(np.stack(ill), np.stack(well), np.array(types))

    def background(self, rng: np.random.Generator) -> Background:
        """One slice with room for a lesion."""
        while True:
            source = self._choose(self.sources, rng)
            number = int(rng.integers(len(source.pixels)))
            image = source.pixels[number].astype(np.float32)
            if source.free is None:
                return Background(image)
            site = _within(image, source.free[number])
            if site is not None:
                return Background(image, site, source.free[number])

    @staticmethod
    def _choose(sources: Sequence[Source], rng: np.random.Generator) -> Source:
        shares = np.array([source.share for source in sources])
        return sources[rng.choice(len(sources), p=shares / shares.sum())]


def _within(image: npt.NDArray[np.float32], free: npt.NDArray[np.bool_]) -> Site | None:
    """The brain's part in the free one, or None where it is too small for a lesion or no brain is found."""
    try:
        site = find_site(image, (SPACING_MM, SPACING_MM))
    except InputError:
        return None
    brain = site.brain & (block_means(free, site.steps) > 0.9)
    return replace(site, brain=brain) if brain.sum() >= _FEWEST_BLOCKS else None


def draw_patches(
    healthy: Healthy, rng: np.random.Generator, heads: int, sides: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Patches N×1×side×side of `heads` slices, and whether each shows a lesion.

    The truth of the simulation serves to name the patch "lesion" (at least an eighth of it is lesion, or most of the
    lesion is in it) or "none" (not a pixel is); patches between are not used.
    """
    side = int(rng.choice(sides))
    backgrounds = [healthy.background(rng) for _ in range(heads)]
    drawn = [_with_lesion(b, rng) for b in backgrounds]
    seeds = rng.integers(0, 2**31, heads)
    ill = [np.zeros_like(b.image) if b.free is None else ~b.free & (b.image > _DARK) for b in backgrounds]
    stack = [*(image for image, _ in drawn), *(b.image for b in backgrounds), *(mask for _, mask in drawn), *ill]
    posed = pose(np.stack(stack), np.tile(seeds, 4))
    masks, unknown = posed[2 * heads :, 0].reshape(2, heads, SIZE, SIZE).numpy() > 0.5
    shown = appear(posed[: 2 * heads], np.tile(seeds, 2))[:, 0]
    patches, labels = [], []
    for n in range(heads):
        for top, left, positive in _places(masks[n], unknown[n], shown[n].numpy() > _HEAD, side, rng):
            window = slice(top, top + side), slice(left, left + side)
            patches.append(shown[n][window])
            labels.append(positive)
            if positive:
                patches.append(shown[heads + n][window])
                labels.append(False)
    return torch.stack(patches)[:, None], torch.tensor(labels).float()


def patch_loss(network: nn.Module, patches: Tensor, labels: Tensor, share: float) -> Tensor:
    """`crop_loss` of any tumor against "none", for the sum of the levels and for each alone."""
    seen = network(patches)
    alone = sum(crop_loss(any_tumor(level), labels, share) for level in seen.levels)
    return crop_loss(any_tumor(seen.pixels), labels, share) + LEVEL_WEIGHT * alone


def crop_loss(evidence: Tensor, labels: Tensor, share: float) -> Tensor:
    """Label of each of B crops by the strongest `share` of its pixels, and silence all over one without lesion.

    A quarter of that share speaks for a crop without lesion, so that one false spot counts.

    Parameters
    ----------
    evidence : log-odds of lesion against none, B×*size.
    labels : 1 with, 0 without lesion, B, float.
    """
    flat = evidence.flatten(1)
    ranked = flat.sort(1, descending=True)[0]
    count = max(2, int(share * ranked.shape[1]))
    pooled = torch.where(labels > 0, ranked[:, :count].mean(1), ranked[:, : max(1, count // 4)].mean(1))
    absent = 1 - labels
    silence = (F.softplus(flat).mean(1) * absent).sum() / absent.sum().clamp(min=1)
    weight = torch.tensor(1.5, device=flat.device)
    return F.binary_cross_entropy_with_logits(pooled, labels, pos_weight=weight) + silence


def _with_lesion(
    background: Background, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    if rng.random() < 0.8:
        spec = tumor_lesion(rng, str(rng.choice(LOOKS, p=LOOK_SHARES)))
    else:
        spec = random_lesion(rng, diameter_mm=(5, 40), bright=0.6)
    return insert_lesion(background.image, (SPACING_MM, SPACING_MM), rng, spec, background.site)


def _places(
    mask: npt.NDArray[np.bool_],
    unknown: npt.NDArray[np.bool_],
    head: npt.NDArray[np.bool_],
    side: int,
    rng: np.random.Generator,
) -> Iterator[tuple[int, int, bool]]:
    """(top, left, has lesion) of patches around the lesion, and as many anywhere in the head; none in the unknown."""
    lesion, room = np.argwhere(mask), np.argwhere(head[::4, ::4]) * 4
    if len(lesion) < _FEWEST_LESION_PIXELS or not len(room):
        return
    total, total_unknown = (np.pad(m.cumsum(0).cumsum(1), ((1, 0), (1, 0))) for m in (mask, unknown))

    def corner(center: npt.NDArray[np.floating]) -> tuple[int, int]:
        top, left = (int(np.clip(c - side / 2, 0, SIZE - side)) for c in center)
        return top, left

    for _ in range(PER_LESION[side]):
        top, left = corner(lesion[rng.integers(len(lesion))] + rng.uniform(-0.45, 0.45, 2) * side)
        inside = _count(total, top, left, side)
        known = _count(total_unknown, top, left, side) <= _UNKNOWN_SHARE * side * side
        if known and (inside > 0.12 * side * side or inside > 0.6 * len(lesion)):
            yield top, left, True
        top, left = corner(room[rng.integers(len(room))])
        known = _count(total_unknown, top, left, side) <= _UNKNOWN_SHARE * side * side
        if known and _count(total, top, left, side) == 0:
            yield top, left, False


def _count(total: npt.NDArray[np.int_], top: int, left: int, side: int) -> int:
    return int(total[top + side, left + side] - total[top, left + side] - total[top + side, left] + total[top, left])


