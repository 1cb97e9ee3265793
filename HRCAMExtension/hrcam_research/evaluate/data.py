"""The evaluation images, prepared by the code that prepares a user's scan, with masks that are for evaluation only.

A folder of images has a table, `slices.csv`: image and label are needed; mask (empty: none), mask_NAME (more
tracings), patient, plane, site, grade (of disease) and split may be there. `t1ce_slices` (figshare 1512427 of Cheng
2017, and BRISC 2025) is such a folder; so is what `hrcam simulate` writes (`cases.csv`). Images may be pictures or
volumes (for 3D networks). Everything is measured on the network's grid.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path

import numpy as np
from hrcam.bundle.bundle import Bundle
from hrcam.errors import InputError
from hrcam.localize import Options, localize
from hrcam.scan.intensity import Scale
from hrcam.scan.sampling import HasMetadata, SlicePlan, VolumePlan, displayed, plan_slices, plan_volume
from hrcam.scan.volume import Volume, read_volume

from hrcam_research.evaluate.case import Case, Pixels

TABLES = ("slices.csv", "cases.csv")
_SPLITS = {"val": ("val", "validation")}

HEALTHY = "healthy"
"""Label of scans without lesion in the tables of `hrcam simulate`."""

HELD_OUT_PARTS = 5
"""One in five images of a set without its own split is held out."""


def data_folder(given: Path | None = None) -> Path:
    """The folder given, else `$HRCAM_DATA`, else `../shared/data`.

    Raises
    ------
    InputError : it does not exist.
    """
    folder = given or Path(os.environ.get("HRCAM_DATA", "../shared/data"))
    if not folder.is_dir():
        raise InputError(f"There is no data folder {folder}.", "Name it with --data or the variable HRCAM_DATA.")
    return folder


def held_out(name: str) -> bool:
    """Whether an image of a set without split is in the fifth kept from training: by the SHA-256 of its file name."""
    return int.from_bytes(hashlib.sha256(Path(name).name.encode()).digest()[:8], "big") % HELD_OUT_PARTS == 0


def table_of(folder: Path) -> Path | None:
    """`slices.csv` or `cases.csv` (as `hrcam simulate` writes) of a folder, None where it has neither."""
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def read_table(folder: Path) -> list[dict[str, str]]:
    """Rows of the folder's table, with the columns named as in `slices.csv`.

    Raises
    ------
    InputError : the table or a needed column is missing, or there is no row.
    """
    path = table_of(folder)
    if path is None:
        raise InputError(f"{folder} has no slices.csv.", "Its columns are image, label, mask, patient, …")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [
            {("image" if key == "path" else key): value for key, value in row.items()} for row in csv.DictReader(file)
        ]
    if not rows or "image" not in rows[0]:
        raise InputError(f"{path} has no rows with the column image.", "Its first line names the columns.")
    return rows


def _plan(volume: Volume, bundle: HasMetadata) -> SlicePlan | VolumePlan:
    return plan_volume(volume, bundle) if bundle.metadata["dimension"] == 3 else plan_slices(volume, bundle)


def fit_mask(mask: np.ndarray, plan: SlicePlan | VolumePlan) -> np.ndarray:
    """A mask KJI on the scan's grid as the network would see it: boolean count×*size (over half a pixel covered)."""
    drawn = replace(plan.volume, array=(mask > 0).astype(np.float32))
    fitted = replace(plan, volume=drawn, scale=Scale(0.0, 1.0))
    return fitted.load(slice(0, fitted.count))[:, 0] > 0.5


def _read_mask(path: Path, plan: SlicePlan | VolumePlan) -> np.ndarray:
    mask = read_volume(path).array
    if mask.shape != plan.volume.array.shape:
        raise InputError(f"{path} and its image differ in shape.", "A mask has its image's grid.")
    return fit_mask(mask, plan)


def read_pair(image: Path, masks: Mapping[str, Path], bundle: HasMetadata) -> Pixels:
    """The one slice or volume of a file and its masks, as the bundle's network sees them.

    Raises
    ------
    InputError : the file has several slices and the model is one of slices.
    """
    plan = _plan(read_volume(image), bundle)
    if plan.count != 1:
        raise InputError(f"{image} has {plan.count} slices.", "A model of slices is evaluated on one slice a file.")
    return Pixels(plan.load(slice(0, 1))[0], {name: _read_mask(path, plan)[0] for name, path in masks.items()})


def slice_cases(folder: Path, bundle: HasMetadata, split: str | None = "val", label: str | None = None) -> list[Case]:
    """Cases of one split (None: all rows) in the order of the table.

    `label` names all cases where the table has no column label. A row without patient is a patient of its own.
    """
    cases = []
    rows = read_table(folder)
    further = [key for key in rows[0] if key.startswith("mask_") and key != "mask_voxels"]
    for row in rows:
        if split is not None and row.get("split", split) not in _SPLITS.get(split, (split,)):
            continue
        masks = {
            ("masks" if key == "mask" else f"masks{key[4:]}"): folder / value
            for key, value in row.items()
            if key in ("mask", *further) and value and row.get("mask_voxels") != "0"
        }
        name = row["image"]
        shown = row.get("label") or label
        if not shown:
            raise InputError(f"The table of {folder} says no label for {name}.", "Fill in the column label.")
        patient = row.get("patient") or Path(name).stem
        read = partial(read_pair, folder / name, masks, bundle)
        known = (row.get("plane", ""), row.get("site", ""), spacing_of(bundle))
        cases.append(Case(name, patient, shown, read, *known, traced="masks" in masks, grade=row.get("grade", "")))
    return cases


