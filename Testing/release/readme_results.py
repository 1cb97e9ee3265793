"""Write README.md's tables of the bundled models and of their evaluation, from the bundles and docs/results/*.json.

    python Testing/release/readme_results.py           print them
    python Testing/release/readme_results.py --write   put them between README's markers (make readme)

A test compares README with what this prints: no number in it is typed by hand.
"""

import json
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
RESULTS = REPOSITORY / "docs" / "results"
BEGIN, END = "<!-- results: begin (make readme) -->", "<!-- results: end -->"
COMPARED = ("layercam/mean", "refinecam/layercam", "gradcam/last", "cam/own")
IN_FULL = "t1ce-tumor"
"""The model that is compared with rivals line by line; the other ones get a line a set."""


def tables():
    """Markdown between the markers."""
    from hrcam.bundle.bundle import read_bundle

    folder = REPOSITORY / "HRCAMExtension" / "hrcam" / "models"
    bundles = [read_bundle(path.parent) for path in sorted(folder.glob("*/metadata.json"))]
    if not bundles:
        return "No model is bundled in this checkout."
    lines = ["| Model | Tells apart | Made for | Validation |", "|---|---|---|---|"]
    for bundle in bundles:
        classes = ", ".join(one.title for one in bundle.classes)
        figures = "; ".join(_figures(bundle.metrics)) or "see the model card"
        card = f"HRCAMExtension/hrcam/models/{bundle.name}/MODEL_CARD.md"
        lines.append(f"| [`{bundle.name}`]({card}) {bundle.version} | {classes} "
                     f"| {bundle.modality}, {bundle.dimension}D | {figures} |")
    results = {b: json.loads((RESULTS / f"{b.name}.json").read_text(encoding="utf-8"))
               for b in bundles if (RESULTS / f"{b.name}.json").is_file()}
    for bundle, found in results.items():
        if bundle.name == IN_FULL:
            lines += ["", *_evaluation(bundle, found)]
    lines += _others({bundle: found for bundle, found in results.items() if bundle.name != IN_FULL})
    return "\n".join(lines)


def _figures(metrics):
    """Balanced accuracy and AUC of a bundle's validation, with intervals where they were measured."""
    found = []

    def walk(words, value):
        if isinstance(value, dict) and "value" not in value:
            for key, inner in value.items():
                walk([*words, key], inner)
        elif words[-1].startswith(("balanced_accuracy", "auc")):
            number = _number(value if isinstance(value, dict) else {"value": value})
            where = " ".join(word for word in words[:-1] if word != "validation").replace("_", " ")
            name = re.sub(r"^auc\b", "AUC", words[-1].replace("_", " "))
            found.append(f"{name} {number}" + (f" ({where})" if where else ""))

    walk(["validation"], {key: metrics[key] for key in metrics if key != "cross_validation"})
    return found


def _evaluation(bundle, results):
    """Maps beside those of rivals, on images whose lesions are known."""
    same = "" if results["model"]["sha256"] == bundle.sha256 else " (of an earlier version of the model)"
    lines = []
    for name, summary in results["localization"].items():
        scaled = f"{summary['default']} 0–1"
        order = dict.fromkeys(
            [summary["default"], scaled, summary["published"], *summary["best_rival"].values(), *COMPARED]
        )
        lines += [f"Maps of `{bundle.name}`{same} on {name}: {summary['cases']} images of {summary['patients']} "
                  "patients, 95 % intervals by patient. The full tables are in [docs/RESULTS.md](docs/RESULTS.md).", "",
                  "| Map | Pixel AP | Dice, one threshold | Pointing |", "|---|---|---|---|"]
        for method in order:
            metrics = summary["metrics"].get(method)
            if metrics:
                note = {summary["default"]: " (default)", scaled: " (default, scaled in each image as rivals are)",
                        summary["published"]: " (as published)"}.get(method, "")
                if summary["default"] == summary["published"] == method:
                    note = " (default, as published)"
                cells = " | ".join(_number(metrics.get(key)) for key in ("ap", "dice", "pointing"))
                lines.append(f"| `{method}`{note} | {cells} |")
        lines.append("")
    return lines[:-1]


def _others(results):
    """A line for each set of each other model: default map, overlay of the lowest level, and the best rival's AP."""
    lines = []
    for bundle, result in results.items():
        for name, summary in result["localization"].items():
            metrics, best = summary["metrics"][summary["default"]], summary["best_rival"].get("ap")
            rival = f"{_number(summary['metrics'][best]['ap'])} `{best}`" if best else "–"
            scaled = summary["metrics"].get(f"{summary['default']} 0–1", {})
            overlay = next(iter(summary["evidence_levels"].values()), {})
            found = (metrics["ap"], scaled.get("dice"), overlay.get("dice"), metrics["pointing"])
            cells = " | ".join(map(_number, found))
            lines.append(f"| `{bundle.name}` | {name} | {summary['cases']} | {cells} | {rival} |")
    head = ["", "| Model | Images | n | Pixel AP | Dice, one threshold for maps scaled in each image "
            "| Dice of the overlay, evidence level \"possible\" | Pointing | Best rival's AP |",
            "|---|---|---|---|---|---|---|---|"]
    return head + lines if lines else []


def _number(found):
    value = found and found.get("value", found.get("mean"))
    if value is None:
        return "–"
    low, high = found.get("low"), found.get("high")
    return f"{value:.2f}" + (f" ({low:.2f}–{high:.2f})" if low is not None and high is not None else "")


def replaced(text):
    """README's text with the tables between its markers."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README.md lacks {BEGIN} or {END}")
    return f"{head}{BEGIN}\n{tables()}\n{END}{tail}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        README.write_text(replaced(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(tables())
