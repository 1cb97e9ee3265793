"""Write a result's files: the same names and formats as ``hrcam localize`` writes."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from .localization import Localization
from .volume_nodes import ijkToRas


def exportResult(
    localization: Localization, folder: Path, segmentation: bool = True, map: bool = True, report: bool = True,
    overview: bool = True,
) -> dict[str, Path]:
    """Write the chosen files and return them by kind.

    All files appear together or not at all: they are written beside each other first and renamed at the end.

    Raises ``OSError`` when the folder cannot be written to, ``RuntimeError`` when Slicer cannot write a node.
    """
    from hrcam.formats import safe_name

    name = safe_name(localization.inputVolume.GetName())
    wanted = {
        "segmentation": (segmentation, f"{name}_levels.seg.nrrd", _writeSegmentation),
        "map": (map, f"{name}_map.nii.gz", _writeMap),
        "report": (report, f"{name}_result.json", _writeReport),
        "overview": (overview, f"{name}_overview.png", _writeOverview),
    }
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".hrcam-", dir=folder))
    written: dict[str, Path] = {}
    try:
        for kind, (yes, fileName, write) in wanted.items():
            if yes:
                write(localization, partial / fileName)
        for kind, (yes, fileName, _write) in wanted.items():
            if yes:
                os.replace(partial / fileName, folder / fileName)
                written[kind] = folder / fileName
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    logging.info("HR-CAM: exported %s", ", ".join(str(path) for path in written.values()))
    return written


def _writeSegmentation(localization: Localization, path: Path) -> None:
    _saveCopy(localization.segmentation, path)


def _writeMap(localization: Localization, path: Path) -> None:
    _saveCopy(localization.mapVolume, path)


def _saveCopy(node: Any, path: Path) -> None:
    """Write a node without making the scene believe that it is saved there."""
    storage = node.CreateDefaultStorageNode()
    storage.UnRegister(None)  # owned by the Python variable now
    storage.SetFileName(str(path))
    storage.SetUseCompression(1)
    modified = node.GetModifiedSinceRead() if node.IsA("vtkMRMLStorableNode") else False
    if not storage.WriteData(node) or not path.is_file():
        raise RuntimeError(f'"{node.GetName()}" could not be written to {path.parent.parent}. Check the free space and '
                           "the permissions.")
    if modified:
        node.StorableModified()


def _writeReport(localization: Localization, path: Path) -> None:
    info = dict(localization.info)
    name = path.name.removesuffix("_result.json")
    info["files"] = {"map": f"{name}_map.nii.gz", "levels": f"{name}_levels.seg.nrrd"}
    path.write_text(json.dumps(info, indent=1, ensure_ascii=False), encoding="utf-8")


def _writeOverview(localization: Localization, path: Path) -> None:
    from hrcam.overview import write_overview
    from hrcam.result import Result
    from hrcam.volume import volume_from_array

    source = localization.inputVolume
    volume = volume_from_array(slicer.util.arrayFromVolume(source), ijkToRas(source), source.GetName())
    evidence = localization.map()
    thresholds = [level["threshold"] for level in localization.evidenceLevels]
    labels = sum((evidence >= threshold).astype(np.uint8) for threshold in thresholds)
    write_overview(path, volume, Result.from_json(localization.info, evidence, labels))
