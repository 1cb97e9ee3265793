"""Scripted modules in the host: loaded from their file, with panel, parameter node, messages and clean end."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.gui

PANEL = Path(__file__).parent / "host_data" / "Panel.py"


@pytest.fixture
def panel(slicerHost):
    """Panel's Python widget."""
    import slicer

    slicerHost.loadModule(PANEL)
    yield slicer.util.getModuleWidget("Panel")
    slicerHost.unloadModule("Panel")


@pytest.fixture
def slicer(slicerHost):
    import slicer

    return slicer


def addVolume(slicer, name, className="vtkMRMLScalarVolumeNode", dtype="f4"):
    return slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), dtype), np.eye(4), name, className)


def test_module_is_known_by_its_name(panel, slicer):
    assert slicer.modules.panel.path == str(PANEL)
    assert slicer.modules.panel.title == "Panel"
    assert slicer.util.getModule("Panel") == slicer.modules.panel
    assert slicer.util.getModuleLogic("Panel") is panel.logic
    assert slicer.modules.PanelWidget is panel
    with pytest.raises(RuntimeError, match="Could not find module"):
        slicer.util.getModule("NoSuchModule")


def test_startup_is_announced(panel, slicerHost):
    import sys

    slicerHost.completeStartup()
    assert sys.modules["Panel"].startups == ["Panel"]


def test_module_runs_its_self_test(panel, slicer):
    slicer.selfTests["Panel"](msec=0)


def test_unloading_cleans_up(slicerHost, slicer):
    slicerHost.loadModule(PANEL)
    widget = slicer.util.getModuleWidget("Panel")
    slicerHost.unloadModule("Panel")
    assert widget.cleaned
    assert not hasattr(slicer.modules, "panel")


def test_module_that_cannot_be_imported_is_not_listed(slicerHost, slicer, tmp_path):
    (tmp_path / "Broken.py").write_text("import noSuchPackageAnywhere\n")
    with pytest.raises(ModuleNotFoundError, match="noSuchPackageAnywhere"):
        slicerHost.loadModule(tmp_path / "Broken.py")
    assert not hasattr(slicer.modules, "broken")


def test_selector_follows_the_scene(panel, slicer):
    selector, seen = panel.ui.inputSelector, []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: seen.append(node and node.GetName()))
    first, second = addVolume(slicer, "first"), addVolume(slicer, "second")
    addVolume(slicer, "labels", "vtkMRMLLabelMapVolumeNode", "u1")
    assert selector.currentNode() is first
    assert selector.nodeCount() == 2, "label maps are hidden"
    selector.setCurrentNode(second)
    assert selector.currentNodeID == second.GetID()
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is first, "another fitting node is selected"
    slicer.mrmlScene.Clear(False)
    assert selector.currentNode() is None
    assert seen == ["first", "second", "first", None]


def test_selector_with_none_selects_another_node_after_removal(panel, slicer):
    selector = panel.ui.outputSelector
    addVolume(slicer, "kept", "vtkMRMLLabelMapVolumeNode", "u1")
    assert selector.currentNode() is None
    made = selector.addNode()
    assert (made.GetClassName(), selector.currentNode()) == ("vtkMRMLLabelMapVolumeNode", made)
    slicer.mrmlScene.RemoveNode(made)
    assert selector.currentNode().GetName() == "kept"


def test_selector_hides_what_is_no_slot_of_the_real_class(panel):
    with pytest.raises(AttributeError):
        panel.ui.inputSelector.setNodeTypes([])
    with pytest.raises(AttributeError):
        panel.ui.inputSelector.nodes()
    assert panel.ui.inputSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)


def test_parameters_and_widgets_follow_each_other(panel, slicer):
    parameters, ui = panel.parameters, panel.ui
    assert (parameters.opacity, ui.opacitySlider.value) == (0.5, 0.5)
    assert (ui.evidenceRange.minimumValue, ui.evidenceRange.maximumValue) == (-1.0, 2.0)
    assert [ui.deviceCombo.itemText(i) for i in range(ui.deviceCombo.count)] == ["auto", "cpu", "cuda"]
    volume = addVolume(slicer, "brain")
    assert parameters.inputVolume is volume
    parameters.opacity = 0.25
    assert ui.opacitySlider.value == 0.25
    ui.opacitySlider.value = 0.75
    assert parameters.opacity == 0.75
    ui.deviceCombo.currentIndex = 1
    ui.overlayCombo.setCurrentText("MAP")
    ui.outlineCheckBox.checked = False
    ui.evidenceRange.setValues(0.0, 3.0)
    assert (parameters.device, parameters.overlay.value, parameters.outline) == ("cpu", "map", False)
    assert (parameters.evidence.minimum, parameters.evidence.maximum) == (0.0, 3.0)


def test_disconnected_widgets_leave_parameters_alone(panel):
    panel.parameters.disconnectGui(panel.guiTag)
    panel.ui.opacitySlider.value = 0.9
    assert panel.parameters.opacity == 0.5


def test_connect_gui_connects_named_widgets_but_gives_no_tag(panel):
    panel.parameters.disconnectGui(panel.guiTag)
    assert panel.parameters.connectGui(panel.ui) is None
    panel.ui.opacitySlider.value = 0.3
    assert panel.parameters.opacity == 0.3


