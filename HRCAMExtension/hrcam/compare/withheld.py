"""Compare a date whose scan is called normal with one whose scan is not.

A scan that is called normal is not marked, so that normal scans stay empty. Where the other date shows a lesion, that
would make each of its regions new, or resolved, although the map still has it. Then the evidence of the date that is
called normal counts where the other date has a region, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ..run.marking import mark
from ..run.regions import find_regions, number_regions
from ..run.result import Result
from ..scan.geometry import PLANES


def marked_again(result: Result, minimum_ml: float, every: bool = True) -> Result:
    """The result with what its map marks: all of it, although the scan may be called normal or its planes may not
    agree, or (``every`` False) what is marked of a scan that is looked at alone."""
    withheld, agreed = (False, None) if every else (result.withheld, result.agreed)
    labels = mark(result.map, result.geometry, result.evidence_levels, minimum_ml, withheld, agreed,
                  result.borders)
    plane = result.plane if result.plane in PLANES else None
    regions = find_regions(result.map, labels, result.geometry, result.evidence_levels, plane)
    return replace(result, labels=labels, regions=tuple(regions))


def only(result: Result, kept: Collection[int]) -> Result:
    """The result with the regions of these labels alone."""
    regions = tuple(region for region in result.regions if region.label in kept)
    inside = number_regions(result.labels, result.geometry, regions) > 0
    return replace(result, regions=regions, labels=np.where(inside, result.labels, 0).astype(np.uint8))
