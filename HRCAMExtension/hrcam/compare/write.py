"""A comparison on disk: complete or absent, on the later scan's grid, readable by Slicer."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk  # noqa: N813 - its customary name

from ..align.transforms import transform_of
from ..output.files_together import write_together
from ..output.nifti import write_nifti
from ..output.provenance import provenance_of
from ..output.segmentation import write_segments
from ..run.result import RESEARCH_USE
from ..words import spreadsheet_cell
from .calls import call_segments
from .changes import RegionChange
from .comparison import Comparison, validate_comparison

FILES: Mapping[str, str] = {
    "change": "_change.nii.gz",
    "earlier_map": "_earlier_map.nii.gz",
    "later_map": "_later_map.nii.gz",
    "earlier_levels": "_earlier_labels.nii.gz",
    "later_levels": "_later_labels.nii.gz",
    "segmentation": "_change.seg.nrrd",
    "registration": "_registration.tfm",
    "table": "_change.csv",
    "picture": "_comparison.png",
}
"""Kind of file to the end of its name; ``NAME_comparison.json`` names them."""

COMPARISON_SUFFIX = "_comparison.json"

COLUMNS = ("number", "call", "volume_earlier_ml", "volume_later_ml", "diameter_change_mm", "peak_earlier", "peak_later",
           "evidence_change", "beyond_repeatability", "overlap", "peak_r", "peak_a", "peak_s", "plane", "slice_index",
           "earlier", "later", "place", "mni_r", "mni_a", "mni_s")
"""Of the table; positions RAS mm in the later scan's space and in MNI space, evidence in logits."""


def write_comparison(
    comparison: Comparison, folder: str | os.PathLike[str], picture: bool = True, overwrite: bool = True
) -> dict[str, Path]:
    """Write a comparison's files, named after the later scan, into a folder, which is created where it does not exist.

    Parameters
    ----------
    comparison : what ``compare`` returned.
    folder : where to.
    picture : draw it; it needs matplotlib.
    overwrite : replace the files of an earlier run; otherwise they are an error.

    Returns
    -------
    Kind of file (key of `FILES`, and "result" for the JSON) to the path written.

    Raises
    ------
    OutputError : existing files, a folder that cannot be written, a full disk. Nothing is left behind then.
    """
    geometry, provenance = comparison.later.geometry, provenance_of(comparison.later)
    note = f"{RESEARCH_USE.split('.')[0]}. HR-CAM {provenance['HRCAM.Version']} {comparison.later.shown_class}"
    arrays = {"change": comparison.change, "earlier_map": comparison.earlier_map, "later_map": comparison.later.map,
              "earlier_levels": comparison.earlier_labels, "later_levels": comparison.later.labels}
    files: dict[str, tuple[str, Any]] = {
        kind: (FILES[kind], lambda path, array=array: write_nifti(path, array, geometry, note))
        for kind, array in arrays.items()
    }
    files["segmentation"] = (FILES["segmentation"], lambda path: _write_segmentation(path, comparison, provenance))
    files["registration"] = (FILES["registration"], lambda path: sitk.WriteTransform(
        transform_of(comparison.alignment.later_to_earlier), str(path)))
    files["table"] = (FILES["table"], lambda path: _write_table(path, comparison))
    if picture:
        files["picture"] = (FILES["picture"], lambda path: _write_picture(path, comparison, provenance))

    def document(names: Mapping[str, str]) -> Mapping[str, Any]:
        found = comparison.to_json(names)
        validate_comparison(found)
        return found

    return write_together(comparison.later.case, Path(folder), COMPARISON_SUFFIX, document, files,
                          lambda name, file: file in {name + suffix for suffix in FILES.values()}, overwrite)


def _write_segmentation(path: Path, comparison: Comparison, provenance: Mapping[str, str]) -> None:
    later = comparison.later
    segments = call_segments(later.shown_class, later.provenance.get("shown_terminology"))
    write_segments(path, comparison.change_labels, later.geometry, segments, provenance)


def _write_table(path: Path, comparison: Comparison) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(table_row(change) for change in comparison.changes)


def table_row(change: RegionChange) -> dict[str, Any]:
    """A region's change as flat columns (`COLUMNS`)."""
    record: dict[str, Any] = {name: getattr(change, name, None) for name in COLUMNS}
    record |= dict(zip(("peak_r", "peak_a", "peak_s"), change.peak_ras, strict=True))
    if change.place is not None:
        record |= {"place": change.place.words, **dict(zip(COLUMNS[-3:], change.place.mni_ras, strict=True))}
    record |= {side: " + ".join(map(str, getattr(change, side))) for side in ("earlier", "later")}
    return {name: spreadsheet_cell(value) for name, value in record.items()}


def _write_picture(path: Path, comparison: Comparison, provenance: Mapping[str, str]) -> None:
    from .picture import write_picture

    write_picture(path, comparison, provenance)
