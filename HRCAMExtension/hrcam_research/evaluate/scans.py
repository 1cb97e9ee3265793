"""Whole scans as a user reads them: `localize` once a scan, then what it says, what it marks, and where.

The sets are scans of hospitals that no model learnt from (`lgg`, by hospital and sequence), healthy heads, and scans
that some models know (`t1ce_volumes`, `ms`; the report says so). Outlines and results are compared here alone.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hrcam.bundle.bundle import Bundle
from hrcam.errors import InputError
from hrcam.localize import Options, localize
from hrcam.run.result import Result
from hrcam.scan.checks import WARNING_SCORE
from hrcam.scan.intensity import normalize
from hrcam.scan.sampling import displayed
from hrcam.scan.volume import Volume, read_volume
from hrcam.sequence.check import check_sequence
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from hrcam_research.evaluate import metrics, midbrains
from hrcam_research.evaluate.baselines import baseline_maps
from hrcam_research.evaluate.data import Scan

SMALLEST_PX = 50
"""Outlined pixels that a slice must have to be measured alone."""

INTERNAL = "seen in training by some models"
EXTERNAL = "never trained on"
MAP = "map"
_INTENSITY = {"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "otsu"}
_SEQUENCES = {"flair": "FLAIR", "post": "T1-CE", "pre": "T1"}


@dataclass(frozen=True)
class ScanSet:
    """Scans of one kind; `origin` is `EXTERNAL` or `INTERNAL`."""

    name: str
    scans: tuple[Scan, ...]
    origin: str = EXTERNAL


def find_scan_sets(folder: Path) -> list[ScanSet]:
    """The sets of whole scans that a data folder holds."""
    found = [ScanSet(f"lgg {name}", _lower_grade(folder / "lgg", ending)) for ending, name in _SEQUENCES.items()]
    found.append(ScanSet("healthy_t1", tuple(
        Scan(path, path.name.split("_")[0]) for path in sorted((folder / "healthy_t1").glob("*_SS.nii.gz"))
    )))  # fmt: skip
    found.append(ScanSet("t1ce_volumes", tuple(
        Scan(path, path.name.split("_")[0], "", path.with_name(path.name.replace("_t1ce", "_mask")), hull=True)
        for path in sorted((folder / "t1ce_volumes").glob("*_t1ce.nii.gz"))
    ), INTERNAL))  # fmt: skip
    found.append(ScanSet("ms FLAIR", tuple(
        Scan(path, path.name.split("_")[0], "", path.with_name(path.name.replace("FLAIR", "GOLD")))
        for path in sorted((folder / "ms").glob("*_FLAIR.nii.gz"))
    ), INTERNAL))  # fmt: skip
    return [one for one in found if one.scans]


def reads_heads(bundle: Bundle) -> bool:
    """Whether a bundle is one for whole heads; the midbrain's is not."""
    return midbrains.LABEL not in bundle.class_names


def evaluate_scan(scan: Scan, bundle: Bundle, device: str = "cpu") -> dict[str, Any]:
    """Read a scan as the button does, and everything measured on what comes out: `measure_result`.

    Without its name and modality: these state the sequence of nearly all sets, and would warn in the image's place.
    """
    volume = replace(read_volume(scan.path), name="scan", modality=None)
    return measure_result(scan, bundle, volume, localize(volume, bundle, Options(device=device)))


