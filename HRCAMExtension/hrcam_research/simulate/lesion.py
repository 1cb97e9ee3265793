"""Lesions with known truth, put into 2D or 3D images so that they look like part of the scan.

Shapes, sizes and contrasts of the paper's simulated abnormalities (arXiv:1909.12919; PeerJ CS 7:e622) are not
published; those here are the project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from hrcam.errors import InputError
from scipy import ndimage

from .fields import smooth_field
from .placement import LOCATIONS, block_means, block_steps, choose_center, coarse_brain, depth_in
from .shape import OUTLINES, patch_axes, radial, size_threshold

Array = np.ndarray

KINDS = ("smooth", "lobulated", "spiculated", "ring", "diffuse", "multiple")
LOOKS = ("glioma", "meningioma", "pituitary")


@dataclass(frozen=True)
class LesionSpec:
    """What a lesion is like; where it lies and its exact form are drawn when it is inserted.

    Attributes
    ----------
    kind : one of :data:`KINDS`.
    diameter_mm : diameter of the disc (2D) or ball (3D) with the lesion's area or volume. Of each, where multiple.
    contrast : lesion minus local tissue, as a fraction of the local tissue's intensity; negative is dark.
        For ``ring`` it is the rim's.
    texture : standard deviation of the lesion's own unevenness, as a fraction of the local tissue's intensity.
    edge_mm : width over which the lesion fades into the tissue (partial volume).
    rim_mm, core_contrast : thickness of a ring's rim, and contrast of its necrotic core.
    halo_mm, halo_contrast : reach and contrast of the oedema-like halo; 0 mm is none.
    halo_in_mask : whether the halo belongs to the ground truth (by default it does not).
    mass_effect : how far the lesion pushes tissue away, as a fraction of its radius (0 to 0.6).
    location : one of :data:`hrcam_research.simulate.placement.LOCATIONS`.
    count : number of lesions, for ``multiple``.
    """

    kind: str = "smooth"
    diameter_mm: float = 15.0
    contrast: float = 0.6
    texture: float = 0.08
    edge_mm: float = 1.0
    rim_mm: float = 3.0
    core_contrast: float = -0.3
    halo_mm: float = 0.0
    halo_contrast: float = -0.15
    halo_in_mask: bool = False
    mass_effect: float = 0.0
    location: str = "any"
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.kind not in KINDS:
            raise InputError(f"Lesion kind '{self.kind}' is unknown.", f"Choose one of {', '.join(KINDS)}.")
        if self.location not in LOCATIONS:
            raise InputError(f"Location '{self.location}' is unknown.", f"Choose one of {', '.join(LOCATIONS)}.")
        if not self.diameter_mm > 0 or not self.edge_mm > 0 or self.count < 1:
            raise InputError("A lesion needs a diameter, an edge width and a count above 0.", "Correct the spec.")
        if not 0 <= self.mass_effect <= 0.6 or self.halo_mm < 0 or self.texture < 0:
            raise InputError("mass_effect must be 0 to 0.6, halo_mm and texture at least 0.", "Correct the spec.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON or CSV."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def random_lesion(
    rng: np.random.Generator,
    *,
    diameter_mm: tuple[float, float] = (2.0, 30.0),
    kinds: Sequence[str] = KINDS,
    contrast: tuple[float, float] = (0.12, 1.2),
    bright: float = 0.6,
    mass_effect: float = 0.4,
    location: str = "any",
) -> LesionSpec:
    """Draw a lesion of any kind.

    Parameters
    ----------
    rng : source of the randomness.
    diameter_mm : range of the diameter, drawn so that small ones are as frequent as large ones (log-uniform).
    kinds : kinds to choose from.
    contrast : range of the contrast's size, log-uniform; dark lesions are kept above black.
    bright : fraction of lesions brighter than their surroundings.
    mass_effect : the strongest mass effect.
    location : see :class:`LesionSpec`.
    """
    kind = str(rng.choice(list(kinds)))
    diameter = _log_uniform(rng, *diameter_mm)
    if kind == "ring":
        diameter = max(diameter, min(8.0, diameter_mm[1]))
    size = _log_uniform(rng, *contrast)
    sign = 1 if rng.random() < bright else -1
    value = sign * size if sign > 0 else -min(size, 0.75)
    halo = rng.random() < 0.4 and diameter > 5
    return LesionSpec(
        kind=kind,
        diameter_mm=diameter,
        contrast=value,
        texture=rng.uniform(0.05, 0.3) * min(abs(value), 1 + min(value, 0)),  # dark lesions do not reach black
        edge_mm=rng.uniform(0.6, 2.0) if kind != "diffuse" else max(1.0, rng.uniform(0.1, 0.35) * diameter),
        rim_mm=max(1.2, rng.uniform(0.08, 0.2) * diameter),
        core_contrast=-sign * rng.uniform(0.05, 0.5),
        halo_mm=rng.uniform(0.2, 0.8) * diameter if halo else 0.0,
        halo_contrast=-rng.uniform(0.08, 0.25) if rng.random() < 0.7 else rng.uniform(0.08, 0.25),
        mass_effect=float(rng.uniform(0, mass_effect)) if kind != "diffuse" and rng.random() < 0.7 else 0.0,
        location=location,
        count=int(rng.integers(2, 6)) if kind == "multiple" else 1,
    )


def tumor_lesion(rng: np.random.Generator, look: str, diameter_mm: tuple[float, float] | None = None) -> LesionSpec:
    """Draw a lesion that looks like a tumor type on contrast-enhanced T1.

    ``meningioma``: homogeneous, bright, smooth, on the dura; 10 to 60 mm by default. ``glioma``: bright ragged ring
    around a dark core, or uneven, or (half of them, 15 mm or more) dark and hardly enhancing; 8 to 60 mm.
    ``pituitary``: bright, small, in the middle of the head; 6 to 30 mm.
    """
    if look == "meningioma":
        size = _log_uniform(rng, *(diameter_mm or (10.0, 60.0)))
        return LesionSpec(
            kind=str(rng.choice(["smooth", "lobulated"], p=[0.7, 0.3])), diameter_mm=size,
            contrast=rng.uniform(0.45, 1.4), texture=rng.uniform(0.03, 0.12), edge_mm=rng.uniform(0.6, 1.4),
            halo_mm=rng.uniform(0.1, 0.5) * size if rng.random() < 0.4 else 0.0, halo_contrast=-rng.uniform(0.08, 0.2),
            mass_effect=rng.uniform(0.15, 0.5), location="dural",
        )  # fmt: skip
    if look == "pituitary":
        size = _log_uniform(rng, *(diameter_mm or (6.0, 30.0)))
        return LesionSpec(
            kind=str(rng.choice(["smooth", "lobulated"], p=[0.6, 0.4])), diameter_mm=size,
            contrast=rng.uniform(0.2, 1.0), texture=rng.uniform(0.04, 0.2), edge_mm=rng.uniform(0.6, 1.5),
            mass_effect=rng.uniform(0.1, 0.4), location="sellar",
        )  # fmt: skip
    if look != "glioma":
        raise InputError(f"Tumor look '{look}' is unknown.", f"Choose one of {', '.join(LOOKS)}.")
    kind = str(rng.choice(["ring", "lobulated", "diffuse"], p=[0.35, 0.15, 0.5]))
    dark = kind == "diffuse"
    size = _log_uniform(rng, *(diameter_mm or (15.0 if dark else 8.0, 60.0)))
    return LesionSpec(
        kind=kind, diameter_mm=size,
        contrast=-rng.uniform(0.1, 0.45) if dark else rng.uniform(0.3, 1.1),
        texture=rng.uniform(0.03, 0.15) if dark else rng.uniform(0.15, 0.45),
        edge_mm=rng.uniform(1.5, 5.0) if dark else rng.uniform(0.9, 2.6),
        rim_mm=max(1.5, rng.uniform(0.09, 0.28) * size), core_contrast=-rng.uniform(0.1, 0.5),
        halo_mm=rng.uniform(0.2, 0.7) * size if not dark and rng.random() < 0.7 else 0.0,
        halo_contrast=-rng.uniform(0.08, 0.25), mass_effect=rng.uniform(0.0, 0.4), location="any",
    )  # fmt: skip


@dataclass(frozen=True)
class Site:
    """Head and brain of an image in blocks of ``steps`` voxels, and the depth below the brain's surface.

    Found once by :func:`find_site` and used for many lesions.
    """

    head: Array = field(repr=False)
    brain: Array = field(repr=False)
    depth_mm: Array = field(repr=False)
    steps: tuple[int, ...]


def find_site(image: Array, spacing_mm: Sequence[float], where: Array | None = None) -> Site:
    """Find the room for lesions: the mask ``where`` if given, else what looks like brain."""
    if where is not None:
        if where.shape != image.shape or not where.any():
            raise InputError("`where` must have the image's shape and at least one voxel set.", "Check the mask.")
        steps = block_steps(spacing_mm)
        room = block_means(where, steps)
        if not room.any():  # too small for the block grid
            room, steps = where.astype(bool), (1,) * image.ndim
        return Site(room, room, depth_in(room, steps, spacing_mm), steps)
    head, brain, steps = coarse_brain(image, spacing_mm)
    return Site(head, brain, depth_in(brain, steps, spacing_mm), steps)


def insert_lesion(
    image: Array,
    spacing_mm: Sequence[float],
    rng: np.random.Generator,
    spec: LesionSpec | None = None,
    where: Array | Site | None = None,
    center: Array | None = None,
) -> tuple[Array, Array]:
    """Put a lesion into an image.

    Parameters
    ----------
    image : rows × columns, or slices × rows × columns, any intensity units, dark background. Left unchanged.
        For ``location="sellar"`` rows run from superior to inferior (or anterior to posterior).
    spacing_mm : mm between samples, in the order of the image's axes.
    rng : source of all randomness: the same state gives the same lesion.
    spec : what to insert; a random lesion by default.
    where : mask of the voxels that the lesion may take (same shape as image), or a :class:`Site` found before; by
        default what looks like brain.
    center : index coordinates of a single lesion's center (float); chosen at random by default.

    Returns
    -------
    image with the lesion (float32), and the lesion's mask after all deformation (bool): voxels of which it takes at
    least half. Tissue outside the mask changes only through mass effect, halo and the soft edge.

    Raises
    ------
    InputError : wrong number of axes, spacing or mask, or no head in the image.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or len(spacing_mm) != image.ndim or min(spacing_mm) <= 0:
        raise InputError(
            f"An image of {image.ndim} axes with spacing {tuple(spacing_mm)} cannot take a lesion.",
            "Give a 2D or 3D array and one positive spacing an axis.",
        )
    if spec is None:
        spec = random_lesion(rng)
    site = where if isinstance(where, Site) else find_site(image, spacing_mm, where)
    result = np.array(image, np.float32)
    mask = np.zeros(image.shape, bool)
    if spec.kind != "multiple":
        _insert_one(result, mask, spacing_mm, rng, spec, site, center)
        return result, mask
    kinds = [kind for kind in KINDS if kind not in ("multiple", "ring")]
    for _ in range(spec.count):
        child = replace(
            spec, kind=str(rng.choice(kinds)), diameter_mm=spec.diameter_mm * rng.uniform(0.6, 1.0), count=1,
            mass_effect=0.5 * spec.mass_effect,
        )  # fmt: skip
        _insert_one(result, mask, spacing_mm, rng, child, site)
    return result, mask


