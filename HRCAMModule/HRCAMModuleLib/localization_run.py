"""One localization run for the panel: hand the scan over, wait for the worker, put the result into the scene.

Every stage gives the event loop its turns. Cancelling, an error, or closing the scene at any stage leaves the scene as
it was and removes the temporary folder.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import slicer
from slicer.i18n import tr as _

from .scene_results import EvidenceData, addToSceneSteps
from .steps import StepRunner
from .volume_nodes import writeVolumeSteps


@dataclass(frozen=True)
class Request:
    """What to compute; strings as the engine's ``Options`` take them. ``source`` and ``modality`` are the scan's."""

    model: str
    classLabel: str | None = None
    device: str = "auto"
    plane: str = "auto"
    fusion: str | None = None
    keepFormer: bool = False
    source: str = ""
    modality: str | None = None
    faithfulness: bool = False


class WorkerProtocol(Protocol):
    """What a run needs of the engine's process."""

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
        """Begin; the callbacks come from the event loop."""

    def prepare(self, model: str, device: str) -> None:
        """Be ready for a run with this model."""

    def cancel(self) -> None:
        """Stop what is running, at once; no callback comes any more."""


class LocalizationRun:
    """Runs once.

    Parameters
    ----------
    worker : the engine's process.
    volumeNode : the scan.
    onProgress : called with a named state and the fraction of the whole done (0–1).
    onDone : called with the ``Localization``, the level maps on disk, and their folder, which then belongs to the
        receiver.
    onError : called with a message that says what to do next.
    """

    SHARES: Mapping[str, tuple[float, float]] = {"transfer": (0.0, 0.08), "engine": (0.08, 0.9), "scene": (0.9, 1.0)}

    def __init__(
        self,
        worker: WorkerProtocol,
        volumeNode: Any,
        request: Request,
        onProgress: Callable[[str, float], None],
        onDone: Callable[[Any, Mapping[str, Callable[[], Any]], Path], None],
        onError: Callable[[str], None],
    ) -> None:
        self._worker, self._volumeNode, self._request = worker, volumeNode, request
        self._onProgress, self._onDone, self._onError = onProgress, onDone, onError
        self._runner: StepRunner | None = None
        self._folder: Path | None = None
        self._data: EvidenceData | None = None
        self._sceneObservers: list[int] = []
        self.running = False
        self.updatingScene = False
        """Whether nodes are being added: what observes the scene had better wait for the last of them."""

    def start(self) -> None:
        """Begin; returns at once."""
        self._folder = Path(tempfile.mkdtemp(prefix="hrcam-", dir=slicer.app.temporaryPath))
        self.running = True
        scene = slicer.mrmlScene
        self._sceneObservers = [
            scene.AddObserver(scene.StartCloseEvent, lambda *_event: self._sceneClosed()),
            scene.AddObserver(scene.NodeRemovedEvent, lambda *_event: self._nodeRemoved())]
        self._tell("transfer", _("Preparing the volume"), 0.0)
        steps = writeVolumeSteps(self._volumeNode, self._folder / "input.nrrd")
        self._run(steps, self._handOver, lambda done: self._tell("transfer", _("Preparing the volume"), done))

    def cancel(self) -> None:
        """Stop and leave the scene as it was; does nothing when the run has ended."""
        if not self.running:
            return
        self._stopped()
        if self._runner is not None:
            self._runner.cancel()
        self._worker.cancel()
        self._data = None
        self._removeFolder()

    def _run(self, steps: Any, onDone: Callable[[Any], None], onProgress: Callable[[float], None]) -> None:
        self._runner = StepRunner(steps, onDone, lambda error: self._fail(str(error)), onProgress)
        self._runner.start()

    def _handOver(self, path: Path) -> None:
        if not self.running or self._folder is None:
            return
        output = self._folder / "output"
        output.mkdir()
        self._worker.localize(
            path, output, self._volumeNode.GetName(), self._request,
            lambda stage, done: self.running and self._tell("engine", stage, done), self._toScene, self._fail)

    def _toScene(self, data: EvidenceData) -> None:
        if not self.running:
            return
        self._data = data
        self.updatingScene = True
        self._tell("scene", _("Updating the scene"), 0.0)
        self._run(addToSceneSteps(self._volumeNode, data, self._request.keepFormer), self._finish,
                  lambda done: self._tell("scene", _("Updating the scene"), done))

    def _finish(self, localization: Any) -> None:
        self._stopped()
        folder, self._folder = self._folder, None
        data, self._data = self._data, None  # its maps are files, which Windows keeps while they are held
        self._onDone(localization, data.levelMaps, folder)

    def _fail(self, message: str) -> None:
        if self.running:
            self._stopped()
            self._removeFolder()
            self._onError(message)

    def _sceneClosed(self) -> None:
        if self.running:
            self.cancel()
            self._onError(_("Cancelled: the scene was closed."))

    def _nodeRemoved(self) -> None:
        if self.running and self._volumeNode.GetScene() is None:
            self.cancel()
            self._onError(_("Cancelled: the input volume was removed from the scene."))

    def _stopped(self) -> None:
        self.running = self.updatingScene = False
        for tag in self._sceneObservers:
            slicer.mrmlScene.RemoveObserver(tag)
        self._sceneObservers = []

    def _tell(self, part: str, stage: str, done: float) -> None:
        start, end = self.SHARES[part]
        self._onProgress(stage, start + (end - start) * min(max(done, 0.0), 1.0))

    def _removeFolder(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
