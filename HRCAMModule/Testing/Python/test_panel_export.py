"""The panel writes the files that are ticked."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from dicom_series import write_series

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")


def test_export_writes_what_is_ticked_and_the_panel_never_stands_still(
        shown, tmp_path, slicerHost, monkeypatch):
    panel, ui, _result = shown
    said, say = [], panel._export._say
    monkeypatch.setattr(panel._export, "_say", lambda message: (said.append(message), say(message)))
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
    assert {"Preparing the files: 0%", "Writing the files: 25%", "Writing the files: 75%"} <= set(said)
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


def export(panel, ui, folder, slicerHost):
    """Write the DICOM objects alone; gives what the panel says."""
    others = (ui.exportSegmentationCheckBox, ui.exportMapCheckBox, ui.exportReportCheckBox, ui.exportOverviewCheckBox)
    ui.exportFolderPath.currentPath = str(folder)
    for box in others:
        box.checked = False
    ui.exportDicomCheckBox.checked = True
    try:
        ui.exportButton.click()
        slicerHost.waitUntil(lambda: not panel._export.running, 60)
    finally:
        for box in others:
            box.checked = True
        ui.exportDicomCheckBox.checked = False
    return ui.exportStatusLabel.text


@pytest.fixture
def dicomScan(shown, tmp_path, monkeypatch, blob_volume):
    """The shown scan as one that Slicer's DICOM module loaded: gives the folder of its files."""
    volume = shown[2].inputVolume
    folder = tmp_path / "series"
    write_series(folder, blob_volume())
    files = sorted(folder.iterdir())
    known = {f"1.2.3.{number}": str(file) for number, file in enumerate(files)}
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(known))
    database = SimpleNamespace(fileForInstance=lambda uid: known.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    return folder


def test_dicom_objects_of_a_dicom_scan_keep_patient_study_and_place(shown, dicomScan, tmp_path, slicerHost):
    pydicom, highdicom = pytest.importorskip("pydicom"), pytest.importorskip("highdicom")
    panel, ui, result = shown
    message = export(panel, ui, tmp_path / "out", slicerHost)
    assert message.startswith("Written: ") and "derived" not in message
    files = {path.name.partition("_")[2]: path for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"levels_seg.dcm", "map_pm.dcm", "regions_sr.dcm", "regions_seg.dcm"}
    source = pydicom.dcmread(next(dicomScan.iterdir()))
    for path in files.values():
        made = pydicom.dcmread(path)
        assert (made.PatientID, made.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    found = highdicom.seg.segread(files["levels_seg.dcm"]).get_volume(combine_segments=True)
    labels = slicer.util.arrayFromVolume(result.labelVolume)
    matrix = np.diag([-1, -1, 1, 1]) @ result.geometryMatrix()
    marked = {tuple(np.round(matrix @ [*voxel[::-1], 1], 2)) for voxel in np.argwhere(labels)}
    read = {tuple(np.round(found.affine @ [*voxel, 1], 2)) for voxel in np.argwhere(found.array)}
    assert marked and marked == read


def test_dicom_objects_of_a_scan_that_was_moved_since_do_not_refer_to_the_series(
        shown, dicomScan, tmp_path, slicerHost):
    pydicom = pytest.importorskip("pydicom")
    panel, ui, result = shown
    for node in (result.inputVolume, result.mapVolume, result.labelVolume):
        origin = node.GetOrigin()
        node.SetOrigin(origin[0] + 0.4, *origin[1:])
    message = export(panel, ui, tmp_path / "out", slicerHost)
    assert "derived identity" in message
    made = pydicom.dcmread(tmp_path / "out" / "scan_levels_seg.dcm")
    assert made.PatientID.startswith("HRCAM-") and "derived" in made.StudyDescription.lower()


def test_dicom_objects_of_other_scans_state_a_derived_identity(shown, tmp_path, slicerHost):
    pytest.importorskip("highdicom")
    panel, ui, _result = shown
    message = export(panel, ui, tmp_path, slicerHost)
    assert "scan_regions_sr.dcm" in message and "derived identity" in message and "DICOM database" in message


def test_what_writes_dicom_is_offered_where_it_is_missing(shown, tmp_path, slicerHost, monkeypatch):
    from HRCAMModuleLib import dependencies

    panel, ui, _result = shown
    monkeypatch.setattr(dependencies, "isInstalled", lambda requirement: False)
    assert "Press Export again to install it" in export(panel, ui, tmp_path, slicerHost)
    assert ui.exportButton.text.replace("&", "") == "Export" and list(tmp_path.iterdir()) == []
    slicerHost.setTesting(False)
    asked, installed = [], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_: asked.append(text) or True)
    monkeypatch.setattr(slicer.util, "pip_install", installed.extend)
    export(panel, ui, tmp_path, slicerHost)
    assert installed == [dependencies.DICOM_WRITER] and "highdicom" in asked[0]
    slicer.app.settings().remove("HRCAM/InstalledPackages")
