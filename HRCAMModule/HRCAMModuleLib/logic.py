"""The module's logic: everything that the panel can do, for the Python console and for scripts, without a widget."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from . import display, volume_rendering
from .dependencies import ensureDependencies, missingPackages
from .display import OverlayKind
from .engine import defaultModel, ensureEngineOnPath
from .export import exportResult, wantedKinds
from .export_run import ExportRun
from .label_range import setLabelRangeSteps
from .legend import showLegend
from .level_map_store import LevelMapStore
from .localization import FUSED, Localization, findLocalizations
from .localization_here import localizeHere
from .localization_run import LocalizationRun, Request, WorkerProtocol
from .parameters import Overlay, PanelParameters
from .result_files import loadResult
from .steps import StepRunner, runToEnd
from .volume_nodes import checkInput, dicomModality, sourceFile
from .worker_client import WorkerClient


class HRCAMModuleLogic(ScriptedLoadableModuleLogic):
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
        self._run: LocalizationRun | None = None
        self._levelMaps = LevelMapStore()
        self._relabeling: StepRunner | None = None
        self._parameters: PanelParameters | None = None

    def getParameterNode(self) -> PanelParameters:
        """The typed parameter node of the module: the same object until the scene is closed."""
        node = super().getParameterNode()
        known = self._parameters
        if known is None or known.parameterNode is not node or not node.GetParameterNames():
            known = self._parameters = PanelParameters(node)
        return known

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
        plane : ``"auto"`` (as acquired), ``"axial"``, ``"coronal"``, ``"sagittal"`` or ``"all"``.
        wait : run here and return the result; with ``False`` a worker process does it and the call returns at once.
        fusion : how the CNN's levels are joined; ``None`` for the model's own way, ``"sum"`` for the published one.
        keepFormer : keep the former result of the same input and model instead of replacing it.
        faithfulness : also test if the answer rests on the strongest region, in five more runs; the result's
            ``info["faithfulness"]`` says what came out.
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
                          dicomModality(volumeNode), faithfulness)
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
        if self.running:
            raise RuntimeError(_("A localization is running already. Cancel it first."))

        def done(localization: Localization, maps: Mapping[str, Callable[[], Any]], folder: Path) -> None:
            self._levelMaps.remember(localization, maps, folder)
            self.select(localization)
            if onDone is not None:
                onDone(localization)

        def failed(message: str) -> None:
            logging.error("HR-CAM: %s", message)
            if onError is not None:
                onError(message)

        self._run = LocalizationRun(self._worker, volumeNode, request, onProgress or (lambda stage, done: None), done,
                                    failed)
        self._run.start()
        return self._run

    def prepare(self, model: str, device: str = "auto") -> None:
        """Start the engine's process and load a model there, ahead of a run that does not wait."""
        if not (self.running or slicer.app.testingEnabled() or missingPackages()):
            self._worker.prepare(model, device)

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
        """Make this the result that the panel shows, as it is shown at first."""
        parameters = self.getParameterNode()
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.inputVolume = localization.inputVolume
            parameters.resultNode = localization.resultNode
            parameters.mapSource = FUSED
            self.setEvidenceRange(localization, *localization.defaultRange())

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

    def mapSources(self, localization: Localization) -> list[str]:
        """Maps that can be shown: ``"fused"``, then the CNN's levels, fine to coarse.

        Level maps live in the scene once shown; those never shown are gone after a restart.

        Example
        -------
        >>> logic.mapSources(result)[0]
        'fused'
        """
        return [FUSED, *self._levelMaps.names(localization)]

    def showOverlay(
        self,
        localization: Localization,
        kind: str | OverlayKind = OverlayKind.LEVELS,
        source: str = FUSED,
        opacity: float = 0.45,
        outline: bool = False,
        legend: bool = False,
        evidenceRange: tuple[float, float] | None = None,
    ) -> None:
        """Show a result over its scan in the slice views.

        Parameters
        ----------
        kind : ``"levels"`` (calibrated labels), ``"map"`` (continuous), ``"both"`` or ``"none"``.
        source : ``"fused"`` or the name of one CNN level, see ``mapSources``.
        opacity : of the overlay, 0–1.
        outline : outline the labels instead of filling them.
        legend : show a color legend.
        evidenceRange : lowest and highest evidence shown, logits; ``None`` leaves it as it is.

        Example
        -------
        >>> logic.showOverlay(result, kind="both", opacity=0.5, outline=True)
        """
        kind = OverlayKind(kind)
        if localization.mapSource(source) is None:
            self._levelMaps.bringIn(localization, source)
        display.showOverlay(localization, kind, source, opacity, outline)
        showLegend(localization, source, legend and kind is not OverlayKind.NONE)
        parameters = self.getParameterNode()
        if parameters.resultNode is localization.resultNode:  # so that the panel shows the same
            with slicer.util.NodeModify(parameters.parameterNode):
                parameters.overlay, parameters.mapSource = Overlay(kind.value), source
                parameters.opacity, parameters.outline, parameters.legend = opacity, outline, legend
        if evidenceRange is not None:
            self.setEvidenceRange(localization, *evidenceRange)

    def setEvidenceRange(
        self, localization: Localization, low: float, high: float, wait: bool = True, *, source: str = FUSED
    ) -> None:
        """Show only evidence between two values, logits; at the scale's end, everything above too.

        The slice views hide the rest; label map, segmentation, regions and files keep what was found. With
        ``wait=False`` the marks follow in the event loop's turns. Each ``source`` has a range of its own.

        Example
        -------
        >>> low, high = result.evidenceSpan()
        >>> logic.setEvidenceRange(result, low, high)
        """
        if source != FUSED:
            display.setMapRange(localization, low, high, source)
            return
        display.setMapRange(localization, low, high)
        parameters = self.getParameterNode()
        if parameters.resultNode is localization.resultNode:
            with slicer.util.NodeModify(parameters.parameterNode):
                parameters.evidenceLow, parameters.evidenceHigh = low, high
        if self._relabeling is not None:
            self._relabeling.cancel()
            self._relabeling = None
        steps = setLabelRangeSteps(localization, low, high)
        if wait:
            runToEnd(steps)
            return
        self._relabeling = StepRunner(steps, lambda count: None, lambda error: logging.error("HR-CAM: %s", error))
        self._relabeling.start()

    def showLevel(self, localization: Localization, level: str | int, visible: bool = True) -> None:
        """Show or hide one evidence level (its name, or 1 for the weakest) in the slices and in 3D.

        Example
        -------
        >>> logic.showLevel(result, 1, visible=False)
        >>> logic.showLevel(result, 1)
        """
        display.showLevel(localization, level, visible)

    def showIn3D(
        self, localization: Localization, surfaces: bool = True, volumeRendering: bool = False, head: bool = True
    ) -> None:
        """Show or hide the levels' surfaces and the map's volume rendering in the 3D views, the head around them.

        Example
        -------
        >>> logic.showIn3D(result, surfaces=True)
        >>> logic.showIn3D(result, surfaces=False)
        """
        volume_rendering.showSurfaces(localization, surfaces)
        volume_rendering.showVolumeRendering(localization, volumeRendering)
        volume_rendering.showHead(localization, head and (surfaces or volumeRendering))
        parameters = self.getParameterNode()
        if parameters.resultNode is localization.resultNode:  # so that the panel shows the same
            with slicer.util.NodeModify(parameters.parameterNode):
                parameters.surfaces3D, parameters.cloud3D = surfaces, volumeRendering
                if surfaces or volumeRendering:
                    parameters.head3D = head

    def jumpToRegion(self, localization: Localization, number: int = 1) -> tuple[float, float, float]:
        """Center all slice views on a region's strongest voxel and return the point, world RAS, mm.

        Raises ``ValueError`` when there is no region of that number (1 is the strongest).

        Example
        -------
        >>> point = logic.jumpToRegion(result, 1) if result.regions else None
        """
        regions = {int(region["label"]): region for region in localization.regions}
        if number not in regions:
            raise ValueError(_("There is no region {number}: the result has {count}.").format(
                number=number, count=len(regions)))
        point = regions[number]["peak_ras"]
        display.jumpTo(point)
        return point

    def evidenceTable(self, localization: Localization) -> list[dict[str, Any]]:
        """The regions as rows, strongest first: label, level, volume_ml, peak, mean, centroid_ras, peak_ras (world),
        plane, slice_index.

        Example
        -------
        >>> [sorted(row)[0] for row in logic.evidenceTable(result)[:1]] in ([], ["centroid_ras"])
        True
        """
        return localization.regions

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
