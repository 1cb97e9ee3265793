"""The panel in the course of work: maps with their own range, many scans, many results, life and end."""

import gc

import numpy as np
import pytest
import vtk
from module_scene import MODEL, composite

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")


def settled(panel, slicerHost):
    slicerHost.waitUntil(lambda: not panel.logic.running and panel._showing is None, 120)
    slicerHost.processEvents(0.05)


# Maps of single levels, the cloud


def test_each_map_source_has_its_own_range_and_is_named_by_what_it_resolves(sliceViews, shown, slicerHost):
    _panel, ui, result = shown
    assert [ui.mapSourceCombo.itemText(n) for n in range(3)] == ["All levels, fused", "Only fine, 1 mm",
                                                                "Only coarse, 2 mm"]
    ui.overlayCombo.setCurrentIndex(1)
    ui.mapSourceCombo.setCurrentIndex(2)
    ui.mapSourceCombo.activated(2)
    slicerHost.processEvents(0.05)
    volume = result.levelVolumes["stages.1"]
    peak = float(slicer.util.arrayFromVolume(volume).max())
    display = volume.GetDisplayNode()
    assert peak < result.evidenceSpan()[1], "on the fused map's scale it would look faint"
    assert display.GetWindowLevelMax() == pytest.approx(peak, rel=1e-5) and display.GetWindowLevelMin() == 0
    assert (slicer.util.arrayFromVolume(volume) >= display.GetLowerThreshold()).any(), "something is seen"
    assert ui.evidenceRangeWidget.maximum == pytest.approx(peak / result.unit, abs=0.02)
    fused = result.mapVolume.GetDisplayNode().GetLowerThreshold()
    ui.evidenceRangeWidget.setValues(0.5 * peak / result.unit, ui.evidenceRangeWidget.maximum)
    assert display.GetLowerThreshold() == pytest.approx(0.5 * peak, rel=0.05)
    assert result.mapVolume.GetDisplayNode().GetLowerThreshold() == fused, "the fused map keeps its own range"
    assert display.GetColorNode() is not result.mapVolume.GetDisplayNode().GetColorNode()


@pytest.mark.parametrize("thresholds", [[154.14, 278.34, 317.27], [1.0, 1.1, 1.2], [94.0, 537.0, 2604.0], [5.0]])
def test_points_of_the_clouds_opacity_are_as_far_apart_as_vtk_needs(panel, thresholds):
    """vtkOpenGLVolumeOpacityTable warns of points closer than 1/16384 of the scalar range."""
    from HRCAMModuleLib.volume_rendering import cloudPoints

    high, span = thresholds[-1] * 1.75, thresholds[-1] * 4
    points = cloudPoints(thresholds, high, span / 1000)
    at = [place for place, _opacity in points]
    assert min(np.diff(at)) > span / 16384
    assert points[0][1] == 0 and [opacity for _at, opacity in points] == sorted(opacity for _at, opacity in points)


def test_3d_stays_on_for_the_next_result_and_shows_one_result_alone(shown, slicerHost, addScan):
    from HRCAMModuleLib.volume_rendering import surfacesVisible

    panel, ui, first = shown
    ui.surfacesCheckBox.click()
    assert surfacesVisible(first) and first.headModel.GetDisplayNode().GetVisibility()
    second = panel.logic.localize(addScan("second"), model=MODEL)
    panel.runs.done(second)
    settled(panel, slicerHost)
    assert surfacesVisible(second) and second.headModel.GetDisplayNode().GetVisibility()
    assert not surfacesVisible(first) and not first.headModel.GetDisplayNode().GetVisibility()
    ui.headCheckBox.click()
    assert surfacesVisible(second) and not second.headModel.GetDisplayNode().GetVisibility()
    bounds = [0.0] * 6
    second.headModel.GetRASBounds(bounds)
    assert bounds[0] < -15 < 15 < bounds[1], "around the head"


# Scans and results


