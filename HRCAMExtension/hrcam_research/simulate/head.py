"""Heads to draw images from: label maps, any T1 volume, or a procedural phantom that needs no data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.errors import InputError
from scipy import ndimage

from .anatomy import add_details, extract_brain
from .fields import smooth_field
from .placement import block_means, coarse_brain
from .tissues import BRAIN, INDEX, STYLES, TISSUES, draw_intensities, from_labels

Array = np.ndarray

PLANES = ("axial", "coronal", "sagittal")
WITHIN_THE_BRAIN, ALL_OF_THE_HEAD = 0.8, 1.9
"""How far from the brain's center slices may lie, as parts of half its extent; the latter shows face and neck too."""

_FAT_MM = 9.0


@dataclass(frozen=True)
class Head:
    """One head, on a grid of axes K (inferior to superior), J (anterior to posterior), I (right to left): LPS.

    Attributes
    ----------
    name : names the head in tables; no head is in two splits.
    values : KJI; indices of :data:`hrcam_research.simulate.tissues.TISSUES` (uint8), or intensities (float32).
    spacing_mm : K, J, I.
    center_mm : center of the brain, mm from the first voxel, K, J, I.
    extent_mm : half the brain's extent along K, J, I.
    """

    name: str
    values: Array = field(repr=False)
    spacing_mm: tuple[float, float, float]
    center_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]

    @property
    def labeled(self) -> bool:
        """Whether the head is made of tissues, so that its contrast can be drawn."""
        return self.values.dtype == np.uint8


@dataclass(frozen=True)
class Scene:
    """A clean image of a head, before the scanner's effects.

    Attributes
    ----------
    image : rows × columns or K × J × I, float32.
    brain : bool, where lesions may lie.
    spacing_mm : in the order of the axes.
    plane : of a slice; None for a volume.
    extracted : bool, what a brain extraction after the scan leaves, all else being 0; None: there was none.
    """

    image: Array
    brain: Array
    spacing_mm: tuple[float, ...]
    plane: str | None
    extracted: Array | None = None


def _make_head(name: str, values: Array, spacing: Sequence[float]) -> Head:
    if values.dtype == np.uint8:
        steps: tuple[int, ...] = (4, 4, 4)
        brain = block_means(BRAIN[values] & (values != INDEX["cord"]), steps)
    else:
        _, brain, steps = coarse_brain(values, spacing)
    if not brain.any():
        raise InputError(f"No brain was found in {name}.", "Give a T1 volume or a label map of a whole head.")
    points = [(np.percentile(axis, [1, 99]) + 0.5) * step * s
              for axis, step, s in zip(np.nonzero(brain), steps, spacing, strict=True)]  # fmt: skip
    center = [float(p.mean()) for p in points]
    extent = [float(p[1] - p[0]) / 2 for p in points]
    return Head(name, values, _three(spacing), _three(center), _three(extent))


def _three(numbers: Sequence[float]) -> tuple[float, float, float]:
    a, b, c = (float(n) for n in numbers)
    return a, b, c


def read_head(path: Path) -> Head:
    """Read a head from a file: a SynthSeg label map (whole numbers, 600 at most, few values) or a T1 volume.

    Raises
    ------
    InputError : the file cannot be read or shows no head.
    """
    try:
        scan = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
        values = sitk.GetArrayFromImage(scan)
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as a 3D volume.", "Give NIfTI, NRRD or MHA files.") from error
    if values.ndim != 3 or min(values.shape) < 8 or not np.isfinite(values).all() or values.min() == values.max():
        raise InputError(f"{path} is not a usable 3D volume.", "Give a whole head of at least 8 voxels an axis.")
    name = path.name.split(".")[0]
    spacing = scan.GetSpacing()[::-1]
    found = np.unique(values[::4, ::4, ::4])
    if len(found) <= 60 and found[0] >= 0 and found[-1] <= 600 and (found == np.round(found)).all():
        known = {label for tissue in TISSUES for label in tissue.labels}
        if known.issuperset(found.astype(int).tolist()) and {2, 3} & set(found.astype(int).tolist()):
            return _make_head(name, _with_fat(from_labels(values), spacing), spacing)
    return _make_head(name, values.astype(np.float32), spacing)


