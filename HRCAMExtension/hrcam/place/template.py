"""The MNI152 template that nilearn ships, and a mean head in its space, ready for registration."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..align.affine import WORKING_MM
from ..align.working import WorkingImage, equalized, points_of, working_image
from ..errors import HRCAMError
from ..scan.volume import Volume, read_volume

_FILE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
HEAD_FILE = "head.npz"
HEAD_SHAPE_KJI = (60, 63, 51)
HEAD_CORNER_LPS = (-100.0, -112.0, -125.0)
"""The mean head's grid, `WORKING_MM`."""

_SCALP, _AIR, _NECK = 0.15, 3, 10
"""What is brighter is head; voxels of air around it; slices at the lower end that are left out."""

_BORDER = 1
"""Voxels of `WORKING_MM` around the brain that are looked at too: its outline is a landmark in every contrast."""


def template_volume() -> Volume:
    """The skull-stripped T1 template, 1 mm; read without importing nilearn, which would take seconds.

    Raises ``HRCAMError`` where nilearn is not installed.
    """
    spec = find_spec("nilearn")
    found = [Path(place) / _FILE for place in (spec.submodule_search_locations if spec else None) or ()]
    path = next((one for one in found if one.is_file()), None)
    if path is None:
        raise HRCAMError("Naming the place needs the MNI template, which comes with the package nilearn.",
                         "Install it with: pip install 'hrcam[place]'.")
    return read_volume(path)


@lru_cache(maxsize=1)
def working_template() -> WorkingImage:
    """The reduced template; its head is the brain with a narrow border."""
    reduced = equalized(working_image(template_volume(), WORKING_MM))
    return WorkingImage(reduced.image, sitk.BinaryDilate(reduced.head, [_BORDER] * 3), reduced.points)


@lru_cache(maxsize=1)
def working_head() -> WorkingImage:
    """The mean head; its mask holds the air around it too, but no neck.

    Made by ``hrcam_research/atlas/build.py`` from the label maps of SynthSeg (see `atlas`), as they look in T1.
    """
    with resources.files(__package__).joinpath(HEAD_FILE).open("rb") as stream, np.load(stream) as stored:
        image = sitk.GetImageFromArray(stored["image"].astype(np.float32) / 255)
    image.SetSpacing((WORKING_MM,) * 3)
    image.SetOrigin(HEAD_CORNER_LPS)
    array = sitk.GetArrayViewFromImage(image)
    bright = array > _SCALP
    bright[:_NECK] = False
    mask = sitk.GetImageFromArray(bright.astype(np.uint8))
    mask.CopyInformation(image)
    around = sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.BinaryFillhole(mask), [_AIR] * 3))
    around[:_NECK - 1] = 0
    mask = sitk.GetImageFromArray(around)
    mask.CopyInformation(image)
    return equalized(WorkingImage(image, mask, points_of(mask)))
