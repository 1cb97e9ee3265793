"""Whether a volume is a scan that can be used at all, and whether the model was made for such scans."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .intensity import otsu_threshold, percentile
from .io.damage import not_finite
from .other_models import OtherModels, advice, none_known
from .sampling import fits_in_all_planes, per_axis
from .skull import is_stripped
from .statistics import distances, intensity_statistics, padded
from .thinning import positions
from .volume import MAX_VOXELS, Volume

if TYPE_CHECKING:
    from .sampling import HasMetadata

SMALLEST_SIDE = 8
"""Voxels that the two longer axes must have at least; fewer show no anatomy."""

SPACING_LIMITS_MM = (0.01, 50.0)
EXTENT_LIMITS_MM = (5.0, 3000.0)
"""Of the two longer axes: from a mouse's brain to a whole body."""

EMPTY_SHARE = 0.001
"""A scan with a smaller share of voxels that differ from the most usual value shows nothing."""

LABEL_VALUES = 64
LABEL_SAMENESS = 0.75
"""Whole numbers, at most 64 of them, with 75 % of the foreground's neighbors equal: a label map, not a scan."""

_LABEL_SLICES = 64
"""So many slices of a volume tell whether it is a label map."""

WARNING_SCORE = 0.25
"""Out-of-range score from which a warning is given; ranges hold 98 % of the training images."""

_COARSE = 2.0
_FIELD_OF_VIEW = (0.4, 2.5)
_OBJECT_SIZE = (0.3, 1.4)
"""Foreground's longer side against the model's field of view; an adult head fills 0.6 to 1.0 of a head model's."""

_SCANNERS = {"MR": "MR", "MRI": "MR", "CT": "CT", "PT": "PET", "PET": "PET", "US": "ultrasound", "CR": "radiography",
             "DX": "radiography", "NM": "nuclear medicine", "MG": "mammography"}

_SEQUENCES = {
    "T1": "t1 t1w t1ce t1gd t1c t1rho t1map unit1 mprage mp2rage mpr spgr bravo vibe",
    "T2": "t2 t2w t2map haste tse2", "FLAIR": "flair", "T2*": "t2star t2starw t2starmap gre megre", "SWI": "swi swan",
    "proton density": "pd pdw pdt2 pdmap", "DWI": "dwi dti trace tracew fa", "ADC": "adc",
    "BOLD": "bold fmri sbref epi", "angiography": "angio tof mra mrv mip cta",
    "perfusion": "asl pasl pcasl m0scan cbf cbv mtt tmax perf perfusion dsc dce",
    "field map": "phasediff phase1 phase2 fieldmap magnitude1 magnitude2 b0map tb1map", "MT": "mtr mtw mtsat",
    "spectroscopy": "mrs csi svs mrsi", "localizer": "localizer localiser scout survey",
}
"""What a word in a file's name or a series' description says of the sequence: suffixes of BIDS, and what scanners and
people write.
"""
_AS_BUNDLES_STATE = {"proton density": "PD"}
_SEQUENCE_OF = {word: sequence for sequence, words in _SEQUENCES.items() for word in words.split()}


def check_volume(volume: Volume) -> None:
    """Raise ``InputError`` for what no model can read: nothing shown, impossible sizes, a label map.

    One slice is fine; two axes of one voxel are not.
    """
    array, geometry = volume.array, volume.geometry
    name = f'"{volume.name}"'
    voxels = " x ".join(str(n) for n in geometry.size_ijk)
    if array.size > MAX_VOXELS:
        raise InputError(f"{name} has {voxels} voxels, more than the limit of {MAX_VOXELS:,}.",
                         "Crop or resample it first.")
    if sorted(geometry.size_ijk)[1] < SMALLEST_SIDE:
        raise InputError(f"{name} has only {voxels} voxels.",
                         f"Give a scan of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} voxels a slice.")
    if volume.spacing_known:
        _check_millimeters(volume)
    finite = np.isfinite(array)
    if not finite.all():
        raise not_finite(volume.name, int(array.size - np.count_nonzero(finite)))
    if array.min() == array.max():
        raise InputError(f"{name} has the same value ({float(array.flat[0]):g}) in every voxel.",
                         "Check that the right file was exported.")
    usual = percentile(volume.ordered, 50)
    if np.count_nonzero(array != usual) < EMPTY_SHARE * array.size:
        raise InputError(f"{name} is almost entirely empty (value {usual:g}).",
                         "Check that the right file was exported.")
    if _is_label_map(volume):
        raise InputError(f"{name} looks like a label map (few whole numbers in uniform areas), not a scan.",
                         "Give the scan that it belongs to.")


