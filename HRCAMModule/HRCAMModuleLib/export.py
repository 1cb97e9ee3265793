"""Write a result's files with the engine's writers: the same names and contents as ``hrcam localize`` writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from .dependencies import ensureDicomWriter
from .localization import Localization
from .volume_nodes import engineVolume

KINDS = ("segmentation", "map", "labels", "report", "overview", "dicom")
"""What may be asked for: ``"dicom"`` for all DICOM objects, only on request, the others unless told otherwise."""


def wantedKinds(what: Mapping[str, bool]) -> list[str]:
    """Which of ``KINDS`` are asked for.

    Raises ``ValueError`` for an unknown kind, ``DependencyError`` where what writes DICOM is missing.
    """
    unknown = sorted(set(what) - set(KINDS))
    if unknown:
        raise ValueError(f'There is no "{unknown[0]}" to export. Choose from: {", ".join(KINDS)}.')
    kinds = [kind for kind in KINDS if what.get(kind, kind != "dicom")]
    if "dicom" in kinds:
        ensureDicomWriter()
    return kinds


def exportResult(
    localization: Localization, folder: Path, levelMaps: Mapping[str, np.ndarray] | None = None, **what: bool
) -> dict[str, Path]:
    """Write the chosen files (see ``KINDS``) and return them by kind.

    ``levelMaps`` (CNN level to its map, float32 KJI) are written too, as kind ``map_LEVEL``. All files appear, the
    report last, or none. They lie on the input's own grid: a parent transform is not applied. What is marked in them is
    what the engine decided, whatever part of it is shown.

    Raises
    ------
    ValueError : an unknown kind.
    hrcam.errors.OutputError : the folder cannot be written to.
    """
    from hrcam.output.export import export_result
    from hrcam.run.result import Result

    kinds = wantedKinds(what)
    labels = slicer.util.arrayFromVolume(localization.labelVolume)
    document = engineDocument(localization, bool(levelMaps))
    result = Result.from_json(document, localization.map(), labels, levelMaps or None)
    written = export_result(result, engineVolume(localization.inputVolume), folder, kinds)
    logging.info("HR-CAM: exported %s", ", ".join(str(path) for path in written.values()))
    return written


def engineDocument(localization: Localization, levels: bool) -> dict[str, Any]:
    """The result's JSON for files with or without the maps of the CNN's levels.

    The scene's result always had its levels kept; a batch that reads the report asks for what is in the files.
    """
    provenance = localization.info["provenance"]
    options = {**provenance["options"], "keep_levels": levels}
    return {**localization.info, "provenance": {**provenance, "options": options}}
