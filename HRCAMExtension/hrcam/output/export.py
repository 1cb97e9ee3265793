"""Write chosen files of a result in memory, for Slicer's panel and batch script.

They are those of `writers.write_result`, under the kinds that the panel names.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from ..errors import OutputError
from ..run.result import Result
from ..scan.volume import Volume
from ..words import reason, shown
from .writers import DICOM_OUTPUTS, write_result

KINDS = {"segmentation": "levels", "map": "map", "labels": "labels", "report": "result", "overview": "overview",
         **{kind: kind for kind in DICOM_OUTPUTS}}
"""What a caller may ask for, to `write_result`'s name of that output."""

DICOM = "dicom"
"""Stands for all of `DICOM_OUTPUTS`, which refer to one another."""


def export_result(
    result: Result, volume: Volume, folder: Path, kinds: Collection[str],
    progress: Callable[[float], None] | None = None,
) -> dict[str, Path]:
    """Write the chosen files into a folder, which is created where it does not exist; returns them by kind.

    All of them appear, the report last, or none. The result's level maps are written too, as kind ``map_LEVEL``, and
    with ``dicom_report`` the segments that it refers to, as kind ``dicom_regions``.
    ``progress`` is called before each file with the share of the files that is written.

    Raises
    ------
    OutputError : an unknown kind, or a folder that cannot be written to.
    """
    kinds = {*kinds, *(DICOM_OUTPUTS if DICOM in kinds else ())} - {DICOM}
    unknown = sorted(kinds - set(KINDS))
    if unknown:
        raise OutputError(f'There is no "{unknown[0]}" to export.', f"Choose from: {', '.join((*KINDS, DICOM))}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".hrcam-", dir=folder))
    except OSError as error:
        raise OutputError(f'"{shown(folder)}" cannot be written to: {reason(error)}.', "Choose another folder.") \
            from error
    try:
        files = write_result(result, volume, partial, [KINDS[kind] for kind in KINDS if kind in kinds
                                                       and kind != "report"], progress=progress)
        chosen = {kind: path for kind, path in files.items() if kind.startswith("map_") or kind == "dicom_regions"}
        chosen |= {kind: files[KINDS[kind]] for kind in KINDS if kind in kinds}
        written = {}
        for kind in sorted(chosen, key=lambda kind: kind == "report"):
            written[kind] = chosen[kind].replace(folder / chosen[kind].name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written
