"""Affine registration of a brain scan to a template: any contrast, with the skull or without it.

The template is an image of tissues. It is tried as a brain alone, for scans without a skull, and within a mean head,
whose scalp and skull lead to the right place whatever the contrast of the brain. What has more in common with the scan
is taken. A whole head is then fitted by its brain, where that has contrast enough and stays near. Mutual information
takes any contrast; ranks of intensities take its bins away from bright fat. Success is checked: a second registration
must end at the same place, and the brain must have a brain's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..scan.volume import Volume
from .register import Descent, optimize, similarity, worth
from .transforms import Matrix, distance_mm, matrix_of, nudged
from .working import WorkingImage, equalized, shown_slices, working_image

WORKING_MM = 4.0
ROUGH, FINER, WHOLE = Descent(2_500, 30, 6.0, 0.05), Descent(5_000, 40, 2.0, 0.05), Descent(10_000, 100, 2.0, 0.01)
BEST = 3
"""Of the rough registrations this many are carried on."""

WORST_AGREEMENT_MM = 4.0
LEAST_SIMILARITY = 0.6
"""Of 24 fits to real scans that were looked at, the wrong ones have .58 at most and the right ones .61 at least (one of
.58 may be right). Fits that lie a slice or two off, or take a head for a brain, agree with a second registration."""

SIZES = (0.7, 1.45)
"""Of the scan in the template's directions: heads of children and adults; headers with a wrong spacing are outside."""

BRAIN_CONTRAST, BRAIN_SHIFT_MM = 0.35, 10.0
"""A whole head is fitted by its brain where that has so much in common with the template, and moves by no more."""

_MIDDLE = (0.0, 15.0, 5.0)
"""Of the template's brain, LPS mm."""

_BELOW_MM = (45.0, 65.0, 85.0)
"""How far the brain's middle may lie below the highest place that a scan shows; the vertex is often cut off."""

_SLAB_MM = 120.0
"""What lies lower is neck, and says nothing of where the brain is."""

_AROUND = 2
"""Voxels around the brain where a scan without a skull is looked at too: the outline is a landmark in every contrast.
"""

_PITCHES, _SCALES = (-0.25, 0.0, 0.25), (0.85, 1.0)


@dataclass(frozen=True, eq=False)
class TemplateAlignment:
    """How a scan lies to a template.

    Parameters
    ----------
    template_to_scan : 4x4, LPS mm.
    agreement_mm : how far a second registration ends from this one.
    similarity : mutual information within the head, nats.
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


def align_to_template(volume: Volume, brain: WorkingImage, head: WorkingImage | None = None) -> TemplateAlignment:
    """Find the affine motion from a template to a scan.

    Parameters
    ----------
    brain, head : both templates, about `WORKING_MM`; the brain's mask is the brain, the head's is where it is looked
        at. Without ``head`` the scan shows a brain alone.
    """
    scan = equalized(working_image(shown_slices(volume), WORKING_MM))
    template, mask = brain, sitk.BinaryDilate(brain.head, [_AROUND] * 3)
    found = _fit(brain, scan, mask)
    common = found[1]
    if head is not None:
        whole = _fit(head, scan, head.head)
        common = similarity(brain, scan, found[0], head.head, WHOLE.samples)
        if whole[1] > common:
            found, template, mask, common = whole, head, head.head, whole[1]
            inner = optimize(brain, scan, _affine(matrix_of(whole[0])), WHOLE)
            moved_mm = distance_mm(matrix_of(inner[0]), matrix_of(whole[0]), brain.points)
            if inner[1] >= BRAIN_CONTRAST and moved_mm <= BRAIN_SHIFT_MM:
                found, template, mask = inner, brain, brain.head
    there = matrix_of(found[0])
    again, _ = optimize(template, scan, _affine(nudged(there, _MIDDLE)), WHOLE, mask)
    sizes = np.linalg.svd(there[:3, :3], compute_uv=False)
    return TemplateAlignment(there, distance_mm(matrix_of(again), there, brain.points), float(common),
                             (float(sizes[0]), float(sizes[1]), float(sizes[2])))


def _fit(template: WorkingImage, scan: WorkingImage, mask: sitk.Image) -> tuple[sitk.Transform, float]:
    """The affine transform and the mutual information of the best start, within ``mask`` of the template."""
    valued = partial(worth, template, scan)
    rough = sorted((optimize(template, scan, start, ROUGH, mask) for start in _starts(scan)), key=valued, reverse=True)
    finer = [optimize(template, scan, _affine(matrix_of(start)), FINER, mask) for start, _ in rough[:BEST]]
    return optimize(template, scan, _affine(matrix_of(max(finer, key=valued)[0])), WHOLE, mask)


def _starts(scan: WorkingImage) -> list[sitk.Transform]:
    top = float(np.percentile(scan.points[:, 2], 99.5))
    x, y, _ = scan.points[scan.points[:, 2] > top - _SLAB_MM].mean(axis=0)
    starts = []
    for below, pitch, scale in product(_BELOW_MM, _PITCHES, _SCALES):
        start = sitk.Similarity3DTransform()
        start.SetCenter(_MIDDLE)
        start.SetRotation((1.0, 0.0, 0.0), pitch)
        start.SetScale(scale)
        start.SetTranslation((np.array([x, y, top - below]) - _MIDDLE).tolist())
        starts.append(sitk.Transform(start))
    return starts


def _affine(matrix: Matrix) -> sitk.Transform:
    """From a similarity (or affine) transform to an affine one that turns about the brain's middle."""
    affine = sitk.AffineTransform(3)
    center = np.asarray(_MIDDLE)
    affine.SetCenter(_MIDDLE)
    affine.SetMatrix(matrix[:3, :3].ravel().tolist())
    affine.SetTranslation((matrix[:3, :3] @ center + matrix[:3, 3] - center).tolist())
    return sitk.Transform(affine)


__all__: Sequence[str] = ("TemplateAlignment", "align_to_template")
