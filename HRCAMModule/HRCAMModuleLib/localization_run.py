"""One localization run for the panel: hand the scan over, wait for the worker, put the result into the scene."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .scene_results import EvidenceData, addToSceneSteps
from .scene_run import Cancellable, SceneRun
from .volume_nodes import writeVolumeSteps

SCAN_PATTERN = "*.nrrd"
"""The scan in a run's folder."""


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
    place: bool = False


class WorkerProtocol(Cancellable, Protocol):
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

    def compare(self, earlier: Mapping[str, str], later: Mapping[str, str], outputFolder: Path, request: Request,
                aligned: bool, onProgress: Callable[[str, float], None], onDone: Callable[[dict[str, Any]], None],
                onError: Callable[[str], None]) -> None:
        """Begin to compare two scans; see ``WorkerClient``."""

    def prepare(self, model: str, device: str, plane: str, grid: Mapping[str, Any] | None) -> None:
        """Be ready for a run with this model, of a scan on this grid."""


class LocalizationRun(SceneRun):
    """Runs once.

    Parameters
    ----------
    worker : the engine's process.
    volumeNode : the scan.
    onProgress, onError : see ``SceneRun``.
    onDone : called with the ``Localization``, the level maps on disk, and their folder, which then belongs to the
        receiver.
    """

    def __init__(
        self,
        worker: WorkerProtocol,
        volumeNode: Any,
        request: Request,
        onProgress: Callable[[str, float], None],
        onDone: Callable[[Any, Mapping[str, Callable[[], Any]], Path], None],
        onError: Callable[[str], None],
    ) -> None:
        super().__init__(worker, [volumeNode], onProgress, onError)
        self._worker: WorkerProtocol
        self._volumeNode, self._request, self._onDone = volumeNode, request, onDone
        self._data: EvidenceData | None = None
        self._scan = Path()

    def cancel(self) -> None:
        """Stop and leave the scene as it was; does nothing when the run has ended."""
        if self.running:
            self._data = None  # its maps are files, which Windows keeps while they are held
        super().cancel()

    def _transferSteps(self, folder: Path) -> Any:
        self._scan = folder / _fileName(self._volumeNode.GetName())
        return writeVolumeSteps(self._volumeNode, self._scan)

    def _compute(self, folder: Path, output: Path) -> None:
        self._worker.localize(self._scan, output, self._volumeNode.GetName(), self._request, self._computing,
                              self._toScene, self._fail)

    def _toScene(self, data: EvidenceData) -> None:
        if self.running:
            self._data = data
            self._addToScene(addToSceneSteps(self._volumeNode, data, self._request.keepFormer), self._finish)

    def _finish(self, localization: Any) -> None:
        folder = self._finished()
        data, self._data = self._data, None
        self._onDone(localization, data.levelMaps, folder)


def _fileName(name: str) -> str:
    """A scan's file is called as the scan is, because errors name it so; in letters that every library can open."""
    from hrcam.scan.io.formats import safe_name

    return safe_name(re.sub(r"[^A-Za-z0-9 _-]+", "_", name).strip(" _-")[:60] or "scan") + ".nrrd"
