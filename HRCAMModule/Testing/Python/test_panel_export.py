"""The panel writes the files that are ticked."""

import pytest

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

pytest.importorskip("slicer")


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