def _with_fat(tissues: Array, spacing: Sequence[float]) -> Array:
    """Split soft tissue: what lies near the surface is fat, bright on T1."""
    low = tissues[::2, ::2, ::2] != INDEX["air"]
    low = ndimage.binary_fill_holes(np.pad(low, 1))
    depth = ndimage.distance_transform_edt(low, sampling=[2 * s for s in spacing])[1:-1, 1:-1, 1:-1]
    near = np.kron(depth < _FAT_MM, np.ones((2, 2, 2), bool))[tuple(slice(n) for n in tissues.shape)]
    tissues[(tissues == INDEX["muscle"]) & near] = INDEX["fat"]
    return tissues


def find_heads(folder: Path) -> list[Path]:
    """Volumes of a folder, sorted; raises InputError if there are none."""
    paths = sorted(p for p in folder.glob("*") if p.name.endswith((".nii.gz", ".nii", ".nrrd", ".mha")))
    if not paths:
        raise InputError(f"{folder} has no volumes.", "Give a folder of NIfTI label maps or T1 volumes, or no --heads.")
    return paths


def _ellipsoid(axes: Sequence[Array], center: Sequence[float | Array], radii: Sequence[float] | Array) -> Array:
    return np.asarray(np.sqrt(sum(((a - c) / r) ** 2 for a, c, r in zip(axes, center, radii, strict=True))))


def phantom_head(rng: np.random.Generator, size: int = 128, name: str = "phantom") -> Head:
    """Build a head of ellipsoids, ``size``³ voxels over 224 mm: skin, fat, skull, CSF, folded cortex, nuclei, eyes.

    For tests, demonstrations and where no label maps are at hand.
    """
    spacing = 224.0 / size
    axis = ((np.arange(size) - (size - 1) / 2) * spacing).astype(np.float32)
    k, j, i = axis[:, None, None] - 18, axis[None, :, None] - 2, axis[None, None, :]
    kji = (k, j, i)
    grow = rng.uniform(0.93, 1.06, 3)
    warp = 0.02 * smooth_field(rng, (size,) * 3, (spacing,) * 3, 45.0)
    scalp = _ellipsoid(kji, (0, 0, 0), np.array([84, 97, 78]) * grow) + warp
    face = np.maximum(_ellipsoid((k, j, i), (-60, -18, 0), np.array([75, 75, 58]) * grow),
                      _ellipsoid((j, i), (-10, 0), np.array([95, 62]) * grow[1:])) + warp  # fmt: skip
    neck = np.where(k < -30, _ellipsoid((j, i), (18, 0), (50, 52)), 9.0)
    outer = np.minimum(np.minimum(scalp, face), neck)
    volume = np.zeros((size,) * 3, np.uint8)
    volume[outer < 1.0] = INDEX["skin"]
    volume[outer < 0.97] = INDEX["fat"]
    volume[(outer < 0.90) & (k < -10)] = INDEX["muscle"]
    volume[scalp < 0.93] = INDEX["bone"]
    volume[(scalp < 0.905) & (scalp > 0.88)] = INDEX["marrow"]
    inner = scalp / 0.86
    volume[inner < 1.0] = INDEX["csf"]
    folds = smooth_field(rng, (size,) * 3, (spacing,) * 3, 9.0)
    cavity = (inner < 0.965 + 0.012 * folds) & (k > -46)
    sulci = (np.abs(folds) < 0.16) & (inner > 0.80)
    volume[cavity & ~sulci] = INDEX["cortex"]
    volume[cavity & (inner < 0.87 + 0.06 * folds)] = INDEX["white matter"]
    volume[(np.abs(i) < 1.4) & (k > 12) & (inner < 0.97)] = INDEX["csf"]  # the fissure between the hemispheres
    hind = _ellipsoid(kji, (-42, 42, 0), np.array([26, 32, 46]) * grow)
    volume[hind < 1.06] = INDEX["csf"]
    volume[hind < 1] = INDEX["cerebellar cortex"]
    volume[hind < 0.72 + 0.1 * folds] = INDEX["cerebellar white matter"]
    stem = np.where((k < -8) & (k > -108), _ellipsoid((j, i), (14 - 0.08 * (k + 40), 0), (12, 14)), 9.0)
    volume[(stem < 1.35) & (k < -40)] = INDEX["csf"]
    volume[stem < 1] = INDEX["brain stem"]
    volume[(np.abs(i) < 0.9) & (inner > 0.955) & (inner < 1.0) & (k > 0)] = INDEX["sinus"]
    side = np.abs(i)
    for tissue, center, radii in (
        ("thalamus", (2, 8, 10), (9, 14, 9)),
        ("putamen", (4, -8, 26), (12, 18, 6)),
        ("caudate", (14, -18, 13), (10, 14, 5)),
        ("csf", (18, -6, 9), (8, 32, 6)),
    ):
        volume[_ellipsoid((k, j, side), center, np.array(radii) * rng.uniform(0.85, 1.15)) < 1] = INDEX[tissue]
    volume[_ellipsoid((k, j, i), (0, 4, 0), (10, 14, 2.5)) < 1] = INDEX["csf"]
    eye = _ellipsoid((k, j, side), (-38, -76, 31), (13, 13, 13))
    volume[(eye < 1.5) & (outer < 0.97) & (inner > 1)] = INDEX["fat"]
    volume[eye < 1] = INDEX["eye"]
    nose = _ellipsoid((k, j, i), (-62, -68, 0), (26, 26, 14))
    volume[(nose < 1) & (outer < 1)] = INDEX["mucosa"]
    volume[(nose < 0.9) & (folds > 0.1)] = INDEX["air"]
    return _make_head(name, volume, (spacing,) * 3)


