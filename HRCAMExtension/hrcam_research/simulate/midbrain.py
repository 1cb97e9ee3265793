"""Analytic anatomy of the midbrain on neuromelanin-sensitive MRI: structures as soft shapes in mm.

Coordinates: x to the patient's left, y posterior, z superior, from the midpoint between the two substantiae nigrae.
Sizes follow atlas anatomy. Intensities are relative to the crus cerebri; how they were found is told in
docs/simulation.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

# Ratio to the crus cerebri: typical value, and spread between scans.
CONTRAST = {
    "nigra": (1.33, 0.07),
    "locus coeruleus": (1.26, 0.06),
    "red nucleus": (1.09, 0.03),
    "tegmentum": (1.16, 0.03),
    "pons": (1.06, 0.03),
    "surroundings": (1.18, 0.04),
    "csf": (1.38, 0.08),
    "vermis": (1.30, 0.05),
    "vessel": (0.18, 0.05),
}
CRUS_VARIATION = 0.033
"""Standard deviation inside the crus, noise included, relative to its mean."""

_SLANT = 0.45  # mm anterior per mm superior: the nigra's course through axial slices
_LATERAL = (11.8, 3.7)  # ends of the nigra's arc in the middle slice
_MEDIAL = (3.2, -6.8)
_BOW = 1.5


@dataclass(frozen=True)
class NigraWeights:
    """Soft weights of one side's nigra, and the order in which it is lost (0 first, 1 last)."""

    weight: Array
    order: Array


def _soft(distance: Array, edge_mm: float = 0.8) -> Array:
    """Weight of a shape from the distance to its surface in mm (negative inside)."""
    return np.clip(0.5 - distance / edge_mm, 0, 1)


