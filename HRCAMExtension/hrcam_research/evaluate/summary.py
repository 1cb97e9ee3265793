"""From rows to the numbers of a report: means with intervals by patient, differences, break-downs; plain JSON types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from hrcam_research.evaluate.hrcam_maps import IN_SCAN, PUBLISHED, SCALED
from hrcam_research.evaluate.localization import MapTable
from hrcam_research.evaluate.statistics import bootstrap_mean, paired_difference

METRICS = ("ap", "dice", "iou", "best_dice", "pointing", "pointing_15px", "hd95_mm", "sensitivity", "false_regions")
COMPARED = ("ap", "dice", "pointing", "best_dice", "iou")
SCAN_DICE = "scan_dice"
BREAKDOWNS = ("label", "grade", "size", "plane")

_CURVE_DIGITS = 3
"""Of the points of curves, which are drawn and nothing else: half a pixel of the picture."""


def summarize(table: MapTable) -> dict[str, Any]:
    """Everything that the tables and figures show of localization.

    Keys: methods, default, published, cases, patients, counts {by: {value: cases}}, metrics {method: {metric:
    interval}}, curves {method: …} (with points for those in shown only), shown (what figures and break-downs show),
    difference {metric: {rival: the default, scaled within each image as rivals are, less that rival}}, in_scan {metric:
    {rival: the same of the default in its scan}} (empty where images are no slices of scans), best_rival {metric:
    name}, scan_dice {method: interval}, normals {method: interval of the share of the image that is falsely marked},
    empty {method: share of normal images with no mark}, evidence_levels {name: {"dice", "area", "empty"} of the default
    map at the bundle's own thresholds}, breakdown {by: {value: {method: {metric: interval}}}}, sizes {method:
    {"diameter_mm", "dice"}}.
    """
    rows = table.rows.assign(sensitivity=table.rows.lesions_found / table.rows.lesions)
    by_method = {str(name): part.set_index("case") for name, part in rows.groupby("method", sort=False)}
    further = [column for column in rows.columns if column.startswith(("ap_", "dice_", "pointing_masks"))]
    measured = {
        name: {
            metric: bootstrap_mean(part[metric], part["patient"].tolist()).to_json()
            for metric in (*METRICS, "completeness", "flat", *further)
            if metric in part and part[metric].notna().any()
        }
        for name, part in by_method.items()
    }
    rivals = [method.name for method in table.methods if not method.is_hrcam and not method.slow]
    cases = rows.drop_duplicates("case")
    result: dict[str, Any] = {
        "methods": [asdict(method) for method in table.methods],
        "default": table.default,
        "published": PUBLISHED,
        "metrics": measured,
        "curves": {name: asdict(curve) for name, curve in table.curves.items()},
        "counts": {
            by: {str(key): int(number) for key, number in cases[by].value_counts().items()} for by in BREAKDOWNS
        },
        "patients": int(cases["patient"].nunique()),
        "cases": len(cases),
        "difference": {},
        "in_scan": {},
        "best_rival": {},
    }
    result.update(_normals(table.normals))
    result["evidence_levels"] = _evidence_levels(by_method.get(table.default), result)
    if table.default in by_method and rivals:
        for metric in COMPARED:
            means = {name: measured[name][metric]["mean"] or 0.0 for name in rivals if metric in measured[name]}
            if not means:  # one patient alone: no threshold can be chosen on others
                continue
            result["best_rival"][metric] = max(means, key=lambda name: means[name])
            default = by_method.get(table.default + SCALED, by_method[table.default])
            result["difference"][metric] = {name: _difference(default, by_method[name], metric) for name in means}
            if IN_SCAN in by_method:
                whole = by_method[IN_SCAN + SCALED]
                result["in_scan"][metric] = {name: _difference(whole, by_method[name], metric) for name in means}
        _compare_scans(result, table, rivals)
    result["shown"] = shown = _shown(result)
    for name, curve in result["curves"].items():
        for axis in ("precision", "recall"):
            points = curve.pop(axis)
            if name in shown:
                curve[axis] = [round(float(point), _CURVE_DIGITS) for point in points]
    beside = _with_scaled(shown, table.default, by_method)
    result["breakdown"] = {by: _breakdown(by_method, beside, by) for by in BREAKDOWNS}
    result["sizes"] = {
        name: {key: by_method[name][key].astype(float).round(4).tolist() for key in ("diameter_mm", "dice")}
        for name in beside
    }
    return result


def _compare_scans(result: dict[str, Any], table: MapTable, rivals: Sequence[str]) -> None:
    """Dice of scans: of each method, and of the default less each rival. Evidence in logits is not scaled."""
    groups = table.scans.groupby("method", sort=False)
    scans = {str(name): part.set_index("patient", drop=False) for name, part in groups}
    result[SCAN_DICE] = {
        name: bootstrap_mean(part["dice"], part["patient"].tolist()).to_json() for name, part in scans.items()
    }
    beside = {name: scans[name] for name in rivals if name in scans}
    if not beside or table.default not in scans:
        return
    result["best_rival"][SCAN_DICE] = max(beside, key=lambda name: result[SCAN_DICE][name]["mean"])
    for key, own in (("difference", table.default), ("in_scan", IN_SCAN)):
        if own in scans:
            result[key][SCAN_DICE] = {name: _difference(scans[own], part, "dice") for name, part in beside.items()}


def _with_scaled(shown: Sequence[str], default: str, by_method: dict[str, pd.DataFrame]) -> list[str]:
    """The methods shown, and after the default the same scaled within each image: Dice at one threshold needs it."""
    wanted = [name for one in shown for name in ((one, one + SCALED) if one == default else (one,))]
    return [name for name in wanted if name in by_method]


def _shown(result: dict[str, Any]) -> list[str]:
    """Published form, default, the best rival of each compared metric, CAM and others where they ran: at most six."""
    wanted = [result["published"], result["default"], *result["best_rival"].values()]
    wanted += ["layercam/mean", "refinecam/layercam", "gradcam/last", "cam/own"]
    found = [name for name in dict.fromkeys(wanted) if name in result["metrics"]]
    return (found or list(result["metrics"]))[:6]


def _difference(first: pd.DataFrame, second: pd.DataFrame, metric: str) -> dict[str, Any]:
    both = first.index.intersection(second.index)
    patients = first.loc[both, "patient"].tolist()
    return paired_difference(first.loc[both, metric], second.loc[both, metric], patients).to_json()


def _breakdown(by_method: dict[str, pd.DataFrame], names: Sequence[str], by: str) -> dict[str, Any]:
    values = sorted({str(value) for name in names for value in by_method[name][by].unique()})
    return {
        value: {
            name: {
                metric: bootstrap_mean(part[metric], part["patient"].tolist()).to_json()
                for metric in ("ap", "dice", "pointing")
            }
            for name in names
            for part in [by_method[name][by_method[name][by] == value]]
        }
        for value in values
    }


def _evidence_levels(rows: pd.DataFrame | None, summary: dict[str, Any]) -> dict[str, Any]:
    """Of each of the bundle's evidence levels: Dice of the default map, and what it marks on normal images."""
    if rows is None:
        return {}
    found = {}
    for name in (column.partition("@")[2] for column in rows.columns if column.startswith("dice@")):
        overlay = f"{summary['default']}@{name}"
        found[name] = {
            "dice": bootstrap_mean(rows[f"dice@{name}"], rows["patient"].tolist()).to_json(),
            "area": summary["normals"].pop(overlay, None),
            "empty": summary["empty"].pop(overlay, None),
        }
    return found


def _normals(rows: pd.DataFrame) -> dict[str, Any]:
    groups = [(str(name), part) for name, part in rows.groupby("method", sort=False)]
    return {
        "normals": {name: bootstrap_mean(part["area"], part["patient"].tolist()).to_json() for name, part in groups},
        "empty": {name: float((part["area"] == 0).mean()) for name, part in groups},
    }


def pick_cases(rows: pd.DataFrame, method: str, count: int) -> dict[str, list[str]]:
    """Names of the cases that `method` gets best, nearest the median, and worst by AP: chosen by rank, never by eye."""
    ordered = rows[rows["method"] == method].sort_values(["ap", "case"])["case"].tolist()
    count = min(count, len(ordered) // 3 or 1)
    start = max(0, (len(ordered) - count) // 2)
    best = ordered[::-1][:count]
    worst = [name for name in ordered[:count] if name not in best]  # few cases are shown once each
    median = [name for name in ordered[start : start + count] if name not in (*best, *worst)]
    return {"best": best, "median": median, "worst": worst}
