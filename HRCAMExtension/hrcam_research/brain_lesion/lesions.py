"""Synthetic lesions of the real kinds, as each sequence shows them, put into a clean slice; their place is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .fields import Floats, blob, smooth_noise
from .heads import Ground

Center = tuple[float, float]

VISIBLE, CLEAR = 0.05, 0.16
"""Change of intensity, as a part of white matter, that is not seen at all, and that counts fully."""

_LEAST_PIXELS = 12


@dataclass(frozen=True)
class Palette:
    """Intensities of a lesion's parts in one scan; white matter is 1. `enhances`: contrast agent was given."""

    edema: float
    solid: float
    cyst: float
    blood: float
    rim: float
    enhances: bool


@dataclass(frozen=True)
class Lesioned:
    """An image with a lesion.

    Attributes
    ----------
    image : size × size.
    mask : share of lesion in each pixel, in [0, 1].
    weight : how much a pixel of the mask counts: what cannot be seen asks for nothing.
    kind : its kind, of `KINDS`.
    """

    image: Floats
    mask: Floats
    weight: Floats
    kind: str


def draw_palette(rng: np.random.Generator, sequence: str) -> Palette:
    """How one scan of a sequence shows edema, solid tissue, fluid, blood and enhancing rims."""
    if sequence == "any":
        sequence = str(rng.choice(["flair", "t1", "t1ce", "t2", "odd"]))
    u = rng.uniform
    if sequence == "flair":
        faint = rng.random() < 0.4
        edema = u(1.12, 1.45) if faint else u(1.35, 2.2)
        return Palette(edema, edema * u(0.8, 1.15), u(0.15, 1.2), u(0.3, 2.2), edema * u(0.9, 1.2), False)
    if sequence == "t2":
        edema = u(1.4, 2.6)
        return Palette(edema, edema * u(0.7, 1.2), u(1.8, 3.4), u(0.2, 2.4), edema * u(0.7, 1.0), False)
    if sequence in ("t1", "t1ce"):
        edema = u(0.55, 0.88)
        solid = edema * u(0.8, 1.1)
        return Palette(
            edema, solid, u(0.12, 0.55), u(1.1, 2.0), u(1.15, 2.3) if sequence == "t1ce" else solid, sequence == "t1ce"
        )
    sign = rng.choice([-1, 1])
    edema = 1 + sign * u(0.2, 0.6)
    return Palette(edema, 1 + sign * u(0.2, 0.8), u(0.1, 2.2), u(0.1, 2.2), u(0.2, 2.2), False)


def _paint(
    rng: np.random.Generator, image: Floats, share: Floats, value: float, keep: float, grain: float = 0.06
) -> Floats:
    """Bring `share` of the image to a value, keeping a part of its texture."""
    size = len(image)
    new = np.float32(value) + np.float32(grain * value) * smooth_noise(rng, size, rng.uniform(2.5, 7))
    new += np.float32(0.1 * value) * smooth_noise(rng, size, 20)
    if keep:
        new += np.float32(keep) * (image - ndimage.uniform_filter(image, 9))
    return np.asarray(image + share * (new - image))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


