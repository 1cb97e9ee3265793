"""Results on disk: complete or absent, on exactly the input's grid, readable by Slicer.

Everything is written into a hidden folder beside its destination and renamed into place, ``NAME_result.json`` last: a
case whose JSON is there is complete, after a power cut too. Every file says what made it, of what, and what it is not
for. NIfTI stores its grid as 32-bit floats, so positions read back from ``.nii.gz``
differ from the input's by up to about 1e-5 of their size (a few micrometres in a head); NRRD and JSON keep every digit.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..atomic_files import settle, settle_folder, turn_in
from ..bundle.evidence_level import EvidenceLevel
from ..errors import HRCAMError, OutputError
from ..run.result import RESEARCH_USE, LabelArray, Result, validate_result
from ..scan.geometry import Geometry
from ..scan.io.formats import safe_name
from ..scan.volume import Volume, to_sitk
from ..words import reason, shown
from .provenance import origin_of
from .terminology import DEFAULT_TERMINOLOGY

OUTPUTS: Mapping[str, str] = {
    "map": "_map.nii.gz",
    "levels": "_levels.seg.nrrd",
    "labels": "_labels.nii.gz",
    "overview": "_overview.png",
    "scene": "_scene.mrb",
}
"""Kind of output to the end of its file name; ``NAME_result.json`` is always written."""

DEFAULT_OUTPUTS = ("map", "levels", "labels", "overview")
RESULT_SUFFIX = "_result.json"

MAX_RESULT_BYTES = 64 << 20
"""Longer ones are no results: the schema's hundred thousand regions and slices take less."""

_NIFTI_NOTE_LENGTH = 79
_NIFTI_HEADER = 352
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def write_result(
    result: Result,
    volume: Volume,
    folder: str | os.PathLike[str],
    outputs: Collection[str] = DEFAULT_OUTPUTS,
    overwrite: bool = True,
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
    name, target = safe_name(result.case), Path(folder)
    _refuse_unwritable_name(target)
    writers = _writers(result, volume, outputs)
    names = {kind: name + suffix for kind, (suffix, _) in writers.items()}
    document = result.to_json(names)
    validate_result(document)
    writers["result"] = (RESULT_SUFFIX, lambda path: _write_json(document, path))
    names["result"] = name + RESULT_SUFFIX
    try:
        target.mkdir(parents=True, exist_ok=True)
        if not overwrite:
            _refuse_existing(target, names)
        holder = Path(tempfile.mkdtemp(prefix=f".{name[:40]}-", dir=target))
    except OSError as error:
        raise OutputError(f'The folder "{shown(target)}" cannot be written: {reason(error)}.',
                          "Choose another folder.") from error
    try:
        for kind, (_, write) in writers.items():
            write(holder / names[kind])
            settle(holder / names[kind])
        with turn_in(target):
            if not overwrite:
                _refuse_existing(target, names)
            _move_into_place(holder, target, names)
    except HRCAMError:
        raise
    except (OSError, RuntimeError) as error:
        raise OutputError(f'The results of "{result.case}" cannot be written to "{shown(target)}": {reason(error)}.',
                          "Is the disk full?") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    return {kind: target / one for kind, one in names.items()}


def remove_former(folder: str | os.PathLike[str], case: str) -> None:
    """Remove what an earlier run wrote of a case, its JSON first; `write_result` does so by itself.

    Raises ``OSError`` where a file cannot be removed.
    """
    _remove_former(Path(folder), {"result": safe_name(case) + RESULT_SUFFIX})


def write_segmentation(
    path: Path, labels: LabelArray, geometry: Geometry, class_name: str, levels: Collection[EvidenceLevel],
    terminology: str = DEFAULT_TERMINOLOGY, origin: Mapping[str, str] | None = None,
) -> None:
    """Write evidence levels as a segmentation that Slicer opens with names, colors and reference geometry.

    Segment n holds the voxels whose highest level is n (``evidence_n``, named "CLASS: LEVEL"): the segments lie beside
    one another on one shared label map, as in the label overlay. ``origin`` holds further keys of the header.
    """
    image = to_sitk(np.ascontiguousarray(labels, np.uint8), geometry)
    header = _segmentation_header(labels, geometry, class_name, levels, terminology)
    for key, value in (header | dict(origin or {})).items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=True)


def _writers(
    result: Result, volume: Volume, outputs: Collection[str]
) -> dict[str, tuple[str, Callable[[Path], None]]]:
    """Kind to (end of the file name, function that writes it)."""
    note = _note(result)
    terminology = result.provenance.get("shown_terminology") or DEFAULT_TERMINOLOGY
    known: dict[str, Callable[[Path], None]] = {
        "map": lambda path: _write_nifti(path, result.map, result.geometry, note),
        "levels": lambda path: write_segmentation(
            path, result.labels, result.geometry, result.shown_class, result.evidence_levels, terminology,
            origin_of(result),
        ),
        "labels": lambda path: _write_nifti(path, result.labels, result.geometry, note),
        "overview": lambda path: _write_overview(path, volume, result),
        "scene": lambda path: _write_scene(path, volume, result),
    }
    writers = {kind: (OUTPUTS[kind], write) for kind, write in known.items() if kind in outputs}
    for level, level_map in (result.level_maps or {}).items():
        writers[f"map_{level}"] = (
            f"_{safe_name(level)}_map.nii.gz",
            lambda path, array=level_map: _write_nifti(path, array, result.geometry, note),  # type: ignore[misc]
        )
    return writers


