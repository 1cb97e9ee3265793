"""What the panel shows in the views: overlays, levels, the range of evidence, surfaces and volume rendering."""

import json

import numpy as np
import pytest
from module_scene import MODEL, composite

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")


def test_choosing_an_overlay_changes_the_slice_layers(sliceViews, shown, slicerHost):
    _panel, ui, result = shown
    layers = composite()
    assert layers.GetLabelVolumeID() == result.labelVolume.GetID()
    assert layers.GetBackgroundVolumeID() == result.inputVolume.GetID()
    ui.overlayCombo.setCurrentIndex(1)
    slicerHost.processEvents()
    assert layers.GetForegroundVolumeID() == result.mapVolume.GetID()
    assert layers.GetLabelOpacity() == 0, "there for its legend and for the names in Data Probe"
    ui.mapSourceCombo.setCurrentIndex(2)
    ui.mapSourceCombo.activated(2)
    slicerHost.processEvents()
    assert layers.GetForegroundVolumeID() == result.levelVolumes["stages.1"].GetID()
    ui.opacitySlider.value = 0.8
    ui.outlineCheckBox.click()
    slicerHost.processEvents()
    assert layers.GetForegroundOpacity() == pytest.approx(0.8)
    assert all(node.GetUseLabelOutline() for node in sliceViews.values())


def test_the_legend_of_a_single_level_speaks_of_evidence_as_the_panel_does(logic, addScan):
    result = logic.localize(addScan(), model=MODEL)
    logic.showOverlay(result, kind="map", source="stages.0", legend=True)
    volume = result.levelVolumes["stages.0"]
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(volume)
    colors = volume.GetDisplayNode().GetColorNode()
    named = [colors.GetColorName(entry) for entry in range(colors.GetNumberOfColors()) if colors.GetColorDefined(entry)]
    assert legend.GetVisibility() and legend.GetUseColorNamesForLabels() and legend.GetTitleText() == "Evidence"
    assert len(named) == 3 and named[-1] == f"{result.inUnits(result.evidenceSpan('stages.0')[1])} × possible"


def test_the_range_slider_hides_weak_evidence(shown, slicerHost):
    from HRCAMModuleLib.display import FUSED, mapRange

    _panel, ui, result = shown
    before = np.count_nonzero(slicer.util.arrayFromVolume(result.shownLabels))
    probable = result.evidenceLevels[1]["threshold"] / result.unit
    ui.evidenceRangeWidget.setValues(probable, result.evidenceSpan()[1] / result.unit)
    slicerHost.processEvents(0.2)
    assert 0 < np.count_nonzero(slicer.util.arrayFromVolume(result.shownLabels)) < before
    assert mapRange(result, FUSED)[0] == pytest.approx(result.evidenceLevels[1]["threshold"])


def test_the_calibrated_levels_are_marked_and_can_be_hidden_one_by_one(shown, slicerHost):
    from HRCAMModuleLib.display import visibleLevels

    panel, ui, result = shown
    checks = panel._display._checks
    assert [check.text for check in checks] == ["possible", "probable", "strong"]
    checks[0].click()
    assert visibleLevels(result) == [False, True, True]
    image = ui.evidenceMarksLabel.pixmap.toImage() if not callable(ui.evidenceMarksLabel.pixmap) \
        else ui.evidenceMarksLabel.pixmap().toImage()
    assert not image.isNull()


@pytest.mark.parametrize("strongest", [2.0, 2.01, 347.113, 348.1704])
def test_moving_the_lower_end_of_the_range_hides_nothing_at_the_upper_end(shown, slicerHost, strongest):
    """The range widget rounds to two decimals: rounded down, its upper end lies below the end of the scale."""
    from HRCAMModuleLib.display import FUSED, mapRange

    panel, ui, result = shown
    levels = [{**level, "threshold": strongest * part}
              for level, part in zip(result.info["evidence_levels"], (0.5, 0.8, 1.0), strict=True)]
    result.resultNode.SetText(json.dumps({**result.info, "evidence_levels": levels}))
    panel.logic.select(result)
    panel.refresh()
    slider = ui.evidenceRangeWidget
    assert 100 <= (slider.maximum - slider.minimum) / slider.singleStep <= 1000
    slider.setValues(1.2, slider.maximumValue)
    slicerHost.processEvents(0.05)
    assert mapRange(result, FUSED)[1] == result.evidenceSpan()[1]
    assert result.mapVolume.GetDisplayNode().GetUpperThreshold() > 1e5


def test_moving_a_handle_to_a_level_means_exactly_that_level(shown, slicerHost):
    from HRCAMModuleLib.display import FUSED, mapRange

    _panel, ui, result = shown
    for level in result.evidenceLevels:
        ui.evidenceRangeWidget.setValues(level["threshold"] / result.unit, ui.evidenceRangeWidget.maximum)
        assert mapRange(result, FUSED)[0] == level["threshold"]


