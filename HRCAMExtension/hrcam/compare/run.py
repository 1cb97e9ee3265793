"""Compare two scans of one person: localize both, align them, match regions, and call what became of each."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..align.rigid import Alignment, align, check_alignment
from ..align.transforms import Matrix, carried, inverse, moved
from ..bundle.bundle import Bundle
from ..errors import Cancelled, HRCAMError, InputError
from ..localize import Options, Progress, localize
from ..place.name import placed, to_template
from ..run.options import smallest_region_ml
from ..run.result import Point, Region, Result
from ..scan.checks import Fit
from ..scan.geometry import LPS_TO_RAS, Geometry
from ..scan.volume import Volume
from .acquisition import Acquisition, acquisition_of
from .calls import CALLS
from .changes import Dates, RegionChange, call_changes
from .comparison import Comparison
from .matching import Numbers, match_regions, numbered
from .repeatability import Differences, from_differences, localized_again
from .withheld import marked_again, only

SHARED, GIVEN = "shared frame of reference", "given"

_TOLD = Fit((), None)
"""Of copies of a scan: how it compares with what the model was made for is told with the scan itself."""

_SHARES = {"aligning": (0.02, 0.2), "earlier": (0.2, 0.4), "later": (0.4, 0.6), "earlier again": (0.6, 0.78),
           "later again": (0.78, 0.95)}
"""Part of the work to its share of the whole job, first and last."""


def compare(
    earlier: Volume,
    later: Volume,
    bundle: Bundle,
    options: Options | None = None,
    *,
    aligned: bool = False,
    copies: int = 1,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Comparison:
    """Say what became of each region between two dates.

    Parameters
    ----------
    earlier, later : two scans of one person; where DICOM dates say otherwise, they change places, with a warning.
    bundle, options : the model and how to localize, as for ``localize``; both scans alike. With ``options.place`` each
        region's place is named from the registration of the later scan alone.
    aligned : the scans lie in one space already and are not registered; so are those whose DICOM frame of reference
        is the same.
    copies : of each scan, re-sampled and localized too; evidence is the mean of all, and repeatability what they differ
        by. 0 takes the usual repeatability, and a third to half of the time.
    progress, cancelled : as for ``localize``.

    Raises
    ------
    InputError : a scan cannot be used, or the two cannot be brought to one another.
    Cancelled : ``cancelled`` said so.

    Examples
    --------
    >>> from hrcam import load_bundle
    >>> from hrcam.compare.run import compare
    >>> from hrcam.scan.volume import read_volume
    >>> may, july = read_volume("may.nii.gz"), read_volume("july.nii.gz")              # doctest: +SKIP
    >>> [one.call for one in compare(may, july, load_bundle("t1ce-tumor")).changes]   # doctest: +SKIP
    """
    options = replace(options or Options(), scans=2 * (1 + copies))  # so much may pay another engine
    for volume in (earlier, later):
        _refuse_pictures(volume)
    first, second = acquisition_of(earlier), acquisition_of(later)
    warnings: list[str] = []
    if first.date and second.date and (first.date, first.time) > (second.date, second.time):
        earlier, later, first, second = later, earlier, second, first
        warnings.append(f"By their DICOM dates the scans were given in the wrong order: {first.shown} comes before "
                        f"{second.shown}. They changed places.")
    report, clock = progress or (lambda stage, done: None), _Clock()
    with clock.stage("Aligning"):  # it takes less than localizing, and may end the job
        align_part = _part(report, "aligning")

        def step(done: float) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled
            align_part("Aligning", done)

        step(0.0)
        alignment = _alignment(earlier, later, first, second, aligned, warnings, step)
    with clock.stage("Localizing"):
        found = _localize_both(earlier, later, bundle, options, report, cancelled)
    with clock.stage("Repeating"):
        there = alignment.later_to_earlier
        found, differences = _repeated(found, earlier, later, there, bundle, options, copies, report, cancelled)
        limits = from_differences(differences, 1 + copies)
    with clock.stage("Comparing"):
        report("Comparing", 0.95)
        found = _with_withheld(found, earlier, later, there, smallest_region_ml(options, has_volumes=True), warnings)
        if options.place:
            found = _with_places(found, later, there, warnings)
        dates = _on_later_grid(earlier, later, *found, there)
        matches = match_regions(dates.earlier_numbers, dates.later_numbers, later.geometry)
        changes = call_changes(dates, matches, limits, found[1].evidence_levels[0].threshold)
        evidence = [one.clip(min=0) for one in (dates.earlier_map, dates.later_map)]  # against the class: none for it
        change = np.where(dates.covered, evidence[1] - evidence[0], np.float32(0))
    return Comparison(
        earlier=found[0], later=found[1], later_scan=later,
        earlier_scan=carried(earlier.array, earlier.geometry, later.geometry, there).astype(np.float32),
        earlier_map=dates.earlier_map,
        earlier_labels=carried(found[0].labels, earlier.geometry, later.geometry, there, nearest=True).astype(np.uint8),
        change=change, change_labels=_label(dates, changes), changes=tuple(changes), alignment=alignment,
        repeatability=limits, differences=tuple(differences), earlier_acquisition=first,
        later_acquisition=second, warnings=tuple(warnings),
        timings=clock.timings,
        provenance={
            "hrcam_version": found[1].provenance["hrcam_version"],
            "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "model": found[1].provenance["model"], "options": found[1].provenance["options"],
            "earlier": found[0].provenance["input"], "later": found[1].provenance["input"], "copies": copies,
        },
    )


@dataclass
class _Clock:
    """Times stages."""

    def __post_init__(self) -> None:
        self.timings: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - start


def _refuse_pictures(volume: Volume) -> None:
    if not volume.has_volumes:
        raise InputError(f'"{volume.name}" is a single slice or picture, which cannot be brought to another scan.',
                         "Give two volumes of several slices.")


def _alignment(
    earlier: Volume, later: Volume, first: Acquisition, second: Acquisition, aligned: bool, warnings: list[str],
    step: Callable[[float], None],
) -> Alignment:
    shared = bool(first.frame_of_reference) and first.frame_of_reference == second.frame_of_reference
    if not aligned and not shared:
        return align(earlier, later, step)
    found = check_alignment(earlier, later, np.eye(4), GIVEN if aligned else SHARED)
    if not found.trusted:
        said = "they were said to be aligned" if aligned else "DICOM says that they share a frame of reference"
        warnings.append(f"The scans are compared where they lie, because {said}, but a registration would move them by "
                        f"{found.agreement_mm:.1f} mm. Look at the pictures before you believe a change.")
    return found


def _localize_both(
    earlier: Volume, later: Volume, bundle: Bundle, options: Options, report: Progress,
    cancelled: Callable[[], bool] | None,
) -> tuple[Result, Result]:
    """Both scans' evidence for one class: the likelier pathology of the two dates where none is asked for."""
    options = replace(options, place=False)
    found = [localize(volume, bundle, options, _part(report, name), cancelled)
             for name, volume in (("earlier", earlier), ("later", later))]
    if found[0].shown_class != found[1].shown_class:
        classes = {one.shown_class for one in found}
        chosen = max(sorted(classes), key=lambda name: sum(one.probabilities[name] for one in found))
        asked = replace(options, class_name=chosen)
        for n, volume in enumerate((earlier, later)):
            if found[n].shown_class != chosen:
                again = localize(volume, bundle, asked, cancelled=cancelled)
                found[n] = _withhold(again) if found[n].withheld else again
    return found[0], found[1]