def draw_scene(
    head: Head,
    rng: np.random.Generator,
    *,
    plane: str | None,
    size: Sequence[int],
    spacing_mm: Sequence[float],
    style: str = "t1",
    deform_mm: float = 3.0,
    thick_mm: float = 0.0,
    stripped: bool = False,
    reach: float = WITHIN_THE_BRAIN,
) -> Scene:
    """Draw a clean slice (``plane`` given) or volume of a head, with random pose, deformation and tissue contrast.

    Slices are oriented as radiologists look at them: anterior (axial) or superior (coronal, sagittal) on top, the
    patient's right, or anterior, on the left.

    Parameters
    ----------
    head : where to draw from; heads of intensities keep their contrast.
    rng : source of all randomness.
    plane : axial, coronal or sagittal; None for a volume.
    size, spacing_mm : of the image, in the order of its axes.
    style : tissue contrast, one of :data:`hrcam_research.simulate.tissues.STYLES`.
    deform_mm : standard deviation of the elastic deformation.
    thick_mm : slice thickness, for slices.
    stripped : leave out all but the brain, as brain extraction does; heads of intensities stay as they are.
    reach : how far from the brain's center a slice may lie, as a part of half the brain's extent.
    """
    if style not in STYLES:
        raise InputError(f"Contrast style '{style}' is unknown.", f"Choose one of {', '.join(STYLES)}.")
    if plane is not None and plane not in PLANES:
        raise InputError(f"Plane '{plane}' is unknown.", f"Choose one of {', '.join(PLANES)}.")
    coordinates = _grid(head, rng, plane, size, spacing_mm, reach)
    rotation = rotation_matrix(rng.uniform(-0.15, 0.15, 3)) * rng.uniform(0.9, 1.12, 3)
    mirror = np.array([1.0, 1.0, rng.choice([-1.0, 1.0])])
    matrix = (rotation * mirror).astype(np.float32)
    moved = [sum(matrix[a, b] * coordinates[b] for b in range(3)) for a in range(3)]
    moved = [m + np.float32(deform_mm) * smooth_field(rng, size, spacing_mm, 40.0) for m in moved]
    index = [(m + c) / s for m, c, s in zip(moved, head.center_mm, head.spacing_mm, strict=True)]
    if not head.labeled:
        image = ndimage.map_coordinates(head.values, np.stack(index), order=1, output=np.float32)
        blocks = find_brain(image, spacing_mm)
        return Scene(image, blocks, tuple(spacing_mm), plane)
    mean, within = draw_intensities(rng, style)
    grain = smooth_field(rng, size, spacing_mm, 2.5)
    tissues, mean = add_details(rng, _nearest(head.values, index), spacing_mm, style, mean)
    image = mean[tissues] + within[tissues] * grain
    layers = int(np.clip(round(thick_mm / 1.5), 1, 5)) if plane else 1
    if layers > 1:
        axis = PLANES.index(str(plane))
        total = image
        for layer in range(1, layers):
            offset = (layer - (layers - 1) / 2) * thick_mm / layers
            shift = matrix[:, axis] * offset
            other = [i + d / s for i, d, s in zip(index, shift, head.spacing_mm, strict=True)]
            extra = _nearest(head.values, other)
            total = total + mean[extra] + within[extra] * grain
        image = total / layers
    brain, extracted = BRAIN[tissues], None
    if stripped:
        extracted = extract_brain(rng, tissues, spacing_mm)
        image, brain = np.where(extracted, image, mean[0]), brain & extracted
        if rng.random() < 0.5:
            extracted = None  # noise all around, as where a scan was resampled or filtered afterwards
    return Scene(np.asarray(np.maximum(image, 0), np.float32), brain, tuple(spacing_mm), plane, extracted)