def known_cases(cases: Sequence[Case], bundle: Bundle) -> list[Case]:
    """The cases, all of whose labels must be classes of the bundle; ``healthy``, as `hrcam simulate` writes, is the
    only class that is no pathology, where the bundle has one.

    Raises
    ------
    InputError : a label that the bundle does not know; dropping its cases would change what is measured.
    """
    normal = [one.name for one in bundle.classes if not one.pathology]
    alias = {HEALTHY: normal[0]} if len(normal) == 1 and HEALTHY not in bundle.class_names else {}
    named = [replace(case, label=alias.get(case.label, case.label)) for case in cases]
    unknown = sorted({case.label for case in named} - set(bundle.class_names))
    if unknown:
        raise InputError(f"Model {bundle.name} does not know the label {unknown[0]!r}.",
                         f"Use one of its classes in the table: {', '.join(bundle.class_names)}.")
    return named


def spacing_of(bundle: HasMetadata) -> tuple[float, ...]:
    """Mm per pixel of the network's grid: what the bundle states, for pictures do not know theirs."""
    spacing = bundle.metadata["input"]["spacing_mm"]
    return tuple(map(float, spacing)) if isinstance(spacing, list) else (float(spacing),) * bundle.metadata["dimension"]


def normal_cases(folder: Path, bundle: HasMetadata, label: str = "no_tumor") -> list[Case]:
    """The held-out fifth of the images without lesion."""
    return [case for case in slice_cases(folder, bundle, split=None, label=label) if held_out(case.name)]


@dataclass(frozen=True)
class Scan:
    """A file, whose it is, and the outline of its pathology (None: a healthy head); `hull`: the outline is a rim."""

    path: Path
    patient: str
    site: str = ""
    outline: Path | None = None
    hull: bool = False


class _Planned:
    """The slices of one volume, and their outlines, read once; equal only to itself."""

    def __init__(self, scan: Scan, bundle: HasMetadata) -> None:
        assert scan.outline is not None
        self.plan = plan_slices(read_volume(scan.path), bundle, "axial")
        self.masks = _read_mask(scan.outline, self.plan)

    def pixels(self, number: int, in_scan: np.ndarray | None) -> Pixels:
        outline = self.masks[number]
        image = self.plan.load(slice(number, number + 1))[0]
        return Pixels(image, {"masks": outline} if outline.any() else {}, in_scan)


def _maps_in_scan(plan: SlicePlan, bundle: Bundle, label: str, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    """Of these slices of the plan the map that `localize` gives the whole scan, on the network's grid."""
    result = localize(plan.volume, bundle, Options(class_name=label, plane=plan.plane, device="cpu"))
    slices = displayed(result.map, plan.volume.geometry, plan.plane)[[plan.indices[number] for number in numbers]]
    fitted = plan.columns.forward(plan.rows.forward(slices, 1), 2)
    return dict(zip(numbers, np.asarray(fitted, np.float32), strict=True))


def scan_slices(
    scans: Sequence[Scan], bundle: HasMetadata, label: str, normal: str, smallest_px: int = 1, every: int = 1
) -> list[Case]:
    """Axial slices of scans with an outline; blank slices are left out.

    A slice that the outline touches is a traced case of class `label`, another one of class `normal`: of the same
    scanner, patient and day, so that nothing but the lesion tells them apart.

    Parameters
    ----------
    smallest_px : traced slices with fewer outlined pixels are left out.
    every : of each scan's traced slices, and of the others, each so manieth alone is taken.
    """

    @lru_cache(maxsize=2)
    def planned(scan: Scan) -> _Planned:
        return _Planned(scan, bundle)

    @cache
    def in_scan(scan: Scan, numbers: tuple[int, ...]) -> dict[int, np.ndarray]:
        if not isinstance(bundle, Bundle) or not bundle.neighbor_weight:
            return {}
        return _maps_in_scan(planned(scan).plan, bundle, label, numbers)

    def read_slice(scan: Scan, number: int, numbers: tuple[int, ...]) -> Pixels:
        return planned(scan).pixels(number, in_scan(scan, numbers).get(number))

    cases = []
    for scan in scans:
        found = planned(scan)
        sizes = found.masks.sum(axis=(1, 2))
        chosen = [*np.flatnonzero(sizes >= smallest_px)[::every], *np.flatnonzero(sizes == 0)[::every]]
        numbers = tuple(sorted(map(int, chosen)))
        for number in numbers:
            known = ("ax", scan.site, spacing_of(bundle), bool(sizes[number]))
            read = partial(read_slice, scan, number, numbers)
            name = f"{scan.path.name}#{found.plan.indices[number]}"
            cases.append(Case(name, scan.patient, label if sizes[number] else normal, read, *known))
    return cases


def volume_slices(
    folder: Path, bundle: HasMetadata, label: str, normal: str, scan: str = "_t1ce", mask: str = "_mask"
) -> list[Case]:
    """`scan_slices` of every `PATIENT_…_t1ce.nii.gz` of a folder beside its `…_mask.nii.gz`.

    `scan` and `mask` are the ends of the two names.
    """
    paths = sorted(folder.glob(f"*{scan}.nii.gz"))
    scans = [Scan(path, path.name.split("_")[0], "", path.with_name(path.name.replace(scan, mask))) for path in paths]
    return scan_slices(scans, bundle, label, normal)


def describe(cases: Sequence[Case]) -> dict[str, object]:
    """What a report says of a set: cases and patients, and both by label."""
    labels = sorted({case.label for case in cases})
    return {
        "cases": len(cases),
        "patients": len({case.patient for case in cases}),
        "labels": {label: sum(case.label == label for case in cases) for label in labels},
        "traced": sum(case.traced for case in cases),
    }
