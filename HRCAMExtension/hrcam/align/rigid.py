"""The rigid motion between two scans of one head, and whether it can be trusted.

Multi-resolution mutual information from several starts. Then it is checked: scan and scan change their roles, the
registration begins anew near its result, and where it ends elsewhere, or the scans have too little in common there, it
is no registration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..errors import InputError
from ..scan.volume import Volume
from .register import COARSE, FINE, optimize, rigid_starts, similarity, worth
from .transforms import Matrix, distance_mm, inverse, matrix_of, moved, nudged, transform_of
from .working import WorkingImage, covered, working_image

COARSE_MM, FINE_MM = 5.0, 2.0
PITCHES = (-0.3, 0.3)
"""Nodding of the head that is tried where nothing else helps, radians."""

WORST_AGREEMENT_MM = 2.0
"""Registrations that disagree with themselves by more are refused."""

LEAST_SIMILARITY = 0.15
"""Nats of mutual information in the head: scans of different people, or of one upside down, have less."""

LEAST_COMMON = 0.4
"""Share of the smaller scan's head that both scans must show."""

_Images = tuple[WorkingImage, WorkingImage]
Step = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Alignment:
    """How one scan lies to another.

    Parameters
    ----------
    later_to_earlier : 4x4, LPS mm: from a place in the later scan to the same place in the earlier one.
    method : "registered", or "shared frame of reference" where DICOM states that both were taken in one position.
    agreement_mm : how far a second registration, scans' roles exchanged, ends from this one.
    similarity : mutual information in the head, nats.
    common : share of the smaller head that both scans show.
    """

    later_to_earlier: Matrix
    method: str
    agreement_mm: float
    similarity: float
    common: float

    @property
    def trusted(self) -> bool:
        """Whether it passed all checks."""
        return (self.agreement_mm <= WORST_AGREEMENT_MM and self.similarity >= LEAST_SIMILARITY
                and self.common >= LEAST_COMMON)


def align(earlier: Volume, later: Volume, step: Step | None = None) -> Alignment:
    """Find the rigid motion from the later scan to the earlier one.

    Parameters
    ----------
    step : called a few times on the way with the share of the usual work that is done; what it raises ends the work.

    Raises
    ------
    InputError : it cannot be found or does not pass the checks; the message says which.
    """
    step = step or (lambda done: None)
    step(0.0)
    fixed, moving = _images(later), _images(earlier)
    likely, unlikely = rigid_starts(fixed[0], moving[0], PITCHES)
    found = _register(fixed, moving, likely, step)
    if not found.trusted:
        again = _register(fixed, moving, unlikely, lambda done: step(1.0))
        found = max((found, again), key=lambda one: (one.trusted, one.similarity))
    if not found.trusted:
        raise InputError(f"The two scans cannot be brought to one another: {_doubt(found)}.",
                         "Are they of the same person and part of the body? If so, register them by hand (in Slicer: "
                         "General Registration), resample one on the other, and compare these with --aligned.")
    return found


def check_alignment(earlier: Volume, later: Volume, later_to_earlier: Matrix, method: str) -> Alignment:
    """Look at a motion that is given (4x4, LPS mm): how far would a registration that begins there go?"""
    return _check(_images(later)[1], _images(earlier)[1], transform_of(later_to_earlier), method)


def _register(fixed: _Images, moving: _Images, starts: Sequence[sitk.Transform], step: Step) -> Alignment:
    coarse = []
    for number, start in enumerate(starts):
        step((number + 1) / (len(starts) + 3))
        coarse.append(optimize(fixed[0], moving[0], start, COARSE))
    likely, _ = max(coarse, key=lambda one: worth(fixed[0], moving[0], one))
    step((len(starts) + 1) / (len(starts) + 3))
    best, _ = optimize(fixed[1], moving[1], likely, FINE)
    step((len(starts) + 2) / (len(starts) + 3))
    return _check(fixed[1], moving[1], best, "registered")


def _images(volume: Volume) -> _Images:
    return working_image(volume, COARSE_MM), working_image(volume, FINE_MM)


def _check(fixed: WorkingImage, moving: WorkingImage, transform: sitk.Transform, method: str) -> Alignment:
    """Register back, from a place a few mm beside the inverse, and compare."""
    there = matrix_of(transform)
    start = _rigid(nudged(inverse(there), moving.center), moving)
    back, _ = optimize(moving, fixed, start, FINE)
    agreement = distance_mm(inverse(matrix_of(back)), there, fixed.points)
    common = max(covered(fixed, moving, there), covered(moving, fixed, inverse(there)))
    return Alignment(there, method, agreement, similarity(fixed, moving, transform), common)


def _rigid(matrix: Matrix, fixed: WorkingImage) -> sitk.Transform:
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter(fixed.center.tolist())
    rotation = matrix[:3, :3]
    u, _, v = np.linalg.svd(rotation)
    rigid.SetMatrix((u @ v).ravel().tolist(), 1e-6)
    rigid.SetTranslation((moved(matrix, fixed.center) - fixed.center).tolist())
    return sitk.Transform(rigid)


def _doubt(found: Alignment) -> str:
    if found.common < LEAST_COMMON:
        return f"only {found.common:.0%} of the head is seen in both"
    if found.similarity < LEAST_SIMILARITY:
        return "at the best fit they look too little alike"
    return f"two registrations of them differ by {found.agreement_mm:.1f} mm"
