"""Healthy tissue of several sources, to put simulated tumors into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from hrcam.errors import InputError

from hrcam_research.simulate.lesion import LOOKS, Site, find_site, insert_lesion, tumor_lesion
from hrcam_research.simulate.placement import block_means

from .anatomy import find_sella
from .data import CLASSES, NORMAL, SPACING_MM, Images

LOOK_SHARES = (0.5, 0.38, 0.12)
"""How often a simulated tumor looks like each of `LOOKS`."""

_FEWEST_BLOCKS = 20
_DARK_SLICE = 0.03


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