def _ellipse(x: Array, y: Array, center: tuple[float, float], radii: tuple[float, float]) -> Array:
    r = np.sqrt(((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2)
    return np.asarray((r - 1) * min(radii))


def _span(z: Array, low: float, high: float, soft_mm: float = 1.5) -> Array:
    """1 between two heights, fading at both ends."""
    return np.clip(0.5 + (z - low) / soft_mm, 0, 1) * np.clip(0.5 + (high - z) / soft_mm, 0, 1)


def _along(x: Array, y: Array) -> tuple[Array, Array]:
    """Position along the nigra's chord (lateral -1, medial +1) and mm across it (ventrolateral positive)."""
    # Plain numbers, not NumPy's: those would turn single precision into double, which takes twice as long.
    chord = (_MEDIAL[0] - _LATERAL[0], _MEDIAL[1] - _LATERAL[1])
    length = math.hypot(*chord)
    along = (chord[0] / length, chord[1] / length)
    x, y = x - (_LATERAL[0] + _MEDIAL[0]) / 2, y - (_LATERAL[1] + _MEDIAL[1]) / 2
    u = (x * along[0] + y * along[1]) * (2 / length)
    v = y * along[0] - x * along[1]
    return u, v - _BOW * (1 - np.minimum(u * u, 2))


def nigra_weights(x: Array, y: Array, z: Array, thickness: float = 1.0) -> NigraWeights:
    """One side's nigra; x positive towards that side.

    The order of loss follows the nigral pathology of Parkinson's disease: ventrolateral and caudal before dorsomedial
    and rostral (Fearnley and Lees, Brain 1991; Damier et al., Brain 1999).
    """
    u, v = _along(x, y + _SLANT * z)
    height = np.sqrt(np.clip(1 - ((z - 0.8) / 7.2) ** 2, 0, 1))
    half = 2.0 * thickness * (0.35 + 0.65 * height) * np.sqrt(np.clip(1.15 - u * u, 0.02, 1))
    distance = np.maximum(np.abs(v) - half, (np.abs(u) - 1) * 6.5)
    weight = _soft(distance, 1.6) * _span(z, -5.8, 7.6, 2.0)
    order = 0.5 + 0.36 * u - 0.12 * v / 2.0 + 0.02 * z
    return NigraWeights(weight.astype(np.float32), np.clip(order, 0, 1).astype(np.float32))


def _level_of_pons(z: Array) -> Array:
    """1 at the height of the pons, 0 at that of the midbrain."""
    return np.clip(0.5 - (z + 8.5) / 2.5, 0, 1)


def crus(x: Array, y: Array, z: Array) -> Array:
    """Soft weight of both crura cerebri, lateral to the nigra."""
    u, v = _along(np.abs(x), y + _SLANT * z)
    distance = np.maximum(np.abs(v - 4.6) - 4.1 * np.sqrt(np.clip(1.35 - u * u, 0.01, 1.0)), (np.abs(u) - 1.2) * 6.8)
    return np.asarray(_soft(distance, 1.3) * (1 - _level_of_pons(z)) * np.clip(0.5 + (11 - z) / 5, 0, 1))


def paint(x: Array, y: Array, z: Array, ratio: dict[str, float], texture: Array, crura: Array) -> Array:
    """Everything but the nigra, relative to the crus (1); float32.

    ``ratio`` gives each structure's intensity, ``texture`` a smooth random field of standard deviation 1, ``crura`` the
    weight of `crus`.
    """
    side, yz = np.abs(x), y + _SLANT * z
    image = ratio["surroundings"] + 0.035 * texture

    def put(weight: Array, value: float | Array) -> None:
        nonlocal image
        image = image + weight * (value - image)

    # Cisterns around the brain stem, and in front of the pons.
    stem = np.minimum(_ellipse(x, yz, (0, 5.5), (12.0, 11.5)), _ellipse(side, yz, (10.3, -3.5), (8.8, 10.2)))
    pons = _ellipse(x, y, (0, -1.0), (16.0, 16.5))
    low = _level_of_pons(z)
    outer = stem * (1 - low) + pons * low
    put(_soft(outer - 1.3, 1.5) * np.clip(0.2 + 0.45 * low + 0.25 * texture, 0, 0.9), ratio["csf"])
    put(_soft(_ellipse(x, yz, (0, -16.0), (9.0, 6.5)), 3.0) * (1 - low) * 0.35, ratio["csf"])
    put(_soft(side - 5 - 0.25 * (y - 18), 3.0) * _soft(15.5 - yz, 2.0), ratio["vermis"] + 0.05 * texture)
    put(_soft(_ellipse(x, yz, (0, 19.0), (3.5, 3.0)), 2.0) * np.clip(0.2 * z - 0.5, 0, 1), 1.15 * ratio["csf"])
    # The brain stem itself.
    put(_soft(_ellipse(x, yz, (0, 5.5), (12.0, 11.5)), 1.6) * (1 - low), ratio["tegmentum"] + 0.025 * texture)
    put(_soft(pons, 1.2) * low, ratio["pons"] + 0.02 * texture)
    put(_soft(_ellipse(x, y, (0, 14.5), (3.0, 2.2)), 1.2) * low, ratio["csf"])
    put(_soft(_ellipse(x, yz, (0, 11.5), (1.3, 1.5)), 1.2) * (1 - low), 1.08 * ratio["tegmentum"])
    put(crura, 1.0 + 0.008 * texture)
    # Interpeduncular fossa, red nuclei, locus coeruleus.
    put(_soft(np.maximum(side - 1.2 + 0.45 * (yz + 7), np.abs(yz + 10) - 3.5), 2.0) * (1 - low), 0.92 * ratio["csf"])
    red = np.sqrt((side - 5.6) ** 2 + (yz - 1.6) ** 2 + ((z - 2.5) / 1.3) ** 2) - 4.3
    put(_soft(red, 1.5), ratio["red nucleus"])
    put(_soft(_ellipse(side, y, (4.4, 11.0), (1.1, 1.1)), 1.2) * _span(z, -17, -8.0), ratio["locus coeruleus"])
    # Vessels: the basilar artery, the posterior cerebral arteries around the crura, the carotid siphon.
    put(_soft(_ellipse(x, yz, (0, -18.5), (1.6, 1.6))) * np.clip(0.5 - (z - 1) / 2, 0, 1), ratio["vessel"])
    around = np.abs(outer - 1.8 - 0.8 * texture) - 0.5
    reach = _span(yz, -16, 3, 2.0) * _span(z, -4.5, 5.5) * np.clip(0.5 + 2 * texture, 0, 1)
    put(_soft(around) * reach * (side > 3.5), ratio["vessel"] + 0.25)
    put(_soft(_ellipse(side, y, (12.0, -29.0), (2.6, 3.4))) * _span(z, -20, 4), ratio["vessel"])
    sella = _soft(np.maximum(side - 12, y + 33 + 0.4 * np.minimum(z, 6)), 2.0) * np.clip(0.5 - (z - 4) / 4, 0, 1)
    put(sella, ratio["vessel"])
    return np.asarray(image, np.float32)


def measure_contrast(image: Array, labels: Array) -> dict[str, float]:
    """Measure a real neuromelanin volume with midbrain labels (1 crus cerebri, 2 nigra), same shape.

    Returns the nigra's mean and upper quartile relative to the crus, its contrast ratio, and the crus's variation.
    """
    crus, sn = image[labels == 1].astype(float), image[labels == 2].astype(float)
    base = float(crus.mean())
    return {
        "nigra_mean": float(sn.mean()) / base,
        "nigra_upper_quartile": float(np.percentile(sn, 75)) / base,
        "contrast_ratio": (float(sn.mean()) - base) / base,
        "crus_variation": float(crus.std()) / base,
    }