def test_invalid_parameters_are_refused(panel):
    with pytest.raises(ValueError, match="within range"):
        panel.parameters.opacity = 1.5
    with pytest.raises(ValueError, match="must be one of"):
        panel.parameters.device = "tpu"
    with pytest.raises(TypeError):
        panel.parameters.outline = "yes"


def test_modified_event_comes_once_per_change(panel):
    import vtk

    seen = []
    tag = panel.parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: seen.append(1))
    panel.parameters.evidence = type(panel.parameters.evidence)(0.0, 1.0)
    assert len(seen) == 1
    panel.parameters.evidence = type(panel.parameters.evidence)(0.0, 1.0)
    assert len(seen) == 1, "no change, no event"
    panel.parameters.RemoveObserver(tag)


def test_parameters_survive_a_saved_scene(panel, slicer, tmp_path):
    volume = addVolume(slicer, "brain")
    panel.parameters.opacity = 0.125
    panel.parameters.overlay = type(panel.parameters.overlay)["MAP"]
    panel.parameters.history.append("T1 – été")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    restored = panel.logic.getParameterNode()
    assert restored.inputVolume.GetName() == volume.GetName() == "brain"
    assert (restored.opacity, restored.overlay.name, list(restored.history)) == (0.125, "MAP", ["T1 – été"])
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1


def test_saved_nodes_read_back_exactly(slicerHost, slicer, tmp_path):
    matrix = np.array([[-1, 0, 0, 5], [0, 0, 2, -3], [0, 1.5, 0, 7], [0, 0, 0, 1]], float)
    array = np.arange(60, dtype="f4").reshape(3, 4, 5)
    volume = slicer.util.addVolumeFromArray(array, matrix, "odd")
    assert slicer.util.saveNode(volume, str(tmp_path / "odd.nii.gz"))
    again = slicer.util.loadVolume(str(tmp_path / "odd.nii.gz"))
    back = slicer.util.arrayFromVolume(again)
    import vtk

    toRas = vtk.vtkMatrix4x4()
    again.GetIJKToRASMatrix(toRas)
    corner = slicer.util.arrayFromVTKMatrix(toRas) @ [0, 0, 0, 1]
    index = np.rint(np.linalg.inv(matrix) @ corner).astype(int)[:3]
    assert back[0, 0, 0] == array[tuple(index[::-1])]
    with pytest.raises(RuntimeError):
        slicer.util.loadVolume(str(tmp_path / "missing.nii.gz"))


def test_messages_are_recorded_and_questions_answered(slicerHost, slicer):
    import qt

    slicer.util.errorDisplay("No model.", windowTitle="HR-CAM")
    slicerHost.setTesting(False)
    slicerHost.dialogs.answers.append(qt.QMessageBox.Cancel)
    assert slicer.util.confirmOkCancelDisplay("Install?") is False
    assert slicer.util.confirmYesNoDisplay("Continue?") is True
    slicer.util.warningDisplay("Wrong modality.", detailedText="CT")
    assert [(m.kind, m.text) for m in slicerHost.dialogs.messages][:2] == [
        ("critical", "No model."),
        ("question", "Install?"),
    ]
    assert slicerHost.dialogs.messages[-1].detailedText == "CT"


def test_error_display_shows_what_was_raised(slicerHost, slicer):
    slicerHost.setTesting(False)
    with pytest.raises(ValueError), slicer.util.tryWithErrorDisplay("Localization failed."):
        raise ValueError("the reason")
    assert slicerHost.dialogs.texts == ["Localization failed.\n\nthe reason"]


def test_packages_are_installed_only_as_the_test_says(slicerHost, slicer, monkeypatch, tmp_path):
    packaging = slicer.packaging
    monkeypatch.setattr(packaging, "requests", [])
    (tmp_path / "requirements.txt").write_text("# needed\nnumpy>=1.0\nno-such-package-at-all>=2\n")
    requirements = packaging.load_requirements(tmp_path / "requirements.txt")
    packaging.pip_ensure(requirements, requester="HR-CAM")
    assert packaging.requests == [], "nothing while testing"
    slicerHost.setTesting(False)
    with pytest.raises(RuntimeError, match="installs nothing"):
        packaging.pip_ensure(requirements, requester="HR-CAM")
    monkeypatch.setattr(packaging, "installer", lambda request: None)
    slicer.util.pip_install("another-package")
    assert packaging.requests == [["no-such-package-at-all>=2"], ["another-package"]]


def test_pytorch_extension_can_be_absent_or_there(slicerHost):
    from Testing.host import pytorch_extension

    with pytest.raises(ImportError):
        import PyTorchUtils
    pytorch_extension.setState("ready")
    import PyTorchUtils

    assert PyTorchUtils.PyTorchUtilsLogic().torchInstalled()
    pytorch_extension.setState("absent")


def test_console_process_reports_lines_and_end(slicerHost, slicer):
    import sys

    lines, codes = [], []
    slicer.util.launchConsoleProcess(
        [sys.executable, "-c", "print('one'); print('two'); raise SystemExit(4)"],
        blocking=False,
        logCallback=lines.append,
        completedCallback=codes.append,
    )
    slicerHost.waitUntil(lambda: codes)
    assert (lines, codes) == (["one", "two"], [4])


def test_without_main_window_there_is_no_layout(slicerHost, slicer):
    assert slicer.app.layoutManager() is None
    assert slicer.util.mainWindow() is None
    with pytest.raises(RuntimeError):
        slicer.util.selectModule("Panel")
