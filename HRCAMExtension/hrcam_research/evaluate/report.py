"""Tables of docs/RESULTS.md, made from the JSON of every evaluated bundle: no number is typed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrcam_research.evaluate.overview import beside_rivals, slices_as_shown, title_of
from hrcam_research.evaluate.report_text import BY_PATIENT, number, plain_number, signed, table
from hrcam_research.evaluate.results_file import read_json
from hrcam_research.evaluate.scan_report import first_page
from hrcam_research.evaluate.summary import SCAN_DICE

FORMAT = "hrcam-evaluation"
FORMAT_VERSION = 1
Results = dict[str, Any]

_INTRODUCTION = """## Maps beside other methods

Made by `hrcam evaluate` (`make evaluate`) from the files in `results/`; do not edit. Each section is one model bundle.

**How it is measured.** All methods explain the same class logit (the true class) of the same trained network on the
same images: HR-CAM directly, the rivals through their own packages on the multi-level head's logit; only `cam/own`
explains the wrapped CNN's own classifier. `level/…` is one level of HR-CAM alone; the coarsest one is CAM with the
head's weights.
`last`: coarsest level; `max` and `mean`: all levels, each scaled to 0–1, fused by maximum or mean; `package`:
torch-cam's own LayerCAM fusion; `refinecam`: product of the scaled levels. `pytorch-grad-cam` needs torchvision and
is not used: its multi-layer rule is `mean`. Maps are up-sampled linearly with half-pixel centers, as the packages do.
`0–1` after HR-CAM's default: the same map scaled within each image, as rivals deliver theirs. `hrcam/in its scan`:
the default as a user sees it who gives the whole scan, whose slices share evidence with their neighbors; all other
maps, of HR-CAM and of rivals, are of slices alone.

