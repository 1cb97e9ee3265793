"""What is marked on a scan: the one place where a map becomes level numbers.

The command, the module's views, segmentations, exports, tables and pictures all show what `mark` returns. A range that
a user hides is taken from these labels afterwards; nobody compares the map with thresholds a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..bundle.evidence_level import EvidenceLevel
from ..scan.geometry import Geometry
from .components import bounds, connected, trim
from .options import MINIMUM_REGION_ML
from .result import LabelArray

if TYPE_CHECKING:
    from .borders import Borders


def mark(
    evidence: npt.NDArray[np.float32],
    geometry: Geometry,
    levels: Sequence[EvidenceLevel],
    minimum_ml: float = 0.0,
    withheld: bool = False,
    agreed: npt.NDArray[np.bool_] | None = None,
    borders: Borders | None = None,
) -> LabelArray:
    """The label map of a scan: what is marked, and at which level.

    Parameters
    ----------
    evidence : float32 KJI, logits of the class that is shown.
    geometry : its grid.
    levels : the bundle's, lowest threshold first; in a result ``Result.evidence_levels``.
    minimum_ml : smaller regions are not marked, see `large_enough`.
    withheld : the scan as a whole is called normal and no class was asked for (``Result.withheld``, see
        ``withholding.is_withheld``): nothing is marked.
    agreed : bool KJI, where all planes that were read see enough, and around it (``agreement.agreed_voxels``): these
        voxels are marked, and regions without any of them are not. None: one plane was read, or the mean decides.
    borders : how the halo of regions is trimmed along the image; None: by their peaks alone.

    Returns
    -------
    uint8 KJI : 0 not marked, n marked at ``levels[n - 1]`` and all below it, see `label_levels`.
    """
    if withheld:
        return np.zeros(evidence.shape, np.uint8)
    labels = label_levels(evidence, levels)
    if borders is not None:
        borders.draw(labels, evidence, levels[0])
    if agreed is not None:
        np.maximum(labels, agreed, out=labels, casting="unsafe")
    if (agreed is not None or minimum_ml > 0) and labels.any():
        _keep(labels, minimum_ml, geometry.voxel_volume_ml, agreed)
    return labels


def large_enough(volumes_ml: npt.ArrayLike, minimum_ml: float) -> npt.NDArray[np.bool_]:
    """Which regions of these volumes are marked: those of at least ``minimum_ml``, and all where there is none.

    A scan that is called ill so shows where, if only in specks. Who asks for more than the default gets what is larger.
    """
    large = np.asarray(volumes_ml, np.float64) >= minimum_ml
    return large if large.any() or minimum_ml > MINIMUM_REGION_ML else np.ones_like(large)


def label_levels(evidence: npt.ArrayLike, levels: Sequence[EvidenceLevel]) -> LabelArray:
    """Level numbers of a map: 0 not marked, n where ``levels[n - 1]`` is the highest level that marks the voxel.

    A level's calibrated threshold decides whether something is marked. Where voxels above it are connected (by a face,
    an edge or a corner), the level's share ``of_peak`` of their own highest evidence must be reached too, which trims
    the halo of strong evidence. What lies apart is never measured by the scan's strongest evidence, so that a weak
    lesion beside a strong one stays.

    Parameters
    ----------
    evidence : 1D to 3D, logits.
    levels : lowest threshold first.
    """
    values = np.asarray(evidence)
    labels = np.zeros(values.shape, np.uint8)
    volume = (1,) * (3 - values.ndim) + values.shape
    reached = values.reshape(volume) >= min((level.threshold for level in levels), default=np.inf)
    if not reached.any():
        return labels
    box = bounds(reached)  # most of a scan holds no evidence: only the box is looked at
    inside, target = values.reshape(volume)[box], labels.reshape(volume)[box]
    peak = float(inside.max())
    for number, level in enumerate(levels, start=1):
        reached = inside >= level.threshold
        if peak >= level.threshold and level.of_peak * peak > level.threshold:
            trim(inside, reached, level.of_peak)
        np.copyto(target, number, where=reached)
    return labels


def _keep(labels: LabelArray, minimum_ml: float, voxel_ml: float, agreed: npt.NDArray[np.bool_] | None) -> None:
    """Clear the components that are not `large_enough`, and those without any voxel that is ``agreed``."""
    box, components = connected(labels > 0)
    voxels = np.bincount(components.ravel())
    kept = np.arange(len(voxels)) > 0  # what is not marked is no region
    if agreed is not None:
        kept &= np.bincount(components[agreed[box]], minlength=len(voxels)) > 0
    kept[kept] = large_enough(voxels[kept] * voxel_ml, minimum_ml)
    labels[box] *= kept[components]
