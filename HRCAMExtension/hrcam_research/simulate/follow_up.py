"""Two scans of one head, some time apart: lesions that are new, growing, stable, shrinking or resolved."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.align.transforms import carried, inverse, moved
from hrcam.scan.geometry import LPS_TO_RAS, Geometry
from hrcam.scan.volume import Volume, to_sitk
from scipy.spatial.transform import Rotation

from .appearance import apply_appearance, random_appearance
from .head import Head, draw_scene
from .lesion import LesionSpec, Site, find_site, insert_lesion
from .placement import choose_center

Array = np.ndarray

CHANGES = ("new", "growing", "stable", "shrinking", "resolved")
APART_MM = 30.0
"""Between the centers of a head's lesions."""

COLUMNS = ("pair", "change", "diameter_earlier_mm", "diameter_later_mm", "r", "a", "s")
_TURN, _SHIFT_MM = 8.0, 8.0
_TRIES = 200


@dataclass(frozen=True)
class LesionChange:
    """One lesion on both dates.

    Attributes
    ----------
    change : one of :data:`CHANGES`.
    diameter_earlier_mm, diameter_later_mm : 0 where it is not there.
    center_ras : in the later scan, RAS mm.
    """

    change: str
    diameter_earlier_mm: float
    diameter_later_mm: float
    center_ras: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class FollowUp:
    """Both scans and the truth; ``later_to_earlier`` is 4x4, LPS mm."""

    earlier: Volume
    later: Volume
    changes: tuple[LesionChange, ...]
    later_to_earlier: Array


def simulate_follow_up(
    head: Head, seed: int | Sequence[int], *, size: int = 128, spacing_mm: float = 1.7, lesions: int = 3,
    diameter_mm: tuple[float, float] = (10.0, 20.0), style: str = "t1ce", slice_mm: float = 0.0,
) -> FollowUp:
    """Simulate two scans of a head. The same arguments give the same scans.

    With ``slice_mm`` both are stacks of axial slices of about that thickness.

    The head lies otherwise on the second date (turned by up to 8°, shifted by up to 8 mm), the noise is another, and so
    is the coil's sensitivity. Growing lesions grow by 40 to 80 % in diameter, shrinking ones the other way.
    """
    draw, scene_rng, first, second = [np.random.default_rng(n) for n in np.random.SeedSequence(seed).spawn(4)]
    spacing, shape = (spacing_mm,) * 3, (size,) * 3
    scene = draw_scene(head, scene_rng, plane=None, size=shape, spacing_mm=spacing, style=style)
    corner = -(size - 1) / 2 * spacing_mm
    geometry = Geometry(shape, (corner,) * 3, spacing, np.eye(3))
    there = np.eye(4)
    there[:3, :3] = Rotation.from_euler("xyz", draw.uniform(-_TURN, _TURN, 3), degrees=True).as_matrix()
    there[:3, 3] = draw.uniform(-_SHIFT_MM, _SHIFT_MM, 3)
    before = after = scene.image
    site = find_site(scene.image, spacing, scene.brain if scene.brain.any() else None)
    changes = []
    for number, center in enumerate(_centers(draw, site, spacing, lesions, diameter_mm[1])):
        change = CHANGES[int(draw.integers(len(CHANGES)))]
        sizes = _sizes(draw, change, diameter_mm)
        contrast = draw.uniform(0.5, 0.9)
        before, after = (
            _insert(image, spacing, diameter, contrast, center, site, (*np.atleast_1d(seed), number))
            for image, diameter in zip((before, after), sizes, strict=True))
        lps = geometry.points_to_lps(center[::-1])
        changes.append(LesionChange(change, *sizes, _ras(moved(inverse(there), lps))))
    look, top = random_appearance(draw, 3), float(np.percentile(scene.image, 99))
    after = carried(np.asarray(after, np.float32), geometry, geometry, there)
    if slice_mm > spacing_mm:
        look = replace(look, thick_mm=0.0)
        (before, after), geometry = _in_slices((before, after), geometry, round(slice_mm / spacing_mm))
    scans = [apply_appearance(image, geometry.spacing[::-1], rng, look, reference=top)
             for image, rng in ((before, first), (after, second))]
    return FollowUp(Volume(scans[0], geometry, "earlier"), Volume(scans[1], geometry, "later"), tuple(changes), there)