**AP**: pixel average precision, mean over cases (pooled AP: all pixels together). **Dice**, IoU, HD95, regions: at
*one* threshold for all cases of a class, chosen on the other half of the patients (two-fold cross-fitting). Best
Dice: threshold chosen per case, an upper bound. **Pointing**: the map's peak lies in the lesion (± 15 px: or within
15 pixels of it). HD95 of an empty overlay is the image's diagonal. Found: lesions that a region touches; false:
regions of at least 10 pixels that touch none; FROC: lesions hit by a local maximum where one false maximum an image
is allowed. Means are over cases, in which a patient of many slices counts more; *by patient*: over the patients' own
means, in which each patient counts the same. Intervals are 95 %, by bootstrap over *patients*; p-values are
Wilcoxon's, on the patients' mean differences. n: cases. Faithfulness is not measured in volumes of more than two
million voxels: it would take the better part of an hour each.
"""


_HEAD = (
    "Method",
    "By",
    "AP",
    "Pooled AP",
    "Dice",
    "IoU",
    "Best Dice",
    "Pointing",
    "± 15 px",
    "HD95 mm",
    "Found",
    "False/image",
    "FROC",
    "n",
)


_HEADINGS = {
    "label": "class",
    "grade": "grade of disease",
    "size": "lesion size (thirds of the cases)",
    "plane": "plane",
}


def write_report(folder: Path) -> Path:
    """Write RESULTS.md from every `results/*.json` of a folder, in the order of the file names; returns its path.

    Figures that do not lie in the folder are left out: a repository need not keep all.
    """
    found = [read_json(path, FORMAT, FORMAT_VERSION) for path in sorted((folder / "results").glob("*.json"))]
    path = folder / "RESULTS.md"
    text = ["# Results", "", *first_page(folder), *beside_rivals(found), *slices_as_shown(found), _INTRODUCTION]
    path.write_text("\n".join([*text, *(_section(results, folder) for results in found)]), encoding="utf-8")
    return path


def _section(results: Results, folder: Path) -> str:
    model, data = results["model"], results["data"]
    lines = [
        f"## {model['name']} {model['version']}",
        "",
        f"{model['title']}; default fusion `{model['fusion']}`; weights SHA-256 `{model['sha256'][:12]}…`. "
        f"hrcam {results['versions']['hrcam']} at commit `{results['commit']}`; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items() if name != "hrcam")
        + ".",
        "",
    ]
    lines += [f"* {name}: {_set_words(words)}" for name, words in data.items()]
    for name, summary in results["localization"].items():
        lines += ["", f"### Localization: {name}", "", *_localization(results, name, summary)]
        lines += _drawn(results.get("figures", {}).get(name, {}), folder)
    if "classification" in results:
        lines += ["", "### Classification", "", *_classification(results["classification"])]
        lines += _drawn({f"Reliability of {model['name']}": results["classification"].get("figure", "")}, folder)
    if "faithfulness" in results:
        lines += ["", "### Faithfulness", "", *_faithfulness(results)]
    if "cost" in results:
        lines += ["", "### Cost", "", *_cost(results["cost"])]
    return "\n".join(lines) + "\n"


def _set_words(words: dict[str, Any]) -> str:
    labels = ", ".join(f"{number} {label}" for label, number in words["labels"].items())
    note = f"; {words['note']}" if words.get("note") else ""
    note += f"; at commit `{words['commit']}`" if words.get("commit") else ""
    return f"{words['cases']} images of {words['patients']} patients ({labels}; {words['traced']} with a tracing){note}"


def _localization(results: Results, name: str, summary: dict[str, Any]) -> list[str]:
    packages = {method["name"]: method["package"] for method in summary["methods"]}
    slow = {method["name"] for method in summary["methods"] if method["slow"]}
    whole = [metrics for method, metrics in summary["metrics"].items() if method not in slow]
    best = {
        metric: max((metrics[metric]["mean"] for metrics in whole if metric in metrics), default=None)
        for metric in ("ap", "dice", "pointing", "best_dice", "iou")
    }

    def cell(metrics: dict[str, Any], metric: str, digits: int = 3, interval: bool = False) -> str:
        text = number(metrics.get(metric), digits, interval)
        return f"**{text}**" if metrics.get(metric) and metrics[metric]["mean"] == best.get(metric, object()) else text

    rows = []
    for method, metrics in summary["metrics"].items():
        curve = summary["curves"][method]
        rows.append(
            (
                _name(method, summary),
                packages[method],
                cell(metrics, "ap", 3, True),
                f"{curve['pooled_ap']:.3f}",
                cell(metrics, "dice", 3, True),
                *(cell(metrics, metric) for metric in ("iou", "best_dice")),
                cell(metrics, "pointing", 3, True),
                cell(metrics, "pointing_15px"),
                cell(metrics, "hd95_mm", 1),
                cell(metrics, "sensitivity"),
                cell(metrics, "false_regions", 2),
                plain_number(curve["froc"]["1.0"]),
                str(metrics["ap"]["cases"]),
            )
        )
    lines = [*table(_HEAD, rows), *_by_patient(summary)]
    lines += ["", *_differences(summary)]
    lines += ["", *_complete(summary), *_flat(summary)]
    lines += _scans(summary)
    if summary["normals"]:
        lines += [
            "",
            "False overlay on images without lesion (share of the image above the threshold of the class shown):",
            "",
        ]
        rows = [
            (_name(m, summary), number(v, 4, True), f"{summary['empty'][m]:.0%}")
            for m, v in summary["normals"].items()
        ]
        lines += table(("Method", "Falsely marked", "Images without any mark"), rows)
    lines += _evidence_levels(summary)
    lines += _further(summary)
    for by, values in summary["breakdown"].items():
        if len(values) < 2:
            continue
        heading = _HEADINGS[by]
        lines += ["", f"By {heading}:", ""]
        rows = [
            (
                value,
                _name(method, summary),
                *(number(metrics[m], 3, True) for m in ("ap", "dice", "pointing")),
                str(metrics["ap"]["cases"]),
            )
            for value, methods in values.items()
            for method, metrics in methods.items()
            if metrics["ap"]["cases"]
        ]
        lines += table((heading.split(" (")[0].capitalize(), "Method", "AP", "Dice", "Pointing", "n"), rows)
    return lines


def _drawn(figures: dict[str, str], folder: Path) -> list[str]:
    kept = {title: path for title, path in figures.items() if (folder / path).is_file()}
    return [line for title, path in kept.items() for line in ("", f"![{title}]({path})")]


def _by_patient(summary: dict[str, Any]) -> list[str]:
    """Table of means over patients, where some have several images and results know them."""
    metrics = summary["metrics"]
    known = any(f"{BY_PATIENT}mean" in each["ap"] for each in metrics.values())
    if summary["patients"] == summary["cases"] or not known:
        return []
    rows = [
        (_name(method, summary), *(number(each.get(key), 3, True, BY_PATIENT) for key in ("ap", "dice", "pointing")))
        for method, each in metrics.items()
    ]
    title = "By patient, the mean over patients of each one's mean over images:"
    return ["", title, "", *table(("Method", "AP", "Dice", "Pointing"), rows)]


def _scans(summary: dict[str, Any]) -> list[str]:
    """Table of Dice over all images of a patient."""
    found = summary.get(SCAN_DICE)
    if not found:
        return []
    text = ("Dice of scans: of all measured slices of a patient together, those without outline too, at one threshold "
            "chosen on the other half of the patients for this Dice:")  # fmt: skip
    rows = [(_name(method, summary), number(one, 3, True)) for method, one in found.items()]
    return ["", text, "", *table(("Method", "Dice of scans"), rows)]


def _differences(summary: dict[str, Any]) -> list[str]:
    if not summary["difference"]:
        return []
    rows = []
    for metric, rivals in summary["difference"].items():
        best = summary["best_rival"][metric]
        found = rivals[best]
        p_value = "–" if found["p_value"] is None else f"{found['p_value']:.2g}"
        beaten = sum((each["mean"] or 0) > 0 for each in rivals.values())
        rows.append((title_of(metric), f"`{best}`", signed(found), signed(found, BY_PATIENT), p_value,
                     f"{beaten} of {len(rivals)}"))  # fmt: skip
    title = f"Default `{summary['default']} 0–1` less the best rival of each measure, on the same cases:"
    head = ("Measure", "Best rival", "Difference", "By patient", "p", "Rivals below the default")
    return [title, "", *table(head, rows)]


def _complete(summary: dict[str, Any]) -> list[str]:
    words = [
        f"`{method}` {metrics['completeness']['mean']:.2g}"
        for method, metrics in summary["metrics"].items()
        if "completeness" in metrics
    ]
    return [f"Completeness error, mean of |mean(map) + bias − logit|: {', '.join(words)}."] if words else []


def _flat(summary: dict[str, Any]) -> list[str]:
    found = {method: metrics.get("flat") for method, metrics in summary["metrics"].items()}
    words = [f"`{method}` {flat['mean']:.0%}" for method, flat in found.items() if flat and flat["mean"]]
    what = "Images whose map has one value everywhere, or numbers beyond float32, and so shows nothing"
    return ["", f"{what}: {', '.join(words)}."] if words else []


def _evidence_levels(summary: dict[str, Any]) -> list[str]:
    """Table of the default map at the bundle's own thresholds."""
    found = summary["evidence_levels"]
    if not found:
        return []
    rows = [
        (
            level,
            number(each["dice"], 3, True),
            number(each["area"], 4, True),
            "–" if each["empty"] is None else f"{each['empty']:.0%}",
        )
        for level, each in found.items()
    ]
    head = ("Evidence level", "Dice", "Falsely marked", "Images without lesion and without any mark")
    return ["", f"`{summary['default']}` at the bundle's own evidence levels:", "", *table(head, rows)]


