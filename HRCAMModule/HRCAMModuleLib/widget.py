"""The panel. It reads the scene, shows it, and asks the logic; it computes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from . import display, volume_rendering
from .dependencies import DependencyError, ensureDependencies
from .display_section import DisplaySection
from .export_section import ExportSection
from .localization import FUSED, Localization
from .logic import HRCAMModuleLogic
from .logic_protocol import LogicProtocol
from .model_section import ModelSection
from .parameters import HRCAMParameterNode
from .result_section import ResultSection
from .run_section import RunSection
from .steps import StepRunner, Steps, runToEnd
from .volume_nodes import checkInput


class HRCAMModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel.

    Parameters
    ----------
    parent : given by Slicer.
    """

    makeLogic: Callable[[], LogicProtocol] = HRCAMModuleLogic

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: LogicProtocol | None = None
        self.ui: Any = None
        self._parameters: HRCAMParameterNode | None = None
        self._guiTag: Any = None
        self._shown: tuple[Any, ...] | None = None
        self._applied: tuple[Any, ...] | None = None
        self._refreshQueued = False
        self._chooseFirst = True
        self._open = False
        self._watched: Any = None
        self._showing: StepRunner | None = None

    # Life

    def setup(self) -> None:
        """Build the panel; needs no main window, no torch, no network."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/HRCAMModule.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = type(self).makeLogic()
        ui = self.ui
        self._models = ModelSection(ui, self._modelChosen, self._fusionChosen)
        self._run = RunSection(ui)
        self._display = DisplaySection(ui, self._sourceChosen, self._rangeChosen, self._levelToggled)
        self._result = ResultSection(ui, self._regionChosen, display.jumpTo)
        self._export = ExportSection(ui, lambda folder, **what: self.logic.exportReport(self.result, folder, **what))
        ui.applyButton.connect("clicked()", self.onApplyOrCancel)
        ui.classCombo.connect("activated(int)", self._classChosen)
        ui.surfacesCheckBox.connect("clicked(bool)", self._show3D)
        ui.volumeRenderingCheckBox.connect("clicked(bool)", self._show3D)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._sceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._sceneChanged)
        self.addObserver(scene, scene.StartImportEvent, self._sceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self._sceneChanged)
        self.addObserver(scene, scene.NodeAddedEvent, self._nodeAdded)
        self.addObserver(scene, scene.NodeRemovedEvent, self._queueRefresh)
        self.addObserver(scene, scene.EndUndoEvent, self._queueRefresh)
        self.addObserver(scene, scene.EndBatchProcessEvent, self._queueRefresh)
        self._models.refresh("")
        self._connectParameters()
        self._open = bool(getattr(self.parent, "isEntered", False))  # it is when the module was reloaded
        self._watchSlices(self._open)

    def cleanup(self) -> None:
        """The module is unloaded or reloaded."""
        self._disconnectParameters()
        self.removeObservers()
        if self.logic is not None:
            self.logic.close()
        if self.ui is not None:
            self._display.close()
            self._result.close()

    def enter(self) -> None:
        """The user opened the panel."""
        self._open = True
        self._connectParameters()
        self._watchSlices(True)

    def exit(self) -> None:
        """The user went to another module; a run goes on."""
        self._open = False
        self._watchSlices(False)
        self._disconnectParameters()

    def onReload(self) -> None:
        """Reload the parts too, which Slicer's own reload leaves as they are."""
        import sys

        for name in [name for name in sys.modules if name.split(".")[0] == "HRCAMModuleLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # Parameter node

    def _connectParameters(self) -> None:
        if self._parameters is not None:
            self.refresh()
            return
        self._parameters = self.logic.getParameterNode()
        # Slicer's connectGui returns no tag, and without its tag nothing can be disconnected.
        widgets = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        self._guiTag = self._parameters.connectParametersToGui({name: one for name, one in widgets.items() if name})
        self.addObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parametersModified)
        self._models.show(self._parameters.model, self._parameters.fusion)
        self._shown, self._chooseFirst = None, True
        self.refresh()

    def _disconnectParameters(self) -> None:
        self._stopShowing()
        self._watchTransform(None)
        parameters, self._parameters = self._parameters, None
        if parameters is None:
            return
        self.removeObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parametersModified)
        parameters.disconnectGui(self._guiTag)

    def _parametersModified(self, *_arguments: Any) -> None:
        self._models.show(self._parameters.model, self._parameters.fusion)
        self._updateApply()
        self._queueRefresh()

    # Scene

    def _sceneStartClose(self, *_arguments: Any) -> None:
        if self.logic.running:
            self.logic.cancel()
            self._run.ended(_("Cancelled: the scene was closed."))
        self._disconnectParameters()
        self._shown = self._applied = None

    def _sceneStartImport(self, *_arguments: Any) -> None:
        self._disconnectParameters()

    def _sceneChanged(self, *_arguments: Any) -> None:
        """Show what a loaded scene holds; a panel that is not open leaves the user's views alone until it is."""
        self._disconnectParameters()
        if self._open:
            self._connectParameters()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _nodeAdded(self, _caller: Any, _event: str, node: Any) -> None:
        if node is not None and node.IsA("vtkMRMLScalarVolumeNode"):
            self._chooseFirst = True
        if self._open and node is not None and node.IsA("vtkMRMLSliceNode"):  # another layout has more slice views
            self._watchSlices(True)
        self._queueRefresh()

    def _queueRefresh(self, *_arguments: Any) -> None:
        """Look at the scene again at the event loop's next turn, once for many changes."""
        if not self._refreshQueued:
            self._refreshQueued = True
            qt.QTimer.singleShot(0, self._refreshNow)

    def _refreshNow(self) -> None:
        self._refreshQueued = False
        if self._parameters is not None and self._showing is None and not slicer.mrmlScene.IsBatchProcessing():
            self.refresh()

    def _watchSlices(self, watch: bool) -> None:
        event = vtk.vtkCommand.ModifiedEvent
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if self.hasObserver(node, event, self._sliceMoved) != watch:
                (self.addObserver if watch else self.removeObserver)(node, event, self._sliceMoved)

    def _sliceMoved(self, *_arguments: Any) -> None:
        self._result.follow()

    def _watchTransform(self, result: Localization | None) -> None:
        """Regions and slices are shown in world coordinates: they move when the parent transform does."""
        event = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        if self._watched is not None:
            self.removeObserver(self._watched, event, self._transformed)
        self._watched = result.mapVolume if result is not None else None
        if self._watched is not None:
            self.addObserver(self._watched, event, self._transformed)

    def _transformed(self, *_arguments: Any) -> None:
        self._shown = None
        self._queueRefresh()

    # What is shown

    @property
    def result(self) -> Localization | None:
        """The result that the panel shows: the one chosen last, if it is of the chosen input."""
        parameters = self._parameters
        if parameters is None:
            return None
        chosen = Localization(parameters.resultNode) if parameters.resultNode else None
        if chosen is not None and chosen.valid and chosen.inputVolume is parameters.inputVolume:
            return chosen
        found = [one for one in self.logic.results(parameters.inputVolume) if one.valid] \
            if parameters.inputVolume else []
        return found[-1] if found else None

    def refresh(self) -> None:
        """Make the panel and the slice views show what the scene and the parameters say."""
        runToEnd(self._refreshSteps())

    def _chooseFirstScan(self) -> None:
        """Take the first scan when none is chosen, so that one click is enough; but leave a user's "none" alone."""
        if not self._chooseFirst:
            return
        if self._parameters.inputVolume is None:
            scans = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            self._parameters.inputVolume = next((node for node in scans if checkInput(node)[0]), None)
        self._chooseFirst = self._parameters.inputVolume is None

    def _refreshSteps(self) -> Steps:
        self._chooseFirstScan()
        self._updateApply()
        result = self.result
        parameters = self._parameters
        node = result.resultNode if result is not None else None
        if parameters.resultNode is not node:
            parameters.resultNode = node
        yield from self._showSteps(result)
        if result is not None and self._open:  # a script may have made the panel, to get at its logic
            self._applyDisplay(result)

    def _updateApply(self) -> None:
        if self.logic.running or self._parameters is None:
            return
        valid, reason = checkInput(self._parameters.inputVolume)
        if valid and self._models.current is None:
            valid, reason = False, self._models.problem or _("Add a model first.")
        self._run.setReady(valid, reason)

    def _showSteps(self, result: Localization | None) -> Steps:
        parameters = self._parameters
        sources = self.logic.mapSources(result) if result else []
        state = (result, result.resultNode.GetMTime() if result else 0)
        for name in ("displayCollapsibleButton", "regionsCollapsibleButton", "slicesCollapsibleButton",
                     "volumeCollapsibleButton", "exportCollapsibleButton"):
            getattr(self.ui, name).enabled = result is not None
        self._display.show(result, sources, parameters.mapSource, parameters.evidenceLow, parameters.evidenceHigh)
        if result is not None:
            self.ui.surfacesCheckBox.checked = volume_rendering.surfacesVisible(result)
            self.ui.volumeRenderingCheckBox.checked = volume_rendering.volumeRenderingVisible(result)
        if state == self._shown:
            if not self.logic.running:
                self._result.showClass(result)
            return
        self._shown = state
        yield 0.3
        self._watchTransform(result)
        entry = self._models.find(result.model) if result else None
        yield from self._result.showSteps(result, entry.classColors if entry else {})

    def _applyDisplay(self, result: Localization) -> None:
        parameters = self._parameters
        source = parameters.mapSource if parameters.mapSource in self.logic.mapSources(result) else FUSED
        options = {"kind": parameters.overlay.value, "source": source, "opacity": parameters.opacity,
                   "outline": parameters.outline, "legend": parameters.legend}
        state = (result, *options.values())
        if state != self._applied:  # layers that the user changed elsewhere stay until something changes here
            self._applied = state
            self.logic.showOverlay(result, **options)

    # What the user does

    def onApplyOrCancel(self) -> None:
        """The big button."""
        if self.logic.running:
            self.logic.cancel()
            self._run.ended(_("Cancelled. The scene is as it was."))
            self._updateApply()
            self._queueRefresh()
            return
        self.startRun(None)

    def startRun(self, classLabel: str | None) -> None:
        """Localize the chosen input with the chosen model in the worker process."""
        if self._parameters is None:  # a script pressed the button of a panel that is not open
            self._connectParameters()
        parameters, entry = self._parameters, self._models.current
        if entry is None:
            return
        try:
            ensureDependencies(onProgress=self._run.told)
        except DependencyError as error:
            self._runFailed(str(error))
            return
        try:
            self._run.started()
            self.logic.localize(
                parameters.inputVolume, model=str(entry.folder), classLabel=classLabel,
                device=parameters.device.value, plane=parameters.plane.value, fusion=parameters.fusion or None,
                keepFormer=parameters.keepFormerResult, wait=False,
                onProgress=self._run.progress, onDone=self._runDone, onError=self._runFailed)
        except Exception as error:
            self._runFailed(str(error))

    def _runDone(self, result: Localization) -> None:
        self._run.ended(_("Done: {name}.").format(name=result.predicted.replace("_", " ")))
        if self._parameters is None or not self._open:
            return  # the user is in another module; the panel catches up when it is opened
        self._showing = StepRunner(self._showNewSteps(result), self._showingEnded, self._showingEnded)
        self._showing.start()

    def _showNewSteps(self, result: Localization) -> Steps:
        """Show a new result, its strongest region first; in steps, because the views have much to draw."""
        self.logic.select(result)
        self._shown = None
        yield 0.1
        composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        backgrounds = {node.GetBackgroundVolumeID() for node in composites}
        yield from self._refreshSteps()
        self.logic.setEvidenceRange(result, *result.defaultRange(), wait=False)
        if backgrounds != {result.inputVolume.GetID()}:
            yield 0.8
            display.fitSliceViews()
        if result.regions:
            yield 0.9
            self.logic.jumpToRegion(result, result.regions[0]["label"])

    def _showingEnded(self, outcome: Any) -> None:
        self._showing = None
        if isinstance(outcome, Exception):
            logging.error("HR-CAM: %s", outcome)
        self._queueRefresh()

    def _stopShowing(self) -> None:
        runner, self._showing = self._showing, None
        if runner is not None:
            runner.cancel()

    def _runFailed(self, message: str) -> None:
        self._run.ended(message)
        self._updateApply()
        self._queueRefresh()
        slicer.util.errorDisplay(message, windowTitle=_("HR-CAM"))

    def _modelChosen(self, name: str) -> None:
        self._parameters.model = name
        self._updateApply()

    def _fusionChosen(self, fusion: str) -> None:
        self._parameters.fusion = fusion

    def _classChosen(self, index: int) -> None:
        result = self.result
        if result is None or self.logic.running or self._result.classes[index] == result.shownClass:
            self._result.showClass(result)
            return
        self._parameters.model = result.model
        self.startRun(self._result.classes[index])

    def _sourceChosen(self, source: str) -> None:
        self._parameters.mapSource = source

    def _rangeChosen(self, low: float, high: float) -> None:
        result = self.result
        if result is None:
            return
        with slicer.util.NodeModify(self._parameters.parameterNode):
            self._parameters.evidenceLow, self._parameters.evidenceHigh = low, high
        self.logic.setEvidenceRange(result, low, high, wait=False)

    def _levelToggled(self, number: int, visible: bool) -> None:
        if self.result is not None:
            self.logic.showLevel(self.result, number, visible)

    def _regionChosen(self, label: int) -> None:
        if self.result is not None:
            self.logic.jumpToRegion(self.result, label)

    def _show3D(self, *_arguments: Any) -> None:
        if self.result is None:
            return
        try:
            with slicer.util.tryWithErrorDisplay(_("The 3D view could not be updated."), waitCursor=True):
                self.logic.showIn3D(self.result, self.ui.surfacesCheckBox.checked,
                                    self.ui.volumeRenderingCheckBox.checked)
                volume_rendering.center3DViews()
        finally:
            self._queueRefresh()  # the boxes say what is shown, also after an error
