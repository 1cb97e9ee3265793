"""The logic on real MRML: what a run puts into the scene, where, and what it leaves behind."""

import doctest
import importlib
import json

import numpy as np
import pytest
import vtk

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")

MODEL = "bright-blob"


def nodeCount():
    return slicer.mrmlScene.GetNumberOfNodes()


def test_a_run_finds_the_lesion_where_it_is(logic, addScan):
    result = logic.localize(addScan(lesion_ras=(6, -5, 4)), model=MODEL)
    assert result.predicted == result.shownClass == "lesion"
    assert np.linalg.norm(np.subtract(result.regions[0]["peak_ras"], (6, -5, 4))) < 2.0
    assert result.evidenceLevels[0]["name"] == "possible"


def test_the_maps_lie_on_exactly_the_inputs_grid_even_when_it_is_oblique_and_left_handed(logic, addScan):
    c, s = np.cos(0.4), np.sin(0.4)
    volume = addScan(direction=[[c, -s, 0], [s, c, 0], [0, 0, -1]], spacing=(1.0, 0.9, 1.3))
    result = logic.localize(volume, model=MODEL)
    from HRCAMModuleLib.volume_nodes import ijkToRas

    for node in (result.mapVolume, result.labelVolume):
        assert np.array_equal(ijkToRas(node), ijkToRas(volume))
        assert slicer.util.arrayFromVolume(node).shape == slicer.util.arrayFromVolume(volume).shape
    assert np.linalg.norm(np.subtract(result.regions[0]["peak_ras"], (6, -5, 4))) < 2.5


def test_a_normal_scan_gives_an_empty_overlay(logic, addScan):
    result = logic.localize(addScan(lesion_ras=None), model=MODEL)
    assert result.predicted == "no_lesion"
    assert result.regions == []
    assert not slicer.util.arrayFromVolume(result.labelVolume).any()


def test_segments_are_the_named_colored_levels_and_hold_the_label_maps_voxels(logic, addScan):
    volume = addScan()
    result = logic.localize(volume, model=MODEL)
    segmentation = result.segmentation.GetSegmentation()
    labels = slicer.util.arrayFromVolume(result.labelVolume)
    for number, level in enumerate(result.evidenceLevels, start=1):
        segment = segmentation.GetSegment(f"evidence_{number}")
        assert segment.GetName() == f"lesion: {level['name']}"
        assert np.allclose(segment.GetColor(), level["color"])
        assert segmentation.GetSegment(f"evidence_{number}").HasTag("TerminologyEntry") is not None
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, f"evidence_{number}", volume)
        assert np.array_equal(voxels > 0, labels == number)
    reference = result.segmentation.GetNodeReferenceID("referenceImageGeometryRef")
    assert reference in (volume.GetID(), result.mapVolume.GetID())


def test_results_lie_in_a_folder_beside_the_input_and_are_named_after_it(logic, addScan):
    volume = addScan(name="Patient 7")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.CreateItem(study, volume)
    result = logic.localize(volume, model=MODEL)
    for node in (result.mapVolume, result.labelVolume, result.segmentation, result.resultNode):
        assert node.GetName().startswith("Patient 7 HR-CAM")
        folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        assert hierarchy.GetItemName(folder) == "Patient 7 HR-CAM lesion" and hierarchy.GetItemParent(folder) == study
    logic.localize(volume, model=MODEL)
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(study, children)
    names = [hierarchy.GetItemName(children.GetId(n)) for n in range(children.GetNumberOfIds())]
    assert sorted(names) == ["Patient 7", "Patient 7 HR-CAM lesion"], "the former result's folder is gone"


def test_a_parent_transform_moves_maps_and_regions_with_the_scan(logic, addScan):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    plain = logic.localize(addScan("plain"), model=MODEL)
    moved = logic.localize(addScan("moved", transform), model=MODEL)
    matrix = np.eye(4)
    matrix[:3, 3] = (10, 20, -30)
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    for node in (moved.mapVolume, moved.labelVolume, moved.segmentation):
        assert node.GetParentTransformNode() is transform
    difference = np.subtract(moved.regions[0]["peak_ras"], plain.regions[0]["peak_ras"])
    assert np.allclose(difference, (10, 20, -30), atol=1e-6)
    assert logic.jumpToRegion(moved) == moved.regions[0]["peak_ras"]