def _insert_one(image: Array, mask: Array, spacing_mm: Sequence[float], rng: np.random.Generator, spec: LesionSpec,
                site: Site, center: Array | None = None) -> None:  # fmt: skip
    """Insert one lesion in place; all work is done in a patch around it."""
    radius = 0.5 * spec.diameter_mm
    if center is None:
        center = choose_center(rng, site.head, site.brain, site.depth_mm, site.steps, spacing_mm, radius, spec.location)
    reach = max(2.0 * radius, 1.4 * radius + spec.halo_mm) + 3 * spec.edge_mm + 2 * max(spacing_mm)
    low = [max(0, int(np.floor(c - reach / s))) for c, s in zip(center, spacing_mm, strict=True)]
    high = [min(n, int(np.ceil(c + reach / s)) + 1) for c, s, n in zip(center, spacing_mm, image.shape, strict=True)]
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = patch_axes(center, low, high, spacing_mm)
    patch = image[window]

    outline = OUTLINES["lobulated" if spec.kind == "multiple" else spec.kind]
    values = radial(rng, axes, outline, spacing_mm, radius)
    room = _room(site.head if spec.location == "sellar" else site.brain, site.steps, low, high)
    threshold = size_threshold(values, room > 0.5, spacing_mm, spec.diameter_mm)
    inward = (1 - values / threshold) * radius  # mm from the surface, positive inside
    edge = max(spec.edge_mm, min(spacing_mm))
    alpha = np.minimum(np.clip(0.5 + inward / edge, 0, 1), np.clip(2 * room - 0.5, 0, 1))

    tissue = _local_level(patch, room, inward)
    pushed = _push(patch, axes, spacing_mm, radius, spec.mass_effect, inward, room)
    if spec.halo_mm > 0:
        spread = 0.5 + 0.25 * smooth_field(rng, patch.shape, spacing_mm, max(0.6 * radius, 3.0))
        strength = np.clip(1 + inward / (spec.halo_mm * np.clip(spread, 0.15, 1.2)), 0, 1)
        strength *= strength * (3 - 2 * strength) * room
        pushed = pushed * (1 + np.float32(spec.halo_contrast) * strength)
        if spec.halo_in_mask:
            mask[window] |= strength > 0.5
    lesion = tissue * _profile(rng, spec, inward, spacing_mm, radius)
    if spec.kind == "diffuse":
        # An infiltrating lesion leaves the anatomy visible: it changes the tissue rather than replacing it.
        lesion = 0.4 * lesion + 0.6 * pushed * lesion / tissue
    else:
        lesion = lesion + _fine_texture(patch, spacing_mm, room)
    floor = min(0.0, float(patch.min()))
    image[window] = np.maximum(pushed * (1 - alpha) + lesion * alpha, floor)
    mask[window] |= alpha >= 0.5