def measure_result(scan: Scan, bundle: Bundle, volume: Volume, result: Result) -> dict[str, Any]:
    """Everything measured on the result of one scan; plain JSON types.

    Keys: scan, patient, site, predicted, pathology (the probability of any), called (whether the predicted class is
    one), warned (that its sequence or its range is none of the model's), withheld, marked (whether anything is), plane.
    With an outline also dice (what is marked in the whole scan), slice_auc (slices with against slices without
    pathology by the map's mean), slices_unmarked (share of the outlined slices without a mark), slices_falsely_marked
    (share of the filled slices without pathology that carry one), and maps: of the map and each baseline AP and
    pointing, means over slices of at least `SMALLEST_PX` outlined pixels; where it is a rim hull_dice, hull_ap and
    hull_pointing against its convex hull in each slice.
    """
    score = result.provenance["input"]["out_of_range_score"]
    warned = bool(score is not None and score > WARNING_SCORE) or check_sequence(volume, bundle) is not None
    row: dict[str, Any] = {
        "scan": scan.path.name, "patient": scan.patient, "site": scan.site, "predicted": result.predicted,
        "pathology": sum(p for name, p in result.probabilities.items() if bundle.pathology[name]),
        "called": bundle.pathology[result.predicted], "warned": warned,
        "withheld": result.withheld, "marked": bool(result.labels.any()), "plane": result.plane,
    }  # fmt: skip
    if scan.outline is None:
        return row
    traced = read_volume(scan.outline).array > 0
    if traced.shape != volume.array.shape:
        raise InputError(f"{scan.outline} and its scan differ in shape.", "An outline has its scan's grid.")
    plane = volume.geometry.acquisition_plane
    mask, evidence, labels, image = (
        displayed(one, volume.geometry, plane) for one in (traced, result.map, result.labels > 0, volume.array)
    )
    filled = image.reshape(len(image), -1).max(1) > image.min()
    diseased, with_marks = _touched(mask), _touched(labels)
    row["dice"] = metrics.dice(labels, mask)
    row["slice_auc"] = (
        float(roc_auc_score(diseased[filled], evidence.mean(axis=(1, 2))[filled]))
        if len(set(diseased[filled].tolist())) == 2 else None
    )  # fmt: skip
    outlined = np.flatnonzero(mask.sum(axis=(1, 2)) >= SMALLEST_PX)
    row["slices_unmarked"] = _share(~with_marks[outlined])
    row["slices_falsely_marked"] = _share(with_marks[filled & ~diseased])
    prepared = displayed(normalize(volume.array, _INTENSITY), volume.geometry, plane)
    hulls = np.stack([convex_hull(one) for one in mask]) if scan.hull else None
    if hulls is not None:
        row["hull_dice"] = metrics.dice(labels, hulls)
    row["maps"] = _maps(outlined, mask, evidence, prepared, hulls)
    return row


def _maps(
    outlined: np.ndarray, mask: np.ndarray, evidence: np.ndarray, prepared: np.ndarray, hulls: np.ndarray | None
) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {}
    for k in outlined:
        for name, one in {MAP: evidence[k], **baseline_maps(prepared[k])}.items():
            measured = _against(one, mask[k], "")
            if hulls is not None:
                measured |= _against(one, hulls[k], "hull_")
            found.setdefault(name, []).append(measured)
    return {
        name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} for name, rows in found.items()
    }


def _against(values: np.ndarray, mask: np.ndarray, prefix: str) -> dict[str, float]:
    return {f"{prefix}ap": metrics.ranking(values, mask).average_precision,
            f"{prefix}pointing": metrics.pointing(values, mask)}  # fmt: skip


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """The convex hull of each connected part of a 2D outline, so that the hollow of a traced rim belongs to it."""
    from skimage.morphology import convex_hull_image

    parts, count = ndimage.label(mask, np.ones((3, 3)))
    hull = mask.copy()
    for number in range(1, count + 1):
        hull |= convex_hull_image(parts == number)
    return hull


def _touched(slices: np.ndarray) -> np.ndarray:
    return np.array([one.any() for one in slices])


def _share(flags: np.ndarray) -> float | None:
    return float(flags.mean()) if flags.size else None


def _lower_grade(folder: Path, ending: str) -> tuple[Scan, ...]:
    table = folder / "patients.csv"
    if not table.is_file():
        return ()
    with table.open(newline="", encoding="utf-8") as file:
        rows: Sequence[dict[str, str]] = [row for row in csv.DictReader(file) if ending in row["sequences"].split()]
    return tuple(
        Scan(folder / f"{row['patient']}_{ending}.nii.gz", row["patient"], row["site"],
             folder / f"{row['patient']}_mask.nii.gz")
        for row in rows
    )  # fmt: skip
