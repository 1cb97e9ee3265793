"""Affine registration of a brain scan to a template: any contrast, with the skull or without it.

The template is looked at within its brain alone, so that scalp and face, which it does not have, do not matter. Mutual
information takes any contrast. Success is checked: a second registration must end at the same place, and the brain must
have a brain's size and shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..scan.volume import Volume
from .register import Effort, optimize, similarity
from .transforms import Matrix, distance_mm, matrix_of
from .working import WorkingImage, working_image

WORKING_MM = 4.0
ROUGH, WHOLE = Effort(2, 6.0, 0.1, 2_000), Effort(8, 2.0, 0.02, 8_000)

WORST_AGREEMENT_MM = 2.0
LEAST_SIMILARITY = 0.12
SIZES = (0.7, 1.45)
"""Of the scan in the template's directions: heads of children and adults; headers with a wrong spacing are outside."""

_PITCHES = (-0.3, 0.0, 0.3)
_LIFTS_MM = (0.0, 25.0)
"""How far the middle of a whole head lies below the brain's."""


@dataclass(frozen=True, eq=False)
class TemplateAlignment:
    """How a scan lies to a template.

    Parameters
    ----------
    template_to_scan : 4x4, LPS mm.
    agreement_mm : how far a second registration ends from this one.
    similarity : mutual information in the template's brain, nats.
    sizes : of the scan along its three main directions, as parts of the template's.
    """

    template_to_scan: Matrix
    agreement_mm: float
    similarity: float
    sizes: tuple[float, float, float]

    @property
    def trusted(self) -> bool:
        """Whether it passed all checks."""
        return (self.agreement_mm <= WORST_AGREEMENT_MM and self.similarity >= LEAST_SIMILARITY
                and min(self.sizes) >= SIZES[0] and max(self.sizes) <= SIZES[1])


def align_to_template(volume: Volume, template: WorkingImage) -> TemplateAlignment:
    """Find the affine motion from a template (`working_image` of a brain, about `WORKING_MM`) to a scan."""
    scan = working_image(volume, WORKING_MM)
    rough = [optimize(template, scan, start, ROUGH) for start in _starts(template, scan)]
    rough.sort(key=lambda found: -found[1])
    (first, value), (second, _) = (_refine(template, scan, start) for start, _ in rough[:2])
    there = matrix_of(first)
    other = matrix_of(second)
    if similarity(template, scan, second, samples=WHOLE.samples) > value:
        there, other = other, there
    agreement = distance_mm(there, other, template.points)
    if agreement > WORST_AGREEMENT_MM:  # the runner-up of the starts may have been a poor one
        again, better = _refine(template, scan, _nudged(there, template))
        agreement = distance_mm(matrix_of(again), there, template.points)
        there, value = (matrix_of(again), better) if better > value else (there, value)
    sizes = np.linalg.svd(there[:3, :3], compute_uv=False)
    return TemplateAlignment(there, agreement, float(value), (float(sizes[0]), float(sizes[1]), float(sizes[2])))


def _starts(template: WorkingImage, scan: WorkingImage) -> list[sitk.Transform]:
    starts = []
    for lift in _LIFTS_MM:
        for pitch in _PITCHES:
            start = sitk.Similarity3DTransform()
            start.SetCenter(template.center.tolist())
            start.SetRotation((1.0, 0.0, 0.0), pitch)
            start.SetTranslation((scan.center - template.center + [0.0, 0.0, lift]).tolist())
            starts.append(sitk.Transform(start))
    return starts


def _refine(template: WorkingImage, scan: WorkingImage, start: sitk.Transform) -> tuple[sitk.Transform, float]:
    """From a similarity (or affine) transform to the best affine one."""
    affine = sitk.AffineTransform(3)
    matrix = matrix_of(start)
    center = template.center
    affine.SetCenter(center.tolist())
    affine.SetMatrix(matrix[:3, :3].ravel().tolist())
    affine.SetTranslation((matrix[:3, :3] @ center + matrix[:3, 3] - center).tolist())
    return optimize(template, scan, sitk.Transform(affine), WHOLE)


def _nudged(there: Matrix, template: WorkingImage) -> sitk.Transform:
    nudge = sitk.Euler3DTransform()
    nudge.SetCenter(template.center.tolist())
    nudge.SetRotation(0.06, -0.04, 0.04)
    nudge.SetTranslation((4.0, -4.0, 4.0))
    moved = sitk.AffineTransform(3)
    matrix = there @ matrix_of(nudge)
    moved.SetMatrix(matrix[:3, :3].ravel().tolist())
    moved.SetTranslation(matrix[:3, 3].tolist())
    return sitk.Transform(moved)


__all__: Sequence[str] = ("TemplateAlignment", "align_to_template")
