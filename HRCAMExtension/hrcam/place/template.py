"""The MNI152 template that nilearn ships, ready for registration."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - its customary name

from ..align.affine import WORKING_MM
from ..align.working import WorkingImage, working_image
from ..errors import HRCAMError
from ..scan.volume import Volume, read_volume

_FILE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
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
    reduced = working_image(template_volume(), WORKING_MM)
    return WorkingImage(reduced.image, sitk.BinaryDilate(reduced.head, [_BORDER] * 3), reduced.points)
