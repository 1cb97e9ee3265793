"""The host's slice and 3D views render the real scene; layout, jumps and interaction work as in Slicer."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.gui

SPACING, LESION = 2.0, (slice(12, 18), slice(14, 20), slice(10, 16))  # KJI
LESION_RAS = (-2.0 * 12.5, -2.0 * 16.5, 2.0 * 14.5)


@pytest.fixture
def slicer(slicerHost):
    import slicer

    return slicer


@pytest.fixture
def brain(slicer):
    """A gray block of 40 × 40 × 30 voxels, LPS axes."""
    array = np.full((30, 40, 40), 100, "f4")
    matrix = np.diag([-SPACING, -SPACING, SPACING, 1.0])
    volume = slicer.util.addVolumeFromArray(array, matrix, "brain")
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    return volume


@pytest.fixture
def lesion(slicer, brain):
    """A red label map of one cuboid."""
    labels = np.zeros((30, 40, 40), "u1")
    labels[LESION] = 1
    node = slicer.util.addVolumeFromArray(
        labels, np.diag([-SPACING, -SPACING, SPACING, 1.0]), "lesion", "vtkMRMLLabelMapVolumeNode"
    )
    colors = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "levels")
    colors.SetTypeToUser()
    colors.SetNumberOfColors(2)
    colors.SetColor(0, "none", 0, 0, 0, 0)
    colors.SetColor(1, "lesion", 1, 0, 0, 1)
    node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    return node


def jump(slicer, ras):
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)


def center(slicer, name):
    """The color in the middle of a slice view."""
    pixels = slicer.app.layoutManager().sliceWidget(name).sliceView()._qobject().pixels()
    return tuple(int(c) for c in pixels[pixels.shape[0] // 2, pixels.shape[1] // 2])


def test_four_up_layout_has_three_slices_and_a_3d_view(mainWindow, slicer):
    manager = slicer.app.layoutManager()
    assert sorted(manager.sliceViewNames()) == ["Green", "Red", "Yellow"]
    assert manager.threeDViewCount == 1
    orientations = {n: manager.sliceWidget(n).mrmlSliceNode().GetOrientation() for n in manager.sliceViewNames()}
    assert orientations == {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
    assert slicer.util.mainWindow() == mainWindow


def test_layout_can_be_changed_and_back(mainWindow, slicer, slicerHost):
    manager = slicer.app.layoutManager()
    red = manager.sliceWidget("Red")
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    slicerHost.processEvents()
    assert (red.visible, manager.sliceWidget("Green").visible) == (True, False)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    slicerHost.processEvents()
    assert manager.sliceWidget("Red") == red
    assert manager.sliceWidget("Green").visible


def test_slices_show_volume_and_label_where_they_are(mainWindow, slicer, brain, lesion, slicerHost):
    slicer.util.setSliceViewerLayers(background=brain, label=lesion, labelOpacity=1.0)
    slicer.util.resetSliceViews()
    jump(slicer, LESION_RAS)
    assert {center(slicer, n) for n in ("Red", "Green", "Yellow")} == {(255, 0, 0)}
    jump(slicer, (-20.0, -60.0, 10.0))
    gray = center(slicer, "Red")
    assert gray[0] == gray[1] == gray[2] and 120 <= gray[0] <= 135


def test_jump_moves_all_slices(mainWindow, slicer, brain):
    slicer.util.setSliceViewerLayers(background=brain)
    jump(slicer, LESION_RAS)
    manager = slicer.app.layoutManager()
    offsets = [manager.sliceWidget(n).sliceLogic().GetSliceOffset() for n in ("Yellow", "Green", "Red")]
    assert np.allclose(np.abs(offsets), np.abs(LESION_RAS))
    planes = [manager.sliceWidget(n).mrmlSliceNode().GetSliceToRAS() for n in ("Yellow", "Green", "Red")]
    assert np.allclose([plane.GetElement(i, 3) for i, plane in enumerate(planes)], LESION_RAS)


def test_wheel_steps_through_slices(mainWindow, slicer, brain, slicerHost):
    from PySide6 import QtCore, QtGui
    from PySide6.QtCore import Qt

    slicer.util.setSliceViewerLayers(background=brain)
    slicer.util.resetSliceViews()
    red = slicer.app.layoutManager().sliceWidget("Red")
    before = red.sliceLogic().GetSliceOffset()
    view = red.sliceView()._qobject()
    at = QtCore.QPointF(view.rect().center())
    turn = QtCore.QPoint(0, 120)
    event = QtGui.QWheelEvent(at, at, turn, turn, Qt.NoButton, Qt.NoModifier, Qt.NoScrollPhase, False)
    slicerHost._application.sendEvent(view, event)
    assert abs(red.sliceLogic().GetSliceOffset() - before) == pytest.approx(SPACING)


def test_segment_surface_appears_in_3d(mainWindow, slicer, brain, lesion, slicerHost):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(brain)
    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    slicer.util.resetThreeDViews()
    before = view._qobject().pixels().astype(int)
    assert slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(lesion, segmentation)
    segmentation.CreateClosedSurfaceRepresentation()
    slicer.util.resetThreeDViews()
    after = view._qobject().pixels().astype(int)
    reddish = (after[..., 0] > 150) & (after[..., 1] < 90) & (after[..., 2] < 90)
    assert reddish.mean() > 0.003, "small: the box around all views' space is in the frame, as in Slicer"
    assert not ((before[..., 0] > 150) & (before[..., 1] < 90) & (before[..., 2] < 90)).any()


def test_volume_rendering_appears_in_3d(mainWindow, slicer, brain):
    volume = brain
    slicer.util.arrayFromVolume(volume)[:] = 0
    slicer.util.arrayFromVolume(volume)[LESION] = 200
    slicer.util.arrayFromVolumeModified(volume)
    logic = slicer.modules.volumerendering.logic()
    display = logic.CreateDefaultVolumeRenderingNodes(volume)
    assert display.IsA("vtkMRMLCPURayCastVolumeRenderingDisplayNode")
    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    logic.CopyDisplayToVolumeRenderingDisplayNode(display)
    display.SetVisibility(True)
    slicer.util.resetThreeDViews()
    shown = view._qobject().pixels()
    display.SetVisibility(False)
    assert (view._qobject().pixels() != shown).any(axis=2).mean() > 0.005


def test_picture_of_the_window_contains_the_views(mainWindow, slicer, brain, lesion, slicerHost):
    slicer.util.setSliceViewerLayers(background=brain, label=lesion, labelOpacity=1.0)
    slicer.util.resetSliceViews()
    jump(slicer, LESION_RAS)
    slicerHost.processEvents(0.1)
    red = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    picture = mainWindow.grab().toImage()
    at = red._qobject().mapTo(mainWindow._qobject(), red._qobject().rect().center())
    color = picture.pixelColor(at.x(), at.y())
    assert (color.red(), color.green(), color.blue()) == (255, 0, 0)


def test_module_panel_enters_and_leaves_with_selection(mainWindow, slicer, slicerHost):
    slicerHost.loadModule(Path(__file__).parent / "host_data" / "Panel.py")
    slicer.util.selectModule("Panel")
    widget = slicer.util.getModuleWidget("Panel")
    assert (widget.entered, slicer.util.selectedModule()) == (1, "Panel")
    slicerHost.processEvents()
    assert widget.ui.applyButton.visible
    slicerHost.unloadModule("Panel")
    assert slicer.util.selectedModule() == ""


def test_a_panel_outlives_the_window_that_showed_it(slicer, slicerHost):
    slicerHost.loadModule(Path(__file__).parent / "host_data" / "Panel.py")
    widget = slicer.util.getModuleWidget("Panel")
    for _ in range(2):
        try:
            slicerHost.openMainWindow()
        except RuntimeError as problem:
            pytest.skip(str(problem))
        slicer.util.selectModule("Panel")
        slicerHost.closeMainWindow()
        assert widget.ui.applyButton.objectName == "applyButton"
    slicerHost.unloadModule("Panel")


def test_views_survive_a_closed_scene(mainWindow, slicer, brain, slicerHost):
    slicer.util.setSliceViewerLayers(background=brain)
    slicer.mrmlScene.Clear(False)
    slicerHost.processEvents()
    manager = slicer.app.layoutManager()
    node = manager.sliceWidget("Red").mrmlSliceNode()
    assert node.GetScene() is slicer.mrmlScene
    assert manager.sliceWidget("Red").sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID() is None
