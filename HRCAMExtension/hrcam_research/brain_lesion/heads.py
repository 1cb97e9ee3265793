"""Slices of label maps of heads, in any plane and pose, painted in any contrast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its customary name
from scipy import ndimage

from hrcam_research.simulate.head import find_heads, read_head, rotation_matrix
from hrcam_research.simulate.tissues import BRAIN, INDEX

from .contrasts import VENTRICLE, draw_means, fluid_like
from .fields import Floats, pixel_axes, smooth_noise

_VENTRICLES = (4, 5, 14, 15, 43, 44)
IN_BRAIN = np.append(BRAIN, True)
_WHITE = [INDEX[name] for name in ("white matter", "cerebellar white matter", "brain stem")]
_PLANES, _PLANE_SHARES = 3, (0.6, 0.2, 0.2)
_LAYERS = {1: 1, 3: 2, 5: 3, 7: 4}
"""Slice thickness in mm to how many layers are averaged."""

_REACH = 0.98
USUAL_TILT = 0.12


@dataclass(frozen=True)
class LabeledHead:
    """Tissues K×J×I (to superior, posterior, left) at 1 mm; the brain's center and half its extent, in voxels."""

    tissues: npt.NDArray[np.uint8]
    center: tuple[float, ...]
    extent: tuple[float, ...]


@dataclass(frozen=True)
class Ground:
    """An image that a lesion is put into.

    Attributes
    ----------
    image : size × size; white matter, or the brain's median, is 1.
    brain : where lesions may lie.
    fluid : what lesions spare.
    attraction : what infiltrating lesions grow along, see `fields.blob`.
    sequence : one of `contrasts.SEQUENCES`.
    stripped : all else than brain is missing.
    """

    image: Floats
    brain: npt.NDArray[np.bool_]
    fluid: npt.NDArray[np.bool_]
    attraction: Floats
    sequence: str
    stripped: bool = False


def read_heads(folder: Path, cache: Path | None = None) -> list[LabeledHead]:
    """Every label map of a folder; `cache` keeps them prepared in one file."""
    if cache is not None and cache.exists():
        kept = np.load(cache)
        return [
            LabeledHead(t, tuple(c), tuple(e))
            for t, c, e in zip(kept["tissues"], kept["center"], kept["extent"], strict=True)
        ]
    heads = []
    for path in find_heads(folder):
        head = read_head(path)
        labels = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS"))
        tissues = head.values.copy()
        tissues[np.isin(labels, _VENTRICLES)] = VENTRICLE
        center, extent = (
            tuple(float(v / s) for v, s in zip(values, head.spacing_mm, strict=True))
            for values in (head.center_mm, head.extent_mm)
        )
        heads.append(LabeledHead(tissues, center, extent))
    if cache is not None:
        np.savez(
            cache,
            tissues=np.stack([h.tissues for h in heads]),
            center=[h.center for h in heads],
            extent=[h.extent for h in heads],
        )
    return heads


def draw_head(
    rng: np.random.Generator, head: LabeledHead, size: int, spacing_mm: float, sequence: str,
    reach: float | None = None, tilt: float = USUAL_TILT, bare: bool = False,
) -> Ground:  # fmt: skip
    """A clean slice of a head, in a pose, deformation and contrast of its own, anterior or superior on top.

    `reach`: how far below the brain's center slices may lie, in halves of its extent; None: within the brain, and at
    times without anything around it. `tilt`: how far the head is turned about each axis at most, in radians. `bare`:
    without anything around the brain.
    """
    plane = int(rng.choice(_PLANES, p=_PLANE_SHARES))
    scale = spacing_mm * rng.uniform(0.85, 1.18)
    rows, columns = (((axis - (size - 1) / 2) * scale).astype(np.float32) for axis in pixel_axes(size))
    angle = rng.uniform(-0.2, 0.2)
    rows, columns = (
        np.cos(angle) * rows - np.sin(angle) * columns + rng.uniform(-10, 10),
        np.sin(angle) * rows + np.cos(angle) * columns + rng.uniform(-10, 10),
    )
    stretch = rng.uniform(1.5, 5.0)
    rows = rows + np.float32(stretch) * smooth_noise(rng, size, 45)
    columns = columns + np.float32(stretch) * smooth_noise(rng, size, 45)
    through = np.float32(rng.uniform(-(reach or _REACH), _REACH) * head.extent[plane])
    grid = [(through, rows, columns), (-rows, through, columns), (-rows, columns, through)][plane]
    matrix = rotation_matrix(rng.uniform(-tilt, tilt, 3)) * rng.uniform(0.93, 1.08, 3)
    matrix[:, 2] *= rng.choice([-1.0, 1.0])
    matrix = matrix.astype(np.float32)
    index = [sum(matrix[a, b] * grid[b] for b in range(3)) + np.float32(head.center[a]) for a in range(3)]
    thick = int(rng.choice(list(_LAYERS), p=[0.3, 0.2, 0.35, 0.15]))
    layers = _LAYERS[thick]
    mean, within = draw_means(rng, sequence)
    grain = smooth_noise(rng, size, rng.uniform(1.5, 4.0))
    regional = 1 + np.float32(rng.uniform(0, 0.09)) * smooth_noise(rng, size, 35)
    total, middle = np.zeros((size, size), np.float32), None
    details = _Details(rng, size, sequence)
    for layer in range(layers):
        offset = np.float32((layer - (layers - 1) / 2) * thick / layers)
        tissues = _nearest(head.tissues, [i + matrix[a, plane] * offset for a, i in enumerate(index)])
        if layer == layers // 2:
            middle = tissues
        tissues = details.draw(tissues)
        total += mean[tissues] + within[tissues] * grain
    assert middle is not None
    image: Floats = np.asarray(total / layers, np.float32)
    brain = IN_BRAIN[middle]
    image = np.asarray(np.where(brain, image * regional, image), np.float32)
    image = _caps(rng, image, middle, sequence)
    white = np.isin(middle, _WHITE)
    fluid = fluid_like(middle)
    pull = np.float32(0.35) * ndimage.uniform_filter(white.astype(np.float32), 5) - np.float32(0.2)
    stripped = bare or bool(reach is None and rng.random() < 0.2)
    if stripped:
        image, brain = _strip(rng, image, brain)
    return Ground(
        np.maximum(image, 0).astype(np.float32), brain & (middle != INDEX["cord"]), fluid, pull, sequence, stripped
    )


