"""A process that writes the files of one result for Slicer's panel: ``python -m hrcam.worker.export JOB``.

The folder JOB holds ``job.json`` and the raw NRRD files that it names. Lines of JSON on standard output say what share
is done, and the last one what was written, or what went wrong. Apart from the warm worker: a result can be written
while the next scan is computed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import HRCAMError
from ..output.writers import DICOM_OUTPUTS

JOB = "job.json"


def run_job(folder: Path, progress: Callable[[float], None] | None = None) -> dict[str, str]:
    """Write the files that a job asks for; returns kind to path. ``progress`` is called with the share that is done.

    ``job.json``: ``document`` (the result's JSON), ``scan``, ``map``, ``labels`` (names of raw NRRD files), ``levels``
    (CNN level to such a name), ``name``, ``source`` and ``dicom_files`` of the scan, ``kinds`` (see
    `output.export.KINDS`), ``target`` (a folder).

    Raises ``HRCAMError``, with nothing written.
    """
    from ..output.export import export_result
    from ..run.result import Result
    from ..scan.io.raw_nrrd import open_raw
    from ..scan.volume import read_volume

    job: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))
    levels = {level: open_raw(folder / name) for level, name in job["levels"].items()}
    result = Result.from_json(job["document"], open_raw(folder / job["map"]), open_raw(folder / job["labels"]),
                              levels or None)
    volume = replace(read_volume(folder / job["scan"]), name=job["name"], source=job["source"],
                     dicom_files=tuple(job["dicom_files"]))
    written = export_result(result, volume, Path(job["target"]), job["kinds"], progress)
    return {kind: str(path) for kind, path in written.items()}


def _is_derived(files: dict[str, str]) -> bool:
    """Whether DICOM objects were written that name no patient."""
    written = [Path(files[kind]) for kind in DICOM_OUTPUTS if kind in files]
    if not written:
        return False
    from ..output.dicom.source import is_derived

    return is_derived(written[0])


def main(arguments: list[str]) -> int:
    """Run the job in a folder; 0 when it was done."""
    try:
        files = run_job(Path(arguments[0]), lambda share: print(json.dumps({"progress": share}), flush=True))
        reply: dict[str, Any] = {"files": files, "derived_identity": _is_derived(files)}
    except HRCAMError as error:
        reply = {"message": f"{error.message} {error.hint}".strip()}
    print(json.dumps(reply), flush=True)
    return 0 if "files" in reply else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
