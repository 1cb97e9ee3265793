"""Registration by mutual information: SimpleITK's, on reduced images, from several starts, checked afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from .transforms import Matrix, matrix_of
from .working import WorkingImage, covered

_BINS = 32
_SEED = 1
_RELAXATION = 0.6
"""Of the length of steps where the gradient turns."""


@dataclass(frozen=True)
class Effort:
    """How long the optimizer may take, and how exact it shall be.

    Powell's method: gradients of mutual information point to nowhere in thick stacks, whose slices are farther apart
    than the head's structures are wide.

    Parameters
    ----------
    rounds : most passes through all parameters.
    step : length of the first steps, mm at the head's surface.
    tolerance : of the steps, as a part of ``step``.
    samples : voxels that each evaluation looks at, at most.
    """

    rounds: int
    step: float
    tolerance: float
    samples: int


@dataclass(frozen=True)
class Descent:
    """How far a gradient may lead: ten times faster than Powell's method, where images are smooth.

    Parameters
    ----------
    samples : voxels that each evaluation looks at, at most.
    rounds : steps, at most.
    step, least : length of the first and the last steps, mm at the head's surface.
    """

    samples: int
    rounds: int
    step: float
    least: float


COARSE = Effort(4, 4.0, 0.02, 5_000)
FINE = Effort(10, 1.0, 0.005, 20_000)


def optimize(
    fixed: WorkingImage, moving: WorkingImage, start: sitk.Transform, effort: Effort | Descent,
    mask: sitk.Image | None = None,
) -> tuple[sitk.Transform, float]:
    """Improve a transform from ``fixed``'s to ``moving``'s space; returns it and the mutual information that it has.

    The kind of the start (rigid, similarity, affine) is the kind of the result. ``mask`` is where the fixed image is
    looked at; by default its head.
    """
    method = _method(fixed, mask, effort.samples)
    if isinstance(effort, Effort):
        method.SetOptimizerAsPowell(effort.rounds, 20, effort.step, effort.tolerance, 1e-5)
    else:
        method.SetOptimizerAsRegularStepGradientDescent(effort.step, effort.least, effort.rounds, _RELAXATION)
    method.SetOptimizerScalesFromPhysicalShift()
    transform = sitk.Transform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed.image, moving.image)
    except RuntimeError:  # the images came apart on the way
        return sitk.Transform(start), 0.0
    return transform, -float(method.GetMetricValue())


def similarity(
    fixed: WorkingImage, moving: WorkingImage, transform: sitk.Transform, mask: sitk.Image | None = None,
    samples: int = FINE.samples,
) -> float:
    """Mutual information (nats) of two images under a transform; 0 where they do not overlap."""
    method = _method(fixed, mask, samples)
    method.SetInitialTransform(transform)
    try:
        return -float(method.MetricEvaluate(fixed.image, moving.image))
    except RuntimeError:
        return 0.0


def _method(fixed: WorkingImage, mask: sitk.Image | None, samples: int) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    where = fixed.head if mask is None else mask
    method.SetMetricFixedMask(where)
    share = samples / max(1, int(sitk.GetArrayViewFromImage(where).sum()))
    if share < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(share, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def rigid_starts(
    fixed: WorkingImage, moving: WorkingImage, pitches: Sequence[float]
) -> tuple[list[sitk.Transform], list[sitk.Transform]]:
    """Places to begin: likely ones (as the headers have it; the heads' centers upon each other), and with nodding too.

    ``pitches`` are angles about the left-right axis, radians.
    """
    shift = moving.center - fixed.center
    likely = [_rigid_start(fixed, np.zeros(3), 0.0), _rigid_start(fixed, shift, 0.0)]
    return likely, [_rigid_start(fixed, shift, pitch) for pitch in pitches]


def _rigid_start(fixed: WorkingImage, shift: Matrix, pitch: float) -> sitk.Transform:
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter(fixed.center.tolist())
    rigid.SetTranslation(shift.tolist())
    rigid.SetRotation(float(pitch), 0.0, 0.0)
    return sitk.Transform(rigid)


def worth(fixed: WorkingImage, moving: WorkingImage, found: tuple[sitk.Transform, float]) -> float:
    """Mutual information of a result of `optimize`, less where little overlaps: of a thin slice it says nothing."""
    return found[1] * covered(fixed, moving, matrix_of(found[0]))
