"""Every method's maps on the same cases, measured: the table behind docs/RESULTS.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.errors import InputError

from hrcam_research.evaluate import metrics, thresholds
from hrcam_research.evaluate.case import Case, Pixels, batches, spread
from hrcam_research.evaluate.hrcam_maps import IN_SCAN, IN_SCAN_METHODS, SCALED, maps_in_scan
from hrcam_research.evaluate.map_maker import MapMaker
from hrcam_research.evaluate.normals import measure_normals
from hrcam_research.evaluate.own_levels import Own
from hrcam_research.evaluate.rivals import Method
from hrcam_research.evaluate.scan_dice import scan_dice
from hrcam_research.evaluate.statistics import patient_folds
from hrcam_research.evaluate.store import MapStore

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

Progress = Callable[[str, float], None]
Row = dict[str, Any]
SLOW_CASES = 12
FALSE_PEAKS = (0.5, 1.0, 2.0)
_OVERLAY = ("threshold", "dice", "iou", "hd95_mm", "lesions", "lesions_found", "false_regions")
"""Unknown where there is no other patient to choose a threshold on."""


@dataclass(frozen=True)
class Curve:
    """What is known of a method over all its cases rather than for each.

    `pooled_ap`, `precision`, `recall` : all pixels of all cases pooled. `froc` : false peaks a case → share of lesions
    found. `thresholds` : label → threshold fitted on all its cases, for images that take no part in the fit.
    """

    pooled_ap: float
    precision: list[float]
    recall: list[float]
    froc: dict[float, float]
    thresholds: dict[str, float]


@dataclass(frozen=True)
class MapTable:
    """Results of `evaluate_maps`.

    Attributes
    ----------
    rows : one row a case and method. Of the case: case, patient, label, plane, grade, site, size_px, diameter_mm
        (of the disc or ball of equal size), size (small, medium or large third). Without a threshold: ap, best_dice,
        pointing, pointing_15px, flat (1 where all values are equal, else 0), completeness (|mean map + bias − logit|,
        HR-CAM's fusions only). At the cross-fitted threshold: threshold, dice, iou, hd95_mm, lesions, lesions_found,
        false_regions; of the default also dice@LEVEL. Of each further tracing: ap_NAME, pointing_NAME, dice_NAME.
    curves : by method.
    normals : one row a normal image and method: case, patient, label (of the class shown), area (share of pixels above
        that class's threshold); the default's rows at an evidence level have the method DEFAULT@LEVEL.
    scans : one row a method and patient of which there are images with and without lesion, see `scan_dice`.
    methods : what was run. default : name of the network's default fusion.
    """

    rows: pd.DataFrame
    curves: dict[str, Curve]
    normals: pd.DataFrame
    scans: pd.DataFrame
    methods: tuple[Method, ...]
    default: str


def check_labels(cases: Sequence[Case], class_names: Sequence[str]) -> None:
    """Raise InputError when a case's label is no class of the network."""
    unknown = sorted({case.label for case in cases} - set(class_names))
    if unknown:
        raise InputError(f"The network does not know the class {unknown[0]!r}.", f"It knows: {', '.join(class_names)}.")


def evaluate_maps(
    model: HRCAM,
    cases: Sequence[Case],
    class_names: Sequence[str],
    methods: Sequence[str] | None = None,
    *,
    normals: Sequence[Case] = (),
    pathologies: Sequence[str] | None = None,
    evidence_levels: Sequence[EvidenceLevel] = (),
    borders: Mapping[str, Any] | None = None,
    batch_size: int = 8,
    slow_cases: int = SLOW_CASES,
    progress: Progress | None = None,
) -> MapTable:
    """Make and measure every method's map of each case's true class.

    Parameters
    ----------
    model : left in the mode (train or eval) in which it came; measured in eval mode.
    cases : images with a lesion mask under "masks" (further tracings are measured too).
    class_names : names of the logits, in order; a case's label is one of them.
    methods : see `MapMaker`.
    normals : images without lesion: the area of false overlay is measured at each class's threshold, on the map of the
        pathology with the greatest logit.
    pathologies : class names that may be shown on a normal image; None: the labels that the cases have.
    evidence_levels, borders : a bundle's own, with which the default map is measured too.
    slow_cases : how many cases (spread over classes and patients) the slow methods run on.

    Raises
    ------
    InputError : no case, a case without mask or with an unknown label, an unknown method.
    """
    if not cases:
        raise InputError("There is no case to evaluate.", "Check the data folder and the split.")
    check_labels(cases, class_names)
    maker = MapMaker(model, methods)
    few = set(spread([case.label for case in cases], [case.patient for case in cases], slow_cases))
    shown = list(pathologies or sorted({case.label for case in cases}))
    own = Own(maker.default, tuple(evidence_levels), borders)
    training = model.training
    model.eval()
    try:
        with MapStore() as store:
            rows = _measure_maps(maker, cases, list(class_names), few, batch_size, store, progress)
            curves, counts = _measure_overlays(rows, cases, store, own, progress)
        fitted = {name: curve.thresholds for name, curve in curves.items()}
        found = measure_normals(maker, normals, list(class_names), shown, fitted, counts, own, batch_size, progress)
    finally:
        model.train(training)
    methods_run = (*maker.methods, *(method for method in IN_SCAN_METHODS if method.name in curves))
    scans = scan_dice(counts, found.above, [case.patient for case in cases], [case.patient for case in normals])
    return MapTable(
        _with_size(pd.DataFrame(list(rows.values()))), curves, found.rows, scans, methods_run, maker.default
    )


def _measure_maps(
    maker: MapMaker,
    cases: Sequence[Case],
    class_names: list[str],
    few: set[int],
    batch_size: int,
    store: MapStore,
    progress: Progress | None,
) -> dict[tuple[str, int], Row]:
    """Pass one: make the maps, keep them, and measure what needs no threshold."""
    rows: dict[tuple[str, int], Row] = {}
    for batch in batches(cases, batch_size):
        for names, part in (
            (maker.names(slow=False), batch),
            (maker.names(slow=True), [item for item in batch if item[0] in few]),
        ):
            if not part or not names:
                continue
            x = maker.stack(part)
            classes = torch.tensor([class_names.index(cases[at].label) for at, _ in part], device=maker.device)
            with torch.inference_mode():
                surplus = (maker.model(x) - maker.model.head.bias).gather(1, classes[:, None])[:, 0].cpu().numpy()
            made = maker.make(x, classes, names)
            if part is batch:
                made |= maps_in_scan([pixels for _, pixels in part])
            jobs = [
                (name, at, pixels, values, float(mean))
                for name, maps in made.items()
                for (at, pixels), values, mean in zip(part, maps.numpy(), surplus, strict=True)
            ]
            for name, at, _, values, _ in jobs:
                store.add(name, at, values)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                found = pool.map(lambda job: _describe(cases[job[1]], job[2], job[0], job[3], job[4]), jobs)
                rows.update({(name, at): row for (name, at, *_), row in zip(jobs, found, strict=True)})
        if progress:
            progress("Maps", (batch[-1][0] + 1) / len(cases))
    return rows


def _describe(case: Case, pixels: Pixels, method: str, values: np.ndarray, surplus: float) -> Row:
    """Measures of one map; `surplus` is the logit less the bias, which a complete map has as its mean."""
    mask = pixels.masks.get("masks")
    if mask is None or not mask.any():
        raise InputError(f"{case.name} has no lesion mask.", "Give it one, or pass it as a normal image.")
    order = metrics.ranking(values, mask)
    row: Row = {
        "method": method,
        "case": case.name,
        "patient": case.patient,
        "label": case.label,
        "plane": case.plane,
        "grade": case.grade,
        "site": case.site,
        "size_px": int(mask.sum()),
        "diameter_mm": metrics.equal_diameter(mask, case.spacing),
        "ap": order.average_precision,
        "best_dice": order.best_dice,
        "pointing": metrics.pointing(values, mask),
        "pointing_15px": metrics.pointing(values, mask, metrics.POINTING_TOLERANCE_PX),
        "flat": float(np.ptp(values) == 0),
    }
    if method.startswith("hrcam/") and not method.startswith(IN_SCAN) and not method.endswith(SCALED):
        row["completeness"] = abs(float(values.mean(dtype=np.float64)) - surplus)
    for name, other in pixels.masks.items():
        if name != "masks" and other.any():
            row[f"ap_{name}"] = metrics.ranking(values, other).average_precision
            row[f"pointing_{name}"] = metrics.pointing(values, other)
    return row


def _measure_overlays(
    rows: dict[tuple[str, int], Row],
    cases: Sequence[Case],
    store: MapStore,
    own: Own,
    progress: Progress | None,
) -> tuple[dict[str, Curve], dict[str, thresholds.Counts]]:
    """Pass two: choose thresholds by cross-fitting over patients and measure the overlays that they give.

    Counts of pixels are those of the methods that ran on all cases.
    """
    pixels = [case.read() for case in cases]
    truth = [one.masks for one in pixels]
    curves: dict[str, Curve] = {}
    all_counts: dict[str, thresholds.Counts] = {}
    for number, method in enumerate(store.methods):
        known = store.cases(method)
        labels = [cases[case].label for case in known]
        counts = thresholds.count_pixels(store, method, [truth[case]["masks"] for case in known])
        if len(known) == len(cases):
            all_counts[method] = counts
        fitted = thresholds.cross_fit(counts, labels, patient_folds([cases[case].patient for case in known], labels))

        def measure(job: tuple[int, float], method: str = method) -> tuple[metrics.Detections, Row]:
            case, threshold = job
            values = store.get(method, case)
            overlay: Row = dict.fromkeys(_OVERLAY, np.nan)
            if np.isfinite(threshold):
                overlay = _describe_overlay(values >= threshold, truth[case], cases[case].spacing)
                overlay["threshold"] = float(threshold)
            levels = own.overlays(method, values, pixels[case].image[0], cases[case].spacing)
            for name, marked in levels.items():
                overlay[f"dice@{name}"] = metrics.dice(marked, truth[case]["masks"])
            return metrics.detect(values, truth[case]["masks"]), overlay

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            measured = list(pool.map(measure, zip(known, fitted, strict=True)))
        for case, (_, overlay) in zip(known, measured, strict=True):
            rows[method, case].update(overlay)
        found = [detections for detections, _ in measured]
        precision, recall = counts.precision_recall()
        curves[method] = Curve(
            counts.pooled_average_precision(),
            precision.tolist(),
            recall.tolist(),
            {rate: metrics.froc_sensitivity(found, rate) for rate in FALSE_PEAKS},
            thresholds.fit_all(counts, labels),
        )
        if progress:
            progress("Overlays", (number + 1) / len(store.methods))
    return curves, all_counts


def _describe_overlay(prediction: np.ndarray, masks: dict[str, np.ndarray], spacing: tuple[float, ...]) -> Row:
    mask = masks["masks"]
    regions = metrics.count_regions(prediction, mask)
    return {
        "dice": metrics.dice(prediction, mask),
        "iou": metrics.iou(prediction, mask),
        "hd95_mm": metrics.hausdorff95(prediction, mask, spacing),
        "lesions": regions.lesions,
        "lesions_found": regions.found,
        "false_regions": regions.false_regions,
        **{f"dice_{name}": metrics.dice(prediction, other) for name, other in masks.items() if name != "masks"},
    }


def _with_size(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the third (small, medium, large) of each case's lesion among all cases of the table."""
    share = frame.drop_duplicates("case").set_index("case")["size_px"].rank(method="first", pct=True)
    third = np.ceil(frame["case"].map(share).to_numpy() * 3).astype(int)
    return frame.assign(size=np.array(["", "small", "medium", "large"])[third])
