"""One simulated case from one seed: a head with a lesion, its ground truth, and its counterpart without the lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .appearance import Appearance, apply_appearance, random_appearance
from .head import PLANES, WITHIN_THE_BRAIN, Head, draw_scene
from .lesion import LesionSpec, find_site, insert_lesion, random_lesion

Array = np.ndarray


_TRIES = 8
_TISSUE = 0.6
LEAST_CHANGE = 0.08
"""Of the brain's median: a lesion that changes the image less, on average, is put elsewhere."""


@dataclass(frozen=True)
class SimulatedCase:
    """A generated image and all that is known about it.

    Attributes
    ----------
    image, mask : what was asked for, and the lesion in it (empty in a healthy case); float32 and bool, axes rows ×
        columns or K × J × I.
    counterpart : the same scan without the lesion, noise and all; None unless asked for.
    spec : the lesion; None in a healthy case.
    appearance, style, plane, spacing_mm : how it was drawn.
    """

    image: Array
    mask: Array
    counterpart: Array | None
    spec: LesionSpec | None
    appearance: Appearance
    style: str
    plane: str | None
    spacing_mm: tuple[float, ...]


def simulate_case(
    head: Head,
    seed: int | Sequence[int],
    *,
    dims: int = 2,
    size: int | None = None,
    spacing_mm: float | None = None,
    lesion: bool = True,
    spec: LesionSpec | None = None,
    style: str | None = None,
    plane: str | None = None,
    diameter_mm: tuple[float, float] = (2.0, 30.0),
    contrast: tuple[float, float] = (0.12, 1.2),
    least_change: float = LEAST_CHANGE,
    paired: bool = False,
    stripped: bool = False,
    reach: float = WITHIN_THE_BRAIN,
) -> SimulatedCase:
    """Simulate one scan. The same arguments give the same scan, bit for bit.

    Parameters
    ----------
    head : see :mod:`hrcam_research.simulate.head`.
    seed : whole number, or several (say, set and case).
    dims : 2 for a slice, 3 for a volume.
    size, spacing_mm : of the image, along every axis; default 256 at 0.94 mm (2D), 128 at 1.7 mm (3D).
    lesion : False for a healthy scan; all else is drawn as with a lesion.
    spec : the lesion; drawn at random by default, of sizes in ``diameter_mm`` and ``contrast``.
    least_change : the lesion is put elsewhere, a few times at most, where it would lie in fluid or be about as bright
        as the tissue that it hides: it shall change the image by this fraction of the brain's median, on average.
    style, plane : tissue contrast and plane; drawn at random by default.
    paired : also give the counterpart without lesion.
    stripped : leave out all but the brain, where the head is made of tissues.
    reach : how far from the brain's center slices may lie, see :func:`hrcam_research.simulate.head.draw_scene`.
    """
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)]
    choice, scene_rng, lesion_rng, scanner_rng = streams
    drawn_plane, drawn_style = str(choice.choice(PLANES)), str(choice.choice(["t1", "t1ce", "any"], p=[0.4, 0.3, 0.3]))
    thick = choice.uniform(0, 6) if choice.random() < 0.6 else 0.0
    look = random_appearance(choice, dims)
    size = size or (256 if dims == 2 else 128)
    spacing = (spacing_mm or (0.94 if dims == 2 else 1.7),) * dims
    style = style or drawn_style
    plane = (plane or drawn_plane) if dims == 2 else None
    scene = draw_scene(head, scene_rng, plane=plane, size=(size,) * dims, spacing_mm=spacing, style=style,
                       thick_mm=thick, stripped=stripped, reach=reach)  # fmt: skip
    top = float(np.percentile(scene.image, 99))
    noise_seed = scanner_rng.integers(2**63)

    def scanned(clean: Array) -> Array:
        scan = apply_appearance(clean, spacing, np.random.default_rng(noise_seed), look, reference=top)
        return scan if scene.extracted is None else scan * scene.extracted

    counterpart = scanned(scene.image) if paired or not lesion else None
    if not lesion:
        empty = np.zeros(scene.image.shape, bool)
        return SimulatedCase(np.asarray(counterpart), empty, counterpart, None, look, style, plane, spacing)
    drawn = random_lesion(lesion_rng, diameter_mm=diameter_mm, contrast=contrast)
    spec = spec or drawn
    where = scene.brain if scene.brain.any() else None
    site = find_site(scene.image, spacing, where)
    clean, mask, change = scene.image, np.zeros(scene.image.shape, bool), -1.0
    for _ in range(_TRIES):
        tried, outline = insert_lesion(scene.image, spacing, lesion_rng, spec, site)
        reached = _change(scene.image, tried, outline, scene.brain)
        if reached > change:
            clean, mask, change = tried, outline, reached
        if change >= least_change:
            break
    return SimulatedCase(scanned(clean), mask, counterpart if paired else None, spec, look, style, plane, spacing)


def _change(before: Array, after: Array, mask: Array, brain: Array) -> float:
    """How far the image changes where the lesion lies: one as bright as what it hides would be a wrong label.

    0 where it lies in fluid (dark on T1), in which a dark lesion shows nothing and no lesion of the brain grows.
    """
    level = float(np.median(before[brain] if brain.any() else before[before > before.mean()]))
    if not mask.any() or float(before[mask].mean()) < _TISSUE * level:
        return 0.0
    return float(np.abs(after - before)[mask].mean()) / max(level, 1e-6)
