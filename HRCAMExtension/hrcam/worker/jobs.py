"""What the worker does on request: get ready, localize a scan, compare two, name the places of a result."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import schemas
from ..bundle.bundle import load_bundle
from ..errors import Cancelled, InputError
from ..run.result import Result
from ..scan.geometry import Geometry
from ..scan.io.formats import safe_name
from ..scan.volume import Volume, read_volume
from ..words import shown


@dataclass(frozen=True)
class Reporter:
    """How a job tells of itself.

    Parameters
    ----------
    progress : called with the stage and the share of the whole that is done.
    warning : called with what the reader of the result must know.
    cancelled : whether the job shall end.
    """

    progress: Callable[[str, float], None]
    warning: Callable[[str], None]
    cancelled: Callable[[], bool]

    def before_writing(self, warnings: tuple[str, ...]) -> None:
        """Tell the warnings; raises ``Cancelled`` where nothing shall be written any more."""
        for warning in warnings:
            self.warning(warning)
        if self.cancelled():
            raise Cancelled
        self.progress("Writing", 0.97)


def get_ready(request: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """Load ``model`` for scans on ``grid``, and what handing a result over needs: the first scan waits for neither."""
    from ..localize import Options, warm_up

    del report
    importlib.import_module("hrcam.worker.files")
    schemas.validator(schemas.RESULT)
    bundle, grid = load_bundle(request["model"]), request.get("grid")
    warm_up(bundle, Options(**{name: request[name] for name in ("device", "plane", "scans") if name in request}),
            None if grid is None else Geometry.from_ijk_to_ras(grid["ijk_to_ras"], grid["size_ijk"]))
    return {"model": bundle.name, "version": bundle.version}


def localize_scan(request: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """Localize ``input`` and leave arrays and document in ``output``."""
    from ..localize import Options, localize
    from .files import write_arrays

    _whole_path(request, "output")
    report.progress("Reading", 0.0)
    began = time.perf_counter()
    volume = _scan(request, "input")
    read = time.perf_counter() - began
    result = localize(volume, load_bundle(request["model"]), Options(**request.get("options", {})), report.progress,
                      report.cancelled)
    result = replace(result, timings={"Reading": read, **result.timings})
    report.before_writing(result.warnings)
    return {"case": result.case, **write_arrays(result, Path(request["output"]))}


def compare_scans(request: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """Compare the scan ``earlier`` with the scan ``later`` and write the comparison's files into ``output``."""
    from ..compare.comparison import summary_of
    from ..compare.run import compare
    from ..compare.write import write_comparison
    from ..localize import Options
    from .files import write_comparison_arrays

    folder = _whole_path(request, "output")
    report.progress("Reading", 0.0)
    earlier, later = (_scan(request[date], "input") for date in ("earlier", "later"))
    found = compare(earlier, later, load_bundle(request["model"]), Options(**request.get("options", {})),
                    aligned=request.get("aligned", False), copies=request.get("copies", 1),
                    progress=report.progress, cancelled=report.cancelled)
    report.before_writing((*found.warnings, *found.later.warnings))
    if request.get("arrays", False):
        names = write_comparison_arrays(found, folder)
    else:
        files = write_comparison(found, folder, request.get("picture", True))
        names = {kind: path.name for kind, path in files.items()}
    return {"case": found.later.case, "summary": summary_of(found), "swapped": found.later_scan is earlier,
            "files": names}


def name_places(request: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """Name the place of each region of a result that ``localize_scan`` left beside its document."""
    from ..place.name import with_places
    from ..scan.io.raw_nrrd import open_raw

    path = _whole_path(request, "document")
    report.progress("Reading", 0.0)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        evidence, labels = (open_raw(path.with_name(document["files"][kind])) for kind in ("map", "labels"))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f'"{shown(path)}" is not a result of the worker.',
                         "Give the document that a localize request answered with.") from None
    result = Result.from_json(document, evidence, labels)
    if not result.regions:
        return {"places": [], "registration": None}
    report.progress("Naming places", 0.1)
    placed = with_places(result, _scan(request, "input"))
    for warning in placed.warnings[len(result.warnings):]:
        report.warning(warning)
    return {"places": [None if one.place is None else {**asdict(one.place), "words": one.place.words}
                       for one in placed.regions],
            "registration": placed.provenance.get("place")}


def _scan(request: Mapping[str, Any], key: str) -> Volume:
    volume = read_volume(_whole_path(request, key))
    return replace(volume, name=safe_name(request.get("name", volume.name)),
                   source=request.get("source", volume.source), modality=request.get("modality", volume.modality))


def _whole_path(request: Mapping[str, Any], key: str) -> Path:
    if not Path(request[key]).is_absolute():
        raise InputError(f'The {key} "{request[key]}" is not an absolute path.', "Give the whole path.")
    return Path(request[key])


JOBS: Mapping[str, Callable[[Mapping[str, Any], Reporter], dict[str, Any]]] = {
    "load": get_ready, "localize": localize_scan, "compare": compare_scans, "place": name_places,
}
"""Operation of the protocol to what does it."""
