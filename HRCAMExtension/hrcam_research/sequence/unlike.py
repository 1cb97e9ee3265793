"""Images that are no scan of a head as a model knows it, of which it should warn: noise, phantoms, spoilt scans.

All but the scans are made here, or come with scikit-image and pydicom; names tell nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import Volume, read_volume
from scipy import ndimage

_SIZE, _SLICES, _SPACING = 256, 24, (0.94, 0.94, 5.0)
_RADIUS, _SEEDS = 90, 6
_PICTURES = ("astronaut", "brick", "camera", "chelsea", "clock", "coffee", "coins", "grass", "hubble_deep_field",
             "immunohistochemistry", "moon", "page", "retina", "rocket")
_DICOM = ("CT_small.dcm", "MR_small.dcm")
_SPOILT = 8
"""So many scans of `lgg`, T1-CE, are spoilt."""

Array = npt.NDArray[np.floating]


def unlike_scans(data: Path) -> Iterator[tuple[str, str, Volume]]:
    """Set, kind and image; of the data folder `lgg` and `neuromelanin`, where it has them."""
    for seed in range(_SEEDS):
        for name, kind, values in _made(np.random.default_rng(seed), seed):
            yield name, kind, _volume(values, _geometry(values.shape))
    for path in sorted(data.glob("lgg/*_post.nii.gz"))[:_SPOILT]:
        scan = read_volume(path)
        for kind, values in _spoilt(scan.array):
            yield "spoilt", kind, _volume(values, scan.geometry)
    for path in sorted(data.glob("neuromelanin/*_NM.nii.gz")):
        yield "neuromelanin", "midbrain", replace(read_volume(path), name="scan")
    for name, kind, values in _others():
        yield name, kind, replace(_volume(values[None], _geometry((1, *values.shape))), spacing_known=False)


def _made(rng: np.random.Generator, seed: int) -> Iterator[tuple[str, str, Array]]:
    shape = (_SLICES, _SIZE, _SIZE)
    noise = rng.standard_normal(shape)
    _, y, x = np.mgrid[:_SLICES, :_SIZE, :_SIZE] - _SIZE // 2
    inside = np.hypot(y, x) < _RADIUS
    yield "noise", "normal", 100 * noise + 500
    yield "noise", "Rician", 100 * np.hypot(noise, rng.standard_normal(shape))
    yield "noise", "uniform", 255 * rng.random(shape)
    yield "noise", "smooth", 1000 * ndimage.gaussian_filter(noise, (0, 3, 3)) + 500
    yield "noise", "in a disc", inside * np.abs(noise + 3) * 100
    grain = np.abs(8 * rng.standard_normal(shape))
    yield "phantom", "bottle", 400.0 * (np.hypot(y, x) < 60 + 5 * seed) + grain
    tubes = 300.0 * inside
    for number, angle in enumerate(np.arange(6) * np.pi / 3):
        tubes[np.hypot(y - 50 * np.sin(angle), x - 50 * np.cos(angle)) < 6 + 2 * seed] = 100 * (number + 1)
    yield "phantom", "tubes", tubes + grain
    yield "phantom", "grid", 300.0 * (inside & ((x // (8 + seed) + y // (8 + seed)) % 2 == 0)) + grain
    yield "phantom", "shaded disc", inside * (100.0 + 2 * np.abs(x + 68)) + grain
    yield "phantom", "ramp", x + 0.3 * seed * y


def _spoilt(scan: Array) -> Iterator[tuple[str, Array]]:
    noise = np.random.default_rng(0).standard_normal(scan.shape)
    yield "inverted", scan.max() - scan
    yield "noise over all", scan + 0.4 * scan.max() * noise
    yield "two grays", 100.0 * (scan > scan.mean()) + np.abs(noise)
    yield "equalized", scan.argsort(axis=None).argsort().reshape(scan.shape).astype(float)


def _others() -> Iterator[tuple[str, str, Array]]:
    import pydicom
    import skimage.data
    from pydicom.data import get_testdata_file

    for name in _PICTURES:
        picture = np.asarray(getattr(skimage.data, name)(), float)
        yield "picture", "–", picture.mean(-1) if picture.ndim == 3 else picture
    for kind in _DICOM:
        path = get_testdata_file(kind, download=False)
        yield "other organ", kind.split(".")[0], pydicom.dcmread(str(path)).pixel_array.astype(float)


def _geometry(shape: tuple[int, ...]) -> Geometry:
    return Geometry((shape[2], shape[1], shape[0]), (0.0, 0.0, 0.0), _SPACING, np.eye(3))


def _volume(values: Array, geometry: Geometry) -> Volume:
    return Volume(np.ascontiguousarray(values, np.float32), geometry, "scan")