class _Canvas:
    """A ground while it is painted."""

    def __init__(self, ground: Ground, rng: np.random.Generator) -> None:
        self.ground, self.rng, self.size = ground, rng, len(ground.image)
        self.image = ground.image.copy()
        self.mask = np.zeros_like(self.image)
        self.colors = draw_palette(rng, ground.sequence)
        self.parenchyma = (ground.brain & ~ground.fluid).astype(np.float32)
        self.quiet = np.zeros_like(self.image)  # edema around what enhances: counts for little

    def center(self, where: npt.NDArray[np.bool_]) -> Center | None:
        places = np.flatnonzero(where)
        if not len(places):
            return None
        row, column = divmod(int(self.rng.choice(places)), self.size)
        return float(row), float(column)

    def inside(self, depth: int = 9) -> npt.NDArray[np.bool_]:
        return ndimage.uniform_filter((self.ground.brain & ~self.ground.fluid).astype(np.float32), depth) > 0.85

    def blob(self, center: Center, radius: float, edge: float, **form: Any) -> Floats:
        return blob(self.rng, self.size, center, radius, edge=edge, **form)

    def put(self, share: Floats, value: float, keep: float, grain: float = 0.06, beyond: bool = False) -> None:
        if not beyond:
            share = share * self.parenchyma
        self.image = _paint(self.rng, self.image, share, value, keep, grain)
        self.mask = np.maximum(self.mask, share)

    def edema(self, center: Center, radius: float, quiet: bool = False) -> Floats:
        share = blob(self.rng, self.size, center, radius, edge=self.rng.uniform(2, 0.35 * radius + 2.5), roughness=0.3,
                     attraction=self.ground.attraction * self.rng.uniform(0.3, 1.3))  # fmt: skip
        self.put(share, self.colors.edema, self.rng.uniform(0.15, 0.7))
        if quiet:
            self.quiet = np.maximum(self.quiet, share)
        return share

    def ring(self, center: Center, radius: float, core: float) -> None:
        """A rim around a core; thick and uneven where a field is high."""
        rng = self.rng
        outer = self.blob(center, radius, rng.uniform(0.8, 2.2), roughness=0.25)
        width = rng.uniform(0.1, 0.35)
        distance = ndimage.gaussian_filter(outer, max(1.0, width * radius * 0.7))
        uneven = np.float32(rng.uniform(0, 0.12)) * smooth_noise(rng, self.size, max(4.0, 0.6 * radius))
        inner = np.clip((distance + uneven - 0.72) * 6, 0, 1) * outer
        self.put(outer, self.colors.rim, 0.1, 0.1)
        self.put(inner, core, 0.0, 0.08)

    def push(self, center: Center, radius: float) -> None:
        """Tissue gives way: everything moves away from the center by up to a fifth of the radius."""
        rows, columns = np.mgrid[: self.size, : self.size].astype(np.float32)
        y, x = rows - center[0], columns - center[1]
        distance = np.sqrt(y * y + x * x) + 1e-3
        reach = np.float32(1.6 * radius)
        moved = (
            np.float32(self.rng.uniform(0.05, 0.25) * radius)
            * np.exp(-((distance / reach) ** 2))
            * np.minimum(distance / radius, 1)
        )
        at = np.stack([rows - y / distance * moved, columns - x / distance * moved])
        self.image = ndimage.map_coordinates(self.image, at, order=1, mode="nearest")
        solid = (self.ground.brain & ~self.ground.fluid).view(np.uint8)
        self.parenchyma = ndimage.map_coordinates(solid, at, order=0).astype(np.float32)


def _glioma(c: _Canvas) -> None:
    rng = c.rng
    center = c.center(c.inside(11))
    if center is None:
        return
    radius = rng.uniform(7, 34) if rng.random() < 0.75 else _log_uniform(rng, 4, 14)
    if radius > 10 and rng.random() < 0.45:
        c.push(center, radius)
    low_grade = rng.random() < 0.55
    if low_grade:  # the tumor is what edema is elsewhere
        c.edema(center, radius)
        for _ in range(rng.integers(0, 3)):
            c.put(
                c.blob(_near(rng, center, 0.5 * radius), radius * rng.uniform(0.2, 0.6), rng.uniform(1, 4)),
                c.colors.solid,
                0.2,
                0.12,
            )
        if rng.random() < 0.35:
            c.put(
                c.blob(_near(rng, center, 0.4 * radius), radius * rng.uniform(0.15, 0.5), rng.uniform(1, 3)),
                c.colors.cyst,
                0.0,
            )
        if c.colors.enhances and rng.random() < 0.3:
            c.put(
                c.blob(_near(rng, center, 0.4 * radius), max(1.5, radius * rng.uniform(0.08, 0.3)), 1.5),
                c.colors.rim,
                0.1,
                0.1,
            )
        return
    c.edema(center, radius, quiet=c.colors.enhances)
    core = radius * rng.uniform(0.3, 0.75)
    if rng.random() < 0.65:
        c.ring(_near(rng, center, 0.3 * radius), core, c.colors.cyst if rng.random() < 0.6 else c.colors.solid)
    else:
        value = c.colors.rim if c.colors.enhances else c.colors.solid
        c.put(c.blob(_near(rng, center, 0.3 * radius), core, rng.uniform(1, 3), roughness=0.4), value, 0.1, 0.15)


