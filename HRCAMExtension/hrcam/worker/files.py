"""What the worker leaves for the GUI: arrays that are quick to write and to load, and the result's JSON, last."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import OutputError
from ..output.provenance import provenance_of
from ..run.level_volumes import LevelVolumes
from ..run.result import Result, validate_result
from ..scan.io.formats import safe_name
from ..scan.io.raw_nrrd import write_raw
from ..words import reason, shown

if TYPE_CHECKING:
    from ..compare.comparison import Comparison


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
    names = {"map": f"{stem}_map.nrrd", "labels": f"{stem}_labels.nrrd"}
    document = result.to_json(names)
    validate_result(document)
    files = _raw_writers({names["map"]: result.map, names["labels"]: result.labels}, result)
    if levels is not None:
        files |= {name: partial(levels.write, level) for level, name in level_files.items()}
    _write_whole(folder, files, f"{stem}_result.json", document)
    return {"document": f"{stem}_result.json", **names, "level_maps": level_files}


def write_comparison_arrays(comparison: Comparison, folder: Path) -> dict[str, str]:
    """Write what a GUI shows of a comparison into a folder, each complete or absent, the JSON last.

    Returns kind to file name: ``change_labels`` (numbers of calls), ``earlier_levels`` and ``later_levels`` (uint8),
    ``change`` (later minus earlier evidence, float32), on the later scan's grid as uncompressed NRRD, and ``result``,
    the JSON.

    Raises
    ------
    OutputError : the folder cannot be written, or the disk is full; nothing is left behind then.
    """
    from ..compare.comparison import validate_comparison  # with SciPy and pydicom, half a second that no scan waits for

    stem = safe_name(comparison.later.case)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "change_labels": comparison.change_labels, "earlier_levels": comparison.earlier_labels,
        "later_levels": comparison.later.labels, "change": comparison.change}
    names = {kind: f"{stem}_{kind}.nrrd" for kind in arrays}
    document = comparison.to_json(names)
    validate_comparison(document)
    names["result"] = f"{stem}_comparison.json"
    _write_whole(folder, _raw_writers({names[kind]: array for kind, array in arrays.items()}, comparison.later),
                 names["result"], document)
    return names


def _raw_writers(arrays: Mapping[str, npt.NDArray[np.generic]], result: Result) -> dict[str, Callable[[Path], None]]:
    """File name to what writes the array, on a result's grid and with its provenance."""
    provenance = provenance_of(result)
    return {name: partial(_write_raw_file, array=array, result=result, provenance=provenance)
            for name, array in arrays.items()}


def _write_raw_file(
    path: Path, array: npt.NDArray[np.generic], result: Result, provenance: Mapping[str, str]
) -> None:
    write_raw(path, array, result.geometry.ijk_to_lps, provenance)


def _write_whole(
    folder: Path, files: Mapping[str, Callable[[Path], object]], json_name: str, document: Mapping[str, object]
) -> None:
    """Write files and then the JSON, all of them or none. Raises ``OutputError``."""
    moved: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / json_name).unlink(missing_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".hrcam-", dir=folder))
        try:
            for name, write in files.items():
                write(holder / name)
            (holder / json_name).write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
            for name in (*files, json_name):
                (holder / name).replace(folder / name)
                moved.append(folder / name)
        finally:
            shutil.rmtree(holder, ignore_errors=True)
    except OSError as error:
        for path in moved:
            path.unlink(missing_ok=True)
        raise OutputError(f'The result cannot be written to "{shown(folder)}": {reason(error)[-200:]}.',
                          "Is the disk full, or the folder read-only?") from None
