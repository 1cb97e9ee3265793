"""What a step learns from: pairs of generated and of real slices, real tumors, and their targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .contrasts import SEQUENCES, SHARES
from .fields import Floats
from .heads import USUAL_TILT, Ground, LabeledHead, draw_head
from .lesions import add_lesion
from .real import Backgrounds, Tumors, draw_background, draw_tumor
from .scanner import USUAL_BRIGHT, USUAL_SHADE, scan

_SOURCE_SPACING_MM = 0.94
_UNSURE, _HEALTHY = 0.3, 0.9
"""Target where a real slice may have a lesion of its own; a pixel is healthy from this share on."""

_ANY_HEIGHT = 1.9
"""How far down slices reach, in halves of the brain's height: to face and neck."""

_DARKEST = 0.1
_CLEARLY = 40.0
"""A lesion of so many visible pixels makes an image one with a lesion; smaller ones less so."""


@dataclass(frozen=True)
class View:
    """How slices are read.

    Attributes
    ----------
    size, spacing_mm : of the square images.
    bright : the percentile of the foreground that becomes 1 is drawn between these two.
    shade : how uneven the coils' sensitivity is at most, see `scanner.scan`.
    tilt : how far generated heads are turned about each axis at most, in radians.
    """

    size: int = 192
    spacing_mm: float = 1.0
    bright: tuple[float, float] = USUAL_BRIGHT
    shade: float = USUAL_SHADE
    tilt: float = USUAL_TILT


FINE, COARSE = View(), View(160, 1.25, (86.0, 98.0))
"""The second is how the bundle reads slices: its spacing, and about its percentile."""

UNEVEN = replace(COARSE, shade=0.35, tilt=0.2)
"""The second, of heads that lie crooked between coils that see them unevenly: one side is brighter then, or shows
another part of the head, and no lesion."""


class Batch(NamedTuple):
    """N images of one `View`.

    Attributes
    ----------
    images : in [0, 1.5].
    target : 1 where a lesion is, 0 where none is, between where that is not known.
    weight : of each pixel with a lesion.
    ill : N, 1 or 0.
    label_weight : N, how much the image's own label counts.
    """

    images: npt.NDArray[np.float16]
    target: npt.NDArray[np.float16]
    weight: npt.NDArray[np.float16]
    ill: Floats
    label_weight: Floats


@dataclass(frozen=True)
class Material:
    """All that is drawn from."""

    heads: Sequence[LabeledHead]
    backgrounds: Sequence[Backgrounds]
    tumors: Tumors | None


@dataclass(frozen=True)
class Shares:
    """What a batch is made of.

    Attributes
    ----------
    generated, real, tumors, anywhere : pairs of generated slices, pairs of real ones, real tumors, slices without
        lesion of any height.
    sequences : how often generated slices are of each of `contrasts.SEQUENCES`.
    thin_t1 : share of T1 slices of whole real heads among the backgrounds; None: the source's own.
    noisy : share of the real pairs that get as much noise and blur as generated ones.
    bare : share of the slices of any height that show the brain alone.
    """

    generated: int = 5
    real: int = 2
    tumors: int = 2
    anywhere: int = 0
    sequences: tuple[float, ...] = SHARES
    thin_t1: float | None = None
    noisy: float = 0.0
    bare: float = 0.0


class _Draft:
    """A batch while it is drawn."""

    def __init__(self, rng: np.random.Generator, material: Material, shares: Shares, view: View) -> None:
        self.rng, self.material, self.shares, self.view = rng, material, shares, view
        self.backgrounds = [
            one if shares.thin_t1 is None or one.sequence != "t1" else replace(one, share=shares.thin_t1)
            for one in material.backgrounds
        ]
        self.nothing = np.zeros((view.size, view.size), np.float32)
        self.images: list[Floats] = []
        self.targets: list[Floats] = []
        self.weights: list[Floats] = []
        self.ill: list[float] = []
        self.label_weights: list[float] = []

    @property
    def step(self) -> float:
        """Of the view, in pixels of real slices."""
        return self.view.spacing_mm / _SOURCE_SPACING_MM

    def add(self, image: Floats, target: Floats, weight: Floats, ill: float, label_weight: float) -> None:
        self.images.append(image)
        self.targets.append(target)
        self.weights.append(weight)
        self.ill.append(ill)
        self.label_weights.append(label_weight)

    def head(self, reach: float | None = None) -> Ground:
        """A generated slice; with `reach`, of any height."""
        heads = self.material.heads
        sequence = str(self.rng.choice(SEQUENCES, p=self.shares.sequences))
        head = heads[int(self.rng.integers(len(heads)))]
        bare = reach is not None and self.rng.random() < self.shares.bare
        return draw_head(self.rng, head, self.view.size, self.view.spacing_mm, sequence, reach, self.view.tilt, bare)

    def scanned(self, images: Sequence[Floats], noisy: bool = True) -> list[Floats]:
        """The images as a scanner gives them."""
        return scan(self.rng, images, noisy, self.view.bright, self.view.shade)

    def pair(self, generated: bool) -> None:
        """A slice with a synthetic lesion, then its counterpart without."""
        lesion = None
        while lesion is None:
            if generated:
                ground, healthy = self.head(), self.nothing + 1
            else:
                ground, healthy = draw_background(self.rng, self.backgrounds, self.view.size, self.step)
            lesion = add_lesion(self.rng, ground)
        unsure = np.where(healthy < _HEALTHY, _UNSURE, 0).astype(np.float32)
        seen = float((lesion.mask * lesion.weight).sum())
        noisy = generated or self.rng.random() < self.shares.noisy
        with_lesion, without = self.scanned([lesion.image, ground.image], noisy)
        self.add(with_lesion, np.maximum(lesion.mask, unsure), lesion.weight, 1, min(1.0, seen / _CLEARLY))
        self.add(without, unsure, self.nothing, 0, 0.0 if unsure.any() else 1.0)

    def tumor(self, tumors: Tumors) -> None:
        """A real tumor, where a weakly supervised map sees it."""
        image, seen = draw_tumor(self.rng, tumors, self.view.size, self.step)
        image = image / np.float32(max(float(np.percentile(image, 80)), _DARKEST))
        self.add(self.scanned([image], False)[0], seen, np.ones_like(seen), 1, 1.0 if seen.max() > 0.5 else 0.3)

    def batch(self) -> Batch:
        images, target, weight = (
            np.stack(part).astype(np.float16) for part in (self.images, self.targets, self.weights)
        )
        ill, label_weight = (np.array(part, np.float32) for part in (self.ill, self.label_weights))
        return Batch(images, target, weight, ill, label_weight)


def draw_batch(rng: np.random.Generator, material: Material, shares: Shares, view: View) -> Batch:
    """A batch: each slice with a synthetic lesion beside its counterpart without, slices without, then real tumors."""
    draft = _Draft(rng, material, shares, view)
    for number in range(shares.generated + shares.real):
        draft.pair(generated=number < shares.generated)
    for _ in range(shares.anywhere):
        draft.add(draft.scanned([draft.head(_ANY_HEIGHT).image])[0], draft.nothing, draft.nothing, 0, 1.0)
    for _ in range(shares.tumors if material.tumors is not None else 0):
        assert material.tumors is not None
        draft.tumor(material.tumors)
    return draft.batch()


def batches(seed: int, material: Material, shares: Shares, view: View) -> Iterator[Batch]:
    """Batches without end."""
    rng = np.random.default_rng(seed)
    while True:
        yield draw_batch(rng, material, shares, view)
