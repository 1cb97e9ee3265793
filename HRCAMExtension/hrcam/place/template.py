"""The atlas and a mean head as images that scans are registered to, in MNI space."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..align.affine import WORKING_MM
from ..align.transforms import carried
from ..align.working import WorkingImage, points_of
from ..scan.geometry import Geometry
from ..scan.volume import to_sitk
from .atlas import LEVELS, STEP_MM, atlas_grid, load_atlas, unfolded
from .structures import BRIGHTNESS

HEAD_FILE = "head.npz"
HEAD_GRID = Geometry((51, 63, 60), (-100.0, -112.0, -125.0), (WORKING_MM,) * 3, np.eye(3))
"""Of the mean head."""

_SCALP, _AIR, _NECK = 0.15, 3, 9
"""What is brighter is head; voxels of air around it that are looked at too; slices at the lower end that are not."""

_DARKER = 0.4
"""What lies outside the brain is this much darker, so that no other tissue has the brightness of fluid and brain."""


def templates_of(atlas: npt.NDArray[np.uint8]) -> tuple[WorkingImage, WorkingImage]:
    """The brain as an atlas has it, with fluid around it, and the same within a mean head; `WORKING_MM`.

    The mean head is made by ``hrcam_research/atlas/build.py`` from the label maps of SynthSeg (see `atlas`), as they
    look in T1.
    """
    from scipy.ndimage import gaussian_filter

    def reduced(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        smooth = gaussian_filter(unfolded(values), 0.4 * WORKING_MM / STEP_MM)
        return np.asarray(carried(smooth, atlas_grid(), HEAD_GRID, np.eye(4)))

    shares = atlas.astype(np.float32) / LEVELS
    inside, brain = reduced(shares[1:].sum(axis=0)).clip(0, 1), reduced(np.tensordot(BRIGHTNESS, shares, 1))
    with resources.files(__package__).joinpath(HEAD_FILE).open("rb") as stream, np.load(stream) as stored:
        around = stored["image"].astype(np.float32) / 255
    head = (1 - inside) * _DARKER * around + inside * BRIGHTNESS[1] + (1 - BRIGHTNESS[1]) * brain
    mask = to_sitk((inside > 0.5).astype(np.uint8), HEAD_GRID)
    points = points_of(mask)
    return (WorkingImage(to_sitk(brain, HEAD_GRID), mask, points),
            WorkingImage(to_sitk(head.astype(np.float32), HEAD_GRID), _looked_at(around), points))


def _looked_at(head: npt.NDArray[np.float32]) -> sitk.Image:
    """The head and the air around it, without neck: the outline of the vertex says where the brain is."""
    bright = head > _SCALP
    bright[: _NECK + 1] = False
    mask = sitk.BinaryFillhole(to_sitk(bright.astype(np.uint8), HEAD_GRID))
    array = sitk.GetArrayFromImage(sitk.BinaryDilate(mask, [_AIR] * 3))
    array[:_NECK] = 0
    return to_sitk(array, HEAD_GRID)


@lru_cache(maxsize=1)
def templates() -> tuple[WorkingImage, WorkingImage]:
    """Those of the package's atlas."""
    return templates_of(load_atlas())
