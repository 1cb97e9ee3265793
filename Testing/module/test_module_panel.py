"""The panel, clicked as a user clicks it, with the real engine in its own process."""

import time

import numpy as np
import pytest

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")

MODEL = "bright-blob"


@pytest.fixture
def ready(panel, slicerHost, addScan):
    """The panel with a scan chosen; gives (panel, its widgets, the scan)."""
    volume = addScan("scan")
    panel.ui.inputSelector.setCurrentNode(volume)
    slicerHost.processEvents()
    return panel, panel.ui, volume


@pytest.fixture
def shown(ready, logic, slicerHost):
    """The panel showing a result computed in this process; gives (panel, its widgets, the result)."""
    panel, ui, volume = ready
    result = logic.localize(volume, model=MODEL)
    panel._runDone(result)
    slicerHost.waitUntil(lambda: panel._showing is None)
    slicerHost.processEvents()
    return panel, ui, result


def composite():
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")


SLICE_LOGICS = {}


@pytest.fixture
def sliceViews(panel):
    """Red, yellow and green slice nodes by name, as Slicer's main window brings them; they outlive a closed scene."""
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        if name not in SLICE_LOGICS:
            logic = SLICE_LOGICS[name] = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
            logic.SetMRMLScene(slicer.mrmlScene)
            logic.AddSliceNode(name)
        SLICE_LOGICS[name].GetSliceNode().SetOrientation(orientation)
    panel._watchSlices(True)
    return {name: logic.GetSliceNode() for name, logic in SLICE_LOGICS.items()}


@pytest.fixture(scope="module", autouse=True)
def _removeSliceLogics():
    yield
    for logic in SLICE_LOGICS.values():
        logic.SetMRMLScene(None)
    SLICE_LOGICS.clear()


def test_the_button_says_what_is_missing_until_a_run_is_possible(panel, slicerHost, addScan):
    ui = panel.ui
    assert not ui.applyButton.enabled and "volume" in ui.applyButton.toolTip
    ui.inputSelector.setCurrentNode(addScan())
    slicerHost.processEvents()
    assert ui.applyButton.enabled and ui.applyButton.text == "Localize pathology"


def test_the_model_is_described_before_it_is_run(ready):
    _, ui, _ = ready
    names = [ui.modelCombo.itemText(n) for n in range(ui.modelCombo.count)]
    ui.modelCombo.setCurrentIndex(names.index("Bright blob (test model)"))
    ui.modelCombo.activated(ui.modelCombo.currentIndex)
    text = ui.modelInfoLabel.text
    for part in ("by hand-set weights", "MR T1", "lesion, no lesion", "balanced accuracy 1.00", "Research use only"):
        assert part in text


def test_a_click_localizes_in_the_worker_and_a_second_click_finds_it_warm(ready, slicerHost):
    panel, ui, volume = ready
    panel._parameters.model = MODEL
    pids, longest = [], 0.0
    for _ in range(2):
        ui.applyButton.click()
        assert ui.applyButton.text == "Cancel" and not ui.progressBar.isHidden()
        start = time.monotonic()
        while panel.logic.running:
            assert time.monotonic() < start + 120, ui.logText.plainText
            turn = time.perf_counter()
            slicer.app.processEvents()
            longest = max(longest, time.perf_counter() - turn)
            time.sleep(0.002)
        slicerHost.waitUntil(lambda: panel._showing is None)
        slicerHost.processEvents(0.05)
        assert ui.statusLabel.text == "Done: lesion.", ui.statusLabel.text
        pids.append(panel.logic._worker._process._process.processId())
    assert pids[0] == pids[1] > 0
    assert panel.result.inputVolume is volume
    assert ui.regionsTable.rowCount == 1
    assert len(panel.logic.results()) == 1
    assert longest < 0.5, "far above the 0.1 s that an idle computer shows: something blocks the panel"


def test_cancel_ends_the_process_tree_within_a_second_and_leaves_the_scene_as_it_was(ready, slicerHost):
    psutil = pytest.importorskip("psutil")
    panel, ui, _ = ready
    panel._parameters.model = MODEL
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    ui.applyButton.click()
    slicerHost.waitUntil(lambda: panel.logic._worker is not None and panel.logic._worker._process.running)
    pid = panel.logic._worker._process._process.processId()
    start = time.monotonic()
    ui.applyButton.click()
    assert time.monotonic() - start < 1.0
    assert ui.applyButton.text == "Localize pathology" and ui.applyButton.enabled
    slicerHost.waitUntil(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 1.0)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


