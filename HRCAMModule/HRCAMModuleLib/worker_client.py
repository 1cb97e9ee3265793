"""The engine's warm process, seen from the panel: requests out, events in. The protocol: docs/worker-protocol.md."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .engine import ensureEngineOnPath
from .localization_run import Request
from .scene_results import EvidenceData
from .worker_process import LineProcess, ProcessProtocol, pythonExecutable

PROTOCOL = 1
_KEPT_LINES = 15
_SCANS = 10
"""So many runs a session is the engine told to expect: it then compiles a model that gains by it, once."""

STAGES = {
    "Reading": lambda: _("Reading the volume"), "Checking": lambda: _("Checking the volume"),
    "Preparing": lambda: _("Preparing slices"), "Computing": lambda: _("Computing evidence"),
    "Mapping": lambda: _("Mapping to the volume's grid"), "Finding regions": lambda: _("Finding regions"),
    "Aligning": lambda: _("Aligning the two scans"), "Comparing": lambda: _("Comparing the regions"),
    "Testing faithfulness": lambda: _("Testing if the answer rests on the strongest region"),
    "Writing": lambda: _("Handing the result over"),
}


@dataclass
class _Job:
    id: str
    onProgress: Callable[[str, float], None]
    onDone: Callable[[dict[str, Any]], None]
    onError: Callable[[str], None]


class WorkerClient:
    """Runs one localization at a time in a process that stays warm between runs.

    Parameters
    ----------
    process : how to run it; ``qt.QProcess`` unless a test brings its own.
    """

    def __init__(self, process: ProcessProtocol | None = None) -> None:
        self._process = process or LineProcess()
        self._process.onLine = self._received
        self._process.onErrorLine = self._logged
        self._process.onFinished = self._ended
        self._job: _Job | None = None
        self._count = 0
        self._prepared: Mapping[str, Any] | None = None
        self._lastLines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._warnings: list[str] = []

    def localize(
        self,
        volumePath: Path,
        outputFolder: Path,
        name: str,
        request: Request,
        onProgress: Callable[[str, float], None],
        onDone: Callable[[EvidenceData], None],
        onError: Callable[[str], None],
    ) -> None:
        """Begin; exactly one of ``onDone`` and ``onError`` is called later, unless ``cancel`` comes first."""

        def finish(result: dict[str, Any]) -> None:
            try:
                data = _readResult(outputFolder, result)
            except (OSError, ValueError, KeyError, TypeError) as error:
                onError(_unreadable(error))
            else:
                onDone(data)

        known = {"modality": request.modality} if request.modality else {}
        options = {**_options(request), "keep_levels": True, "faithfulness": request.faithfulness}
        self._ask("localize", {
            "model": request.model, "input": str(volumePath), "output": str(outputFolder), "name": _caseName(name),
            "source": request.source[:4096], **known, "options": options}, onProgress, finish, onError)

    def compare(
        self,
        earlier: Mapping[str, str],
        later: Mapping[str, str],
        outputFolder: Path,
        request: Request,
        aligned: bool,
        onProgress: Callable[[str, float], None],
        onDone: Callable[[dict[str, Any]], None],
        onError: Callable[[str], None],
    ) -> None:
        """Begin to compare two scans (``input``, ``name``, ``source`` and, if known, ``modality`` of each)."""
        scans = {key: {**scan, "name": _caseName(scan["name"]), "source": scan["source"][:4096]}
                 for key, scan in (("earlier", earlier), ("later", later))}
        self._ask("compare", {"model": request.model, **scans, "output": str(outputFolder), "aligned": aligned,
                              "arrays": True, "options": _options(request)},
                  onProgress, onDone, onError)

    def namePlaces(
        self, volumePath: Path, documentPath: Path, onDone: Callable[[dict[str, Any]], None],
        onError: Callable[[str], None],
    ) -> None:
        """Begin to name the places of a result whose arrays lie beside its document."""
        self._ask("place", {"input": str(volumePath), "document": str(documentPath)},
                  lambda stage, done: None, onDone, onError)

    def _ask(
        self, operation: str, fields: Mapping[str, Any], onProgress: Callable[[str, float], None],
        onDone: Callable[[dict[str, Any]], None], onError: Callable[[str], None],
    ) -> None:
        self._count += 1
        self._warnings = []
        job = self._job = _Job(str(self._count), onProgress, onDone, onError)
        try:
            if not self._process.running:
                onProgress(_("Starting the engine"), 0.0)
                self._start()
        except RuntimeError as error:
            self._fail(str(error))
            return
        if self._job is job:  # on Windows QProcess tells of a failed start before start() returns
            self._process.write(json.dumps({"protocol": PROTOCOL, "id": job.id, "op": operation, **fields}))

    def prepare(self, model: str, device: str, plane: str, grid: Mapping[str, Any] | None) -> None:
        """Start the process and load a model there, for scans on a grid (see the protocol) if there is one, while the
        user looks for a button; failures are told by the run.
        """
        wanted = {"model": model, "device": device, "plane": plane, **({"grid": grid} if grid else {})}
        if self._job is not None or (self._process.running and self._prepared == wanted):
            return
        try:
            if not self._process.running:
                self._start()
        except RuntimeError as error:
            logging.info("HR-CAM: the engine's process was not started ahead of its use: %s", error)
            return
        self._prepared = wanted
        self._count += 1
        self._process.write(json.dumps({"protocol": PROTOCOL, "id": str(self._count), "op": "load", **wanted,
                                        "scans": _SCANS}))

    def _start(self) -> None:
        self._lastLines.clear()
        self._process.start(pythonExecutable(), ["-u", "-m", "hrcam.worker"], str(ensureEngineOnPath()))

    @property
    def warnings(self) -> list[str]:
        """What the engine warned of in the last job."""
        return list(self._warnings)

    def cancel(self) -> None:
        """Kill the process and its children; the next run starts a fresh one."""
        self._job = None
        self._process.stop()

    def _received(self, line: str) -> None:
        try:
            event = json.loads(line)
            kind, given = event["event"], event["id"]
        except (ValueError, TypeError, KeyError):
            self._logged(line)
            return
        job = self._job
        if kind == "error" and given is None and job is not None:
            self._fail(f"{event.get('message', line)} {event.get('hint', '')}".strip())
        elif job is None or given != job.id:
            return  # a greeting, or the end of a run that nobody waits for
        elif kind == "progress":
            stage = STAGES.get(event["stage"])
            job.onProgress(stage() if stage else str(event["stage"]), float(event["fraction"]))
        elif kind == "warning":
            self._warnings.append(str(event["message"]))
        elif kind == "error":
            self._fail(f"{event['message']} {event['hint']}".strip())
        elif kind == "done":
            self._job = None
            job.onDone(event["result"])

    def _logged(self, line: str) -> None:
        if line.strip():
            self._lastLines.append(line)
            logging.debug("HR-CAM engine: %s", line)

    def _ended(self, code: int, crashed: bool) -> None:
        if self._job is None:
            logging.info("HR-CAM: the engine's process ended (code %d)", code)
            return
        words = " ".join(self._lastLines).lower()
        if "no module named" in words:
            advice = _("A package is missing in Slicer's Python: run again to install it, or restart Slicer.")
        elif crashed or code in (-9, 9, 137) or "memory" in words:
            advice = _("Most likely the computer's memory did not suffice, or a library crashed. Close other programs, "
                       "crop or resample the volume, or choose the device CPU under Advanced; then run again.")
        else:
            advice = _("Run again; if it happens again, restart Slicer and report the lines below.")
        tail = "\n".join(list(self._lastLines)[-5:])
        self._fail(_("The engine's process ended unexpectedly (code {code}). {advice}").format(code=code, advice=advice)
                   + (f"\n{tail}" if tail else ""))

    def _fail(self, message: str) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.onError(message)


def _caseName(name: str) -> str:
    return name[:1000] or "volume"


def _options(request: Request) -> dict[str, Any]:
    return {"class_name": request.classLabel, "plane": request.plane, "device": request.device,
            "fusion": request.fusion, "scans": _SCANS}


def _readResult(folder: Path, result: Mapping[str, Any]) -> EvidenceData:
    from hrcam.scan.io.raw_nrrd import open_raw

    document = json.loads((folder / result["document"]).read_text(encoding="utf-8"))
    maps = {level: partial(_readLevel, folder / file) for level, file in result["level_maps"].items()}
    return EvidenceData(document["provenance"]["model"]["name"], document, open_raw(folder / result["map"]),
                        open_raw(folder / result["labels"]), maps)


def _readLevel(path: Path) -> Any:
    from hrcam.run.level_volumes import read_level  # with SimpleITK, which a result need not wait for

    return read_level(path)


def _unreadable(error: Exception) -> str:
    return _("The engine's result could not be read: {error}. Check the free space on the temporary "
             "folder's disk, then run again.").format(error=error)