def _room(brain: Array, steps: Sequence[int], low: Sequence[int], high: Sequence[int]) -> Array:
    """Bring the coarse brain to the patch, with a soft edge (linear interpolation)."""
    part = brain.astype(np.float32)
    for axis, (step, start, stop) in enumerate(zip(steps, low, high, strict=True)):
        position = np.clip((np.arange(start, stop) + 0.5) / step - 0.5, 0, brain.shape[axis] - 1)
        first = np.minimum(position.astype(int), max(brain.shape[axis] - 2, 0))
        second = np.minimum(first + 1, brain.shape[axis] - 1)
        weight = (position - first).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(brain.ndim)])
        part = np.take(part, first, axis) * (1 - weight) + np.take(part, second, axis) * weight
    return part


def _local_level(patch: Array, room: Array, inward: Array) -> float:
    """Median intensity of the tissue in and around the lesion."""
    near = (room > 0.5) & (inward > -6.0)
    values = patch[near] if near.any() else patch
    level = float(np.median(values))
    return level if level > 0 else max(float(np.abs(values).mean()), 1e-6)


def _push(patch: Array, axes: Sequence[Array], spacing_mm: Sequence[float], radius: float, strength: float,
          inward: Array, room: Array) -> Array:  # fmt: skip
    """Displace the tissue around the lesion outward, fading with distance; skull and air stay where they are."""
    if strength <= 0:
        return patch
    distance = np.sqrt(sum(np.square(a) for a in axes)).astype(np.float32)
    fade = np.exp(-np.maximum(-inward, 0) / (0.35 * radius + 1e-3)) * room
    shift = strength * radius * fade / np.maximum(distance, radius)
    index = np.indices(patch.shape, dtype=np.float32)
    for k, (axis, spacing) in enumerate(zip(axes, spacing_mm, strict=True)):
        index[k] -= shift * axis / np.float32(spacing)
    # Linear interpolation would smooth the noise around the lesion, a mark that a network could learn instead.
    return ndimage.map_coordinates(patch, index, order=3 if patch.ndim == 2 else 2, mode="nearest", output=np.float32)


