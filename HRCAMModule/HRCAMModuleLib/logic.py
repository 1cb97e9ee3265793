"""The module's logic: everything that the panel can do, for the Python console and for scripts, without a widget."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from .comparison import Comparison, findComparisons
from .comparison_here import compareHere
from .comparison_run import ComparisonRun
from .comparison_views import ComparisonViews
from .dependencies import ensureDependencies, missingPackages
from .engine import defaultModel, ensureEngineOnPath
from .export import exportResult, wantedKinds
from .export_run import ExportRun
from .localization import FUSED, Localization, findLocalizations
from .localization_here import localizeHere
from .localization_run import LocalizationRun, Request, WorkerProtocol
from .logic_views import ViewsLogic
from .place_naming import PlaceNaming
from .result_files import loadResult
from .scene_run import EndedByUser, SceneRun
from .volume_nodes import checkInput, dicomModality, sourceFile, volumeGrid
from .worker_client import WorkerClient


class HRCAMModuleLogic(ViewsLogic):
    """Localize pathology in volume nodes and show what was found.

    Parameters
    ----------
    worker : the engine's process for runs that do not wait; made at the first such run when not given.

    Example
    -------
    In Slicer's Python console, with a scan loaded as ``volumeNode``:

    >>> result = logic.localize(volumeNode, model=model)
    >>> result.predicted in result.probabilities
    True
    """

    def __init__(self, worker: WorkerProtocol | None = None) -> None:
        super().__init__()
        self._worker = worker or WorkerClient()
        self._places = PlaceNaming()
        self.comparisonViews = ComparisonViews()
        self._run: SceneRun | None = None

    # Localization

    def localize(
        self,
        volumeNode: Any,
        model: str | None = None,
        classLabel: str | None = None,
        device: str = "auto",
        plane: str = "auto",
        wait: bool = True,
        *,
        fusion: str | None = None,
        keepFormer: bool = False,
        faithfulness: bool = False,
        place: bool = False,
        onProgress: Callable[[str, float], None] | None = None,
        onDone: Callable[[Localization], None] | None = None,
        onError: Callable[[str], None] | None = None,
    ) -> Localization | LocalizationRun:
        """Say what a scan shows and where the evidence is, and add maps, segmentation and regions to the scene.

        Parameters
        ----------
        volumeNode : scalar volume; its parent transform is respected.
        model : name of a bundle, or path of its folder; ``None`` for the default one.
        classLabel : class whose evidence is mapped; ``None`` for the most probable one.
        device : ``"auto"``, ``"cpu"`` or ``"cuda"``.
        plane : ``"auto"`` (the model's choice), ``"axial"``, ``"coronal"``, ``"sagittal"`` or ``"all"``.
        wait : run here and return the result; with ``False`` a worker process does it and the call returns at once.
        fusion : how the CNN's levels are joined; ``None`` for the model's own way, ``"sum"`` for the published one.
        keepFormer : keep the former result of the same input and model instead of replacing it.
        faithfulness : also test if the answer rests on the strongest region, in five more runs; the result's
            ``info["faithfulness"]`` says what came out.
        place : also name the place of each region of a brain scan; with ``wait=False`` after the
            result is there. ``regions[n]["place"]`` says it.
        onProgress : called with a named state and the fraction done.
        onDone, onError : for ``wait=False``: called with the result, or with a message that says what to do next.

        Returns
        -------
        ``Localization``; with ``wait=False`` the ``LocalizationRun``, which can be cancelled.

        Raises
        ------
        ValueError : the node is no scan; the message says why.
        DependencyError : packages are missing.
        hrcam.errors.HRCAMError : the scan or the model cannot be used.

        Example
        -------
        >>> result = logic.localize(volumeNode, model=model, device="cpu")
        >>> result.mapVolume.GetName().startswith(volumeNode.GetName())
        True
        """
        valid, reason = checkInput(volumeNode)
        if not valid:
            raise ValueError(reason)
        ensureEngineOnPath()
        model = model or defaultModel()
        request = Request(model, classLabel, device, plane, fusion, keepFormer, sourceFile(volumeNode),
                          dicomModality(volumeNode), faithfulness, place)
        logging.info("HR-CAM: localizing %s with %s", volumeNode.GetName(), model)
        if wait:
            ensureDependencies()
            localization, maps = localizeHere(volumeNode, request, onProgress)
            self._levelMaps.remember(localization, maps, None)
            self.select(localization)
            return localization
        return self._localizeInWorker(volumeNode, request, onProgress, onDone, onError)

    def _localizeInWorker(
        self, volumeNode: Any, request: Request, onProgress: Callable[[str, float], None] | None,
        onDone: Callable[[Localization], None] | None, onError: Callable[[str], None] | None,
    ) -> LocalizationRun:
        def done(localization: Localization, maps: Mapping[str, Callable[[], Any]], folder: Path) -> None:
            self._levelMaps.remember(localization, maps, folder)
            self.select(localization)
            if onDone is not None:
                onDone(localization)
            if request.place:
                self._places.start(localization, folder)

        run = LocalizationRun(self._worker, volumeNode, request, onProgress or (lambda stage, done: None), done,
                              _failing(onError))
        self._begin(run)
        return run

    def _begin(self, run: SceneRun) -> None:
        if self.running:
            raise RuntimeError(_("A run is under way already. Cancel it first."))
        self._run = run
        run.start()

    def compare(
        self,
        laterVolume: Any,
        earlierVolume: Any,
        model: str | None = None,
        classLabel: str | None = None,
        device: str = "auto",
        plane: str = "auto",
        wait: bool = True,
        *,
        fusion: str | None = None,
        aligned: bool = False,
        onProgress: Callable[[str, float], None] | None = None,
        onDone: Callable[[Comparison], None] | None = None,
        onError: Callable[[str], None] | None = None,
    ) -> Comparison | ComparisonRun:
        """Say what became of each region between two scans of one person, and add what was found to the scene.

        Both are localized with the same model for the same class, and the earlier one is brought to the later one. The
        order is that of their DICOM dates where these are known. See docs/compare.md for the rules.

        Parameters
        ----------
        laterVolume, earlierVolume : scalar volumes; their parent transforms are not used to align them.
        model, classLabel, device, plane, fusion, wait, onProgress, onError : as for ``localize``.
        aligned : the scans lie in one space already and are not registered.
        onDone : for ``wait=False``: called with the ``Comparison``.

        Raises
        ------
        ValueError : a node is no scan, or both are the same.
        hrcam.errors.HRCAMError : a scan cannot be used, or the two cannot be brought to one another.

        Example
        -------
        >>> comparison = logic.compare(volumeNode, earlierNode, model=model)
        >>> {one["call"] for one in comparison.changes} <= {"new", "growing", "stable", "shrinking", "resolved"}
        True
        >>> logic.showComparison(comparison)
        """
        for volumeNode in (laterVolume, earlierVolume):
            valid, reason = checkInput(volumeNode)
            if not valid:
                raise ValueError(reason)
        if laterVolume is earlierVolume:
            raise ValueError(_("A scan cannot be compared with itself. Choose another one."))
        ensureEngineOnPath()
        request = Request(model or defaultModel(), classLabel, device, plane, fusion)
        logging.info("HR-CAM: comparing %s with %s", laterVolume.GetName(), earlierVolume.GetName())
        if wait:
            ensureDependencies()
            return compareHere(laterVolume, earlierVolume, request, aligned, onProgress)
        run = ComparisonRun(self._worker, laterVolume, earlierVolume, request, aligned,
                            onProgress or (lambda stage, done: None), onDone or (lambda found: None), _failing(onError))
        self._begin(run)
        return run

    def comparisons(self) -> list[Comparison]:
        """Comparisons in the scene, oldest first."""
        return findComparisons()

    def showComparison(self, comparison: Comparison, withChange: bool = False) -> None:
        """Show both dates side by side in linked views, later and earlier, the strongest region first.

        With ``withChange`` they show where evidence was gained and lost instead of what was marked on each date.
        """
        self.comparisonViews.show(comparison, withChange)

    def prepare(self, model: str, device: str = "auto", plane: str = "auto", volumeNode: Any = None) -> None:
        """Start the engine's process and load a model there for scans as large as this one, ahead of a run that does
        not wait.
        """
        if not (self.running or slicer.app.testingEnabled() or missingPackages()):
            grid = volumeGrid(volumeNode) if checkInput(volumeNode)[0] else None
            self._worker.prepare(model, device, plane, grid)

    @property
    def running(self) -> bool:
        """Whether a run without waiting is under way."""
        return self._run is not None and self._run.running

    @property
    def updatingScene(self) -> bool:
        """Whether that run is adding its result to the scene."""
        return self._run is not None and self._run.updatingScene

    def cancel(self) -> None:
        """Stop the run that is under way, within a second, and leave the scene as it was."""
        if self._run is not None:
            self._run.cancel()

    def close(self) -> None:
        """Stop everything and remove temporary files; the logic can be used again."""
        self.cancel()
        if self._relabeling is not None:
            self._relabeling.cancel()
        self._worker.cancel()
        self._places.cancel()
        self._levelMaps.clear()

    # Results

    def results(self, volumeNode: Any = None, model: str | None = None) -> list[Localization]:
        """Results in the scene, oldest first.

        Example
        -------
        >>> result in logic.results(volumeNode)
        True
        """
        return findLocalizations(volumeNode, model)

    def select(self, localization: Localization) -> None:
        """Make this the result that the panel shows."""
        parameters = self.getParameterNode()
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.inputVolume = localization.inputVolume
            parameters.resultNode = localization.resultNode
            parameters.mapSource = FUSED

    def remove(self, localization: Localization) -> None:
        """Take a result out of the scene, with everything that belongs to it; the scan stays."""
        localization.remove()
        self.forgetRemoved()

    def loadResult(self, path: str | Path) -> Localization:
        """Bring a result on disk, ``NAME_result.json`` with its map and labels beside it, into the scene.

        Its scan is the one in the scene that was localized, or is loaded from where the result says it lay.

        Example
        -------
        >>> written = logic.exportReport(result, folder, overview=False)
        >>> logic.loadResult(written["report"]).regions == result.regions
        True
        """
        return loadResult(path)

    def exportReport(
        self, localization: Localization, folder: str | Path, *, levelMaps: bool = False, **what: bool
    ) -> dict[str, Path]:
        """Write a result's files into a folder and return what was written, by kind.

        Keywords ``segmentation``, ``map``, ``labels``, ``report`` and ``overview`` say which; all by default. With
        ``dicom`` DICOM objects too, with ``levelMaps`` the map of every CNN level in ``mapSources``. File names are
        those of ``hrcam localize``.

        Example
        -------
        >>> written = logic.exportReport(result, folder, overview=False)
        >>> sorted(written)
        ['labels', 'map', 'report', 'segmentation']
        """
        ensureEngineOnPath()
        return exportResult(localization, Path(folder), self._levelMaps.all(localization) if levelMaps else {}, **what)

    def startExport(
        self,
        localization: Localization,
        folder: str | Path,
        *,
        onProgress: Callable[[str, float], None],
        onDone: Callable[[dict[str, Path], str], None],
        onError: Callable[[str], None],
        levelMaps: bool = False,
        **what: bool,
    ) -> ExportRun:
        """As ``exportReport``, in a process of its own; returns at once, with the run, which can be cancelled."""
        ensureEngineOnPath()
        maps = self._levelMaps.all(localization) if levelMaps else {}
        run = ExportRun(localization, Path(folder), wantedKinds(what), maps, onProgress, onDone, onError)
        run.start()
        return run

    def forgetRemoved(self) -> None:
        """Let go of the level maps, and their files, of results that are no longer in the scene."""
        self._levelMaps.forgetRemoved()


def _failing(onError: Callable[[str], None] | None) -> Callable[[str], None]:
    """What a run that failed does: it tells the log, and whoever asked."""
    def failed(message: str) -> None:
        (logging.info if isinstance(message, EndedByUser) else logging.error)("HR-CAM: %s", message)
        if onError is not None:
            onError(message)

    return failed