def test_closing_the_scene_during_a_run_stops_it(ready, slicerHost):
    panel, ui, _ = ready
    panel._parameters.model = MODEL
    ui.applyButton.click()
    slicerHost.waitUntil(lambda: panel.logic._worker is not None and panel.logic._worker._process.running)
    slicer.mrmlScene.Clear(False)
    slicerHost.processEvents(0.05)
    assert not panel.logic.running
    assert not panel.logic._worker._process.running
    assert ui.applyButton.text == "Localize pathology"
    assert slicer.util.getNodesByClass("vtkMRMLTextNode") == []


def test_an_engine_error_is_told_with_what_to_do_next(ready, slicerHost):
    panel, ui, volume = ready
    panel._parameters.model = MODEL
    slicer.util.arrayFromVolume(volume)[:] = 7
    ui.applyButton.click()
    slicerHost.waitUntil(lambda: not panel.logic.running, 120)
    assert "." in ui.statusLabel.text and ui.statusLabel.text != "Done: lesion."
    assert ui.applyButton.enabled
    assert slicerHost.dialogs.texts and ui.statusLabel.text in slicerHost.dialogs.texts[-1]
    assert panel.logic.results() == []


def test_the_result_shows_probabilities_class_and_regions(shown):
    panel, ui, result = shown
    bars = [widget for widget in panel._result.bars._widgets if widget.className() == "QProgressBar"]
    assert [bar.value for bar in bars] == [round(1000 * p) for p in sorted(result.probabilities.values(), reverse=True)]
    assert ui.classCombo.currentText == "lesion"
    assert "lesion" in ui.resultTitleLabel.text
    assert ui.regionsTable.item(0, 1).text() == result.regions[0]["level"]


def test_a_normal_scan_says_that_the_overlay_is_empty(ready, logic, addScan, slicerHost):
    panel, ui, _ = ready
    panel._runDone(logic.localize(addScan("normal", lesion_ras=None), model=MODEL))
    slicerHost.waitUntil(lambda: panel._showing is None)
    assert not ui.noRegionsLabel.isHidden() and "empty" in ui.noRegionsLabel.text
    assert ui.regionsTable.isHidden()


def test_warnings_are_shown_and_hidden_when_there_are_none(shown, slicerHost):
    panel, ui, result = shown
    info = {**result.info, "warnings": ["The scan is <brighter> than the model's."]}
    import json

    result.resultNode.SetText(json.dumps(info))
    panel.refresh()
    assert not ui.warningsLabel.isHidden() and "&lt;brighter&gt;" in ui.warningsLabel.text
    assert panel.ui.resultsCollapsibleButton.layout().indexOf(ui.warningsLabel) == 1, "above the bars"
    result.resultNode.SetText(json.dumps({**info, "warnings": []}))
    panel.refresh()
    assert ui.warningsLabel.isHidden()


def test_choosing_an_overlay_changes_the_slice_layers(sliceViews, shown, slicerHost):
    _panel, ui, result = shown
    layers = composite()
    assert layers.GetLabelVolumeID() == result.labelVolume.GetID()
    assert layers.GetBackgroundVolumeID() == result.inputVolume.GetID()
    ui.overlayCombo.setCurrentIndex(1)
    slicerHost.processEvents()
    assert layers.GetForegroundVolumeID() == result.mapVolume.GetID() and layers.GetLabelVolumeID() is None
    ui.mapSourceCombo.setCurrentIndex(2)
    ui.mapSourceCombo.activated(2)
    slicerHost.processEvents()
    assert layers.GetForegroundVolumeID() == result.levelVolumes["stages.1"].GetID()
    ui.opacitySlider.value = 0.8
    ui.outlineCheckBox.click()
    slicerHost.processEvents()
    assert layers.GetForegroundOpacity() == pytest.approx(0.8)
    assert all(node.GetUseLabelOutline() for node in sliceViews.values())


def test_the_range_slider_hides_weak_evidence(shown, slicerHost):
    panel, ui, result = shown
    labels = slicer.util.arrayFromVolume(result.labelVolume)
    before = np.count_nonzero(labels)
    ui.evidenceRangeWidget.setValues(result.evidenceLevels[1]["threshold"], result.evidenceSpan()[1])
    slicerHost.processEvents(0.2)
    assert 0 < np.count_nonzero(labels) < before
    assert panel._parameters.evidenceLow == pytest.approx(result.evidenceLevels[1]["threshold"])


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


