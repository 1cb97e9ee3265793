"""Simulated neuromelanin-sensitive midbrain volumes: healthy, or with graded loss of nigral signal of known place.

A stand-in for a Parkinson cohort: it shows that the map falls on the lost part of the nigra. It says nothing about
patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from hrcam.errors import InputError

from .appearance import Appearance, apply_appearance
from .fields import smooth_field
from .midbrain import CONTRAST, CRUS_VARIATION, crus, nigra_weights, paint

Array = np.ndarray

_SUBSLICES = 3
_CRUS_LEVEL = 550.0


@dataclass(frozen=True)
class NigralLoss:
    """How much of each nigra has lost its signal.

    Attributes
    ----------
    left, right : fraction of that side's nigra, 0 to 1, lost from ventrolateral to dorsomedial.
    depth : part of the signal lost there (1 is all).
    """

    left: float
    right: float
    depth: float = 0.9

    def __post_init__(self) -> None:
        """Refuse impossible fractions."""
        if not all(0 <= value <= 1 for value in (self.left, self.right, self.depth)):
            raise InputError("Nigral loss must be given as fractions from 0 to 1.", "Correct left, right and depth.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON or CSV."""
        return {k: round(v, 4) for k, v in asdict(self).items()}


@dataclass(frozen=True)
class MidbrainCase:
    """A simulated volume.

    Attributes
    ----------
    image : slices × rows × columns, K inferior to superior, J anterior to posterior, I right to left (LPS); float32.
    mask : the lost part of the nigra (bool); empty in controls.
    labels : anatomy as in midbrain atlases: 1 crus cerebri, 2 substantia nigra, lost part included (uint8).
    counterpart : the same scan without loss; None unless asked for.
    loss : None in controls.
    spacing_mm : K, J, I.
    """

    image: Array
    mask: Array
    labels: Array
    counterpart: Array | None
    loss: NigralLoss | None
    spacing_mm: tuple[float, float, float]


def random_loss(rng: np.random.Generator) -> NigralLoss:
    """Draw a loss: 20 to 85 % on the worse side, 30 to 90 % of that on the other."""
    worse = rng.uniform(0.2, 0.85)
    other = worse * rng.uniform(0.3, 0.9)
    left, right = (worse, other) if rng.random() < 0.5 else (other, worse)
    return NigralLoss(left, right, rng.uniform(0.65, 1.0))


def clear_loss(rng: np.random.Generator) -> NigralLoss:
    """Draw an advanced loss, clear to see: 60 to 90 % on the worse side, 60 to 100 % of that on the other."""
    worse = rng.uniform(0.6, 0.9)
    other = worse * rng.uniform(0.6, 1.0)
    left, right = (worse, other) if rng.random() < 0.5 else (other, worse)
    return NigralLoss(left, right, rng.uniform(0.9, 1.0))