def test_a_second_run_replaces_the_former_result_of_the_same_scan_and_model(logic, addScan):
    volume = addScan()
    first = logic.localize(volume, model=MODEL)
    count = nodeCount()
    second = logic.localize(volume, model=MODEL)
    assert not first.valid and second.valid
    assert nodeCount() == count
    assert logic.results(volume) == [second]


def test_the_former_result_stays_when_the_user_asks_for_it(logic, addScan):
    volume = addScan()
    first = logic.localize(volume, model=MODEL)
    second = logic.localize(volume, model=MODEL, keepFormer=True)
    assert first.valid
    assert logic.results(volume) == [first, second]


def test_removing_a_result_takes_all_of_its_nodes_with_it(logic, addScan):
    volumes = [addScan(f"scan {n}") for n in range(3)]
    for volume in volumes:  # slice views make display nodes of their own at the first label map
        logic.showOverlay(logic.localize(volume, model=MODEL), kind="both")
    for result in logic.results():
        result.remove()
    count = nodeCount()
    for volume in volumes:
        result = logic.localize(volume, model=MODEL)
        logic.showOverlay(result, kind="map", source="stages.0", legend=True)
        logic.showIn3D(result, surfaces=True, volumeRendering=True)
        result.remove()
    assert nodeCount() == count


def test_the_box_of_the_volume_rendering_goes_with_its_own_display_node(logic, addScan):
    """Slicer's Markups module gives each new box a display node."""
    result = logic.localize(addScan(), model=MODEL)
    logic.showIn3D(result, surfaces=False, volumeRendering=True)
    rendering = slicer.modules.volumerendering.logic().GetFirstVolumeRenderingDisplayNode(result.mapVolume)
    box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    rendering.SetAndObserveROINodeID(box.GetID())
    box.CreateDefaultDisplayNodes()
    display = box.GetDisplayNode()
    assert display is not None
    result.remove()
    assert box.GetScene() is None and display.GetScene() is None


def test_a_failing_run_leaves_the_scene_as_it_was(logic, addScan):
    from hrcam.errors import HRCAMError

    volume = addScan()
    result = logic.localize(volume, model=MODEL)
    slicer.util.arrayFromVolume(volume)[:] = 0
    slicer.util.arrayFromVolumeModified(volume)
    count = nodeCount()
    with pytest.raises(HRCAMError):
        logic.localize(volume, model=MODEL)
    assert nodeCount() == count and result.valid


def test_closing_the_steps_halfway_removes_what_was_added(logic, addScan):
    from HRCAMModuleLib.scene_results import EvidenceData, addToSceneSteps

    volume = addScan()
    done = logic.localize(volume, model=MODEL)
    data = EvidenceData(MODEL, done.info, done.map().copy(), slicer.util.arrayFromVolume(done.labelVolume).copy())
    count, stopped = nodeCount(), 0
    while True:
        steps = addToSceneSteps(volume, data, keepFormer=True)
        try:
            for _ in range(stopped + 1):
                next(steps)
        except StopIteration:
            break
        steps.close()
        assert nodeCount() == count, f"closed after step {stopped}"
        stopped += 1
    assert stopped > 5