def write_follow_ups(
    heads: Sequence[Head], count: int, seed: int, out: Path, progress: Callable[[int, int], None] | None = None,
    size: int | None = None, spacing_mm: float | None = None,
) -> Path:
    """Write pairs into ``earlier`` and ``later``, and what is known into ``changes.csv``, whose path is returned."""
    rows = []
    for name in ("earlier", "later"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pair = f"pair_{number:04d}"
        made = simulate_follow_up(heads[number % len(heads)], (seed, number), size=size or 128,
                                  spacing_mm=spacing_mm or 1.7)
        for name, scan in (("earlier", made.earlier), ("later", made.later)):
            sitk.WriteImage(to_sitk(np.rint(scan.array * 16).clip(0, 65535).astype(np.uint16), scan.geometry),
                            str(out / name / f"{pair}.nii.gz"))
        for change in made.changes:
            rows.append({"pair": pair, **asdict(change), **dict(zip("ras", change.center_ras, strict=True))})
        motion = (LPS_TO_RAS @ made.later_to_earlier @ LPS_TO_RAS).tolist()
        (out / "later" / f"{pair}_motion.json").write_text(json.dumps({"later_to_earlier_ras": motion}) + "\n")
        if progress is not None:
            progress(number + 1, count)
    table = out / "changes.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return table


def _in_slices(images: Sequence[Array], geometry: Geometry, count: int) -> tuple[list[Array], Geometry]:
    """Means of ``count`` slices each; what does not fill a last one is left out."""
    columns, rows, slices = geometry.size_ijk
    kept = slices // count
    thick = [image[: kept * count].reshape(kept, count, rows, columns).mean(axis=1, dtype=np.float32)
             for image in images]
    x, y, z = geometry.origin_lps
    across, along, through = geometry.spacing
    return thick, Geometry((columns, rows, kept), (x, y, z + (count - 1) / 2 * through),
                           (across, along, count * through), geometry.direction_lps)


def _centers(
    rng: np.random.Generator, site: Site, spacing: Sequence[float], count: int, largest_mm: float
) -> list[Array]:
    """Index coordinates of as many places in the brain as there are, `APART_MM` from one another at least."""
    found: list[Array] = []
    for _ in range(_TRIES):
        if len(found) == count:
            break
        one = choose_center(rng, site.head, site.brain, site.depth_mm, site.steps, spacing, largest_mm / 2, "deep")
        if all(np.linalg.norm((one - other) * spacing) >= APART_MM for other in found):
            found.append(one)
    return found


def _sizes(rng: np.random.Generator, change: str, diameter_mm: tuple[float, float]) -> tuple[float, float]:
    low, high = diameter_mm
    small = float(rng.uniform(low, max(low, high / 1.8)))
    large = small * float(rng.uniform(1.4, 1.8))
    return {"new": (0.0, small), "growing": (small, large), "stable": (small, small), "shrinking": (large, small),
            "resolved": (small, 0.0)}[change]


def _insert(
    image: Array, spacing: Sequence[float], diameter: float, contrast: float, center: Array, site: Site,
    seed: Sequence[int],
) -> Array:
    if diameter == 0:
        return image
    spec = LesionSpec(kind="smooth", diameter_mm=diameter, contrast=contrast, texture=0.05, edge_mm=1.5,
                      location="deep")
    return insert_lesion(image, spacing, np.random.default_rng(seed), spec, site, center)[0]


def _ras(lps: Array) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in lps)
    return -x, -y, z
