"""One comparison for the panel: hand both scans over, wait for the worker, put what it found into the scene."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .comparison import Comparison
from .localization_run import Request, WorkerProtocol
from .scene_comparison import ComparisonData, addComparisonSteps
from .scene_run import SceneRun
from .volume_nodes import dicomModality, sourceFile, writeVolumeSteps


class ComparisonRun(SceneRun):
    """Runs once.

    Parameters
    ----------
    worker : the engine's process.
    later, earlier : the scans.
    aligned : they lie in one space already.
    onProgress, onError : see ``SceneRun``.
    onDone : called with the ``Comparison``.
    """

    def __init__(
        self,
        worker: WorkerProtocol,
        later: Any,
        earlier: Any,
        request: Request,
        aligned: bool,
        onProgress: Callable[[str, float], None],
        onDone: Callable[[Comparison], None],
        onError: Callable[[str], None],
    ) -> None:
        super().__init__(worker, [later, earlier], onProgress, onError)
        self._worker: WorkerProtocol
        self._later, self._earlier, self._aligned = later, earlier, aligned
        self._request, self._onDone = request, onDone

    def _transferSteps(self, folder: Path) -> Any:
        yield from writeVolumeSteps(self._earlier, folder / "earlier.nrrd")
        yield from writeVolumeSteps(self._later, folder / "later.nrrd")

    def _compute(self, folder: Path, output: Path) -> None:
        self._worker.compare(
            scanRequest(self._earlier, folder / "earlier.nrrd"), scanRequest(self._later, folder / "later.nrrd"),
            output, self._request, self._aligned, self._computing, lambda result: self._toScene(output, result),
            self._fail)

    def _toScene(self, output: Path, result: Mapping[str, Any]) -> None:
        if not self.running:
            return
        try:
            data = readComparison(output, result)
        except (OSError, ValueError, KeyError) as error:
            self._fail(_("The comparison could not be read: {error}. Check the free space on the temporary folder's "
                         "disk, then run again.").format(error=error))
            return
        self._addToScene(addComparisonSteps(self._later, self._earlier, data), self._finish)

    def _finish(self, comparison: Comparison) -> None:
        folder = self._finished()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self._onDone(comparison)


def scanRequest(volumeNode: Any, path: Path) -> dict[str, str]:
    """A scan as the worker's request names it."""
    modality = dicomModality(volumeNode)
    known = {"modality": modality} if modality else {}
    return {"input": str(path), "name": volumeNode.GetName(), "source": sourceFile(volumeNode), **known}


def readComparison(folder: Path, result: Mapping[str, Any]) -> ComparisonData:
    """What the worker wrote into a folder. Raises ``OSError``, ``ValueError`` or ``KeyError`` where it is damaged."""
    from hrcam.scan.io.raw_nrrd import open_raw

    document = json.loads((folder / result["files"]["result"]).read_text(encoding="utf-8"))
    arrays = [open_raw(folder / result["files"][kind])
              for kind in ("change_labels", "earlier_levels", "later_levels", "change")]
    return ComparisonData(document, *arrays, bool(result["swapped"]))
