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

from . import display, segment_editor
from .comparison_section import ComparisonSection
from .display_section import DisplaySection
from .export_section import ExportSection
from .input_section import InputSection
from .legend import removeLegends
from .localization import FUSED, Localization
from .logic import HRCAMModuleLogic
from .logic_protocol import LogicProtocol
from .model_section import ModelSection
from .models import noModelMessage
from .panel_runs import PanelRuns
from .parameters import PanelParameters
from .result_section import PLANES, ResultSection
from .result_watch import ResultWatch
from .results_section import ResultsSection
from .scene_run import sceneClosedMessage
from .shown_state import ShownState
from .steps import StepRunner, Steps, runToEnd
from .views_watch import ViewsWatch
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
        self._parameters: PanelParameters | None = None
        self._listed: tuple[Any, ...] | None = None
        self._refreshQueued = False
        self._open = False
        self._resultWatch = ResultWatch(self._resultMoved, self._queueRefresh)
        self._showing: StepRunner | None = None
        self._editorVisit = segment_editor.SegmentEditorVisit()

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
        self.shownState = ShownState(self.logic, lambda: self._comparison.leave())
        self._input = InputSection(ui, self.logic)
        self._models = ModelSection(ui, self._modelChosen, self._fusionChosen)
        self.runs = PanelRuns(ui, self)
        self._display = DisplaySection(ui, self._sourceChosen, self._rangeChosen, self._levelToggled)
        self._result = ResultSection(ui, self._regionChosen, display.jumpTo)
        self._results = ResultsSection(ui, self.logic, self.showNew)
        self._export = ExportSection(ui, lambda folder, **how: self.logic.startExport(self.result, folder, **how))
        self._comparison = ComparisonSection(ui, self.logic, self.runs, self.shownState, lambda: self._open,
                                             self._queueRefresh)
        self._views = ViewsWatch(self._result.follow, self._scanShown, self._viewsAdded)
        for button, slot in (
            (ui.applyButton, self.runs.toggle), (ui.localizeAllButton, self.runs.localizeAll),
            (ui.showMarksButton, self._markWithheld), (ui.editSegmentsButton, self._editSegments),
        ):
            button.connect("clicked()", slot)
        for box in (ui.surfacesCheckBox, ui.volumeRenderingCheckBox, ui.headCheckBox):
            box.connect("clicked(bool)", lambda on: self.refresh())
        ui.classCombo.connect("activated(int)", self._classChosen)
        ui.readPlaneCombo.connect("activated(int)", self._planeChosen)
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
        if self._open:
            self._views.start()

    def cleanup(self) -> None:
        """The module is unloaded or reloaded."""
        self._disconnectParameters()
        self.removeObservers()
        if self.logic is not None:
            self.logic.close()
        if self.ui is not None:
            self._views.stop()
            self._display.close()
            self._result.close()

    def enter(self) -> None:
        """The user opened the panel."""
        self._open = True
        if self._editorVisit.back():
            self.shownState.forgetSlices()
        self._connectParameters()
        self._views.start()
        self.runs.prepareSoon()

    def exit(self) -> None:
        """The user went to another module; a run goes on."""
        result, self._open = self.result, False
        self._views.stop()
        self._disconnectParameters()
        if result is not None:
            self._editorVisit.leave(result, lambda: not self._open)

    # Parameter node

    def _connectParameters(self) -> None:
        if self._parameters is not None:
            self.refresh()
            return
        self._parameters = self.logic.getParameterNode()
        widgets = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        self._parameters.connectWidgets({name: widget for name, widget in widgets.items() if name})
        self.addObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parametersModified)
        self._models.show(self._parameters.model, self._parameters.fusion)
        self._listed = None
        self._input.takeFirst()
        self.refresh()

    def _disconnectParameters(self) -> None:
        self._stopShowing()
        self._resultWatch.watch(None)
        parameters, self._parameters = self._parameters, None
        if parameters is None:
            return
        self.removeObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parametersModified)
        parameters.disconnectWidgets()

    def _parametersModified(self, *_arguments: Any) -> None:
        self._models.show(self._parameters.model, self._parameters.fusion)
        self._updateApply()
        if self._open:
            self.runs.prepareSoon()
        self._queueRefresh()

    # Scene

    def _sceneStartClose(self, *_arguments: Any) -> None:
        if self.logic.running:
            self.runs.cancel(sceneClosedMessage())
        self._disconnectParameters()
        self._listed = None
        self._editorVisit.forget()
        self.shownState.forget()

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
            self._input.takeFirst()
        self._queueRefresh()

    def _queueRefresh(self, *_arguments: Any) -> None:
        """Look at the scene again at the event loop's next turn, once for many changes."""
        if not self._refreshQueued:
            self._refreshQueued = True
            qt.QTimer.singleShot(0, self._refreshNow)

    def _refreshNow(self) -> None:
        self._refreshQueued = False
        self.logic.forgetRemoved()
        busy = self._showing is not None or self.logic.updatingScene or slicer.mrmlScene.IsBatchProcessing()
        if self._parameters is not None and not busy:  # whoever is busy refreshes in the end
            self.refresh()

    def _scanShown(self, volume: Any) -> None:
        """A volume came into the views, usually just loaded: the button will read it, or it is told why it cannot."""
        if self._parameters is not None and not self.logic.running and self._showing is None:
            valid, reason = checkInput(volume)
            if valid:
                self._parameters.inputVolume = volume
            else:
                self.runs.section.told(reason)

    def _viewsAdded(self) -> None:
        """Another layout brought views that have no overlay and no legend yet, and were never fitted to a scan."""
        removeLegends()
        self.shownState.forgetSlices()
        self._queueRefresh()
        qt.QTimer.singleShot(0, display.fitNewViews)

    def _resultMoved(self) -> None:
        """Regions and slices are shown in world coordinates: they move when the parent transform does."""
        self._listed = None
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
        found = self.logic.results(parameters.inputVolume) if parameters.inputVolume else []
        return next((one for one in reversed(found) if one.valid), None)

    def refresh(self) -> None:
        """Make the panel and the slice views show what the scene and the parameters say."""
        self._input.refresh(self._parameters)
        self._updateApply()
        result = self.result
        runToEnd(self._panelSteps(result))
        if self._open:  # a script may have made the panel, to get at its logic
            runToEnd(self.shownState.applySteps(result, self._parameters))
            self._showRange(result)

    def _panelSteps(self, result: Localization | None) -> Steps:
        """Show a result in the panel, a part a step; the views are told afterwards."""
        parameters = self._parameters
        node = result.resultNode if result is not None else None
        if parameters.resultNode is not node:
            parameters.resultNode = node
        yield from self._showSteps(result)
        self._results.show([one for one in self.logic.results() if one.valid], result)
        self._comparison.refresh(parameters.inputVolume, parameters.earlierVolume)
        yield 0.8

    def _updateApply(self) -> None:
        if self.logic.running or self._parameters is None:
            return
        valid, reason = checkInput(self._parameters.inputVolume)
        if valid and self._models.current is None:
            valid, reason = False, self._models.problem or noModelMessage()
        self.runs.section.setReady(valid, reason)
        self.ui.localizeAllButton.enabled = valid

    def _showSteps(self, result: Localization | None) -> Steps:
        for name in ("displayCollapsibleButton", "slicesCollapsibleButton", "volumeCollapsibleButton",
                     "exportCollapsibleButton"):
            getattr(self.ui, name).enabled = result is not None
        self._showRange(result)
        state = (result, result.resultNode.GetMTime() if result else 0)
        if state == self._listed:
            if not self.logic.running:
                self._result.showChoices(result)
            return
        self._listed = state
        yield 0.3
        self._resultWatch.watch(result)
        entry = self._models.find(result.model) if result else None
        yield from self._result.showSteps(result, entry.classColors if entry else {})

    def _showRange(self, result: Localization | None) -> None:
        source = self._shownSource(result)
        shown = display.mapRange(result, source) if result else (0.0, 0.0)
        self._display.show(result, self.logic.mapSources(result) if result else [], source, *shown)

    def _shownSource(self, result: Localization | None) -> str:
        """The map whose settings are shown: the chosen CNN level's once its map is in the scene."""
        source = self._parameters.mapSource
        return source if result is not None and source in result.levelVolumes else FUSED

    # What the runs ask for

    def chosen(self) -> tuple[Any, Any]:
        """Parameters and model that the panel holds."""
        if self._parameters is None:  # a script pressed the button of a panel that is not open
            self._connectParameters()
        return self._parameters, self._models.current

    def runEnded(self) -> None:
        """A run ended without a new result."""
        self._updateApply()
        self._queueRefresh()

    def showNew(self, result: Localization) -> None:
        """Show a result made, loaded or chosen just now, or when the panel is opened if it is not."""
        if self._parameters is None or not self._open:
            return
        self._stopShowing()
        self._showing = StepRunner(self._showNewSteps(result), self._showingEnded, self._showingEnded, budget=0.0)
        self._showing.start()

    def _showNewSteps(self, result: Localization) -> Steps:
        """Show a new result, its strongest region first; in steps, because the views have much to draw."""
        self.logic.select(result)
        self._listed = None
        yield 0.1
        compared = self.logic.comparisonViews.shown is not None
        point = result.regions[0]["peak_ras"] if result.regions else None
        yield from self.shownState.applySteps(result, self._parameters, point, drawEach=True)
        if compared:  # the views came back from two dates, and have another size now
            display.fitNewViews()
        yield from self._panelSteps(result)
        self._showRange(result)

    def _showingEnded(self, outcome: Any) -> None:
        self._showing = None
        if isinstance(outcome, Exception):
            logging.error("HR-CAM: %s", outcome)
        self._queueRefresh()

    def _stopShowing(self) -> None:
        runner, self._showing = self._showing, None
        if runner is not None:
            runner.cancel()

    # What the user does

    def _modelChosen(self, name: str) -> None:
        self._parameters.model = name
        self._updateApply()

    def _fusionChosen(self, fusion: str) -> None:
        self._parameters.fusion = fusion

    def _classChosen(self, index: int) -> None:
        result = self.result
        same = result is not None and self._result.classes[index] == result.shownClass and not result.withheld
        if result is None or self.logic.running or same:
            self._result.showChoices(result)
            return
        self.runs.again(result, classLabel=self._result.classes[index])

    def _markWithheld(self) -> None:
        if self.result is not None and not self.logic.running:
            self.runs.again(self.result, classLabel=self.result.shownClass)

    def _planeChosen(self, index: int) -> None:
        result = self.result
        if result is None or self.logic.running or PLANES[index].value == result.plane:
            self._result.showChoices(result)
            return
        self.runs.again(result, plane=PLANES[index].value)

    def _editSegments(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The Segment Editor could not be opened.")):
            self._comparison.end()  # segments are edited on one date
            segment_editor.openSegmentEditor(self.result)

    def _sourceChosen(self, source: str) -> None:
        self._parameters.mapSource = source

    def _rangeChosen(self, low: float, high: float) -> None:
        if self.result is not None:
            self.logic.setEvidenceRange(self.result, low, high, wait=False, source=self._shownSource(self.result))

    def _levelToggled(self, number: int, visible: bool) -> None:
        if self.result is not None:
            self.logic.showLevel(self.result, number, visible)

    def _regionChosen(self, label: int) -> None:
        if self.result is not None:
            self.logic.jumpToRegion(self.result, label)
