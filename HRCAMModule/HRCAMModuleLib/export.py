"""Write a result's files with the engine's writers: the same names and contents as ``hrcam localize`` writes."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from .localization import Localization
from .volume_nodes import engineVolume

KINDS = {"segmentation": "levels", "map": "map", "labels": "labels", "report": "result", "overview": "overview"}
"""What a caller may ask for, to the engine's name of that output."""


def exportResult(
    localization: Localization, folder: Path, levelMaps: Mapping[str, np.ndarray] | None = None, **what: bool
) -> dict[str, Path]:
    """Write the chosen files (keys of ``KINDS``, all unless told otherwise) and return them by kind.

    ``levelMaps`` (CNN level to its map, float32 KJI) are written too, as kind ``map_LEVEL``. All files appear, the
    report last, or none. They lie on the input's own grid: a parent transform is not applied.

    Raises
    ------
    ValueError : an unknown kind.
    hrcam.errors.OutputError : the folder cannot be written to.
    """
    from hrcam.errors import OutputError
    from hrcam.output.writers import write_result

    unknown = sorted(set(what) - set(KINDS))
    if unknown:
        raise ValueError(f'There is no "{unknown[0]}" to export. Choose from: {", ".join(KINDS)}.')
    wanted = [kind for kind in KINDS if what.get(kind, True)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".hrcam-", dir=folder))
    except OSError as error:
        raise OutputError(f'"{folder}" cannot be written to: {error.strerror}.', "Choose another folder.") from error
    try:
        outputs = [KINDS[kind] for kind in wanted if kind != "report"]
        result = _engineResult(localization, levelMaps or None)
        files = write_result(result, engineVolume(localization.inputVolume), partial, outputs)
        levels = {kind: path for kind, path in files.items() if kind.startswith("map_")}
        chosen = levels | {kind: files[KINDS[kind]] for kind in wanted}
        written = {}
        for kind in sorted(chosen, key=lambda kind: kind == "report"):
            chosen[kind].replace(folder / chosen[kind].name)
            written[kind] = folder / chosen[kind].name
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    logging.info("HR-CAM: exported %s", ", ".join(str(path) for path in written.values()))
    return written


def _engineResult(localization: Localization, levelMaps: Mapping[str, np.ndarray] | None) -> Any:
    """The result as the engine knows it, with the labels that it decided on, whatever part of them is shown.

    The scene's result always had its levels kept; a batch that reads the report asks for what is in the files.
    """
    from hrcam.run.result import Result

    provenance = localization.info["provenance"]
    options = {**provenance["options"], "keep_levels": levelMaps is not None}
    document = {**localization.info, "provenance": {**provenance, "options": options}}
    labels = slicer.util.arrayFromVolume(localization.labelVolume)
    return Result.from_json(document, localization.map(), labels, levelMaps)