def _near(rng: np.random.Generator, center: Center, reach: float) -> Center:
    return center[0] + rng.uniform(-reach, reach), center[1] + rng.uniform(-reach, reach)


def _meningioma(c: _Canvas) -> None:
    rng = c.rng
    rim = ndimage.uniform_filter(c.ground.brain.astype(np.float32), 7)
    center = c.center((rim > 0.35) & (rim < 0.8))
    if center is None:
        return
    radius = _log_uniform(rng, 4, 26)
    if rng.random() < 0.5:
        c.push(center, radius)
    if rng.random() < 0.5:
        c.edema(center, radius * rng.uniform(1.2, 1.8), quiet=True)
    share = c.blob(center, radius, rng.uniform(0.8, 2), roughness=0.12, elongation=1.8)
    allowed = np.clip(2 * ndimage.uniform_filter(c.ground.brain.astype(np.float32), 9), 0, 1)
    value = c.colors.rim if c.colors.enhances else 1 + (c.colors.solid - 1) * rng.uniform(0.4, 1)
    c.put(share * allowed, value, 0.0, 0.05, beyond=True)


def _metastases(c: _Canvas) -> None:
    rng = c.rng
    inside = c.inside(7)
    for _ in range(rng.integers(1, 6)):
        center = c.center(inside)
        if center is None:
            return
        radius = _log_uniform(rng, 1.8, 12)
        if rng.random() < 0.6:
            c.edema(center, radius * rng.uniform(1.4, 3), quiet=c.colors.enhances)
        if radius > 4 and rng.random() < 0.5:
            c.ring(center, radius, c.colors.cyst)
        else:
            c.put(
                c.blob(center, radius, 1.2, roughness=0.15), c.colors.rim if c.colors.enhances else c.colors.solid, 0.1
            )


def _plaques(c: _Canvas) -> None:
    rng = c.rng
    white = c.ground.attraction > 0.05
    ventricular = ndimage.uniform_filter((c.ground.fluid & c.inside(1) | c.ground.fluid).astype(np.float32), 15) > 0.08
    chosen = white & ventricular if rng.random() < 0.6 else white
    for _ in range(rng.integers(1, 15)):
        center = c.center(chosen if rng.random() < 0.8 else c.inside(5))
        if center is None:
            return
        c.put(
            c.blob(center, _log_uniform(rng, 1.3, 7), rng.uniform(0.8, 2), roughness=0.2, elongation=2.5),
            c.colors.edema,
            0.2,
        )


def _white_matter_disease(c: _Canvas) -> None:
    """Confluent changes beside the ventricles, more than the caps of healthy people."""
    rng = c.rng
    near = ndimage.gaussian_filter(c.ground.fluid.astype(np.float32), rng.uniform(3, 8))
    field = smooth_noise(rng, c.size, rng.uniform(5, 14))
    share = np.clip((near * rng.uniform(2, 4) + 0.35 * field - rng.uniform(0.5, 0.9)) * 3, 0, 1) * (
        c.ground.attraction > 0.02
    )
    c.put(ndimage.uniform_filter(share.astype(np.float32), 3), c.colors.edema, 0.4)


