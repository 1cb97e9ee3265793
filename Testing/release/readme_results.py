"""Write README.md's table of the bundled models' results, from docs/results/scans/.

    python Testing/release/readme_results.py           print it
    python Testing/release/readme_results.py --write   put it between README's markers (make readme)

A test compares README with what this prints: no number in it is typed by hand.
"""

import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
RESULTS = REPOSITORY / "docs" / "results"
BEGIN, END = "<!-- results: begin (make readme) -->", "<!-- results: end -->"


def tables():
    """Markdown between the markers: a line for each model and set of whole scans from other hospitals."""
    from hrcam.bundle.bundle import read_bundle

    folder = REPOSITORY / "HRCAMExtension" / "hrcam" / "models"
    bundles = [read_bundle(path.parent) for path in sorted(folder.glob("*/metadata.json"))]
    if not bundles:
        return "No model is bundled in this checkout."
    head = ["| Model | Whole scans | n | Pixel AP | Dice of the overlay | Pointing |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *_scan_rows(bundles)])


def _scan_rows(bundles):
    """A line for each set of whole, outlined scans that were never trained on, of a sequence that the model was made
    for: map, and what is marked, as shown."""
    from hrcam_research.evaluate.report_text import BY_PATIENT, number
    from hrcam_research.evaluate.statistics import bootstrap_mean

    lines = []
    for file in sorted((RESULTS / "scans").glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        bundle = next((one for one in bundles if one.sha256 == found["model"]["sha256"]), None)
        rows = [row for row in found["rows"] if row.get("dice") is not None]
        if bundle is None or not rows or found["origin"] != "never trained on":
            continue
        if found["set"].rpartition(" ")[2] not in bundle.metadata["sequences"]:
            continue
        patients = [row["patient"] for row in rows]
        ap, pointing = ([row["maps"]["map"][name] for row in rows] for name in ("ap", "pointing"))
        cells = (number(bootstrap_mean([float("nan") if value is None else value for value in values],
                                       patients).to_json(), 2, True, BY_PATIENT)
                 for values in (ap, [row["dice"] for row in rows], pointing))
        model = f"{_linked(bundle)} {found['model']['version']}"
        lines.append(f"| {model} | {found['set']} | {len(rows)} | {' | '.join(cells)} |")
    return lines


def _linked(bundle):
    return f"[`{bundle.name}`](HRCAMExtension/hrcam/models/{bundle.name}/MODEL_CARD.md)"


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