@dataclass(frozen=True)
class Fit:
    """How a scan compares with what a model was made for.

    Parameters
    ----------
    warnings : in words; empty where it fits.
    out_of_range_score : how unlike the training images the scan is: the largest distance of an intensity statistic
        from its range, in widths of that range. 0 inside all ranges; above ``WARNING_SCORE`` a result deserves
        mistrust; None where the bundle states no ranges.
    """

    warnings: tuple[str, ...]
    out_of_range_score: float | None


def assess_fit(
    volume: Volume, bundle: HasMetadata, unlike: str | None = None, others: OtherModels = none_known
) -> Fit:
    """Compare a usable scan with a bundle's metadata.

    What the file itself leaves open, modality and sequence (of DICOM, or named in the file name), plane, spacing, field
    of view, size of what is shown, and the intensity statistics; in place of the warning on these `unlike`, which says
    why they differ. A sequence that the model was not made for names those of the `others` that were.
    """
    found = _distances(volume, bundle)
    looks = [unlike] if unlike else _looks(volume, found)
    return Fit((*volume.notes, *_modality(volume, bundle, others), *_grid(volume, bundle), *looks),
               max(found.values()) if found else None)


def check_fit(volume: Volume, bundle: HasMetadata) -> list[str]:
    """The warnings of ``assess_fit``."""
    return list(assess_fit(volume, bundle).warnings)


def _check_millimeters(volume: Volume) -> None:
    geometry = volume.geometry
    spacing = " x ".join(f"{s:g}" for s in geometry.spacing)
    low, high = SPACING_LIMITS_MM
    if min(geometry.spacing) < low or max(geometry.spacing) > high:
        raise InputError(f'"{volume.name}" has a spacing of {spacing} mm, outside of {low:g} to {high:g} mm.',
                         "Correct the header (is it in meters or micrometers?) and try again.")
    shortest, longest = EXTENT_LIMITS_MM
    extents = sorted(geometry.extent_mm)
    if extents[1] < shortest or extents[2] > longest:
        extent = " x ".join(f"{e:.4g}" for e in geometry.extent_mm)
        raise InputError(f'"{volume.name}" measures {extent} mm, which no scan does.',
                         "Correct the spacing in the header and try again.")


def _is_label_map(volume: Volume) -> bool:
    axis = 2 - volume.geometry.acquisition_axis
    slices = np.moveaxis(volume.array, axis, 0)[positions(volume.array.shape[axis], _LABEL_SLICES)]
    values: set[float] = set()
    for one in slices:  # the first that shows something tells of nearly all scans
        if np.any(one != np.rint(one)) or len(values := values.union(np.unique(one).tolist())) > LABEL_VALUES:
            return False
    left, right = slices[..., :-1], slices[..., 1:]
    shown = (left != slices.min()) & (right != slices.min())
    return bool(np.count_nonzero(shown)) and float((left == right)[shown].mean()) >= LABEL_SAMENESS


@dataclass(frozen=True)
class Stated:
    """What DICOM and the name state of a scan.

    Parameters
    ----------
    scanner : "MR", "CT", …; None where DICOM does not say.
    sequences : "T1", "FLAIR", …; empty where none is named.
    """

    scanner: str | None
    sequences: frozenset[str]


def stated(volume: Volume) -> Stated:
    """Read what DICOM and the name state of a scan."""
    scanner = next((_SCANNERS[w.upper()] for w in _words(volume.modality or "")[:1] if w.upper() in _SCANNERS), None)
    return Stated(scanner, _sequences(f"{volume.modality or ''} {volume.name}"))


def _sequences(text: str) -> frozenset[str]:
    return frozenset(_SEQUENCE_OF[w] for w in _words(text) if w in _SEQUENCE_OF)


def _modality(volume: Volume, bundle: HasMetadata, others: OtherModels) -> list[str]:
    wanted, given = str(bundle.metadata["modality"]), stated(volume)
    expected = next((_SCANNERS[w.upper()] for w in _words(wanted) if w.upper() in _SCANNERS), None)
    if given.scanner and expected and given.scanner != expected:
        return [f"This is a {given.scanner} scan; the model was made for {bundle.metadata['modality']}. Choose another "
                "model."]
    right = _sequences(wanted)
    if given.sequences and right and not given.sequences & right:
        named = " ".join(sorted(given.sequences))
        stated_as = {_AS_BUNDLES_STATE.get(one, one) for one in given.sequences}
        return [f"By its name this is {'an' if named[0] in 'Aa' else 'a'} {named} scan; the model was made for "
                f"{bundle.metadata['modality']}. {advice(stated_as, others)}"]
    return []


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9*]+", text.lower()) if word]