def _further(summary: dict[str, Any]) -> list[str]:
    """Tables against further tracings of the same lesions."""
    any_metrics = next(iter(summary["metrics"].values()))
    lines = []
    for tracing in sorted(key[3:] for key in any_metrics if key.startswith("ap_")):
        keys = (f"ap_{tracing}", f"dice_{tracing}", f"pointing_{tracing}")
        rows = [
            (_name(method, summary), *(number(metrics.get(key), 3, True) for key in keys))
            for method, metrics in summary["metrics"].items()
        ]
        lines += [
            "",
            f"Against the tracing `{tracing}` (thresholds as above):",
            "",
            *table(("Method", "AP", "Dice", "Pointing"), rows),
        ]
    return lines


def _classification(found: dict[str, Any]) -> list[str]:
    lines = table(("Measure", "Value"), [(key, plain_number(value)) for key, value in found["figures"].items()])
    return [*lines, "", *(f"* {note}" for note in found["notes"])]


def _faithfulness(results: Results) -> list[str]:
    found = results["faithfulness"]
    rows = [
        (
            f"`{method}`" if "/" in method else method,
            *(number(each[key], 3, True) for key in ("deletion", "insertion", "road")),
            str(each["road"]["cases"]),
        )
        for method, each in found.items()
    ]
    text = (
        "Area under the class's probability while the strongest pixels are blurred away (deletion, lower is better) "
        "or put back (insertion, higher is better; RISE, BMVC 2018), and ROAD (ICML 2022; higher is better, 0 is "
        "chance)."
    )
    lines = [text, "", *table(("Method", "Deletion", "Insertion", "ROAD", "n"), rows)]
    sanity = results.get("randomization")
    if sanity:
        shares = list(next(iter(sanity.values())))
        rows = [(f"`{method}`", *(f"{each[share]:.2f}" for share in shares)) for method, each in sanity.items()]
        text = (
            "Sanity check (Adebayo et al., NeurIPS 2018): |rank correlation| of each map with itself after the head "
            "and the last share of the CNN's layers are initialized anew. A map that stays alike shows the image, "
            "not the network."
        )
        lines += ["", text, "", *table(("Method", *(f"head + {share}" for share in shares)), rows)]
    return lines


def _cost(found: dict[str, Any]) -> list[str]:
    rows = [
        (f"`{method}`", f"{each['time']:.2f} ×", f"{each['memory']:.2f} ×") for method, each in found["methods"].items()
    ]
    text = f"Ratio to the plain forward pass of the same network in the same run ({found['what']}), each made alone."
    return [text, "", *table(("Method", "Time", "Peak memory"), rows)]


def _name(method: str, summary: dict[str, Any]) -> str:
    notes = {summary["default"]: "default", summary["published"]: "published form"}
    if summary["default"] == summary["published"]:
        notes = {summary["default"]: "published form and default"}
    return f"`{method}`" + (f" ({notes[method]})" if method in notes else "")
