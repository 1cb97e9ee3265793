"""A run for the panel that ends in the scene: scans are handed over, the worker computes, nodes are added.

Every stage gives the event loop its turns. Cancelling, an error, or closing the scene at any stage leaves the scene as
it was and removes the temporary folder.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import slicer
from slicer.i18n import tr as _

from .steps import StepRunner


class Cancellable(Protocol):
    """What every run needs of the engine's process."""

    def cancel(self) -> None:
        """Stop what is running, at once; no callback comes any more."""


class EndedByUser(str):
    """What is said of a run that the user has ended by what was done to the scene: no error, so no window opens."""


def sceneClosedMessage() -> EndedByUser:
    """What is said of a run that the closed scene has ended."""
    return EndedByUser(_("Cancelled: the scene was closed."))


class SceneRun:
    """Runs once; see its subclasses for what is computed.

    Parameters
    ----------
    worker : the engine's process.
    volumeNodes : the scans; the run ends when one of them is removed from the scene.
    onProgress : called with a named state and the fraction of the whole done (0–1).
    onError : called with a message that says what to do next.
    """

    SHARES: Mapping[str, tuple[float, float]] = {"transfer": (0.0, 0.08), "engine": (0.08, 0.9), "scene": (0.9, 1.0)}

    def __init__(
        self, worker: Cancellable, volumeNodes: Sequence[Any], onProgress: Callable[[str, float], None],
        onError: Callable[[str], None],
    ) -> None:
        self._worker, self._volumeNodes = worker, volumeNodes
        self._onProgress, self._onError = onProgress, onError
        self._runner: StepRunner | None = None
        self._folder: Path | None = None
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
        self._runSteps("transfer", _("Preparing the volume"), self._transferSteps(self._folder), self._transferred)

    def cancel(self) -> None:
        """Stop and leave the scene as it was; does nothing when the run has ended."""
        if not self.running:
            return
        self._stopped()
        if self._runner is not None:
            self._runner.cancel()
        self._worker.cancel()
        self._removeFolder()

    def _transferSteps(self, folder: Path) -> Any:
        """Write the scans into the run's folder."""
        raise NotImplementedError

    def _compute(self, folder: Path, output: Path) -> None:
        """Have the worker compute from what was written."""
        raise NotImplementedError

    def _transferred(self, _last: Any) -> None:
        if self.running and self._folder is not None:
            output = self._folder / "output"
            output.mkdir()
            self._compute(self._folder, output)

    def _computing(self, stage: str, done: float) -> None:
        if self.running:
            self._tell("engine", stage, done)

    def _addToScene(self, steps: Any, onDone: Callable[[Any], None]) -> None:
        self.updatingScene = True
        self._runSteps("scene", _("Updating the scene"), steps, onDone)

    def _runSteps(self, part: str, stage: str, steps: Any, onDone: Callable[[Any], None]) -> None:
        self._tell(part, stage, 0.0)
        self._runner = StepRunner(steps, onDone, lambda error: self._fail(str(error)),
                                  lambda done: self._tell(part, stage, done))
        self._runner.start()

    def _finished(self) -> Path | None:
        """The run is over; its folder belongs to the caller now."""
        self._stopped()
        folder, self._folder = self._folder, None
        return folder

    def _fail(self, message: str) -> None:
        if self.running:
            self._stopped()
            self._removeFolder()
            self._onError(message)

    def _sceneClosed(self) -> None:
        if self.running:
            self.cancel()
            self._onError(sceneClosedMessage())

    def _nodeRemoved(self) -> None:
        if self.running and any(node.GetScene() is None for node in self._volumeNodes):
            self.cancel()
            self._onError(EndedByUser(_("Cancelled: the input volume was removed from the scene.")))

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