def test_a_click_on_a_region_moves_all_views_to_it(sliceViews, shown, slicerHost):
    _panel, ui, result = shown
    for node in sliceViews.values():
        node.JumpSliceByCentering(15, 15, 15)
    ui.regionsTable.cellClicked(0, 0)
    point = result.regions[0]["peak_ras"]
    for name, axis in (("Red", 2), ("Yellow", 0), ("Green", 1)):
        assert sliceViews[name].GetSliceToRAS().GetElement(axis, 3) == pytest.approx(point[axis])


def test_stepping_through_the_strongest_slices_moves_the_views_and_the_marker(sliceViews, shown, slicerHost):
    panel, ui, result = shown
    evidence = [item["evidence"] for item in result.slices]
    order = np.argsort(-np.array(evidence), kind="stable")
    panel._result.plot.setCurrent(-1)
    ui.nextStrongestButton.click()
    assert panel._result.plot.current == order[0] and not ui.previousStrongestButton.enabled
    ui.nextStrongestButton.click()
    assert panel._result.plot.current == order[1]
    expected = result.slices[order[1]]["position_ras"][2]
    assert sliceViews["Red"].GetSliceToRAS().GetElement(2, 3) == pytest.approx(expected)
    ui.previousStrongestButton.click()
    assert panel._result.plot.current == order[0]
    position = result.slices[3]["position_ras"]
    sliceViews["Red"].JumpSliceByCentering(*position)  # the user scrolls in the view
    slicerHost.processEvents()
    assert panel._result.plot.current == 3 and ui.sliceSlider.value == 3


def test_a_click_in_the_plot_goes_to_the_slice_under_it(sliceViews, shown):
    panel, ui, result = shown
    from HRCAMModuleLib.evidence_plot import LEFT, RIGHT

    width, count = ui.evidencePlotLabel.width, len(result.slices)
    panel._result.plot.clickedAt(LEFT + (10 + 0.5) * (width - LEFT - RIGHT) / count)
    assert panel._result.plot.current == 10
    assert sliceViews["Red"].GetSliceToRAS().GetElement(2, 3) == pytest.approx(result.slices[10]["position_ras"][2])


def test_surfaces_and_volume_rendering_appear_on_request(shown):
    from HRCAMModuleLib.volume_rendering import surfacesVisible, volumeRenderingVisible

    _panel, ui, result = shown
    ui.surfacesCheckBox.click()
    ui.volumeRenderingCheckBox.click()
    assert surfacesVisible(result) and volumeRenderingVisible(result)
    ui.surfacesCheckBox.click()
    assert not surfacesVisible(result)


def test_export_writes_what_is_ticked(shown, tmp_path):
    _panel, ui, _result = shown
    ui.exportButton.click()
    assert "folder" in ui.exportStatusLabel.text
    ui.exportFolderPath.currentPath = str(tmp_path)
    ui.exportOverviewCheckBox.checked = False
    ui.exportButton.click()
    names = {path.name for path in tmp_path.iterdir()}
    assert {"scan_result.json", "scan_map.nii.gz", "scan_levels.seg.nrrd"} <= names
    assert not any(name.endswith(".png") for name in names)


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


def test_every_widget_has_a_tooltip_or_a_label_and_is_reached_by_keyboard(panel):
    import qt

    for name in ("modelCombo", "openModelFolderButton", "addModelButton", "deviceCombo", "planeCombo", "fusionCombo",
                 "keepResultsCheckBox", "applyButton", "classCombo", "overlayCombo", "mapSourceCombo",
                 "outlineCheckBox",
                 "legendCheckBox", "regionsTable", "sliceSlider", "previousStrongestButton", "nextStrongestButton",
                 "surfacesCheckBox", "volumeRenderingCheckBox", "exportButton"):
        widget = getattr(panel.ui, name)
        assert widget.toolTip, name
        assert int(widget.focusPolicy) & int(qt.Qt.TabFocus), name


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
    assert layers.GetForegroundVolumeID() == result.mapVolume.GetID() and layers.GetLabelVolumeID() is None
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


def test_the_button_works_by_script_while_another_module_is_open(ready, slicerHost):
    panel, ui, volume = ready
    panel._parameters.model = MODEL
    panel.exit()
    ui.applyButton.click()
    slicerHost.waitUntil(lambda: not panel.logic.running, 120)
    assert ui.statusLabel.text == "Done: lesion."
    assert panel.logic.results(volume)[0].predicted == "lesion"


