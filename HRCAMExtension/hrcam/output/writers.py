"""Results on disk: complete or absent, on exactly the input's grid, readable by Slicer.

Everything is written into a hidden folder beside its destination and renamed into place, ``NAME_result.json`` last: a
case whose JSON is there is complete, after a power cut too. Every file says what made it, of what, and what it is not
for. NIfTI stores its grid as 32-bit floats, so positions read back from ``.nii.gz``
differ from the input's by up to about 1e-5 of their size (a few micrometers in a head); NRRD and JSON keep every digit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..bundle.evidence_level import EvidenceLevel
from ..errors import OutputError
from ..run.result import RESEARCH_USE, LabelArray, Result, validate_result
from ..scan.geometry import Geometry
from ..scan.io.formats import safe_name
from ..scan.volume import Volume
from .files_together import write_together
from .nifti import write_nifti
from .provenance import provenance_of
from .segment import level_segments
from .segmentation import write_segments

OUTPUTS: Mapping[str, str] = {
    "map": "_map.nii.gz",
    "levels": "_levels.seg.nrrd",
    "labels": "_labels.nii.gz",
    "overview": "_overview.png",
    "scene": "_scene.mrb",
    "dicom_segmentation": "_levels_seg.dcm",
    "dicom_map": "_map_pm.dcm",
    "dicom_report": "_regions_sr.dcm",
    "dicom_regions": "_regions_seg.dcm",
}
"""Kind of output to the end of its file name; ``NAME_result.json`` is always written."""

DEFAULT_OUTPUTS = ("map", "levels", "labels", "overview")
DICOM_OUTPUTS = ("dicom_segmentation", "dicom_map", "dicom_report")
"""Objects of one study that refer to one another; see `dicom.objects`. A report of regions brings ``dicom_regions``."""

RESULT_SUFFIX = "_result.json"


def write_result(
    result: Result,
    volume: Volume,
    folder: str | os.PathLike[str],
    outputs: Collection[str] = DEFAULT_OUTPUTS,
    overwrite: bool = True,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Path]:
    """Write a case's files into a folder, which is created where it does not exist.

    Parameters
    ----------
    result : what `localize` returned; its level maps, if kept, are written as ``NAME_LEVEL_map.nii.gz``.
    volume : the scan, for the overview and the scene.
    folder : where to.
    outputs : keys of `OUTPUTS`.
    overwrite : replace the files of an earlier run, and remove those that only it had (a scene of another model beside
        the new map would mislead); otherwise they are an error.
    progress : called before each file with the share of the files that is written.

    Returns
    -------
    Kind of output ("map", …, "result") to the path written.

    Raises
    ------
    OutputError : an unknown output, existing files, a folder that cannot be written, a full disk. Nothing of the case
        is left behind then.
    """
    unknown = [kind for kind in outputs if kind not in OUTPUTS]
    if unknown:
        raise OutputError(f'There is no output "{unknown[0]}".', f"Choose from: {', '.join(OUTPUTS)}.")

    def document(names: Mapping[str, str]) -> Mapping[str, Any]:
        found = result.to_json(names)
        validate_result(found)
        return found

    return write_together(result.case, Path(folder), RESULT_SUFFIX, document, _writers(result, volume, outputs),
                          _is_own, overwrite, progress)


def _is_own(name: str, file: str) -> bool:
    """Whether a case of this safe name can have a file."""
    own = [f"{name}{suffix}" for suffix in OUTPUTS.values()]
    return file in own or (file.startswith(f"{name}_") and file.endswith(OUTPUTS["map"]))


def write_segmentation(
    path: Path, labels: LabelArray, geometry: Geometry, class_name: str, levels: Collection[EvidenceLevel],
    terminology: str | None = None, provenance: Mapping[str, str] | None = None,
) -> None:
    """Write evidence levels as a segmentation that Slicer opens with names, colors and reference geometry.

    Segment n holds the voxels whose highest level is n (``evidence_n``, named "CLASS: LEVEL"): the segments lie beside
    one another on one shared label map, as in the label overlay. ``provenance`` holds further keys of the header.
    """
    segments = level_segments(class_name, levels, terminology)
    write_segments(path, labels, geometry, segments, provenance)


def _writers(
    result: Result, volume: Volume, outputs: Collection[str]
) -> dict[str, tuple[str, Callable[[Path], None]]]:
    """Kind to (end of the file name, function that writes it)."""
    note = _note(result)
    terminology = result.provenance.get("shown_terminology")
    known: dict[str, Callable[[Path], None]] = {
        "map": lambda path: write_nifti(path, result.map, result.geometry, note, volume.forms),
        "levels": lambda path: write_segmentation(
            path, result.labels, result.geometry, result.shown_class, result.evidence_levels, terminology,
            provenance_of(result),
        ),
        "labels": lambda path: write_nifti(path, result.labels, result.geometry, note, volume.forms),
        "overview": lambda path: _write_overview(path, volume, result),
        "scene": lambda path: _write_scene(path, volume, result),
    }
    if any(kind.startswith("dicom_") for kind in outputs):
        known |= _dicom_writers(result, volume)
    wanted = {*outputs, "dicom_regions"} if "dicom_report" in outputs else set(outputs)
    writers = {kind: (OUTPUTS[kind], write) for kind, write in known.items() if kind in wanted}
    for cnn_level, level_map in (result.level_maps or {}).items():
        writers[f"map_{cnn_level}"] = (
            f"_{safe_name(cnn_level)}_map.nii.gz",
            lambda path, array=level_map: write_nifti(  # type: ignore[misc]
                path, array, result.geometry, note, volume.forms),
        )
    return writers


def _write_overview(path: Path, volume: Volume, result: Result) -> None:
    try:
        from .overview import write_overview
    except ImportError as error:
        raise OutputError(f"The overview picture needs matplotlib, which cannot be imported ({error}).",
                          "Install it with: pip install 'hrcam[cli]', or write the other files only.") from error
    write_overview(path, volume, result)


def _write_scene(path: Path, volume: Volume, result: Result) -> None:
    from .scene import write_scene

    write_scene(result, volume, path)


def _dicom_writers(result: Result, volume: Volume) -> dict[str, Callable[[Path], None]]:
    from .dicom.objects import DicomObjects, write_object

    objects = DicomObjects(result, volume)
    writers: dict[str, Callable[[Path], None]] = {
        "dicom_segmentation": lambda path: write_object(objects.segmentation, path),
        "dicom_map": lambda path: write_object(objects.parametric_map, path),
        "dicom_report": lambda path: write_object(objects.report, path),
    }
    if result.regions:
        writers["dicom_regions"] = lambda path: write_object(objects.regions, path)
    return writers


def _note(result: Result) -> str:
    """What fits into NIfTI's description, which is short: what the file is not for, then checksums, model and class."""
    provenance = provenance_of(result)
    return (f"{RESEARCH_USE.split('.')[0]}. HR-CAM {provenance['HRCAM.Version']} "
            f"scan {provenance['HRCAM.InputSHA256'][:8]} "
            f"model {provenance['HRCAM.ModelSHA256'][:8]} {provenance['HRCAM.Model']} {result.shown_class}")
