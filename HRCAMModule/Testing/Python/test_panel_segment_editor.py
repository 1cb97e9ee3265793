"""In Slicer's main window: over to the Segment Editor and back, and to another layout."""

import pytest
from module_scene import MODEL, composite

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")


def test_segment_editor_opens_on_the_scan_with_visible_segments_and_the_overlay_comes_back(
    _loadedModule, mainWindow, slicerHost, addScan
):
    slicer.util.selectModule("HRCAMModule")
    panel = slicer.util.getModuleWidget("HRCAMModule")
    volume = addScan()
    slicerHost.processEvents(0.05)
    result = panel.logic.localize(volume, model=MODEL)
    panel.showNew(result)
    slicerHost.waitUntil(lambda: panel._showing is None)
    slicerHost.processEvents(0.05)
    layers, display = composite(), result.segmentation.GetDisplayNode()
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(result.labelVolume)

    def checkOverlay():
        assert layers.GetLabelVolumeID() == result.labelVolume.GetID() and legend.GetVisibility()
        assert not display.GetVisibility2D()

    checkOverlay()
    slicer.util.selectModule("")  # another module leaves the views as they are
    slicerHost.processEvents(0.05)
    checkOverlay()
    slicer.util.selectModule("HRCAMModule")
    assert result.segmentation.GetNodeReference("referenceImageGeometryRef") is volume
    for leave in (panel.ui.editSegmentsButton.click, lambda: slicer.util.selectModule("SegmentEditor")):
        leave()
        slicerHost.processEvents(0.05)
        editor = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
        assert editor.GetSegmentationNode() is result.segmentation and editor.GetSourceVolumeNode() is volume
        assert layers.GetBackgroundVolumeID() == volume.GetID() and layers.GetLabelVolumeID() is None
        assert display.GetVisibility2D() and not legend.GetVisibility()
        slicer.util.selectModule("HRCAMModule")
        slicerHost.processEvents(0.05)
        checkOverlay()
    slicer.util.selectModule("")


def test_views_of_another_layout_show_the_same_slice_with_its_legend(_loadedModule, mainWindow, slicerHost, addScan):
    slicer.util.selectModule("HRCAMModule")
    panel = slicer.util.getModuleWidget("HRCAMModule")
    volume = addScan()
    result = panel.logic.localize(volume, model=MODEL)
    panel.showNew(result)
    slicerHost.waitUntil(lambda: panel._showing is None)
    place = slicer.util.getNodesByClass("vtkMRMLCrosshairNode")[0].GetCrosshairRAS()
    manager, before = slicer.app.layoutManager(), set(slicer.app.layoutManager().sliceViewNames())
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutThreeByThreeSliceView)
    slicerHost.waitUntil(lambda: not panel._views._queued and not panel._refreshQueued, 30)
    slicerHost.processEvents(0.1)
    added = [manager.sliceWidget(name) for name in set(manager.sliceViewNames()) - before]
    assert added
    for view in added:
        assert view.sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
        assert min(view.mrmlSliceNode().GetFieldOfView()[:2]) < 60, "the scan has 52 mm"
        assert abs(view.mrmlSliceNode().GetSliceToRAS().GetElement(2, 3) - place[2]) < 1, "the slice that was shown"
        legends = view.sliceView().displayableManagerByClassName("vtkMRMLColorLegendDisplayableManager")
        legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(result.labelVolume)
        assert legends.GetColorLegendActor(legend).GetVisibility()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    slicer.util.selectModule("")


def test_a_chosen_result_of_another_scan_is_brought_into_view(_loadedModule, mainWindow, slicerHost, addScan):
    slicer.util.selectModule("HRCAMModule")
    panel = slicer.util.getModuleWidget("HRCAMModule")
    first, far = addScan("first"), addScan("far")
    matrix = slicer.util.arrayFromVTKMatrix(slicer.vtkMRMLSliceNode().GetSliceToRAS())
    matrix[:3, 3] = 400.0
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    far.SetAndObserveTransformNodeID(transform.GetID())
    for volume in (first, far):
        panel.showNew(panel.logic.localize(volume, model=MODEL))
        slicerHost.waitUntil(lambda: panel._showing is None, 30)
    panel.ui.resultCombo.activated(1)
    slicerHost.waitUntil(lambda: panel._showing is None and not panel._refreshQueued, 30)
    assert panel.result.inputVolume is first
    seen, place = composite(), panel.result.regions[0]["peak_ras"]
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    assert seen.GetBackgroundVolumeID() == first.GetID()
    assert abs(red.GetSliceToRAS().GetElement(2, 3) - place[2]) < 1
    assert abs(red.GetSliceToRAS().GetElement(0, 3)) < 100, "the view is centered on this scan"
    slicer.util.selectModule("")
