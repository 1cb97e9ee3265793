"""What the worker leaves for the GUI: arrays that are quick to write and to load, and the result's JSON, last."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import OutputError
from ..output.provenance import provenance_of
from ..run.level_volumes import LevelVolumes
from ..run.result import Result, validate_result
from ..scan.io.formats import safe_name
from ..scan.io.raw_nrrd import write_raw
from ..words import reason, shown


def write_arrays(result: Result, folder: Path) -> dict[str, object]:
    """Write map, labels, level maps and JSON into a folder, each complete or absent, the JSON last.

    Returns
    -------
    ``{"document": NAME_result.json, "map": NAME_map.nrrd, "labels": NAME_labels.nrrd, "level_maps": {level: file}}``,
    file names within ``folder``. Map and labels are uncompressed NRRD on the input's grid: float32 logits, uint8
    levels. Maps of the CNN's levels are as small as the network made them, for ``level_volumes.read_level``.

    Raises
    ------
    OutputError : the folder cannot be written, or the disk is full; nothing is left behind then.
    """
    stem = safe_name(result.case)
    levels = result.level_maps
    assert levels is None or isinstance(levels, LevelVolumes)
    level_files = {level: f"{stem}_level{number}.npz" for number, level in enumerate(levels or {}, start=1)}
    arrays: dict[str, npt.NDArray[np.generic]] = {f"{stem}_map.nrrd": result.map, f"{stem}_labels.nrrd": result.labels}
    document = result.to_json({"map": f"{stem}_map.nrrd", "labels": f"{stem}_labels.nrrd"})
    validate_result(document)
    json_name, provenance = f"{stem}_result.json", provenance_of(result)
    moved: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / json_name).unlink(missing_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".hrcam-", dir=folder))
        try:
            for name, array in arrays.items():
                write_raw(holder / name, array, result.geometry.ijk_to_lps, provenance)
            if levels is not None:
                for level, name in level_files.items():
                    levels.write(level, holder / name)
            (holder / json_name).write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
            for name in (*arrays, *level_files.values(), json_name):
                (holder / name).replace(folder / name)
                moved.append(folder / name)
        finally:
            shutil.rmtree(holder, ignore_errors=True)
    except OSError as error:
        for path in moved:
            path.unlink(missing_ok=True)
        raise OutputError(f'The result cannot be written to "{shown(folder)}": {reason(error)[-200:]}.',
                          "Is the disk full, or the folder read-only?") from None
    return {"document": json_name, "map": f"{stem}_map.nrrd", "labels": f"{stem}_labels.nrrd",
            "level_maps": level_files}
