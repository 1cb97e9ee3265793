"""One decision of what is marked: views, segmentation, 3D, table and files agree with the engine, always."""

import json

import numpy as np
import pytest
import vtk
from module_scene import MODEL, composite

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")
sitk = pytest.importorskip("SimpleITK")

WITHHELD = {"lesion_ras": (6, -5, 4), "radius_mm": 1.2}
"""A spot that exceeds the levels in a scan that the model as a whole calls normal."""


def voxels(node):
    return slicer.util.arrayFromVolume(node)


def segments(result):
    """Level numbers as the segmentation has them, on the scan's grid."""
    found = np.zeros(result.map().shape, np.uint8)
    for number in range(1, len(result.evidenceLevels) + 1):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(
            result.segmentation, f"evidence_{number}", result.inputVolume)
        if mask is not None:
            found[mask > 0] = number
    return found


def checkThatAllAgree(logic, result, folder, decided):
    """``decided`` are the engine's labels; files, segmentation, surfaces and table must say the same."""
    written = logic.exportReport(result, folder)
    files = [sitk.GetArrayFromImage(sitk.ReadImage(str(written[kind]))) for kind in ("labels", "segmentation")]
    report = json.loads(written["report"].read_text(encoding="utf-8"))
    for labels in (voxels(result.labelVolume), segments(result), *files):
        assert np.array_equal(labels, decided)
    assert len(report["regions"]) == len(result.regions) and bool(result.regions) == bool(decided.any())
    measured = sum(region["volume_ml"] for region in result.regions)
    assert measured == pytest.approx(np.count_nonzero(decided) * 1e-3, rel=1e-3)
    logic.showIn3D(result, surfaces=True)
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    for number in range(1, len(result.evidenceLevels) + 1):
        shown = result.segmentation.GetSegmentation().GetSegment(f"evidence_{number}").GetRepresentation(surface)
        assert bool(shown is not None and shown.GetNumberOfPoints()) == bool((decided == number).any())


@pytest.mark.parametrize("scan", [{}, WITHHELD, {"lesion_ras": None}], ids=["lesion", "withheld", "normal"])
def test_views_segmentation_files_table_and_surfaces_agree_after_every_change(
    logic, addScan, sliceViews, tmp_path, scan
):
    result = logic.localize(addScan(**scan), model=MODEL)
    decided = voxels(result.labelVolume).copy()
    assert result.withheld == (scan != {}) and decided.any() == (scan == {})
    if scan == WITHHELD:
        assert result.map().max() >= result.evidenceLevels[0]["threshold"], "a test of nothing otherwise"
    checkThatAllAgree(logic, result, tmp_path / "first", decided)
    low, high = result.evidenceSpan()
    for number, (start, end) in enumerate([(low, high), (result.evidenceLevels[1]["threshold"], high), (low, high)]):
        logic.setEvidenceRange(result, start, end)
        logic.showOverlay(result)
        shown = voxels(slicer.mrmlScene.GetNodeByID(composite().GetLabelVolumeID()))
        within = (result.map() >= start) & ((result.map() <= end) | (end >= high))
        assert np.array_equal(shown, np.where(within, decided, 0)), "hidden at most, never more than was decided"
        checkThatAllAgree(logic, result, tmp_path / str(number), decided)
    logic.showLevel(result, 1, visible=False)
    checkThatAllAgree(logic, result, tmp_path / "hidden", decided)


def test_a_class_that_is_asked_for_is_marked_everywhere(logic, addScan, tmp_path):
    volume = addScan(**WITHHELD)
    assert logic.localize(volume, model=MODEL).regions == []
    asked = logic.localize(volume, model=MODEL, classLabel="lesion")
    decided = voxels(asked.labelVolume).copy()
    assert decided.any() and not asked.withheld
    checkThatAllAgree(logic, asked, tmp_path, decided)