def _repeated(
    found: tuple[Result, Result], earlier: Volume, later: Volume, there: Matrix, bundle: Bundle, options: Options,
    copies: int, report: Progress, cancelled: Callable[[], bool] | None,
) -> tuple[tuple[Result, Result], Differences]:
    """Both results with the mean evidence of several runs, and how far these differ."""
    if not (found[0].regions or found[1].regions):  # there is nothing to compare
        return found, []
    same = replace(options, class_name=found[1].shown_class, faithfulness=False, keep_levels=False, place=False)
    again, differences = [], []
    for scan, result, part, other, motion in ((earlier, found[0], "earlier again", later, inverse(there)),
                                              (later, found[1], "later again", earlier, there)):
        once_more = partial(localize, bundle=bundle, options=same, progress=_part(report, part), cancelled=cancelled,
                            fit=_TOLD)
        mean, apart = localized_again(
            scan, result, once_more, copies, other.geometry, motion, smallest_region_ml(options, has_volumes=True))
        again.append(mean)
        differences += apart
    return (again[0], again[1]), differences


def _with_withheld(
    found: tuple[Result, Result], earlier: Volume, later: Volume, there: Matrix, minimum_ml: float, warnings: list[str]
) -> tuple[Result, Result]:
    """The date that is called normal with the evidence that it has where the other date has a region."""
    normal = 0 if found[0].withheld else 1
    if found[0].withheld == found[1].withheld or not found[1 - normal].regions:
        return found
    again = marked_again(found[normal], minimum_ml)
    both = (again, found[1]) if normal == 0 else (found[0], again)
    dates = _on_later_grid(earlier, later, *both, there)
    matches = match_regions(dates.earlier_numbers, dates.later_numbers, later.geometry)
    kept = {label for match in matches if match.earlier and match.later
            for label in (match.earlier, match.later)[normal]}
    if not kept:
        return found
    name, other = ("earlier", "later") if normal == 0 else ("later", "earlier")
    warnings.append(f"The {name} scan as a whole is called normal. Its evidence counts where the {other} scan has a "
                    "region.")
    again = only(again, kept)
    return (again, found[1]) if normal == 0 else (found[0], again)


