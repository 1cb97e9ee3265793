"""The place of each region: registration to the template, then the atlas. What cannot be told is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..align.affine import TemplateAlignment, align_to_template
from ..align.transforms import inverse, moved
from ..errors import HRCAMError, InputError
from ..run.regions import number_regions
from ..run.result import Place, Region, Result
from ..scan.geometry import LPS_TO_RAS
from ..scan.volume import Volume
from .atlas import name_of, probabilities_at, sizes
from .structures import MIDLINE
from .template import templates

MIDDLE_MM = 8.0
"""Nearer to the midline than this no side is named: neither registration nor the fissure between halves is straighter.
"""

EVENNESS = 0.3
"""From 0 (the likeliest structure, which is white matter or cortex in most places) to 1 (as if all structures were of
one size, so that small ones are named too often); chosen on sixteen painted heads.
"""

LEAST_VIEW_MM = 90.0
"""Of a scan in two directions: half a brain; less is not registered at all."""

_VOXELS = 5000
"""Of a region that are looked up, at most."""


def with_places(result: Result, volume: Volume) -> Result:
    """The result with the place of each region of a brain scan, or with a note why places are not known.

    It never raises: a result does not depend on its places. How the scan lies to the template is in the provenance,
    also where there is no region: the cases of a cohort in whom nothing is marked count in its maps too.
    """
    try:
        return placed(result, to_template(volume))
    except HRCAMError as error:
        return replace(result, warnings=(*result.warnings, f"Places are not named: {error}"))


def to_template(volume: Volume) -> TemplateAlignment:
    """How a scan of a brain lies to the template.

    Raises
    ------
    HRCAMError : that cannot be told, or not be trusted, or there is no template.
    """
    if sorted(volume.geometry.extent_mm)[1] < LEAST_VIEW_MM:
        raise InputError("The scan shows too little of a head.", f"A scan of {LEAST_VIEW_MM:.0f} mm in at least two "
                         "directions is needed.")
    try:
        found = align_to_template(volume, *templates())
    except (RuntimeError, np.linalg.LinAlgError):  # what SimpleITK and numpy raise for images without a head
        raise InputError("The scan cannot be brought to the template.", "Does it show a brain?") from None
    if not found.trusted:
        raise InputError("The registration to the template did not pass its checks.", "Does the scan show a brain?")
    return found


def placed(result: Result, found: TemplateAlignment) -> Result:
    """The result with the place of each region, given how its scan lies to the template."""
    record = {"agreement_mm": found.agreement_mm, "similarity": found.similarity, "sizes": list(found.sizes),
              "template_to_scan_ras": (LPS_TO_RAS @ found.template_to_scan @ LPS_TO_RAS).tolist()}
    numbers = number_regions(result.labels, result.geometry, result.regions)
    return replace(result, provenance={**result.provenance, "place": record}, regions=tuple(
        replace(region, place=_place(region, numbers, result, found)) for region in result.regions))


def place_at(mni_ras: npt.ArrayLike, weights: npt.NDArray[np.floating] | None = None,
             atlas: npt.NDArray[np.uint8] | None = None) -> Place:
    """Side, likeliest structure and middle of points N×3 of MNI space, RAS mm.

    Parameters
    ----------
    weights : of the points; None: all the same.
    atlas : another one than the package's.
    """
    points = np.asarray(mni_ras, np.float64).reshape(-1, 3)
    share = np.average(probabilities_at(points, atlas), axis=0, weights=weights)
    center = np.average(points, axis=0, weights=weights)
    number = int(np.argmax(share / sizes(atlas) ** EVENNESS))
    structure = name_of(number)
    x, y, z = (round(float(value), 1) for value in center)
    side = "midline" if abs(x) < MIDDLE_MM or structure in MIDLINE else "right" if x > 0 else "left"
    return Place(side, structure, float(share[number]), (x, y, z))


def _place(region: Region, numbers: npt.NDArray[np.uint16], result: Result, found: TemplateAlignment) -> Place:
    kji = np.argwhere(numbers == region.label)
    kji = kji[:: max(1, len(kji) // _VOXELS)]
    mni = moved(inverse(found.template_to_scan), result.geometry.points_to_lps(kji[:, ::-1])) * [-1.0, -1.0, 1.0]
    return place_at(mni, np.maximum(result.map[tuple(kji.T)], 1e-6))