def simulate_midbrain(
    seed: int | Sequence[int],
    *,
    parkinson: bool,
    loss: NigralLoss | None = None,
    size: Sequence[int] = (16, 128, 128),
    spacing_mm: Sequence[float] = (2.2, 0.6, 0.6),
    paired: bool = False,
) -> MidbrainCase:
    """Simulate a volume centered on the midbrain. The same arguments give the same volume, bit for bit.

    Controls and patients are drawn from the same distributions of anatomy, contrast and scanner; only the loss differs.

    Parameters
    ----------
    seed : whole number, or several.
    parkinson : whether nigral signal is lost.
    loss : how much; drawn at random by default.
    size, spacing_mm : slices, rows, columns.
    paired : also give the counterpart without loss.
    """
    if len(size) != 3 or len(spacing_mm) != 3 or min(size) < 4 or min(spacing_mm) <= 0:
        raise InputError("A midbrain volume needs three sizes of at least 4 and three spacings.", "Correct them.")
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]
    anatomy, disease, scanner = streams
    drawn = random_loss(disease)
    loss = (loss or drawn) if parkinson else None
    spacing = tuple(float(s) for s in spacing_mm)
    z, y, x = _coordinates(anatomy, size, spacing)
    ratio = {name: float(value + spread * np.clip(anatomy.standard_normal(), -2, 2))
             for name, (value, spread) in CONTRAST.items()}  # fmt: skip
    fine = (spacing[0] / _SUBSLICES, *spacing[1:])
    texture = 0.8 * smooth_field(anatomy, x.shape, fine, 9.0) + 0.6 * smooth_field(anatomy, x.shape, fine, 3.0)
    crura = crus(x, y, z)
    clean = paint(x, y, z, ratio, texture, crura)
    grain = smooth_field(anatomy, x.shape, fine, 1.8)
    thickness = anatomy.uniform(0.85, 1.15, 2)
    healthy, sick = clean, clean
    whole, lost = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.float32)
    for sign, thick, fraction in zip((1.0, -1.0), thickness, (loss.left, loss.right) if loss else (0, 0), strict=True):
        part = nigra_weights(sign * x, y, z, float(thick))
        strength = part.weight * (1 + 0.12 * grain)
        gone = _gone(part.weight, part.order + 0.04 * grain, float(fraction)) if loss else np.zeros_like(part.weight)
        # The nigra stands over whatever lies beneath it, and falls back to a gray near the crus when lost.
        level = np.float32(ratio["nigra"])
        healthy = healthy + strength * np.maximum(level - healthy, 0)
        sick = sick + strength * np.maximum(level - sick, 0) * (1 - np.float32(loss.depth if loss else 0) * gone)
        sick = sick - part.weight * gone * np.float32(0.8 * (loss.depth if loss else 0)) * np.maximum(sick - 1.06, 0)
        whole = np.maximum(whole, part.weight)
        lost = np.maximum(lost, part.weight * gone)
    look = Appearance(
        bias=scanner.uniform(0.03, 0.15),
        bias_mm=scanner.uniform(60, 150),
        blur_mm=scanner.uniform(0.25, 0.5),
        gamma=float(np.exp(scanner.uniform(-0.12, 0.12))),
        noise=float(CRUS_VARIATION * np.exp(scanner.uniform(np.log(0.4), np.log(1.6)))),
    )
    gain, noise_seed = _CRUS_LEVEL * np.exp(scanner.uniform(-0.4, 0.4)), scanner.integers(2**63)

    def scanned(volume: Array) -> Array:
        slices = _CRUS_LEVEL * _thick(volume)
        rng = np.random.default_rng(noise_seed)
        result = apply_appearance(slices, spacing, rng, look, reference=_CRUS_LEVEL)
        return np.asarray(result * np.float32(gain / _CRUS_LEVEL), np.float32)

    mask = _thick(lost) >= 0.5
    labels = (_thick(crura - 0.5 * whole) >= 0.5).astype(np.uint8)
    labels[_thick(whole) >= 0.5] = 2
    counterpart = scanned(healthy) if paired else None
    image = scanned(sick if loss else healthy)
    return MidbrainCase(image, mask, labels, counterpart, loss, (spacing[0], spacing[1], spacing[2]))


def _thick(volume: Array) -> Array:
    """Average the sub-slices of each slice."""
    return np.asarray(volume.reshape(-1, _SUBSLICES, *volume.shape[1:]).mean(1), np.float32)


def _gone(weight: Array, order: Array, fraction: float) -> Array:
    """Soft indicator of the first ``fraction`` of the nigra's volume, in the order of loss."""
    inside = weight > 0.5
    if fraction <= 0 or not inside.any():
        return np.zeros_like(weight)
    limit = float(np.quantile(order[inside], fraction))
    return np.asarray(np.clip(0.5 + (limit - order) / 0.12, 0, 1), np.float32)


def _coordinates(rng: np.random.Generator, size: Sequence[int], spacing: Sequence[float]) -> list[Array]:
    """z, y, x in mm of the anatomy at each sub-slice's voxels: random pose, size and smooth deformation."""
    shape = (size[0] * _SUBSLICES, size[1], size[2])
    steps = (spacing[0] / _SUBSLICES, spacing[1], spacing[2])
    axes = [((np.arange(n) - (n - 1) / 2) * s + rng.uniform(-2.5, 2.5)).astype(np.float32)
            for n, s in zip(shape, steps, strict=True)]  # fmt: skip
    z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    a, b, c = rng.uniform(-0.12, 0.12, 3)
    scale = 1 / rng.uniform(0.92, 1.1, 3)
    turned = [z + a * y + b * x, y - a * z + c * x, x - b * z - c * y]
    return [(np.float32(k) * t + np.float32(0.6) * smooth_field(rng, shape, steps, 14.0)).astype(np.float32)
            for k, t in zip(scale, turned, strict=True)]  # fmt: skip