def _refuse_unwritable_name(target: Path) -> None:
    """SimpleITK ends the whole process at a path that is not UTF-8."""
    try:
        str(target).encode("utf-8")
    except UnicodeEncodeError:
        raise OutputError(f'The name of the folder "{shown(target)}" is not valid UTF-8.', "Choose another folder.") \
            from None


def _refuse_existing(target: Path, names: Mapping[str, str]) -> None:
    existing = [one for one in names.values() if (target / one).exists()]
    if existing:
        raise OutputError(f'"{shown(target / existing[0])}" exists already.',
                          "Choose another folder, or allow overwriting.")


def _move_into_place(holder: Path, target: Path, names: Mapping[str, str]) -> None:
    """Rename all files; without the JSON, which goes first and comes last, a case counts as absent."""
    _remove_former(target, names)
    moved: list[Path] = []
    try:
        for kind, one in names.items():
            if kind == "result":
                settle_folder(target)
            (holder / one).replace(target / one)
            moved.append(target / one)
        settle_folder(target)
    except OSError:
        for path in moved:
            path.unlink(missing_ok=True)
        raise


def _remove_former(target: Path, names: Mapping[str, str]) -> None:
    former = _former_files(target, names)
    for one in (names["result"], *former):
        (target / one).unlink(missing_ok=True)


def _former_files(target: Path, names: Mapping[str, str]) -> list[str]:
    """Files of an earlier run that this one does not write again.

    Its JSON names them; anybody may have written that, so only names that this very case can have are believed.
    """
    stem = names["result"].removesuffix(RESULT_SUFFIX)
    try:
        with (target / names["result"]).open("rb") as file:
            document = json.loads(file.read(MAX_RESULT_BYTES))
        files = [str(one) for one in document["files"].values()]
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return []
    own = [f"{stem}{suffix}" for suffix in OUTPUTS.values()]
    return [one for one in files if one not in names.values() and safe_name(one) == one
            and (one in own or (one.startswith(f"{stem}_") and one.endswith(OUTPUTS["map"])))]


def _write_nifti(path: Path, array: np.ndarray[Any, Any], geometry: Geometry, note: str) -> None:
    image = to_sitk(np.ascontiguousarray(array), geometry)
    image.SetMetaData("ITK_FileNotes", note)
    plain = path.with_name(path.name.removesuffix(".gz"))
    sitk.WriteImage(image, str(plain))
    del image
    _pack(plain, path)
    plain.unlink()
    _expect_whole(path, _NIFTI_HEADER + array.nbytes)


def _pack(plain: Path, packed: Path) -> None:
    """Gzip a file without looking for repeated patterns: maps of floats have none, runs of zeros are still found.

    As small as ITK's compression for maps, in a third of its time (docs/PERFORMANCE.md).
    """
    stream = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    with plain.open("rb") as source, packed.open("wb") as target:
        while chunk := source.read(1 << 20):
            target.write(stream.compress(chunk))
        target.write(stream.flush())


def _expect_whole(path: Path, length: int) -> None:
    """Raise ``OSError`` unless a gzip file states the length that it should have: ITK is silent about a full disk.

    The length is the last thing that is written, so whatever was cut off before shows here without unpacking.
    """
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        stated = int.from_bytes(file.read(4), "little")
    if stated != length % (1 << 32):
        raise OSError(f"only a part of {path.name} could be written")


def _write_json(document: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


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


def _note(result: Result) -> str:
    """What fits into NIfTI's description of 79 letters: what the file is not for, then checksums, model and class."""
    origin = origin_of(result)
    text = (f"{RESEARCH_USE.split('.')[0]}. HR-CAM {origin['HRCAM.Version']} scan {origin['HRCAM.InputSHA256'][:8]} "
            f"model {origin['HRCAM.ModelSHA256'][:8]} {origin['HRCAM.Model']} {result.shown_class}")
    return text.encode("ascii", "replace").decode("ascii")[:_NIFTI_NOTE_LENGTH]


def _segmentation_header(
    labels: LabelArray, geometry: Geometry, class_name: str, levels: Collection[EvidenceLevel], terminology: str
) -> dict[str, str]:
    """Slicer's segmentation keys (vtkMRMLSegmentationStorageNode)."""
    matrix = ";".join(repr(float(value)) for value in geometry.ijk_to_ras.ravel())
    extent = ";".join(f"0;{n - 1}" for n in geometry.size_ijk)
    header = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "Segmentation_ConversionParameters": f"Reference image geometry|{matrix};{extent};|&",
    }
    for number, level in enumerate(levels, start=1):
        key = f"Segment{number - 1}_"
        header |= {
            f"{key}ID": f"evidence_{number}",
            f"{key}Name": f"{class_name}: {level.name}",
            f"{key}NameAutoGenerated": "0",
            f"{key}Color": " ".join(f"{value:g}" for value in level.color),
            f"{key}ColorAutoGenerated": "0",
            f"{key}LabelValue": str(number),
            f"{key}Layer": "0",
            f"{key}Extent": _extent(labels == number),
            f"{key}Tags": f"TerminologyEntry:{terminology}|HRCAM.Threshold:{level.threshold:g}|",
        }
    return header


def _extent(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    """First and last index along i, j, k of a mask KJI; Slicer's empty extent where there is none."""
    bounds = []
    for axis in (2, 1, 0):
        where = np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis)))
        bounds += [int(where[0]), int(where[-1])] if len(where) else [0, -1]
    return " ".join(str(one) for one in bounds)