def find_brain(image: Array, spacing_mm: Sequence[float]) -> Array:
    """What looks like brain, on the image's own grid (blocks of about 2 mm, 3 mm in 3D)."""
    _, brain, steps = coarse_brain(image, spacing_mm)
    full = np.kron(brain, np.ones(steps, bool))
    pads = [(0, n - m) for n, m in zip(image.shape, full.shape, strict=True)]
    return np.pad(full, [(0, max(0, p[1])) for p in pads])[tuple(slice(n) for n in image.shape)]


def _grid(head: Head, rng: np.random.Generator, plane: str | None, size: Sequence[int],
          spacing_mm: Sequence[float], reach: float) -> list[Array]:  # fmt: skip
    """Open coordinates in mm from the brain's center, K, J, I, of a randomly placed slice or volume."""
    axes = [((np.arange(n) - (n - 1) / 2) * s + rng.uniform(-6, 6)).astype(np.float32)
            for n, s in zip(size, spacing_mm, strict=True)]  # fmt: skip
    if plane is None:
        return [axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]]
    axis = PLANES.index(plane)
    through = np.full((1, 1), rng.uniform(-reach, reach) * head.extent_mm[axis], np.float32)
    rows, columns = axes[0][:, None], axes[1][None, :]
    if plane == "axial":
        return [through, rows, columns]
    return [-rows, through, columns] if plane == "coronal" else [-rows, columns, through]


def rotation_matrix(angles: Sequence[float] | Array) -> Array:
    """3×3, turns about axis 0, then 1, then 2, radians; each turns the two other axes, lower to higher."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def _nearest(values: Array, index: Sequence[Array]) -> Array:
    """Value at the nearest voxel; 0 outside."""
    whole = [np.rint(i).astype(np.int32) for i in index]
    inside = np.ones(np.broadcast_shapes(*(w.shape for w in whole)), bool)
    for w, n in zip(whole, values.shape, strict=True):
        inside &= (w >= 0) & (w < n)
        np.clip(w, 0, n - 1, out=w)
    return np.asarray(np.where(inside, values[tuple(whole)], 0), values.dtype)
