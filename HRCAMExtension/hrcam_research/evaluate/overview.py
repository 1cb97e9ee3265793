"""Tables of docs/RESULTS.md that stand before those of single bundles: all bundles and sets beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from hrcam_research.evaluate.hrcam_maps import SCALED
from hrcam_research.evaluate.report_text import BY_PATIENT, number, plain_number, signed, table
from hrcam_research.evaluate.summary import SCAN_DICE

_SIGNIFICANT = 0.05
_OUTSIDE = "lgg"
"""Begins the names of sets of other hospitals."""


def slices_as_shown(found: Sequence[dict[str, Any]]) -> list[str]:
    """The internal counterpart of the first page: single images of people kept from training."""
    rows = []
    for results in found:
        for name, shown in results.get("shown", {}).items():
            summary = results["localization"][name]
            default = summary["metrics"][summary["default"]]
            scaled = summary["metrics"].get(summary["default"] + SCALED, {})
            values = [*(default.get(key) for key in ("ap", "pointing", "dice")), scaled.get("dice"),
                      *(shown.get(key) for key in ("dice", "unmarked", "marked"))]  # fmt: skip
            for unit, of, n in (("images", "", summary["cases"]), ("patients", BY_PATIENT, summary["patients"])):
                if f"{of}mean" not in default["ap"]:
                    continue
                best = max((each["ap"][f"{of}mean"] for key, each in summary["metrics"].items()
                            if key.startswith("baseline/")), default=None)  # fmt: skip
                rows.append((
                    name, f"`{results['model']['name']}` {results['model']['version']}", unit,
                    *(number(each, 3, True, of) for each in values), plain_number(best), str(n),
                ))  # fmt: skip
    if not rows:
        return []
    head = ("Images", "Model", "Mean over", "AP", "Pointing", "Dice, one threshold", "Dice, one threshold, maps 0–1",
            "Dice as shown", "Unmarked", "Normal images marked", "AP of the best baseline", "n")  # fmt: skip
    text = ("AP, pointing and Dice at one fitted threshold are of the true class's map, as it is or scaled to 0–1 "
            "within each image; as shown: of the predicted class, at the model's own levels, withheld where the image "
            "is called normal. Mean over patients: of each patient's mean over images.")  # fmt: skip
    return ["## Single images of people kept from training", "", text, "", *table(head, rows), ""]


def beside_rivals(found: Sequence[dict[str, Any]]) -> list[str]:
    """The default map less the best other method, of each set and measure, those of other hospitals first."""
    rows = []
    for results in found:
        for name, summary in results["localization"].items():
            for metric, (map_of, differences) in product(
                ("ap", "dice", SCAN_DICE, "pointing"),
                (("slice", summary["difference"]), ("scan", summary.get("in_scan", {}))),
            ):
                if metric not in differences:
                    continue
                best, rivals = summary["best_rival"][metric], differences[metric]
                p_value = rivals[best]["p_value"]
                ahead = sum((one["mean"] or 0) > 0 and (one["p_value"] or 0) < _SIGNIFICANT for one in rivals.values())
                rows.append((
                    name, f"`{results['model']['name']}` {results['model']['version']}", title_of(metric), map_of,
                    f"`{best}`", signed(rivals[best]), signed(rivals[best], BY_PATIENT),
                    "–" if p_value is None else f"{p_value:.2g}", f"{ahead} of {len(rivals)}", str(summary["patients"]),
                ))  # fmt: skip
    if not rows:
        return []
    rows.sort(key=lambda row: (not row[0].startswith(_OUTSIDE), row[0]))
    head = ("Images", "Model", "Measure", "Map of", "Best of the others", "Difference", "By patient", "p",
            "Others that it passes", "Patients")  # fmt: skip
    text = ("The default map less the best other method of the same network, or the best *baseline*: mean over images, "
            "and over patients. p: Wilcoxon's, on the patients' means; passed: those that it is above at "
            f"p < {_SIGNIFICANT}. Map of: the slice alone, as the others are, or the same slice in its scan, as a user "
            "sees it: there slices share evidence with their neighbors, which other methods do not do. All methods "
            "stand in the tables below.")  # fmt: skip
    return ["## Beside other methods and baselines", "", text, "", *table(head, rows), ""]


def title_of(metric: str) -> str:
    """A compared measure's name in a table."""
    return {"ap": "AP", "dice": "Dice", SCAN_DICE: "Dice of scans", "pointing": "Pointing", "best_dice": "Best Dice",
            "iou": "IoU"}[metric]  # fmt: skip