def test_the_selector_follows_the_scan_that_the_views_show(sliceViews, shown, slicerHost, addScan):
    panel, ui, result = shown
    second = addScan("second")
    slicer.util.setSliceViewerLayers(background=second)
    slicerHost.processEvents(0.05)
    assert ui.inputSelector.currentNode() is second and panel.result is None
    assert composite().GetLabelVolumeID() is None, "the marks of the first scan do not lie over the second"
    slicer.util.setSliceViewerLayers(background=result.inputVolume)
    slicerHost.processEvents(0.05)
    assert panel.result == result and composite().GetLabelVolumeID() == result.labelVolume.GetID()


def test_a_volume_in_the_views_that_is_no_scan_is_told_of(sliceViews, shown, slicerHost):
    panel, ui, result = shown
    picture = slicer.util.addVolumeFromArray(np.zeros((2, 3, 3, 3), "u1"), None, "photo", "vtkMRMLVectorVolumeNode")
    slicer.util.setSliceViewerLayers(background=picture)
    slicerHost.processEvents(0.05)
    assert "color picture" in ui.statusLabel.text and not ui.statusLabel.isHidden()
    assert ui.inputSelector.currentNode() is result.inputVolume and panel.result == result
    ui.statusLabel.text = ""
    slicer.util.setSliceViewerLayers(background=result.mapVolume)
    assert ui.statusLabel.text == "", "our own maps are no news"


def test_the_selectors_list_scans_and_none_of_our_maps(shown, slicerHost):
    panel, ui, result = shown
    panel.logic.showOverlay(result, kind="map", source="stages.1")
    slicerHost.processEvents(0.05)
    for selector in (ui.inputSelector, ui.earlierSelector):
        assert [selector.nodeFromIndex(n) for n in range(selector.nodeCount())] == [result.inputVolume]


def test_nothing_of_a_former_scan_stays_in_the_views(sliceViews, shown, slicerHost, addScan):
    from HRCAMModuleLib.volume_rendering import surfacesVisible

    panel, ui, result = shown
    ui.surfacesCheckBox.click()
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(result.labelVolume)
    assert surfacesVisible(result) and legend.GetVisibility()
    ui.inputSelector.setCurrentNode(addScan("not localized yet"))
    slicerHost.processEvents(0.05)
    assert not surfacesVisible(result) and not result.headModel.GetDisplayNode().GetVisibility()
    assert composite().GetLabelVolumeID() is None and not legend.GetVisibility()
    ui.inputSelector.setCurrentNode(result.inputVolume)
    slicerHost.processEvents(0.05)
    assert surfacesVisible(result) and composite().GetLabelVolumeID() == result.labelVolume.GetID()
    slicer.mrmlScene.RemoveNode(result.inputVolume)
    slicerHost.processEvents(0.05)
    assert panel.result is None and not surfacesVisible(result)
    assert composite().GetLabelVolumeID() is None and not legend.GetVisibility()


def test_a_map_that_slicer_chooses_as_input_becomes_its_scan(shown, slicerHost):
    panel, ui, result = shown
    ui.inputSelector.sortFilterProxyModel().hiddenNodeIDs = []
    ui.inputSelector.setCurrentNode(result.mapVolume)
    slicerHost.processEvents(0.05)
    assert ui.inputSelector.currentNode() is result.inputVolume and panel.result == result


def test_views_of_another_layout_get_the_overlay(sliceViews, shown, slicerHost):
    _panel, _ui, result = shown
    composite().SetLinkedControl(True)
    later = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    slicerHost.waitUntil(lambda: later.GetBackgroundVolumeID())
    assert later.GetBackgroundVolumeID() == result.inputVolume.GetID()
    assert later.GetLabelVolumeID() == result.labelVolume.GetID() and later.GetLinkedControl()


