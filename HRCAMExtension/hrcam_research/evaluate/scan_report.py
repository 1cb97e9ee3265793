"""Rows of whole scans on disk as they come, and the first page of docs/RESULTS.md that is made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hrcam.bundle.bundle import Bundle

from hrcam_research.evaluate.baselines import NAMES
from hrcam_research.evaluate.report_text import BY_PATIENT, number, table
from hrcam_research.evaluate.results_file import read_json, write_json
from hrcam_research.evaluate.scans import EXTERNAL, MAP, ScanSet, evaluate_scan
from hrcam_research.evaluate.statistics import bootstrap_mean

FOLDER = "scans"
FORMAT, FORMAT_VERSION = "hrcam-scan-evaluation", 1

_HEAD = ("Scans", "Site", "Model", "AP", "Pointing", "Dice as shown", "Nothing marked", "Slices unmarked",
         "Falsely marked slices", "Slice AUC", "Called a pathology", "Warned", "n")  # fmt: skip

_TEXT = """## As a user sees it: whole scans

Each scan is read once by `localize`, as the button does: class, levels and withholding are the model's own. AP and
pointing: mean over slices with at least 50 outlined pixels; Dice as shown: what is marked against the outline, in the
whole scan; nothing marked: share of the scans; slices unmarked: of those with at least 50 outlined pixels; falsely
marked: of the slices without outline; slice AUC: slices with against slices without, by the map's mean. Where an
interval stands, the mean is over each patient's scans, then over patients, and the interval 95 %, by bootstrap over
patients. Warned: that the image's sequence or its range is none of the model's; names tell nothing here. Of healthy
heads only marks, the predicted class and warnings can be checked.
`lgg`: gliomas of two hospitals (DU, CS) that taught no model, outlined on FLAIR: on T1 parts of the outline cannot be
seen.
*Baselines* use no network. Commits: {commits}.
"""


def evaluate_scans(
    bundle: Bundle, sets: Sequence[ScanSet], out: Path, commit: str, device: str, count: int | None,
    progress: Callable[[str, float], None] | None,
) -> None:  # fmt: skip
    """Judge each scan and write `out`/results/scans/MODEL--SET.json after it; rows of the same weights and levels stay.

    Whoever stops the command loses one scan. `count` limits the scans of each set (None: all).
    """
    for one in sets:
        path = out / "results" / FOLDER / f"{bundle.name}--{one.name.replace(' ', '-')}.json"
        state = {"version": bundle.version, "sha256": bundle.sha256}
        document = read_json(path, FORMAT, FORMAT_VERSION) if path.is_file() else {}
        rows = document["rows"] if document.get("model") == {"name": bundle.name, **state} else []
        known = {row["scan"] for row in rows}
        scans = one.scans[:count]
        for position, scan in enumerate(scans, start=1):
            if scan.path.name not in known:
                rows.append(evaluate_scan(scan, bundle, device))
                write_rows(path, {"name": bundle.name, **state}, one, rows, commit)
            if progress:
                progress(f"{one.name}, whole scans", position / len(scans))


def write_rows(
    path: Path, model: dict[str, str], one: ScanSet, rows: Sequence[dict[str, Any]], commit: str
) -> None:
    """Write the rows of a set, each of `evaluate_scan`; `model`: its name, version and sha256."""
    write_json({
        "format": FORMAT, "format_version": FORMAT_VERSION, "model": model,
        "commit": commit, "set": one.name, "origin": one.origin, "rows": list(rows),
    }, path)  # fmt: skip


def first_page(folder: Path) -> list[str]:
    """Lines of the report's first section: sets never trained on, then the others; nothing without scans."""
    paths = sorted((folder / "results" / FOLDER).glob("*.json"))
    documents = [read_json(path, FORMAT, FORMAT_VERSION) for path in paths]
    documents.sort(key=lambda one: (one["origin"] != EXTERNAL, one["set"], one["model"]["name"]))
    if not documents:
        return []
    lines = [_TEXT.format(commits=", ".join(sorted({f"`{one['commit']}`" for one in documents})))]
    for origin in dict.fromkeys(one["origin"] for one in documents):
        chosen = [one for one in documents if one["origin"] == origin]
        lines += [f"### Scans {origin}", "", *table(_HEAD, _rows(chosen)), ""]
        lines += _hulls(chosen)
    return lines


def _rows(documents: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    found = []
    for position, document in enumerate(documents):
        last = position + 1 == len(documents) or documents[position + 1]["set"] != document["set"]
        sites = sorted({row["site"] for row in document["rows"]} - {""})
        for site in ["all", *sites]:
            rows = [row for row in document["rows"] if site in ("all", row["site"])]
            found.append(_row(document, site, rows))
            if last and "maps" in rows[0]:
                found += [_baseline(document["set"], site, name, rows) for name in NAMES]
    return found


def _row(document: dict[str, Any], site: str, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    traced = "maps" in rows[0]
    return (
        document["set"], site, f"`{document['model']['name']}` {document['model']['version']}",
        *((_of(rows, MAP, "ap"), _of(rows, MAP, "pointing"), _mean(rows, "dice")) if traced else ("–",) * 3),
        _percent(rows, "marked", False),
        *((_percent(rows, "slices_unmarked"), _percent(rows, "slices_falsely_marked"), _mean(rows, "slice_auc", 2))
          if traced else ("–",) * 3),
        _percent(rows, "called"), _percent(rows, "warned"), str(len(rows)),
    )  # fmt: skip


def _baseline(name: str, site: str, baseline: str, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    measured = _of(rows, baseline, "ap"), _of(rows, baseline, "pointing")
    return name, site, f"*{baseline.replace('-', ' ')}*", *measured, *("–",) * 7, str(len(rows))


def _hulls(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Outlines that are rims, against the rims' convex hulls."""
    rows = [
        (one["set"], f"`{one['model']['name']}`" if name == MAP else f"*{name.replace('-', ' ')}*",
         _of(one["rows"], name, "hull_ap"), _of(one["rows"], name, "hull_pointing"),
         _mean(one["rows"], "hull_dice") if name == MAP else "–")
        for one in documents
        for name in (MAP, *NAMES)
        if "hull_ap" in one["rows"][0].get("maps", {}).get(MAP, {})
    ]  # fmt: skip
    if not rows:
        return []
    title = "Outlines of an enhancing rim, against the convex hull of each of its parts:"
    return [title, "", *table(("Scans", "Map", "AP", "Pointing", "Dice as shown"), list(dict.fromkeys(rows))), ""]


def _of(rows: Sequence[dict[str, Any]], name: str, key: str) -> str:
    return _interval([row["maps"].get(name, {}).get(key) for row in rows], rows, 3)


def _mean(rows: Sequence[dict[str, Any]], key: str, digits: int = 3) -> str:
    return _interval([row.get(key) for row in rows], rows, digits)


def _interval(values: Sequence[float | None], rows: Sequence[dict[str, Any]], digits: int) -> str:
    numbers = [np.nan if value is None else float(value) for value in values]
    return number(bootstrap_mean(numbers, [row["patient"] for row in rows]).to_json(), digits, True, BY_PATIENT)


def _percent(rows: Sequence[dict[str, Any]], key: str, wanted: bool = True) -> str:
    values = [float(row[key]) for row in rows if row[key] is not None]
    if not values:
        return "–"
    mean = float(np.mean(values))
    return f"{mean if wanted else 1 - mean:.0%}"
