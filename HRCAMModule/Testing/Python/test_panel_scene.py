"""The panel follows the scene: saved and loaded, changed by hand or by a script, while it is open or not."""

import pytest
import vtk
from module_scene import MODEL, composite

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")


def test_a_reloaded_scene_restores_the_panel(shown, slicerHost, tmp_path):
    panel, ui, _result = shown
    ui.overlayCombo.setCurrentIndex(2)
    ui.opacitySlider.value = 0.3
    slicerHost.processEvents()
    assert slicer.util.saveScene(str(tmp_path / "case.mrb"))
    slicer.mrmlScene.Clear(False)
    slicerHost.processEvents()
    assert panel.result is None and ui.regionsTable.rowCount == 0
    slicer.util.loadScene(str(tmp_path / "case.mrb"))
    slicerHost.processEvents(0.05)
    assert panel.result is not None and panel.result.inputVolume.GetName() == "scan"
    assert ui.regionsTable.rowCount == 1
    assert ui.overlayCombo.currentIndex == 2 and ui.opacitySlider.value == pytest.approx(0.3)


def test_deleting_a_map_by_hand_empties_the_panel_without_an_error(shown, slicerHost):
    panel, ui, result = shown
    slicer.mrmlScene.RemoveNode(result.mapVolume)
    slicerHost.processEvents(0.05)
    assert panel.result is None
    assert ui.regionsTable.rowCount == 0 and not ui.exportCollapsibleButton.enabled


def test_a_result_made_in_the_console_appears_in_the_panel_as_the_script_shows_it(
    panel, slicerHost, sliceViews, addScan
):
    volume = addScan("scan")
    result = panel.logic.localize(volume, model=MODEL)
    panel.logic.showOverlay(result, kind="map", opacity=0.25)
    slicerHost.processEvents(0.1)
    assert panel.ui.inputSelector.currentNode() is volume and panel.result == result
    assert panel.ui.overlayCombo.currentIndex == 1
    layers = composite()
    assert layers.GetForegroundVolumeID() == result.mapVolume.GetID() and layers.GetLabelOpacity() == 0
    assert layers.GetForegroundOpacity() == pytest.approx(0.25)


def test_a_scene_loaded_while_another_module_is_open_leaves_the_views_alone_until_the_panel_is_opened(
    shown, slicerHost, sliceViews, tmp_path
):
    panel, ui, _result = shown
    assert slicer.util.saveScene(str(tmp_path / "case.mrb"))
    panel.exit()
    slicer.mrmlScene.Clear(False)
    slicerHost.processEvents(0.05)
    slicer.util.loadScene(str(tmp_path / "case.mrb"))
    slicer.util.setSliceViewerLayers(background=None, foreground=None, label=None)
    slicerHost.processEvents(0.1)
    assert composite().GetLabelVolumeID() is None
    panel.enter()
    slicerHost.processEvents(0.1)
    assert composite().GetLabelVolumeID() == panel.result.labelVolume.GetID()
    assert ui.regionsTable.rowCount == 1


def test_a_panel_that_a_script_made_leaves_the_views_alone_until_it_is_opened(shown, slicerHost, sliceViews):
    panel, ui, result = shown
    panel.exit()
    slicer.util.setSliceViewerLayers(background=None, foreground=None, label=None)
    panel.shownState.forgetSlices()
    panel._connectParameters()  # as `setup` does, which `slicer.util.getModuleLogic` calls
    slicerHost.processEvents(0.05)
    assert panel.result == result and ui.regionsTable.rowCount == 1
    assert composite().GetLabelVolumeID() is None and composite().GetBackgroundVolumeID() is None
    panel.enter()
    assert composite().GetLabelVolumeID() == result.labelVolume.GetID()


def test_a_panel_that_is_not_open_observes_neither_views_nor_results(shown, sliceViews, slicerHost):
    panel, _ui, result = shown
    transformed = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
    watch = panel._resultWatch
    observed = [(result.mapVolume, transformed, watch._moved),
                (result.inputVolume, transformed, watch._scanMoved),
                *((node, vtk.vtkCommand.ModifiedEvent, panel._views._moved) for node in sliceViews.values())]

    def holds():
        return [watch.hasObserver(*one) or panel._views.hasObserver(*one) for one in observed]

    assert all(holds())
    panel.exit()
    assert not any(holds())
    panel.enter()
    assert all(holds())
    slicer.mrmlScene.Clear(False)
    assert watch._result is None, "it would keep the map's memory"


def test_slice_views_that_come_with_another_layout_are_followed_too(panel):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    views = panel._views
    assert views.hasObserver(node, vtk.vtkCommand.ModifiedEvent, views._moved)
    panel.exit()
    assert not views.hasObserver(node, vtk.vtkCommand.ModifiedEvent, views._moved)
    later = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    assert not views.hasObserver(later, vtk.vtkCommand.ModifiedEvent, views._moved)