@pytest.mark.parametrize("make, reason", [
    (lambda: None, "Choose an input volume"),
    (lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"), "no voxels"),
    (lambda: slicer.util.addVolumeFromArray(np.zeros((3, 3, 3), "u1"), nodeClassName="vtkMRMLLabelMapVolumeNode"),
     "scan"),
])
def test_what_is_no_scan_is_refused_in_words(logic, make, reason):
    with pytest.raises(ValueError, match=reason):
        logic.localize(make(), model=MODEL)


def test_a_result_is_refused_as_input(logic, addScan):
    result = logic.localize(addScan(), model=MODEL)
    with pytest.raises(ValueError, match="result of HR-CAM"):
        logic.localize(result.mapVolume, model=MODEL)


def test_the_evidence_range_hides_and_brings_back_without_moving_the_calibrated_levels(logic, addScan):
    result = logic.localize(addScan(), model=MODEL)
    decided = slicer.util.arrayFromVolume(result.labelVolume)
    full = decided.copy()
    low, high = result.evidenceSpan()
    probable = result.evidenceLevels[1]["threshold"]
    logic.setEvidenceRange(result, probable, high)
    shown = slicer.util.arrayFromVolume(result.shownLabels)
    assert np.array_equal(shown, np.where(result.map() >= probable, full, 0)) and shown.any()
    assert np.array_equal(decided, full)
    assert result.mapVolume.GetDisplayNode().GetLowerThreshold() == pytest.approx(result.evidenceLevels[1]["threshold"])
    logic.setEvidenceRange(result, low, high)
    assert result.shownLabels is result.labelVolume and np.array_equal(decided, full)


def test_a_hidden_level_is_transparent_in_the_slices_and_hidden_in_3d(logic, addScan):
    from HRCAMModuleLib.display import visibleLevels

    result = logic.localize(addScan(), model=MODEL)
    logic.showLevel(result, "possible", visible=False)
    assert visibleLevels(result) == [False, True, True]
    assert not result.segmentation.GetDisplayNode().GetSegmentVisibility("evidence_1")
    logic.showLevel(result, 1)
    assert visibleLevels(result) == [True, True, True]
    with pytest.raises(ValueError, match="possible, probable, strong"):
        logic.showLevel(result, "certain")


def test_single_level_maps_add_up_to_the_fused_map(logic, addScan):
    result = logic.localize(addScan(), model=MODEL)
    names = logic.mapSources(result)
    assert names[0] == "fused" and len(names) == 3
    for name in names[1:]:
        logic.showOverlay(result, kind="map", source=name)
    total = sum(slicer.util.arrayFromVolume(node) for node in result.levelVolumes.values())
    assert np.allclose(total, result.map(), atol=1e-3)


def test_both_3d_forms_are_off_until_asked_for(logic, addScan):
    from HRCAMModuleLib.volume_rendering import surfacesVisible, volumeRenderingVisible

    result = logic.localize(addScan(), model=MODEL)
    assert not surfacesVisible(result) and not volumeRenderingVisible(result)
    logic.showIn3D(result, surfaces=True, volumeRendering=True)
    assert surfacesVisible(result) and volumeRenderingVisible(result)
    surface = result.segmentation.GetClosedSurfaceInternalRepresentation("evidence_1")
    assert surface.GetNumberOfPolys() > 0


def test_a_saved_scene_brings_the_result_back(logic, addScan, tmp_path):
    result = logic.localize(addScan("scan"), model=MODEL)
    expected = (result.info, result.regions, slicer.util.arrayFromVolume(result.labelVolume).copy())
    assert slicer.util.saveScene(str(tmp_path / "case.mrb"))
    slicer.mrmlScene.Clear(False)
    assert not result.valid and logic.results() == []
    slicer.util.loadScene(str(tmp_path / "case.mrb"))
    back, = logic.results()
    assert back.valid and back.inputVolume.GetName() == "scan" and back.model == MODEL
    assert back.info == expected[0]
    assert np.allclose(back.regions[0]["peak_ras"], expected[1][0]["peak_ras"], atol=1e-3)
    assert np.array_equal(slicer.util.arrayFromVolume(back.labelVolume), expected[2])
    assert back.levelColors.GetColorName(1) == "possible 1.0"
    logic.showOverlay(back, kind="both", legend=True)


def test_undo_takes_a_result_away_and_the_logic_notices(logic, addScan):
    scene = slicer.mrmlScene
    volume = addScan()
    scene.SetUndoOn()
    try:
        result = logic.localize(volume, model=MODEL)
        scene.RemoveNode(result.mapVolume)
        assert not result.valid
        assert [one for one in logic.results() if one.valid] == []
        scene.Undo()
        again = logic.localize(volume, model=MODEL)
        assert again.valid
    finally:
        scene.ClearUndoStack()
        scene.SetUndoOff()


def test_export_writes_the_engines_files_and_nothing_else(logic, addScan, tmp_path):
    result = logic.localize(addScan("scan 1"), model=MODEL)
    logic.setEvidenceRange(result, 60, 70)  # what is hidden in the views is exported all the same
    written = logic.exportReport(result, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in written.values())
    report = json.loads(written["report"].read_text(encoding="utf-8"))
    assert report["predicted"] == "lesion" and report["regions"]
    segmentation = slicer.util.loadSegmentation(str(written["segmentation"]))
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert written["overview"].read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no \"pdf\""):
        logic.exportReport(result, tmp_path, pdf=True)