def test_results_are_chosen_told_apart_and_removed(shown, slicerHost):
    panel, ui, first = shown
    assert ui.resultCombo.isHidden(), "nothing to choose yet"
    second = panel.logic.localize(first.inputVolume, model=MODEL, keepFormer=True)
    panel.showNew(second)
    settled(panel, slicerHost)
    assert first.baseName == "scan HR-CAM lesion" and second.baseName == "scan HR-CAM lesion (2)"
    assert not ui.resultCombo.isHidden() and ui.resultCombo.count == ui.resultsTable.rowCount == 2
    assert ui.resultCombo.itemText(0).startswith("scan · lesion · bright-blob · ")
    ui.resultCombo.activated(1)
    settled(panel, slicerHost)
    assert panel.result == first
    ui.copyResultsButton.click()
    lines = slicer.app.clipboard().text().splitlines()
    assert len(lines) == 3 and lines[1].split("\t")[:2] == ["scan", "lesion"]
    ui.removeResultButton.click()
    slicerHost.processEvents(0.05)
    assert not first.valid and panel.result == second and ui.resultsTable.rowCount == 1


def test_the_table_of_results_fits_into_the_panel_and_marks_the_one_shown(shown, slicerHost):
    import qt

    panel, ui, result = shown
    table = ui.resultsTable
    result.inputVolume.SetName("T1 after contrast agent, series 4, as long as hospitals name their scans " * 2)
    panel.refresh()
    assert table.horizontalScrollBarPolicy == qt.Qt.ScrollBarAlwaysOff
    assert table.horizontalHeader().sectionResizeMode(0) == qt.QHeaderView.Stretch
    assert {"Model: bright-blob", "Regions: 1"} <= set(table.item(0, 3).toolTip().splitlines())
    assert len(table.selectedItems()) == table.columnCount == 6
    assert ui.resultCombo.itemText(0).startswith("T1 after c…ir scans  · lesion · bright-blob · ")
    panel._parameters.inputVolume = None
    slicerHost.waitUntil(lambda: panel.result is None and not panel._refreshQueued)
    assert len(table.selectedItems()) == 0


def test_the_regions_are_copied_as_a_table(shown):
    _panel, ui, result = shown
    ui.copyRegionsButton.click()
    header, row = (line.split("\t") for line in slicer.app.clipboard().text().splitlines())
    assert header == ["#", "Level", "ml", "Evidence", "Location (mm)"]
    assert row[:2] == ["1", "strong"]
    assert float(row[3]) == pytest.approx(result.regions[0]["peak"] / result.unit, abs=0.05)


def test_all_scans_are_localized_one_after_the_other_whatever_becomes_of_one(ready, slicerHost, addScan):
    panel, ui, _first = ready
    panel._parameters.model = MODEL
    addScan("second", lesion_ras=None)
    empty = addScan("empty")
    slicer.util.arrayFromVolume(empty)[:] = 0
    slicer.util.arrayFromVolumeModified(empty)
    ui.localizeAllButton.click()
    assert ui.applyButton.text == "Cancel" and "Scan 1 of 3" in ui.logText.plainText
    slicerHost.waitUntil(lambda: not panel.logic.running and not panel.runs._queue.active, 120)
    settled(panel, slicerHost)
    assert ui.statusLabel.text.startswith("2 of 3 scans localized.\nempty: ")
    assert slicerHost.dialogs.texts == [], "told in the panel"
    found = {one.scanName: one.predicted for one in panel.logic.results()}
    assert found == {"scan": "lesion", "second": "no_lesion"} and ui.resultsTable.rowCount == 2
    ui.localizeAllButton.click()
    slicerHost.waitUntil(lambda: not panel.logic.running and not panel.runs._queue.active, 120)
    assert ui.statusLabel.text.startswith("0 of 1 scans"), "only what has no result is tried again"


def test_cancel_ends_the_whole_list(ready, slicerHost, addScan):
    panel, ui, _first = ready
    panel._parameters.model = MODEL
    addScan("second")
    ui.localizeAllButton.click()
    ui.applyButton.click()
    slicerHost.processEvents(0.1)
    assert not panel.logic.running and not panel.runs._queue.active and panel.logic.results() == []


