"""What tissues look like in each sequence: ranges of means, from which every image draws its own.

Values are parts of the white matter's intensity. They are wide on purpose: scanners, field strengths and timings
differ, and a network that saw every one of them relies on none (Billot et al., MedIA 2023).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hrcam_research.simulate.tissues import INDEX, TISSUES

from .fields import Floats

VENTRICLE = len(TISSUES)
"""Index after those of `TISSUES`: fluid of the ventricles, which neighbors caps and plexus."""

SEQUENCES = ("flair", "t1ce", "t1", "t2", "any")
"""Of `brain-lesion`; `draw_means` also knows "pd" and "dwi"."""

SHARES = (0.44, 0.22, 0.14, 0.08, 0.12)

_GRAY = ("cortex", "cerebellar cortex", "caudate", "putamen", "thalamus", "hippocampus")

# tissue: lowest and highest part of the white matter's intensity
_RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "t1": {
        "csf": (0.08, 0.42), "gray": (0.58, 0.9), "pallidum": (0.8, 1.0), "brain stem": (0.82, 1.02),
        "cerebellar white matter": (0.85, 1.05), "optic nerve": (0.6, 1.0), "choroid plexus": (0.3, 0.8),
        "sinus": (0.15, 0.9), "vessel": (0.1, 1.3), "eye": (0.1, 0.4), "lens": (0.3, 0.8), "muscle": (0.4, 0.75),
        "fat": (1.0, 2.0), "mucosa": (0.4, 0.9), "skin": (0.5, 1.2), "cord": (0.7, 1.0), "bone": (0.03, 0.2),
        "marrow": (0.5, 1.5),
    },
    "t2": {
        "csf": (1.7, 3.6), "gray": (1.1, 1.7), "pallidum": (0.6, 1.1), "brain stem": (0.9, 1.2),
        "cerebellar white matter": (0.9, 1.2), "optic nerve": (0.8, 1.4), "choroid plexus": (1.3, 2.8),
        "sinus": (0.05, 0.9), "vessel": (0.05, 0.8), "eye": (1.8, 3.5), "lens": (0.2, 1.0), "muscle": (0.3, 0.8),
        "fat": (0.6, 2.2), "mucosa": (1.4, 3.4), "skin": (0.5, 1.6), "cord": (0.8, 1.2), "bone": (0.03, 0.3),
        "marrow": (0.4, 1.5),
    },
    "flair": {
        "csf": (0.08, 0.6), "gray": (1.02, 1.5), "pallidum": (0.7, 1.1), "brain stem": (0.9, 1.25),
        "cerebellar white matter": (0.85, 1.15), "optic nerve": (0.8, 1.4), "choroid plexus": (0.7, 1.7),
        "sinus": (0.1, 1.0), "vessel": (0.1, 1.2), "eye": (0.05, 0.5), "lens": (0.2, 1.0), "muscle": (0.4, 1.1),
        "fat": (0.6, 4.5), "mucosa": (0.8, 3.0), "skin": (0.6, 3.5), "cord": (0.9, 1.2), "bone": (0.03, 0.3),
        "marrow": (0.3, 3.0),
    },
    "pd": {
        "csf": (0.8, 1.7), "gray": (1.08, 1.4), "pallidum": (0.8, 1.1), "brain stem": (0.9, 1.2),
        "cerebellar white matter": (0.9, 1.2), "optic nerve": (0.8, 1.4), "choroid plexus": (0.9, 1.6),
        "sinus": (0.1, 1.1), "vessel": (0.1, 1.2), "eye": (0.8, 1.7), "lens": (0.2, 1.0), "muscle": (0.5, 1.0),
        "fat": (0.8, 2.4), "mucosa": (1.0, 1.8), "skin": (0.5, 1.6), "cord": (0.8, 1.2), "bone": (0.03, 0.3),
        "marrow": (0.4, 1.5),
    },
    "dwi": {
        "csf": (0.05, 0.4), "gray": (1.0, 1.45), "pallidum": (0.5, 1.0), "brain stem": (0.9, 1.25),
        "cerebellar white matter": (0.85, 1.15), "optic nerve": (0.8, 1.4), "choroid plexus": (0.7, 1.7),
        "sinus": (0.02, 0.3), "vessel": (0.02, 0.3), "eye": (0.05, 0.4), "lens": (0.2, 1.0), "muscle": (0.05, 0.35),
        "fat": (0.02, 0.3), "mucosa": (0.1, 0.6), "skin": (0.02, 0.3), "cord": (0.9, 1.2), "bone": (0.01, 0.1),
        "marrow": (0.02, 0.25),
    },
}  # fmt: skip
_ENHANCING = {"sinus": (1.1, 2.3), "vessel": (0.9, 2.3), "mucosa": (0.8, 2.0), "choroid plexus": (0.8, 1.9)}


def draw_means(rng: np.random.Generator, sequence: str) -> tuple[Floats, Floats]:
    """Mean of each tissue, white matter 1, its spread within one scan; in the order of `TISSUES`, ventricles last."""
    mean = np.ones(len(TISSUES) + 1, np.float32)
    if sequence == "any":
        mean[:] = rng.uniform(0.15, 1.9, len(mean))
        mean[INDEX["white matter"]] = 1.0
        mean[INDEX["cerebellar white matter"]] = rng.uniform(0.85, 1.15)
        mean[INDEX["bone"]] = rng.uniform(0.03, 0.4)
        squeeze = rng.uniform(0.2, 1.0)  # deep nuclei and cortex alike, or each its own
        for name in _GRAY:
            mean[INDEX[name]] += (1 - squeeze) * (mean[INDEX["cortex"]] - mean[INDEX[name]])
    else:
        ranges = _RANGES["t1" if sequence == "t1ce" else sequence]
        gray = rng.uniform(*ranges["gray"])
        for tissue in TISSUES:
            if tissue.name in ranges:
                mean[INDEX[tissue.name]] = rng.uniform(*ranges[tissue.name])
            elif tissue.name in _GRAY:
                mean[INDEX[tissue.name]] = gray + (1 - gray) * rng.uniform(-0.25, 0.6)
        mean[INDEX["cortex"]] = gray
        if sequence == "t1ce":
            for name, (low, high) in _ENHANCING.items():
                mean[INDEX[name]] = rng.uniform(low, high)
        if rng.random() < 0.25:  # fat suppression
            mean[INDEX["fat"]] *= 0.35
            mean[INDEX["marrow"]] *= 0.5
    mean[INDEX["air"]] = rng.uniform(0, 0.03)
    mean[VENTRICLE] = mean[INDEX["csf"]] * rng.uniform(0.85, 1.1)
    within = (
        np.array([tissue.within for tissue in TISSUES] + [7.0], np.float32) / 155 * np.float32(rng.uniform(0.4, 1.5))
    )
    return mean, within.astype(np.float32)


def fluid_like(tissues: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where there is fluid, in ventricles or around the brain."""
    return (tissues == INDEX["csf"]) | (tissues == VENTRICLE)