def _with_places(
    found: tuple[Result, Result], later: Volume, later_to_earlier: Matrix, warnings: list[str]
) -> tuple[Result, Result]:
    """Both results with places; one registration to the template serves both dates."""
    if not (found[0].regions or found[1].regions):
        return found
    try:
        there = to_template(later)
    except HRCAMError as error:
        warnings.append(f"Places are not named: {error}")
        return found
    before = replace(there, template_to_scan=later_to_earlier @ there.template_to_scan)
    return placed(found[0], before), placed(found[1], there)


def _withhold(result: Result) -> Result:
    """What was called normal stays unmarked when another class is shown."""
    return replace(result, labels=np.zeros_like(result.labels), regions=(), withheld=True)


def _part(report: Progress, part: str) -> Progress:
    start, end = _SHARES[part]
    return lambda stage, done: report(stage, start + done * (end - start))


def _on_later_grid(earlier: Volume, later: Volume, before: Result, after: Result, there: Matrix) -> Dates:
    source, target = earlier.geometry, later.geometry
    covered = carried(np.ones(source.shape_kji, np.uint8), source, target, there, nearest=True).astype(bool)
    numbers: Numbers = carried(numbered(before), source, target, there, nearest=True).astype(np.uint16)
    back = LPS_TO_RAS @ inverse(there) @ LPS_TO_RAS
    return Dates(
        carried(before.map, source, target, there).astype(np.float32), after.map, numbers, numbered(after), covered,
        [_moved_region(region, back, target) for region in before.regions], after.regions,
    )


def _moved_region(region: Region, there_ras: Matrix, target: Geometry) -> Region:
    """A region of the earlier scan with its places, and the slice through its peak, in the later scan's space."""
    peak, centroid = _point(moved(there_ras, region.peak_ras)), _point(moved(there_ras, region.centroid_ras))
    axis = target.axis_of(region.plane)
    index = int(np.clip(math.floor(target.points_from_ras(peak)[axis] + 0.5), 0, target.size_ijk[axis] - 1))
    return replace(region, peak_ras=peak, centroid_ras=centroid, slice_index=index)


def _label(dates: Dates, changes: Sequence[RegionChange]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Number of each voxel's call; where regions of both dates lie, the later one's."""
    order = list(CALLS)
    labels = np.zeros(dates.later_map.shape, np.uint8)
    for numbers, regions, side in ((dates.earlier_numbers, dates.earlier_regions, "earlier"),
                                   (dates.later_numbers, dates.later_regions, "later")):
        names = np.zeros(1 + max((one.label for one in regions), default=0), np.uint8)  # not all have a voxel here
        for change in changes:
            names[list(getattr(change, side))] = order.index(change.call) + 1
        labels = np.where(numbers > 0, names[numbers], labels)
    return labels


def _point(position: Matrix) -> Point:
    r, a, s = position.tolist()
    return r, a, s
