"""A small scripted module, written as Slicer's template, that the host's own tests load."""

import enum
from typing import Annotated

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, Default, FloatRange, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

startups = []


class Overlay(enum.Enum):
    LEVELS = "levels"
    MAP = "map"


class Panel(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Panel")
        parent.categories = ["Testing"]
        slicer.app.connect("startupCompleted()", lambda: startups.append(self.moduleName))


@parameterNodeWrapper
class PanelParameters:
    inputVolume: vtkMRMLScalarVolumeNode
    opacity: Annotated[float, WithinRange(0, 1)] = 0.5
    evidence: Annotated[FloatRange, Default(FloatRange(-1.0, 2.0))]
    device: Annotated[str, Choice(["auto", "cpu", "cuda"])] = "auto"
    overlay: Overlay = Overlay.LEVELS
    outline: bool = True
    history: list[str]


class PanelWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.entered = 0
        self.cleaned = False

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.uiWidget = slicer.util.loadUI(self.resourcePath("UI/Panel.ui"))
        self.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PanelLogic()
        self.parameters = self.logic.getParameterNode()
        widgets = {w.property("SlicerParameterName"): w for w in vars(self.ui).values()}
        self.guiTag = self.parameters.connectParametersToGui({name: w for name, w in widgets.items() if name})

    def enter(self):
        self.entered += 1

    def cleanup(self):
        self.parameters.disconnectGui(self.guiTag)
        self.removeObservers()
        self.cleaned = True


class PanelLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return PanelParameters(super().getParameterNode())


class PanelTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.assertEqual(slicer.modules.panel.title, "Panel")
        self.delayDisplay("Test passed")