def _profile(rng: np.random.Generator, spec: LesionSpec, inward: Array, spacing_mm: Sequence[float],
             radius: float) -> Array:  # fmt: skip
    """Intensity inside the lesion, relative to the local tissue (1)."""
    coarse = smooth_field(rng, inward.shape, spacing_mm, max(0.35 * radius, 1.5))
    fine = smooth_field(rng, inward.shape, spacing_mm, max(0.12 * radius, 1.0))
    uneven = np.float32(spec.texture) * (0.8 * coarse + 0.6 * fine)
    if spec.kind != "ring":
        return np.asarray(1 + spec.contrast + uneven, np.float32)
    rim_width = spec.rim_mm * np.clip(1 + 0.45 * coarse, 0.35, 2.0)
    core = np.clip((inward - rim_width) / max(0.5 * spec.rim_mm, spec.edge_mm) + 0.5, 0, 1)
    rim = 1 + spec.contrast + uneven
    return np.asarray(rim * (1 - core) + (1 + spec.core_contrast + 0.4 * uneven) * core, np.float32)


def _fine_texture(patch: Array, spacing_mm: Sequence[float], room: Array) -> Array:
    """The scan's own noise in the patch, so that it continues through the lesion; edges of anatomy are cut off."""
    residual = patch - ndimage.gaussian_filter(patch, 1.0)
    values = residual[room > 0.5] if (room > 0.5).any() else residual
    limit = 2.5 * 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return np.asarray(np.clip(residual, -limit, limit), np.float32)
