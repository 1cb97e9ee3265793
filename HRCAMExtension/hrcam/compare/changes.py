"""The rules: what became of a region between two dates.

A region with a counterpart is *growing* or *shrinking* where the diameter (of a ball of its volume) changed by more
than one standard deviation of what two runs on one scan differ by, else *stable*. One without is *new* or *resolved*
where the other date's map has, at that place, less evidence than the lowest level, by more than `Repeatability`.
Evidence that is not less was marked as a part of a stronger region, trimmed as its halo, or just missed: then the
region is *growing* or *shrinking* if its peak changed by more than one standard deviation, else *stable*. What the
other scan does not show at all is *not covered*. A change beyond `Repeatability`, which 95 of 100 pairs of runs stay
below, is marked as such; a smaller one may be chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..run.result import FloatArray, Place, Point, Region
from .calls import GROWING, NEW, NOT_COVERED, RESOLVED, SHRINKING, STABLE
from .matching import Match, Numbers, by_label
from .repeatability import Repeatability, diameter_of

DEVIATIONS = 1.96
"""Standard deviations in `Repeatability`; a change of one of them is the likelier explanation, of all of them sure."""

LEAST_COVERED = 0.5
"""Share of a region that the other scan must show for its absence there to mean anything."""


@dataclass(frozen=True)
class RegionChange:
    """One region through time. What is of a date on which it was not found is None, or 0 for volumes.

    Parameters
    ----------
    number : 1 for the region with the strongest peak of either date.
    call : key of `CALLS`.
    earlier, later : labels of the regions in the two results; several where regions merged or split.
    volume_earlier_ml, volume_later_ml : sums over these regions.
    diameter_change_mm : of a ball of that volume, later minus earlier.
    peak_earlier, peak_later : strongest evidence, logits; where there is no region, the map's highest value there.
    evidence_change : mean of the change map over the region of either date, logits.
    overlap : Dice coefficient of the matched regions.
    peak_ras : strongest voxel in the later scan's space, RAS mm, on the later date where the region is found then.
    plane, slice_index : the later scan's slice through it.
    beyond_repeatability : whether it changed by more than 95 of 100 runs on one scan differ.
    place : where in the brain it lies, where that was asked for and is known.
    """

    number: int
    call: str
    earlier: tuple[int, ...]
    later: tuple[int, ...]
    volume_earlier_ml: float
    volume_later_ml: float
    diameter_change_mm: float
    peak_earlier: float | None
    peak_later: float | None
    evidence_change: float
    overlap: float
    peak_ras: Point
    plane: str
    slice_index: int
    beyond_repeatability: bool
    place: Place | None = None


@dataclass(frozen=True, eq=False)
class Dates:
    """What both dates hold, on the later scan's grid (KJI), and the regions with places in the later scan's space.

    Parameters
    ----------
    earlier_map, later_map : evidence, logits.
    earlier_numbers, later_numbers : label of each voxel's region.
    covered : voxels that the earlier scan shows.
    earlier_regions, later_regions : as measured on their own grids, the earlier ones' points moved to the later space.
    """

    earlier_map: FloatArray
    later_map: FloatArray
    earlier_numbers: Numbers
    later_numbers: Numbers
    covered: npt.NDArray[np.bool_]
    earlier_regions: Sequence[Region]
    later_regions: Sequence[Region]


def call_changes(
    dates: Dates, matches: Sequence[Match], repeatability: Repeatability, lowest: float
) -> list[RegionChange]:
    """Apply the rules to matched regions; strongest peak first. ``lowest`` is the weakest level's threshold, logits."""
    earlier, later = by_label(dates.earlier_regions), by_label(dates.later_regions)
    matched = {n for match in matches for n in match.earlier}
    # Regions of the earlier date that the later scan's grid does not reach have no voxel on it.
    lost = [Match((n,), ()) for n in earlier if n not in matched]
    found = [_change(dates, match, earlier, later, repeatability, lowest) for match in (*matches, *lost)]
    found.sort(key=lambda one: -max(one.peak_earlier or -math.inf, one.peak_later or -math.inf))
    return [replace(one, number=number) for number, one in enumerate(found, start=1)]


def _change(
    dates: Dates, match: Match, earlier: Mapping[int, Region], later: Mapping[int, Region], limits: Repeatability,
    lowest: float,
) -> RegionChange:
    before, after = [earlier[n] for n in match.earlier], [later[n] for n in match.later]
    where = np.isin(dates.earlier_numbers, match.earlier) | np.isin(dates.later_numbers, match.later)
    seen = where & dates.covered
    volume_e, volume_l = sum(r.volume_ml for r in before), sum(r.volume_ml for r in after)
    peak_e = max(r.peak for r in before) if before else _highest(dates.earlier_map, seen)
    peak_l = max(r.peak for r in after) if after else _highest(dates.later_map, where)
    growth = diameter_of(volume_l) - diameter_of(volume_e)
    covered = bool(where.any()) and seen.sum() >= LEAST_COVERED * where.sum()
    strongest = max(after or before, key=lambda region: region.peak)
    call, beyond = call_of(bool(before), bool(after), growth, peak_e, peak_l, covered, limits, lowest)
    return RegionChange(
        0, call, match.earlier, match.later, volume_e, volume_l, growth, peak_e, peak_l,
        float((dates.later_map[seen] - dates.earlier_map[seen]).mean(dtype=np.float64)) if seen.any() else 0.0,
        match.overlap, strongest.peak_ras, strongest.plane, strongest.slice_index, beyond,
        strongest.place,
    )


def call_of(
    before: bool, after: bool, growth_mm: float, peak_earlier: float | None, peak_later: float | None, covered: bool,
    limits: Repeatability, lowest: float,
) -> tuple[str, bool]:
    """The call of a region that is there earlier, later or both (key of `CALLS`), and if it is beyond repeatability.

    Parameters
    ----------
    growth_mm : of the diameter.
    peak_earlier, peak_later : highest evidence at the region's place.
    covered : whether the other scan shows that place.
    lowest : threshold of the weakest level, logits.
    """
    if before and after:
        change, limit = growth_mm, limits.diameter_mm
    elif not covered:
        return NOT_COVERED, False
    else:
        weaker = min(peak_earlier or 0.0, peak_later or 0.0)
        if not peak_earlier or not peak_later or weaker < lowest * math.exp(-limits.log_peak):
            return NEW if after else RESOLVED, True
        change, limit = math.log(peak_later / peak_earlier), limits.log_peak
    if abs(change) <= limit / DEVIATIONS:
        return STABLE, False
    return GROWING if change > 0 else SHRINKING, abs(change) > limit


def _highest(evidence: FloatArray, where: npt.NDArray[np.bool_]) -> float | None:
    return float(evidence[where].max()) if where.any() else None