def test_the_maps_of_the_levels_are_exported_on_request(logic, addScan, tmp_path):
    result = logic.localize(addScan(), model=MODEL, fusion="sum")
    logic.showOverlay(result, kind="map", source="stages.0")  # now in the scene, the other one is not
    written = logic.exportReport(result, tmp_path, levelMaps=True, overview=False)
    assert {"map_stages.0", "map_stages.1", "map", "report"} <= set(written)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written.values()}
    levels = [slicer.util.arrayFromVolume(slicer.util.loadVolume(str(written[f"map_stages.{n}"]))) for n in (0, 1)]
    np.testing.assert_allclose(levels[0] + levels[1], result.map(), atol=1e-3)
    report = json.loads(written["report"].read_text(encoding="utf-8"))
    assert report["provenance"]["options"]["keep_levels"] is True and set(report["files"]) >= {"map_stages.0", "map"}
    without = logic.exportReport(result, tmp_path / "other", overview=False)
    report = json.loads(without["report"].read_text(encoding="utf-8"))
    assert report["provenance"]["options"]["keep_levels"] is False, "what the files hold"


@pytest.mark.parametrize("name", ["logic", "logic_views", "localization", "volume_nodes", "engine", "models",
                                  "dependencies", "boxes", "evidence_plot", "regions_table", "display_section"])
def test_the_examples_in_the_documentation_run(name, logic, addScan, tmp_path):
    module = importlib.import_module(f"HRCAMModuleLib.{name}")
    volume = addScan()
    known = {"logic": logic, "volumeNode": volume, "earlierNode": addScan("earlier"), "model": MODEL,
             "folder": tmp_path, "slicer": slicer}
    runner = doctest.DocTestRunner()
    tests = doctest.DocTestFinder().find(module, f"HRCAMModuleLib.{name}", extraglobs=known)
    for test in (test for test in tests if test.examples):
        test.globs["result"] = logic.localize(volume, model=MODEL)
        runner.run(test)
    outcome = runner.summarize()
    assert outcome.attempted > 0 and outcome.failed == 0


def test_closing_the_scene_ends_a_run_of_a_script_that_has_no_panel(panel, slicerHost, addScan):
    from HRCAMModuleLib.logic import HRCAMModuleLogic

    class Silent:
        """A worker that never answers."""

        cancelled = 0

        def localize(self, *_arguments):
            pass

        def cancel(self):
            self.cancelled += 1

    worker, problems = Silent(), []
    logic = HRCAMModuleLogic(worker)
    run = logic.localize(addScan(), model=MODEL, wait=False, onError=problems.append)
    slicerHost.processEvents(0.1)
    folder = run._folder
    assert logic.running and folder.is_dir()
    slicer.mrmlScene.Clear(False)
    assert not logic.running and worker.cancelled == 1 and not folder.exists()
    assert problems == ["Cancelled: the scene was closed."]
    slicer.mrmlScene.Clear(False)
    assert len(problems) == 1


def test_a_temporary_folder_that_cannot_be_made_leaves_nothing_running(logic, addScan, monkeypatch):
    from HRCAMModuleLib import scene_run

    def full(**_options):
        raise OSError("No space left on device")

    monkeypatch.setattr(scene_run.tempfile, "mkdtemp", full)
    with pytest.raises(OSError, match="No space"):
        logic.localize(addScan(), model=MODEL, wait=False)
    assert not logic.running


def test_a_ct_scan_loaded_by_slicers_dicom_module_is_warned_of(logic, addScan):
    volume = addScan()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    hierarchy.SetItemAttribute(item, attribute, "MR")
    assert not any("scan; the model" in text for text in logic.localize(volume, model=MODEL).warnings)
    hierarchy.SetItemAttribute(item, attribute, "CT")
    assert any("CT scan" in text for text in logic.localize(volume, model=MODEL).warnings)


def test_a_result_names_the_file_that_its_scan_was_loaded_from(logic, addScan, tmp_path, slicerHost):
    from HRCAMModuleLib.logic import HRCAMModuleLogic

    class Recorder:
        requests = ()

        def localize(self, _path, _output, _name, request, *_callbacks):
            self.requests = (*self.requests, request)

        def cancel(self):
            pass

    path = str(tmp_path / "scan.nrrd")
    assert slicer.util.saveNode(addScan(), path)
    volume, worker = slicer.util.loadVolume(path), Recorder()
    assert logic.localize(volume, model=MODEL).info["provenance"]["input"]["source"] == path
    other = HRCAMModuleLogic(worker)
    other.localize(volume, model=MODEL, wait=False)
    slicerHost.waitUntil(lambda: worker.requests, 60)
    other.close()
    assert worker.requests[0].source == path and worker.requests[0].modality is None