def _grid(volume: Volume, bundle: HasMetadata) -> list[str]:
    """Warnings on plane, spacing and sizes."""
    if not volume.spacing_known:
        return ["The image states no spacing and no position: sizes in mm and ml, and left and right, are not real; it "
                "was scaled to the model's size."]
    inputs, geometry = bundle.metadata["input"], volume.geometry
    warnings = []
    flat = len(inputs["size"]) == 2
    if flat and geometry.acquisition_plane not in inputs["planes"] and not fits_in_all_planes(volume, inputs):
        warnings.append(f"The slices are {geometry.acquisition_plane}; the model was made for "
                        f"{', '.join(inputs['planes'])} ones. Choose a scan in such a plane, or another model.")
    across = geometry.acquisition_axis
    kept = [n for n in range(3) if n != across or not flat]
    model_spacing = max(per_axis(inputs["spacing_mm"], len(inputs["size"])))
    coarsest = max(geometry.spacing[n] for n in kept)
    if coarsest > _COARSE * model_spacing:
        warnings.append(f"The voxels are {coarsest:.2g} mm wide; the model was made for {model_spacing:.2g} mm. Small "
                        "findings may be missed: prefer a finer scan.")
    field = _field_mm(bundle)
    seen = max(geometry.extent_mm[n] for n in kept)
    if not _FIELD_OF_VIEW[0] * field <= seen <= _FIELD_OF_VIEW[1] * field:
        warnings.append(f"The field of view is {seen:.0f} mm; the model was made for about {field:.0f} mm. Is the "
                        "spacing right? Else choose a scan of the whole organ.")
    else:
        shown = _foreground_mm(volume)
        size = max(shown[n] for n in kept)
        if not _OBJECT_SIZE[0] * field <= size <= _OBJECT_SIZE[1] * field:
            warnings.append(f"What is shown measures {size:.0f} mm; the model expects {_OBJECT_SIZE[0] * field:.0f} to "
                            f"{_OBJECT_SIZE[1] * field:.0f} mm. Is the spacing right, and the whole organ shown?")
    return warnings


def _foreground_mm(volume: Volume) -> tuple[float, float, float]:
    """Length along i, j, k of the part where at least 2 % of a slice's voxels lie above Otsu's threshold."""
    array = volume.array
    step = max(1.0, (array.size / 5e5) ** (1 / 3))
    looked_at = [positions(side, max(1, round(side / step))) for side in array.shape]
    coarse = array[np.ix_(*looked_at)]
    above = coarse > otsu_threshold(coarse)
    lengths = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != 2 - axis)
        found = looked_at[2 - axis][above.mean(axis=others) > 0.02]
        span = found[-1] - found[0] + step if len(found) else 0
        lengths.append(float(min(span, volume.geometry.size_ijk[axis]) * volume.geometry.spacing[axis]))
    return lengths[0], lengths[1], lengths[2]


def _looks(volume: Volume, found: dict[str, float]) -> list[str]:
    worst = max(found, key=lambda name: found[name], default=None)
    if worst is None or found[worst] <= WARNING_SCORE:
        return []
    if is_stripped(volume):  # known, and said: it is no reason to think that the scan is a wrong one
        return ["The scan shows a brain without its skull; the model was trained on whole heads (out-of-range score "
                f"{found[worst]:.2g}). Read the result with care."]
    return [f"The scan looks unlike those that the model was trained on ({worst.replace('_', ' ')}; out-of-range score "
            f"{found[worst]:.2g}). Mistrust the result: compare with the scan, and try another model."]


def _distances(volume: Volume, bundle: HasMetadata) -> dict[str, float]:
    """Of each intensity statistic from its range.

    A scan that ends close to the head has less empty space than the images of a model, which adds as much itself. What
    depends on that is compared as it is and with that space: the nearer of both counts.
    """
    expected = bundle.metadata.get("input_statistics") or {}
    if not expected:
        return {}
    slices = np.moveaxis(volume.array, 2 - volume.geometry.acquisition_axis, 0)
    statistics = intensity_statistics(slices)
    found = (distances(one, expected) for one in (statistics, padded(statistics, _share_of_field(volume, bundle))))
    return min(found, key=lambda one: max(one.values(), default=0.0))


def _share_of_field(volume: Volume, bundle: HasMetadata) -> float:
    """Of the model's field of view, how much a scan's slice takes, 0 to 1; 1 where the scan states no spacing."""
    if not volume.spacing_known:
        return 1.0
    geometry, field = volume.geometry, _field_mm(bundle)
    sides = (geometry.extent_mm[n] for n in range(3) if n != geometry.acquisition_axis)
    return float(np.prod([min(1.0, side / field) for side in sides]))


def _field_mm(bundle: HasMetadata) -> float:
    """The longest side of the model's own field of view."""
    inputs = bundle.metadata["input"]
    return max(n * s for n, s in zip(inputs["size"], per_axis(inputs["spacing_mm"], len(inputs["size"])), strict=True))