def test_a_user_who_chooses_no_volume_keeps_none_until_another_is_loaded(ready, slicerHost, addScan):
    _panel, ui, volume = ready
    ui.inputSelector.setCurrentNode(None)
    slicerHost.processEvents(0.05)
    assert ui.inputSelector.currentNode() is None and not ui.applyButton.enabled
    addScan("next")
    slicerHost.processEvents(0.05)
    assert ui.inputSelector.currentNode() in (volume, slicer.util.getNode("next"))


@pytest.mark.parametrize("strongest", [2.0, 2.01, 347.113, 348.1704])
def test_moving_the_lower_end_of_the_range_hides_nothing_at_the_upper_end(shown, slicerHost, strongest):
    """The range widget rounds to two decimals: rounded down, its upper end lies below the end of the scale."""
    import json

    panel, ui, result = shown
    levels = [{**level, "threshold": strongest * part}
              for level, part in zip(result.info["evidence_levels"], (0.5, 0.8, 1.0), strict=True)]
    result.resultNode.SetText(json.dumps({**result.info, "evidence_levels": levels}))
    panel.logic.select(result)
    panel.refresh()
    slider = ui.evidenceRangeWidget
    assert 100 <= (slider.maximum - slider.minimum) / slider.singleStep <= 1000
    slider.setValues(0.6 * strongest, slider.maximumValue)
    slicerHost.processEvents(0.05)
    assert panel._parameters.evidenceHigh == result.evidenceSpan()[1]
    assert result.mapVolume.GetDisplayNode().GetUpperThreshold() > 1e5


def test_export_with_nothing_ticked_writes_nothing_and_says_why(shown, tmp_path):
    _panel, ui, _result = shown
    boxes = (ui.exportSegmentationCheckBox, ui.exportMapCheckBox, ui.exportReportCheckBox, ui.exportOverviewCheckBox)
    ui.exportFolderPath.currentPath = str(tmp_path)
    for box in boxes:
        box.checked = False
    try:
        ui.exportButton.click()
        assert "Tick" in ui.exportStatusLabel.text and list(tmp_path.iterdir()) == []
        ui.exportMapCheckBox.checked = True
        ui.exportButton.click()
        assert [path.name for path in tmp_path.iterdir()] == ["scan_map.nii.gz"]
    finally:
        for box in boxes:
            box.checked = True


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


def test_parameters_that_a_script_sets_are_shown(ready, slicerHost):
    panel, ui, _volume = ready
    parameters = panel.logic.getParameterNode()
    parameters.model, parameters.fusion = MODEL, "sum"
    slicerHost.processEvents(0.05)
    assert ui.modelCombo.currentText == "Bright blob (test model)"
    assert panel._models.current.name == MODEL and ui.fusionCombo.currentIndex == 1
    panel.exit()
    parameters.fusion = ""
    panel.enter()
    assert ui.fusionCombo.currentIndex == 0


def test_a_model_that_is_not_here_is_named_instead_of_taking_another_one(ready, slicerHost, bright_blob_bundle):
    panel, ui, _volume = ready
    parameters = panel.logic.getParameterNode()
    parameters.model = "of-a-colleague"
    slicerHost.processEvents(0.05)
    assert '"of-a-colleague" is not here' in ui.modelInfoLabel.text and ui.modelCombo.currentIndex == -1
    assert not ui.applyButton.enabled and "not here" in ui.applyButton.toolTip
    parameters.model = str(bright_blob_bundle.path)
    slicerHost.processEvents(0.05)
    assert ui.applyButton.enabled and panel._models.current.name == MODEL


def test_many_regions_are_listed_without_holding_the_window_up(panel):
    region = {"level": "possible", "volume_ml": 1.0, "peak": 2.0, "mean": 1.0, "centroid_ras": (1, 2, 3),
              "plane": "axial", "slice_index": 3}
    regions = [{**region, "label": number} for number in range(1, 301)]
    steps, longest, turn = panel._result.regions.showSteps(regions, {"possible": (1, 0, 0)}), 0.0, time.perf_counter()
    for _done in steps:
        longest, turn = max(longest, time.perf_counter() - turn), time.perf_counter()
    assert panel.ui.regionsTable.rowCount == 300 and panel.ui.regionsTable.item(299, 0).text() == "300"
    assert longest < 0.1
    assert list(panel._result.regions.showSteps([], {})) == [] and panel.ui.regionsTable.rowCount == 0