def test_a_withheld_scene_stays_unmarked_when_it_is_loaded_again(logic, addScan, tmp_path):
    logic.localize(addScan(**WITHHELD), model=MODEL)
    assert slicer.util.saveScene(str(tmp_path / "case.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "case.mrb"))
    back, = logic.results()
    logic.setEvidenceRange(back, back.evidenceLevels[1]["threshold"], back.evidenceSpan()[1])
    logic.setEvidenceRange(back, *back.evidenceSpan())
    assert not voxels(back.shownLabels).any()
    checkThatAllAgree(logic, back, tmp_path / "files", np.zeros_like(voxels(back.labelVolume)))


def test_a_narrowed_range_is_saved_and_widened_again_after_loading(logic, addScan, tmp_path):
    result = logic.localize(addScan(), model=MODEL)
    decided, probable = voxels(result.labelVolume).copy(), result.evidenceLevels[1]["threshold"]
    logic.setEvidenceRange(result, probable, result.evidenceSpan()[1])
    assert slicer.util.saveScene(str(tmp_path / "case.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "case.mrb"))
    back, = logic.results()
    assert np.count_nonzero(voxels(back.shownLabels)) < np.count_nonzero(decided)
    logic.setEvidenceRange(back, *back.evidenceSpan())
    assert np.array_equal(voxels(back.shownLabels), decided)


def test_the_panel_says_what_is_withheld_and_marks_it_on_request(ready, logic, addScan, slicerHost):
    panel, ui, _volume = ready
    result = logic.localize(addScan("withheld", **WITHHELD), model=MODEL)
    panel.runs.done(result)
    slicerHost.waitUntil(lambda: panel._showing is None)
    text = ui.noRegionsLabel.text
    assert "Nothing is marked" in text and "stays below" not in text
    assert '"no lesion"' in ui.warningsLabel.text.replace("&quot;", '"') and "no lesion" not in text, "said once"
    assert not ui.showMarksButton.isHidden() and "lesion" in ui.showMarksButton.text
    ui.showMarksButton.click()
    slicerHost.waitUntil(lambda: not panel.logic.running and panel._showing is None, 120)
    slicerHost.processEvents(0.05)
    assert panel.result.regions and not panel.result.withheld and ui.showMarksButton.isHidden()


def test_choosing_the_class_that_is_shown_already_marks_what_was_withheld(ready, logic, addScan, slicerHost):
    panel, ui, _volume = ready
    panel.runs.done(logic.localize(addScan("withheld", **WITHHELD), model=MODEL))
    slicerHost.waitUntil(lambda: panel._showing is None)
    ui.classCombo.activated(ui.classCombo.currentIndex)
    assert panel.logic.running
    slicerHost.waitUntil(lambda: not panel.logic.running and panel._showing is None, 120)
    assert panel.result.regions


def test_a_normal_scan_offers_no_marks(ready, logic, addScan, slicerHost):
    panel, ui, _volume = ready
    panel.runs.done(logic.localize(addScan("normal", lesion_ras=None), model=MODEL))
    slicerHost.waitUntil(lambda: panel._showing is None)
    assert "stays below the weakest" in ui.noRegionsLabel.text and ui.showMarksButton.isHidden()


@pytest.mark.parametrize("marked", [True, False])
def test_surfaces_are_computed_where_something_is_marked(logic, addScan, marked):
    """VTK would log an error for each empty level."""
    result = logic.localize(addScan() if marked else addScan("normal", lesion_ras=None), model=MODEL)
    assert bool(result.regions) is marked
    said, former = vtk.vtkStringOutputWindow(), vtk.vtkOutputWindow.GetInstance()
    vtk.vtkOutputWindow.SetInstance(said)
    try:
        logic.showIn3D(result, surfaces=True)
    finally:
        vtk.vtkOutputWindow.SetInstance(former)
    assert said.GetOutput() == ""
    assert result.segmentation.GetSegmentation().ContainsRepresentation("Closed surface") is marked
