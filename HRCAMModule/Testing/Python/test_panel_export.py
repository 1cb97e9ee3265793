"""The panel writes the files that are ticked."""

import time

import pytest

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")


def test_export_writes_what_is_ticked_and_the_panel_never_stands_still(shown, tmp_path, slicerHost):
    panel, ui, _result = shown
    ui.exportButton.click()
    assert "folder" in ui.exportStatusLabel.text
    ui.exportFolderPath.currentPath = str(tmp_path)
    ui.exportOverviewCheckBox.checked = False
    ui.exportButton.click()
    assert ui.exportButton.text == "Cancel" and list(tmp_path.iterdir()) == []
    start = time.monotonic()
    longest = 0.0
    while panel._export.running:
        assert time.monotonic() < start + 60
        turn = time.perf_counter()
        slicer.app.processEvents()
        longest = max(longest, time.perf_counter() - turn)
        time.sleep(0.002)
    assert longest < 0.3, "far above the 0.1 s that an idle computer shows"
    assert ui.exportStatusLabel.text.startswith("Written: ") and ui.exportButton.text.replace("&", "") == "Export"
    names = {path.name for path in tmp_path.iterdir()}
    assert {"scan_result.json", "scan_map.nii.gz", "scan_levels.seg.nrrd"} <= names
    assert not any(name.endswith(".png") for name in names)


def test_a_cancelled_export_writes_nothing_and_leaves_nothing(shown, tmp_path, slicerHost):
    panel, ui, _result = shown
    ui.exportFolderPath.currentPath = str(tmp_path)
    for turns in (0, 5, 200):
        ui.exportButton.click()
        slicerHost.processEvents(turns / 1000)
        folder = panel._export._run._folder
        ui.exportButton.click()
        assert not panel._export.running and not folder.exists()
        assert ui.exportStatusLabel.text == "Cancelled." and list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_beside_the_button(shown, tmp_path, slicerHost):
    panel, ui, _result = shown
    (tmp_path / "file").write_text("", encoding="utf-8")
    ui.exportFolderPath.currentPath = str(tmp_path / "file")
    ui.exportButton.click()
    slicerHost.waitUntil(lambda: not panel._export.running, 60)
    assert "Choose another folder" in ui.exportStatusLabel.text


def test_export_with_nothing_ticked_writes_nothing_and_says_why(shown, tmp_path, slicerHost):
    panel, ui, _result = shown
    boxes = (ui.exportSegmentationCheckBox, ui.exportMapCheckBox, ui.exportReportCheckBox, ui.exportOverviewCheckBox)
    ui.exportFolderPath.currentPath = str(tmp_path)
    for box in boxes:
        box.checked = False
    try:
        ui.exportButton.click()
        assert "Tick" in ui.exportStatusLabel.text and list(tmp_path.iterdir()) == []
        ui.exportMapCheckBox.checked = True
        ui.exportButton.click()
        slicerHost.waitUntil(lambda: not panel._export.running, 60)
        assert [path.name for path in tmp_path.iterdir()] == ["scan_map.nii.gz"]
    finally:
        for box in boxes:
            box.checked = True