def test_the_panel_says_in_which_plane_the_scan_was_read_and_reads_another(shown, slicerHost):
    panel, ui, result = shown
    assert ui.readPlaneCombo.currentText == "Axial" and result.plane == "axial"
    ui.readPlaneCombo.activated(1)
    assert panel.logic.running
    settled(panel, slicerHost)
    assert panel.result.plane == "coronal" and ui.readPlaneCombo.currentText == "Coronal"
    assert panel._parameters.plane.value == "auto", "the next scan is read as acquired again"


def test_a_result_on_disk_comes_back_beside_its_scan(shown, slicerHost, tmp_path):
    from HRCAMModuleLib.volume_nodes import ijkToRas

    panel, ui, result = shown
    scan = result.inputVolume
    written = panel.logic.exportReport(result, tmp_path, overview=False)
    panel.logic.remove(result)
    slicerHost.processEvents(0.05)
    matrix = ijkToRas(scan)
    matrix[:3, 3] += 1e-9  # as between a node and a file of the same grid
    scan.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    loaded = panel.logic.loadResult(written["report"])
    panel.showNew(loaded)
    settled(panel, slicerHost)
    assert loaded.inputVolume.GetName() == "scan", "known by its voxels"
    assert panel.result == loaded and ui.regionsTable.rowCount == 1
    slicer.mrmlScene.Clear(False)
    with pytest.raises(ValueError, match="Load it first"):
        panel.logic.loadResult(written["report"])
    (tmp_path / "scan_map.nii.gz").unlink()
    with pytest.raises(ValueError, match="is not beside it"):
        panel.logic.loadResult(written["report"])


def test_slicer_loads_a_result_file_that_is_dropped_on_it(panel, slicerHost, tmp_path, blob_volume, bright_blob_bundle):
    import SimpleITK as sitk  # noqa: N813
    from hrcam import load_bundle
    from hrcam.localize import localize
    from hrcam.output.writers import write_result
    from hrcam.scan.volume import read_volume, to_sitk

    made = blob_volume()
    sitk.WriteImage(to_sitk(made.array, made.geometry), str(tmp_path / "case.nrrd"))
    volume = read_volume(tmp_path / "case.nrrd")
    files = write_result(localize(volume, load_bundle(bright_blob_bundle.path)), volume, tmp_path / "out",
                         ["map", "labels"])

    manager = slicer.app.coreIOManager()
    (tmp_path / "other_result.json").write_text("{}", encoding="utf-8")
    assert manager.fileType(str(files["result"])) == "HRCAMResultFile"
    assert manager.fileType(str(tmp_path / "other_result.json")) == "TextFile", "Slicer's own reader takes the others"
    node = slicer.util.loadNodeFromFile(str(files["result"]))
    slicerHost.processEvents(0.1)
    assert node is panel.result.mapVolume
    assert panel.result.inputVolume.GetName() == "case" and panel.ui.regionsTable.rowCount == 1
    files["map"].unlink()
    with pytest.raises(RuntimeError, match="is not beside it"):
        slicer.util.loadNodeFromFile(str(files["result"]))


# Life


def test_nothing_grows_when_the_panel_is_entered_a_hundred_times(ready, slicerHost):
    panel, _ui, _volume = ready
    node = panel.logic.getParameterNode().parameterNode

    def reactions():
        """How many observers hear of a change."""
        heard = []
        panel._parameters.__class__._updateGui = lambda self: heard.append(self)
        node.Modified()
        del panel._parameters.__class__._updateGui
        return len(heard)

    before, objects = reactions(), len(gc.get_objects())
    for _ in range(100):
        panel.exit()
        panel.enter()
    slicerHost.processEvents(0.05)
    gc.collect()
    assert reactions() == before == 1
    assert len(gc.get_objects()) - objects < 500
    assert panel.logic.getParameterNode() is panel.logic.getParameterNode()


