"""Bring a result on disk, of ``hrcam localize``, a batch or an export, into the scene as if it had run here."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .engine import ensureEngineOnPath
from .localization import Localization
from .scene_results import EvidenceData, addToSceneSteps
from .steps import runToEnd
from .volume_nodes import engineVolume, ijkToRas, rememberFile, scansInScene

SUFFIX = "_result.json"


def isResultFile(path: str) -> bool:
    """Whether a file is named as results are, ``NAME_result.json``, and says that it is one."""
    if not Path(path).name.endswith(SUFFIX):
        return False
    try:
        with Path(path).open(encoding="utf-8") as file:
            return "hrcam-result" in file.read(200)
    except (OSError, ValueError):
        return False


def loadResult(path: str | Path) -> Localization:
    """Add a result's maps, levels and segmentation to the scene, beside its scan; returns the ``Localization``.

    The scan is the one in the scene that was localized, known by its voxels; else the file that the result names is
    loaded.

    Raises
    ------
    ValueError : a file beside the result, or the scan, is not there; the message says which.
    hrcam.errors.InputError : the file is no result, or its arrays do not fit.
    """
    ensureEngineOnPath()
    from hrcam.run.result import Result
    from hrcam.scan.volume import read_volume

    path = Path(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    arrays = {}
    for kind in ("map", "labels"):
        name = (document.get("files") or {}).get(kind)
        if not name or not (path.parent / name).is_file():
            raise ValueError(_('The {kind} of "{name}" is not beside it. Keep a result\'s files together, and export '
                               "map and segmentation with the report.").format(kind=kind, name=path.name))
        arrays[kind] = read_volume(path.parent / name).array
    result = Result.from_json(document, arrays["map"], np.rint(arrays["labels"]))
    volumeNode = _scanInScene(document, result.geometry) or _loadScan(document, path.parent)
    data = EvidenceData(document["provenance"]["model"]["name"], result.to_json(), result.map, result.labels)
    localization = runToEnd(addToSceneSteps(volumeNode, data, keepFormer=True))
    logging.info("HR-CAM: loaded %s", path)
    return localization


def _scanInScene(document: dict[str, Any], geometry: Any) -> Any:
    """The volume node whose voxels and grid are those that were localized.

    Nodes and files keep a grid in other numbers, which differ in the last digit: the result's own are taken.
    """
    from hrcam.errors import HRCAMError

    wanted = document["provenance"]["input"]["content_hash"]
    for node in scansInScene():
        same = slicer.util.arrayFromVolume(node).shape == tuple(reversed(geometry.size_ijk))
        if not (same and np.allclose(ijkToRas(node), geometry.ijk_to_ras, atol=1e-4)):
            continue
        try:
            if replace(engineVolume(node), geometry=geometry).content_hash == wanted:
                return node
        except HRCAMError:
            continue
    return None


def _loadScan(document: dict[str, Any], folder: Path) -> Any:
    from hrcam.scan.volume import read_volume

    source = Path(document["provenance"]["input"]["source"])
    candidates = (source, folder / source.name) if source.name else ()
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise ValueError(_('The scan "{name}" is neither in the scene nor at {source}. Load it first.').format(
            name=document["case"], source=source))
    volume = read_volume(found)
    node = slicer.util.addVolumeFromArray(volume.array, volume.geometry.ijk_to_ras, document["case"])
    rememberFile(node, volume)
    return node
