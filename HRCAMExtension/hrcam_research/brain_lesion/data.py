"""From the data folder to what training draws from, with image-level labels alone.

Masks of `t1ce_volumes` and `ms` are reduced to one bit a slice, "shows a lesion"; those of `t1ce_slices` are never
opened. Where the tumors of its training slices lie, the weakly supervised bundle `t1ce-tumor` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its customary name
import torch
from hrcam.bundle.bundle import load_bundle
from hrcam.errors import InputError
from hrcam.scan.intensity import find_scale

from hrcam_research.simulate.head import find_brain
from hrcam_research.t1ce_tumor.anatomy import find_sella
from hrcam_research.t1ce_tumor.data import (
    CLASSES,
    INTENSITY,
    NORMAL,
    SPACING_MM,
    Images,
    normal_slices,
    square,
    tumor_slices,
    whole_heads,
)

from .examples import Material
from .heads import LabeledHead, read_heads
from .real import Backgrounds, Tumors

Pixels = npt.NDArray[np.float16]

HELD_HEADS = 2
"""Label maps, the last ones, that teach nothing: what is drawn of them calibrates."""

_FEWEST_PIXELS = 1500
_HEAD, _HEAD_SHARE, _DARK_SLICE = 0.12, 0.12, 0.03
_SATURATED, _SATURATED_SHARE = 1.2, 0.05
"""A slice with so much at its greatest value is a CT: its skull."""

_SEEN, _UNSEEN, _UNSURE = 0.45, 0.15, 0.3
"""Shares of a teacher's peak from which, and up to which, a place is sure; the target between."""

_EVIDENCE = 100.0
_KEPT_PITUITARY = 6
"""Of so many pituitary tumors one teaches: more, and the sella is found suspicious in every sequence."""


_VOLUMES_SHARE = 0.13


@dataclass(frozen=True)
class Sources:
    """All that teaches but `t1ce_volumes`, and heads that do not."""

    material: Material
    held_heads: tuple[LabeledHead, ...]


def load_sources(data: Path, cache: Path) -> Sources:
    """Read everything but `t1ce_volumes`; the label maps' tissues are kept in `cache`, since preparing them takes
    minutes."""
    heads = read_heads(data / "head_labels", cache / "heads.npz")
    tumors, normal, whole = tumor_slices(data, "train"), normal_slices(data, held=False), whole_heads(data)
    skulls = (normal.pixels > _SATURATED).mean((1, 2)) > _SATURATED_SHARE
    enhanced = np.array(["T1POST" in name for name in whole.patients])
    pituitary = tumors.chosen(tumors.labels == CLASSES.index("pituitary"))
    healthy = [find_sella(p, plane).healthy for p, plane in zip(pituitary.pixels, pituitary.planes, strict=True)]
    backgrounds = (
        _backgrounds(normal.pixels[~skulls], "any", 0.35),
        _backgrounds(whole.pixels[~enhanced], "t1", 0.12),
        _backgrounds(whole.pixels[enhanced], "t1ce", 0.10),
        _backgrounds(pituitary.pixels, "t1ce", 0.20, np.stack(healthy)),
        _backgrounds(flair_slices(data), "flair", 0.10),
    )
    return Sources(Material(heads[:-HELD_HEADS], backgrounds, _seen(tumors)), tuple(heads[-HELD_HEADS:]))


def with_volumes(material: Material, volumes: Images) -> Material:
    """Also slices of `t1ce_volumes`: those that show no tumor and are not empty."""
    free = (volumes.labels == CLASSES.index(NORMAL)) & (volumes.pixels.mean((1, 2), dtype=np.float32) > _DARK_SLICE)
    more = _backgrounds(volumes.chosen(free).pixels, "t1ce", _VOLUMES_SHARE)
    return replace(material, backgrounds=(*material.backgrounds, more))


def flair_slices(data: Path) -> Pixels:
    """Slices of `ms` on FLAIR in three planes that show no lesion, N×256×256."""
    found = []
    for path in sorted(data.glob("ms/*_FLAIR.nii.gz")):
        image, lesions = (_read(p) for p in (path, path.with_name(path.name.replace("FLAIR", "GOLD"))))
        image = find_scale(image, INTENSITY).apply(image)
        for axis in range(3):
            for number in range(0, image.shape[axis], 2):
                slice_ = np.moveaxis(image, axis, 0)[number]
                if axis:  # head up
                    slice_ = slice_[::-1]
                if not lesions.take(number, axis).any() and (slice_ > _HEAD).mean() > _HEAD_SHARE:
                    found.append(square(slice_))
    if not found:
        raise InputError(f"{data / 'ms'} has no FLAIR slice without a lesion.", "Give the data folder with `ms`.")
    return np.stack(found).astype(np.float16)


def _read(path: Path) -> npt.NDArray[np.float32]:
    values = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS"))
    return np.asarray(values, np.float32)


def _backgrounds(pixels: Pixels, sequence: str, share: float, free: npt.NDArray[np.bool_] | None = None) -> Backgrounds:
    brains = np.stack([_brain(one.astype(np.float32)) for one in pixels])
    kept = brains.sum((1, 2)) > _FEWEST_PIXELS
    return Backgrounds(pixels[kept], brains[kept], sequence, share, None if free is None else free[kept])


def _brain(image: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    try:
        return find_brain(image, (SPACING_MM, SPACING_MM))
    except InputError:
        return np.zeros(image.shape, bool)


@torch.inference_mode()
def _seen(tumors: Images) -> Tumors:
    """Tumor slices in which the teacher finds enough evidence, and where."""
    teacher = load_bundle("t1ce-tumor").build()
    seen = np.zeros(tumors.pixels.shape, np.float16)
    for start in range(0, len(tumors), 16):
        part = slice(start, start + 16)
        images = torch.from_numpy(tumors.pixels[part].astype(np.float32))[:, None]
        maps = teacher.evidence(images, classes=torch.from_numpy(tumors.labels[part])).maps[:, 0].clamp(min=0).numpy()
        peak = maps.max((1, 2), keepdims=True)
        share = maps / np.maximum(peak, 1e-6)
        seen[part] = np.where(share > _SEEN, 1, np.where(share < _UNSEEN, 0, _UNSURE)) * (peak > _EVIDENCE)
    other = (tumors.labels != CLASSES.index("pituitary")) | (np.arange(len(tumors)) % _KEPT_PITUITARY == 0)
    kept = (seen.max((1, 2)) > 0.5) & other
    return Tumors(tumors.pixels[kept], seen[kept])
