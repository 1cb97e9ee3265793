"""Tissues of the head and their intensities: random T1, contrast-enhanced T1, or any contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

STYLES = ("t1", "t1ce", "any")


@dataclass(frozen=True)
class Tissue:
    """One tissue.

    Attributes
    ----------
    name : its name.
    labels : values in the label maps of SynthSeg (Billot et al., MedIA 2023; FreeSurfer numbering).
    t1 : usual T1 intensity, on a scale where white matter is 155.
    spread : standard deviation of that intensity between scans.
    within : standard deviation within one scan.
    brain : whether it lies inside the skull.
    """

    name: str
    labels: tuple[int, ...]
    t1: float
    spread: float
    within: float
    brain: bool


# Values agree with the range of SynthSeg's T1 priors, whose columns come without names.
TISSUES = (
    Tissue("air", (0,), 3, 2, 1, False),
    Tissue("csf", (4, 5, 14, 15, 24, 43, 44, 72, 25, 57), 42, 10, 7, True),
    Tissue("white matter", (2, 41), 155, 12, 7, True),
    Tissue("cortex", (3, 42), 102, 12, 9, True),
    Tissue("cerebellar white matter", (7, 46), 142, 12, 7, True),
    Tissue("cerebellar cortex", (8, 47), 98, 12, 9, True),
    Tissue("thalamus", (10, 49), 125, 10, 8, True),
    Tissue("caudate", (11, 50), 108, 10, 6, True),
    Tissue("putamen", (12, 51, 26, 58), 114, 10, 6, True),
    Tissue("pallidum", (13, 52), 136, 10, 6, True),
    Tissue("brain stem", (16, 28, 60), 138, 12, 7, True),
    Tissue("hippocampus", (17, 18, 53, 54), 102, 10, 8, True),
    Tissue("optic nerve", (85, 530), 125, 15, 8, True),
    Tissue("choroid plexus", (30, 62, 136, 137, 163, 164), 80, 15, 12, True),
    Tissue("sinus", (514,), 75, 30, 20, True),
    Tissue("vessel", (502,), 70, 35, 25, False),
    Tissue("eye", (506,), 40, 12, 6, False),
    Tissue("lens", (508,), 90, 20, 10, False),
    Tissue("muscle", (507,), 85, 15, 16, False),
    Tissue("fat", (), 205, 25, 20, False),
    Tissue("mucosa", (509,), 90, 20, 18, False),
    Tissue("skin", (511,), 120, 25, 15, False),
    Tissue("cord", (512,), 130, 15, 8, True),
    Tissue("bone", (515,), 16, 6, 5, False),
    Tissue("marrow", (516,), 130, 35, 25, False),
)
INDEX = {tissue.name: number for number, tissue in enumerate(TISSUES)}
BRAIN = np.array([tissue.brain for tissue in TISSUES])
# Gain of intensity after contrast agent where there is no blood-brain barrier, at its strongest.
ENHANCING = {"sinus": 2.4, "vessel": 2.4, "mucosa": 2.0, "choroid plexus": 2.2, "muscle": 1.15, "skin": 1.15}


def from_labels(labels: Array) -> Array:
    """Bring label values of SynthSeg to indices of :data:`TISSUES` (uint8); unknown values become muscle inside."""
    table = np.full(int(max(labels.max(), 600)) + 1, INDEX["muscle"], np.uint8)
    for number, tissue in enumerate(TISSUES):
        table[list(tissue.labels)] = number
    return np.asarray(table[labels.astype(np.int32)])


def draw_intensities(rng: np.random.Generator, style: str) -> tuple[Array, Array]:
    """Draw mean and inner standard deviation of each tissue's intensity, float32.

    ``t1``: about the usual values. ``t1ce``: T1 with less contrast between gray and white matter, as after contrast
    agent on spin-echo scans, and with bright sinuses, vessels, mucosa and choroid plexus. ``any``: every tissue at
    random, so that a network learns shapes rather than intensities (the principle of SynthSeg).
    """
    usual = np.array([t.t1 for t in TISSUES])
    spread = np.array([t.spread for t in TISSUES])
    within = np.array([t.within for t in TISSUES]) * rng.uniform(0.5, 1.2)
    drawn = rng.standard_normal(len(TISSUES))
    mean = np.maximum(usual + spread * drawn, 1.0)
    if style == "any":
        mean = rng.uniform(20, 220, len(TISSUES))
        within = rng.uniform(2, 14, len(TISSUES))
        mean[INDEX["air"]], within[INDEX["air"]] = rng.uniform(0, 6), 1.0
        mean[INDEX["bone"]] = rng.uniform(5, 45)
    elif style == "t1ce":
        squeeze = rng.uniform(0.2, 0.9)
        for name in ("cortex", "cerebellar cortex", "caudate", "putamen", "thalamus", "hippocampus"):
            mean[INDEX[name]] += (1 - squeeze) * (mean[INDEX["white matter"]] - mean[INDEX[name]])
        strength = rng.uniform(0.3, 1.0)
        for name, gain in ENHANCING.items():
            mean[INDEX[name]] *= 1 + (gain - 1) * strength
        for name in ("fat", "marrow"):
            mean[INDEX[name]] *= rng.choice([1.0, 0.55], p=[0.75, 0.25])  # fat suppression
    return mean.astype(np.float32), within.astype(np.float32)