def test_removing_the_input_stops_its_run_at_once(ready, slicerHost):
    panel, ui, volume = ready
    panel._parameters.model = MODEL
    ui.applyButton.click()
    slicerHost.waitUntil(lambda: panel.logic._worker is not None and panel.logic._worker._process.running)
    folder = panel.logic._run._folder
    slicer.mrmlScene.RemoveNode(volume)
    assert not panel.logic.running and not folder.exists()
    assert "input volume was removed" in ui.statusLabel.text
    assert not slicerHost.dialogs.messages, "the user did it, and reads it there"


@pytest.mark.parametrize("make, words", [
    (lambda: slicer.util.addVolumeFromArray(np.zeros((3, 3, 3), "u1"), nodeClassName="vtkMRMLLabelMapVolumeNode"),
     "is a label map"),
    (lambda: slicer.util.addVolumeFromArray(np.zeros((2, 3, 3, 3), "u1"), nodeClassName="vtkMRMLVectorVolumeNode"),
     "color picture"),
    (lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "frames"), "is a sequence"),
    (lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "parts"), "is a label map"),
])
def test_what_is_no_scan_gets_true_words(panel, make, words):
    from HRCAMModuleLib.volume_nodes import checkInput

    valid, reason = checkInput(make())
    assert not valid and words in reason


def test_a_frame_of_a_sequence_is_named_in_its_result(ready, slicerHost, addScan):
    panel, ui, volume = ready
    frames = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "frames")
    for number in range(3):
        frames.SetDataNodeAtValue(volume, str(number))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(frames.GetID())
    browser.AddProxyNode(volume, frames, False)
    browser.SetSelectedItemNumber(2)
    result = panel.logic.localize(volume, model=MODEL)
    panel.showNew(result)
    settled(panel, slicerHost)
    assert result.scanName == f"{volume.GetName()}, frame 3" and "frame 3" in ui.resultTitleLabel.text
    assert "now shows" not in ui.resultTitleLabel.text
    browser.SetSelectedItemNumber(0)
    slicerHost.processEvents(0.05)
    assert "frame 3" in ui.resultTitleLabel.text and "now shows frame 1" in ui.resultTitleLabel.text
    browser.SetSelectedItemNumber(2)
    slicerHost.processEvents(0.05)
    assert "now shows" not in ui.resultTitleLabel.text


def test_a_result_follows_its_scan_under_a_transform_and_says_when_that_was_hardened(shown, slicerHost):
    _panel, ui, result = shown
    volume, before = result.inputVolume, result.regions[0]["peak_ras"]
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 3] = 10
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    slicerHost.processEvents(0.05)
    shownNodes = (result.mapVolume, result.labelVolume, result.segmentation)
    assert {node.GetTransformNodeID() for node in shownNodes} == {transform.GetID()}
    assert np.allclose(np.subtract(result.regions[0]["peak_ras"], before), (10, 0, 0))
    assert ui.regionsTable.item(0, 4).text() != "" and "moved since" not in ui.resultTitleLabel.text
    volume.HardenTransform()
    slicerHost.processEvents(0.05)
    assert "moved since" in ui.resultTitleLabel.text


def test_the_files_of_a_removed_result_go_at_once(ready, slicerHost):
    panel, ui, _volume = ready
    panel._parameters.model = MODEL
    ui.applyButton.click()
    settled(panel, slicerHost)
    folders = panel.logic._levelMaps.folders()
    assert all(folder.exists() for folder in folders)
    slicer.mrmlScene.RemoveNode(panel.result.resultNode)
    slicerHost.processEvents(0.05)
    assert not any(folder.exists() for folder in folders) and panel.logic._levelMaps.folders() == []


def test_the_legends_of_a_loaded_scene_are_drawn_anew(panel, slicerHost, logic, addScan):
    result = logic.localize(addScan(), model=MODEL)
    logic.showOverlay(result, legend=True)
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(result.labelVolume)
    heard = []
    tag = legend.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_event: heard.append(1))
    slicerHost.completeStartup()
    slicer.mrmlScene.InvokeEvent(slicer.mrmlScene.EndImportEvent)
    legend.RemoveObserver(tag)
    assert heard