def test_each_result_keeps_its_own_range_and_the_slider_says_what_the_views_show(shown, slicerHost, addScan):
    panel, ui, first = shown
    weakest, probable = (level["threshold"] / first.unit for level in first.evidenceLevels[:2])
    ui.evidenceRangeWidget.setValues(probable, ui.evidenceRangeWidget.maximum)
    panel.showNew(panel.logic.localize(addScan("second"), model=MODEL))
    slicerHost.waitUntil(lambda: panel._showing is None)
    assert ui.evidenceRangeWidget.minimumValue == pytest.approx(weakest, abs=0.01)
    ui.inputSelector.setCurrentNode(first.inputVolume)
    slicerHost.processEvents(0.05)
    assert panel.result == first and ui.evidenceRangeWidget.minimumValue == pytest.approx(probable, abs=0.01)
    panel.logic.setEvidenceRange(first, *first.defaultRange())  # by a script
    slicerHost.processEvents(0.05)
    assert ui.evidenceRangeWidget.minimumValue == pytest.approx(weakest, abs=0.01)


def test_a_scan_without_a_result_does_not_show_the_range_of_the_former_one(shown, slicerHost, addScan):
    _panel, ui, _result = shown
    slider, filled = ui.evidenceRangeWidget, (ui.evidenceRangeWidget.minimum, ui.evidenceRangeWidget.maximum)
    ui.inputSelector.setCurrentNode(addScan("not read yet"))
    slicerHost.processEvents(0.05)
    assert not slider.enabled and (slider.minimum, slider.maximum) != filled
    assert (slider.minimumValue, slider.maximumValue) == (slider.minimum, slider.maximum)


def test_surfaces_and_volume_rendering_appear_on_request(shown):
    from HRCAMModuleLib.volume_rendering import surfacesVisible, volumeRenderingVisible

    _panel, ui, result = shown
    ui.surfacesCheckBox.click()
    ui.volumeRenderingCheckBox.click()
    assert surfacesVisible(result) and volumeRenderingVisible(result)
    ui.surfacesCheckBox.click()
    assert not surfacesVisible(result)


def test_3d_views_look_at_the_head_and_are_filled_by_it_wherever_other_scans_lie(mainWindow, logic, addScan):
    addScan("elsewhere").SetOrigin(600, 0, 0)
    result = logic.localize(addScan(), model=MODEL)
    logic.showIn3D(result)
    window = slicer.app.layoutManager().threeDWidget(0).threeDView().renderWindow()
    camera = window.GetRenderers().GetFirstRenderer().GetActiveCamera()
    bounds = np.zeros(6)
    result.headModel.GetRASBounds(bounds)
    low, high = bounds.reshape(3, 2).T
    assert camera.GetFocalPoint() == pytest.approx((low + high) / 2, abs=0.01)
    inView = 2 * camera.GetDistance() * np.tan(np.radians(camera.GetViewAngle()) / 2)
    assert 0.6 < max(high - low) / inView < 1.0


def test_a_view_is_fitted_to_its_scan_in_another_size_too_unless_the_user_zoomed(mainWindow, ready, slicerHost):
    from HRCAMModuleLib.display import isFitted

    logic = slicer.app.layoutManager().sliceWidget("Yellow").sliceLogic()
    node = logic.GetSliceNode()
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(ready[2].GetID())
    logic.ResizeSliceNode(300, 200)
    logic.FitSliceToBackground()
    node.SetSliceOffset(3.0)
    slicerHost.processEvents(0.05)
    logic.ResizeSliceNode(200, 400)  # as Slicer does where the widget has another size
    assert not isFitted(node), "Slicer cuts the sides off"
    slicerHost.processEvents(0.05)
    assert isFitted(node) and node.GetSliceOffset() == pytest.approx(3.0)
    logic.ResizeSliceNode(400, 200)
    slicerHost.processEvents(0.05)
    assert isFitted(node), "nor does the head become small where there is more room"
    node.SetFieldOfView(*(0.5 * side for side in node.GetFieldOfView()[:2]), node.GetFieldOfView()[2])
    slicerHost.processEvents(0.05)
    zoomed = node.GetFieldOfView()
    logic.ResizeSliceNode(300, 400)
    slicerHost.processEvents(0.05)
    assert node.GetFieldOfView()[1] == pytest.approx(zoomed[1])


def test_volume_rendering_under_a_non_linear_transform_says_to_harden_it(shown, slicerHost):
    import vtk

    _panel, ui, result = shown
    slicerHost.setTesting(False)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    spline = vtk.vtkThinPlateSplineTransform()
    node.SetAndObserveTransformFromParent(spline)
    result.mapVolume.SetAndObserveTransformNodeID(node.GetID())
    ui.volumeRenderingCheckBox.click()
    assert any("harden" in text for text in slicerHost.dialogs.texts)
    slicerHost.errors.clear()  # Slicer prints what it has shown
    slicerHost.processEvents(0.05)
    assert not ui.volumeRenderingCheckBox.checked