def _infarct(c: _Canvas) -> None:
    rng = c.rng
    rim = ndimage.uniform_filter(c.ground.brain.astype(np.float32), 15)
    center = c.center((rim > 0.6) & (rim < 0.98) & c.ground.brain if rng.random() < 0.7 else c.inside(5))
    if center is None:
        return
    radius = _log_uniform(rng, 2.5, 28)
    share = c.blob(center, radius, rng.uniform(1, 4), roughness=0.35, elongation=2.2)
    c.put(share, c.colors.edema, rng.uniform(0.2, 0.8))
    if rng.random() < 0.4:  # an old one: a cavity, its rim scarred
        c.put(np.clip(1.6 * share - 0.8, 0, 1), c.colors.cyst, 0.0)


def _hemorrhage(c: _Canvas) -> None:
    rng = c.rng
    center = c.center(c.inside(7))
    if center is None:
        return
    radius = _log_uniform(rng, 2, 20)
    if rng.random() < 0.6:
        c.edema(center, radius * rng.uniform(1.2, 1.9))
    c.put(c.blob(center, radius, rng.uniform(0.8, 2.5), roughness=0.3), c.colors.blood, 0.05, 0.15)


def _treated(c: _Canvas) -> None:
    """A cavity of surgery with an uneven rim, and gliosis or edema around."""
    rng = c.rng
    rim = ndimage.uniform_filter(c.ground.brain.astype(np.float32), 21)
    center = c.center((rim > 0.55) & c.ground.brain)
    if center is None:
        return
    radius = rng.uniform(5, 20)
    c.edema(center, radius * rng.uniform(1.3, 2.2), quiet=c.colors.enhances)
    c.ring(center, radius, c.colors.cyst)


def _anything(c: _Canvas) -> None:
    """One blob that is brighter or darker than its surroundings in any sequence."""
    rng = c.rng
    center = c.center(c.inside(5))
    if center is None:
        return
    radius = _log_uniform(rng, 1.5, 30)
    row, column = int(center[0]), int(center[1])
    local = float(np.median(c.image[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5]))
    factor = rng.uniform(1.25, 2.2) if rng.random() < 0.6 else rng.uniform(0.2, 0.75)
    c.put(
        c.blob(center, radius, rng.uniform(0.8, 4), roughness=rng.uniform(0.05, 0.5), elongation=2.5),
        local * factor,
        rng.uniform(0, 0.7),
    )


KINDS: dict[str, tuple[float, Callable[[_Canvas], None]]] = {
    "glioma": (0.34, _glioma), "meningioma": (0.08, _meningioma), "metastases": (0.1, _metastases),
    "plaques": (0.11, _plaques), "white-matter disease": (0.06, _white_matter_disease), "infarct": (0.09, _infarct),
    "hemorrhage": (0.06, _hemorrhage), "treated": (0.07, _treated), "anything": (0.09, _anything),
}  # fmt: skip
"""How often each kind is drawn, and what draws it."""


def add_lesion(rng: np.random.Generator, ground: Ground, tries: int = 4) -> Lesioned | None:
    """Put a lesion of any kind into a slice; None where nothing that can be seen was found room for."""
    names, shares = list(KINDS), np.array([share for share, _ in KINDS.values()])
    if ground.brain.sum() < 300:
        return None
    for _ in range(tries):
        kind = str(rng.choice(names, p=shares / shares.sum()))
        canvas = _Canvas(ground, rng)
        KINDS[kind][1](canvas)
        mask = canvas.mask
        if (mask > 0.5).sum() < _LEAST_PIXELS:
            continue
        change = np.abs(ndimage.uniform_filter(canvas.image - ground.image, 5))
        seen = np.clip((change - VISIBLE) / (CLEAR - VISIBLE), 0, 1)
        if float((seen * mask).sum()) < 0.35 * float(mask.sum()):
            continue
        quiet = np.clip(canvas.quiet - (canvas.image > 1.1), 0, 1) if canvas.colors.enhances else 0.0
        weight = (1 - 0.7 * quiet) * np.where(mask > 0.5, seen, 1)
        return Lesioned(np.maximum(canvas.image, 0).astype(np.float32), mask, weight.astype(np.float32), kind)
    return None
