"""A cohort on disk: maps, tables, picture, report and provenance; all of them or none."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..batch.report import NEEDS_JINJA2
from ..errors import OutputError
from ..output.files_together import write_together
from ..output.nifti import write_nifti
from ..run.result import RESEARCH_USE, FloatArray, plain
from ..scan.io.formats import safe_name
from ..words import readable, spreadsheet_cell
from .picture import draw_cohort
from .run import Cohort

NAME = "cohort"
DOCUMENT_SUFFIX = ".json"


def write_cohort(cohort: Cohort, folder: Path, overwrite: bool = True) -> dict[str, Path]:
    """Write ``cohort.json``, ``cohort_report.html``, ``cohort_cases.csv`` and ``cohort_*.nii.gz`` into a folder.

    Maps: of each group the mean, the one-sample t, the share of cases at or above the lowest level, and n a voxel; of
    each pair of groups Welch's t and the permutation test's p.

    Raises ``OutputError`` where they cannot be written; nothing is left then.
    """
    note = f"{RESEARCH_USE.split('.')[0]}. HR-CAM {cohort.provenance['hrcam_version']} {cohort.shown_class}"
    files: dict[str, tuple[str, Any]] = {
        kind: (f"_{safe_name(kind)}.nii.gz", lambda path, array=array: write_nifti(path, array, cohort.grid, note))
        for kind, array in _maps(cohort).items()
    }
    picture = _png(cohort)
    files["cases"] = ("_cases.csv", lambda path: _write_cases(path, cohort))
    files["picture"] = ("_maps.png", lambda path: path.write_bytes(picture))
    files["report"] = ("_report.html", lambda path: path.write_text(_html(cohort, picture), encoding="utf-8"))
    return write_together(NAME, folder, DOCUMENT_SUFFIX, lambda names: _document(cohort, names), files,
                          lambda name, file: file.startswith(f"{name}_"), overwrite)


def _maps(cohort: Cohort) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    for name, maps in cohort.maps.items():
        found |= {f"{name}_mean": maps.mean.astype(np.float32), f"{name}_t": maps.t,
                  f"{name}_prevalence": maps.prevalence, f"{name}_n": maps.count.astype(np.float32)}
    for one in cohort.differences:
        pair = "_against_".join(one.groups)
        found |= {f"{pair}_t": one.t, f"{pair}_p": one.p}
    return found


def _document(cohort: Cohort, names: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = plain({
        "format": "hrcam-cohort", "format_version": 1, "intended_use": RESEARCH_USE,
        "shown_class": cohort.shown_class, "space": cohort.space, "groups": cohort.sizes(),
        "prevalence": cohort.prevalence, "structures": cohort.structures, "notes": list(cohort.notes),
        "differences": [
            {"groups": list(one.groups), "greatest_t": float(one.t.max()), "peak_ras": list(one.peak_ras),
             "least_p": one.least_p, "probability": asdict(one.separation)} for one in cohort.differences],
        "provenance": cohort.provenance, "files": dict(names),
    })
    return document


def _write_cases(path: Path, cohort: Cohort) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "group", f"p_{cohort.shown_class}", "regions"])
        for member in cohort.members:
            writer.writerow([spreadsheet_cell(value) for value in (
                member.name, member.group, member.document["probabilities"][cohort.shown_class],
                len(member.document["regions"]))])


def _png(cohort: Cohort) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    FigureCanvasAgg(draw_cohort(cohort)).print_png(content)
    return content.getvalue()


def _html(cohort: Cohort, picture: bytes) -> str:
    try:
        import jinja2
    except ImportError as error:
        raise OutputError(*NEEDS_JINJA2) from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["readable"] = readable
    text = resources.files("hrcam").joinpath("templates/cohort_report.html").read_text(encoding="utf-8")
    levels = [level["name"] for level in cohort.members[0].document["evidence_levels"]]
    medians = {name: float(np.median(values)) for name, values in cohort.probabilities.items()}
    return environment.from_string(text).render(
        cohort=cohort, research_use=RESEARCH_USE, levels=levels, medians=medians,
        picture=base64.b64encode(picture).decode("ascii"))