class _Details:
    """What label maps lack: wide sulci, plexus and vessels in the fluid."""

    def __init__(self, rng: np.random.Generator, size: int, sequence: str) -> None:
        self.plexus = smooth_noise(rng, size, 6) > rng.uniform(1.3, 2.4) if rng.random() < 0.6 else None
        often = 0.9 if sequence == "t1ce" else 0.5
        self.vessels = (
            smooth_noise(rng, size, rng.uniform(2.5, 5)) > rng.uniform(1.5, 2.3) if rng.random() < often else None
        )
        self.wide = smooth_noise(rng, size, 25) > rng.uniform(-0.3, 1.2) if rng.random() < 0.4 else None

    def draw(self, tissues: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if self.wide is not None:
            near = ndimage.maximum_filter((tissues == INDEX["csf"]).view(np.uint8), 3) > 0
            tissues[near & (tissues == INDEX["cortex"]) & self.wide] = INDEX["csf"]
        if self.plexus is not None:
            tissues[self.plexus & (tissues == VENTRICLE)] = INDEX["choroid plexus"]
        if self.vessels is not None:
            tissues[self.vessels & (tissues == INDEX["csf"])] = INDEX["sinus"]
        return tissues


def _caps(rng: np.random.Generator, image: Floats, tissues: npt.NDArray[np.uint8], sequence: str) -> Floats:
    """Normal bright (dark on T1) rims and caps of the ventricles, and pulsation in their fluid."""
    ventricles = tissues == VENTRICLE
    if not ventricles.any():
        return image
    if rng.random() < 0.55:
        width = rng.uniform(1.0, 3.5)
        near = np.clip(2.5 * ndimage.gaussian_filter(ventricles.astype(np.float32), width), 0, 1)
        strength = {"flair": rng.uniform(0.05, 0.6), "t2": rng.uniform(0, 0.4)}.get(sequence, -rng.uniform(0, 0.15))
        local = np.clip(0.5 + 0.6 * smooth_noise(rng, len(image), 22), 0, 1.2)
        image = np.where(IN_BRAIN[tissues] & ~ventricles, image * (1 + np.float32(strength) * near * local), image)
    if sequence == "flair" and rng.random() < 0.3:
        flow = np.clip(smooth_noise(rng, len(image), 12) - 0.6, 0, 1) * np.float32(rng.uniform(0.2, 0.8))
        image = np.where(fluid_like(tissues), image + flow, image)
    return np.asarray(image, np.float32)


def _strip(
    rng: np.random.Generator, image: Floats, brain: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Leave what an imperfect brain extraction leaves."""
    soft = ndimage.uniform_filter(brain.astype(np.float32), 5) + np.float32(rng.uniform(0.05, 0.3)) * smooth_noise(
        rng, len(image), 14
    )
    kept = soft > rng.uniform(0.3, 0.75)
    return np.where(kept, image, 0), brain & kept


def _nearest(values: npt.NDArray[np.uint8], index: list[Floats]) -> npt.NDArray[np.uint8]:
    """Value at the nearest voxel; 0 outside."""
    flat = np.zeros(np.broadcast_shapes(*(i.shape for i in index)), np.int64)
    inside = np.ones(flat.shape, bool)
    for one, count in zip(index, values.shape, strict=True):
        whole = np.rint(one).astype(np.int64)
        inside &= (whole >= 0) & (whole < count)
        flat = flat * count + np.clip(whole, 0, count - 1)
    return np.where(inside, values.reshape(-1)[flat], 0).astype(np.uint8)
