"""Write a result's files in a process of its own, so that the panel never stands still."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .engine import ensureEngineOnPath
from .export import engineDocument
from .localization import Localization
from .steps import StepRunner, Steps
from .volume_nodes import dicomFiles, ijkToRas, sourceFile, writeArraySteps, writeVolumeSteps
from .worker_process import LineProcess, ProcessProtocol, pythonExecutable


class ExportRun:
    """Runs once.

    Parameters
    ----------
    localization : whose files are written.
    target : folder for them.
    kinds : what to write, see ``export.KINDS``.
    levelMaps : CNN level to its map, float32 KJI.
    onProgress : called with what is being done now and the fraction of the whole done.
    onDone : called with the files by kind, and what the reader of them must know (empty if nothing).
    onError : called with a message that says what to do next.
    process : how to run it; ``qt.QProcess`` unless a test brings its own.
    """

    def __init__(
        self,
        localization: Localization,
        target: Path,
        kinds: Sequence[str],
        levelMaps: Mapping[str, np.ndarray],
        onProgress: Callable[[str, float], None],
        onDone: Callable[[dict[str, Path], str], None],
        onError: Callable[[str], None],
        process: ProcessProtocol | None = None,
    ) -> None:
        self._localization, self._target, self._kinds = localization, target, list(kinds)
        self._levelMaps = levelMaps
        self._onProgress, self._onDone, self._onError = onProgress, onDone, onError
        self._process = process or LineProcess()
        self._process.onLine = self._answered
        self._process.onErrorLine = lambda line: self._lastLines.append(line)
        self._process.onFinished = self._ended
        self._lastLines: deque[str] = deque(maxlen=5)
        self._reply: dict[str, Any] = {}
        self._runner: StepRunner | None = None
        self._folder: Path | None = None
        self.running = False

    def start(self) -> None:
        """Begin; returns at once."""
        self.running = True
        self._folder = Path(tempfile.mkdtemp(prefix="hrcam-", dir=slicer.app.temporaryPath))
        self._runner = StepRunner(self._prepareSteps(self._folder), self._launch, lambda error: self._fail(str(error)))
        self._onProgress(_("Preparing the files"), 0.0)
        self._runner.start()

    def cancel(self) -> None:
        """Stop; nothing is written, or all of it was."""
        if self.running:
            self._stopped()
            self._process.stop()

    def _prepareSteps(self, folder: Path) -> Steps:
        found = self._localization
        matrix = ijkToRas(found.inputVolume)
        files = dicomFiles(found.inputVolume)
        yield from writeVolumeSteps(found.inputVolume, folder / "scan.nrrd")
        yield from writeVolumeSteps(found.mapVolume, folder / "map.nrrd")
        yield from writeVolumeSteps(found.labelVolume, folder / "labels.nrrd")
        levels = {level: f"level{number}.nrrd" for number, level in enumerate(self._levelMaps)}
        for level, name in levels.items():
            yield from writeArraySteps(np.asarray(self._levelMaps[level], np.float32), matrix, folder / name)
        job = {"document": engineDocument(found, bool(levels)), "scan": "scan.nrrd", "map": "map.nrrd",
               "labels": "labels.nrrd", "levels": levels, "name": found.inputVolume.GetName(), "kinds": self._kinds,
               "source": sourceFile(found.inputVolume), "dicom_files": files,
               "target": str(self._target)}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        return folder

    def _launch(self, folder: Path) -> None:
        if not self.running:
            return
        self._tell(0.0)
        try:
            self._process.start(pythonExecutable(), ["-u", "-m", "hrcam.worker.export", str(folder)],
                                str(ensureEngineOnPath()))
        except RuntimeError as error:
            self._fail(str(error))

    def _answered(self, line: str) -> None:
        try:
            reply = json.loads(line)
        except ValueError:
            self._lastLines.append(line)
            return
        if "progress" in reply:
            self._tell(float(reply["progress"]))
        else:
            self._reply = reply

    def _ended(self, code: int, crashed: bool) -> None:
        if not self.running:
            return
        if "files" in self._reply:
            written = {kind: Path(path) for kind, path in self._reply["files"].items()}
            logging.info("HR-CAM: exported %s", ", ".join(str(path) for path in written.values()))
            self._stopped()
            self._onDone(written, _derivedIdentity() if self._reply.get("derived_identity") else "")
            return
        self._fail(self._reply.get("message") or _(
            "The files could not be written (code {code}). Check the free space on the disk, then try again.\n{lines}"
        ).format(code=code, lines="\n".join(self._lastLines)))

    def _tell(self, fraction: float) -> None:
        self._onProgress(_("Writing the files"), fraction)

    def _fail(self, message: str) -> None:
        if self.running:
            self._stopped()
            self._onError(message)

    def _stopped(self) -> None:
        self.running = False
        if self._runner is not None:
            self._runner.cancel()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _derivedIdentity() -> str:
    return _("The DICOM objects name no patient but a derived identity: the scan's own DICOM files are not known. Load "
             "it from Slicer's DICOM database to have patient and study kept.")
