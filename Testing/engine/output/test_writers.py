"""Files on disk: on the input's grid, what Slicer expects, complete or absent."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from hrcam.errors import OutputError
from hrcam.localize import Options, localize
from hrcam.output import writers
from hrcam.output.writers import DEFAULT_OUTPUTS, write_result, write_segmentation
from hrcam.run.result import Result, validate_result
from hrcam.scan.volume import read_volume

FAST = ("map", "levels", "labels")
OBLIQUE = np.array([[0.92106, -0.38942, 0.0], [0.38942, 0.92106, 0.0], [0.0, 0.0, -1.0]])
OBLIQUE /= np.linalg.norm(OBLIQUE, axis=0)  # left-handed, turned by 23 degrees


@pytest.fixture(scope="module")
def scan(blob_volume):
    return blob_volume((40, 44, 12), (1.1, 0.9, 3.5), OBLIQUE)


@pytest.fixture(scope="module")
def result(bright_blob_bundle, scan):
    return localize(scan, bright_blob_bundle, Options(device="cpu", keep_levels=True))


def header(path):
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def grid_of(path):
    """Index-to-LPS of a file, 4x4, and its array KJI."""
    image = SimpleITK.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix, SimpleITK.GetArrayFromImage(image)


def test_a_case_is_five_files_named_after_it(tmp_path, scan, result):
    files = write_result(replace(result, level_maps=None), scan, tmp_path / "new" / "folder")
    assert set(files) == {*DEFAULT_OUTPUTS, "result"}
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "blob_labels.nii.gz", "blob_levels.seg.nrrd", "blob_map.nii.gz", "blob_overview.png", "blob_result.json",
    ]


def test_maps_and_labels_lie_on_the_input_grid(tmp_path, scan, result):
    files = write_result(result, scan, tmp_path, FAST)
    for kind, array in (("map", result.map), ("labels", result.labels), ("levels", result.labels)):
        matrix, found = grid_of(files[kind])
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
        # NIfTI keeps its grid in 32-bit numbers, NRRD in decimal text of all digits.
        np.testing.assert_allclose(matrix, scan.geometry.ijk_to_lps, atol=1e-12 if kind == "levels" else 2e-5)
    for name, level_map in result.level_maps.items():
        np.testing.assert_array_equal(grid_of(files[f"map_{name}"])[1], level_map)


def test_nifti_says_what_it_is_and_what_it_is_not_for(tmp_path, scan, result):
    note = header(write_result(result, scan, tmp_path, FAST)["map"]).GetMetaData("ITK_FileNotes")
    assert "bright-blob 1.0.0" in note and "Research use only" in note


def test_every_file_says_what_made_it_of_what_and_what_it_is_not_for(tmp_path, scan, result):
    """The path of the scan stays out of headers: folders may be named after patients."""
    from PIL import Image

    named = replace(result, provenance={**result.provenance, "input": {**result.provenance["input"],
                                                                       "source": "/data/Doe^Jane/scan.nii"}})
    files = write_result(named, scan, tmp_path)
    picture = Image.open(files["overview"]).text
    levels = header(files["levels"])
    for stated in (picture, {key: levels.GetMetaData(key) for key in levels.GetMetaDataKeys()}):
        assert stated["HRCAM.IntendedUse"].startswith("Research use only")
        assert stated["HRCAM.InputSHA256"] == scan.content_hash
        assert stated["HRCAM.ModelSHA256"] == result.provenance["model"]["sha256"]
        assert json.loads(stated["HRCAM.Options"])["plane"] == "auto" and stated["HRCAM.Version"]
        assert "Jane" not in str(stated)
    for kind in ("map", "labels", *(f"map_{level}" for level in result.level_maps)):
        note = header(files[kind]).GetMetaData("ITK_FileNotes")
        assert note.startswith("Research use only") and scan.content_hash[:8] in note
        assert result.provenance["model"]["sha256"][:8] in note


def test_a_long_model_name_does_not_push_out_what_the_file_is_not_for(tmp_path, scan, result):
    model = {**result.provenance["model"], "name": "n" * 64}
    odd = replace(result, provenance={**result.provenance, "model": model})
    note = header(write_result(odd, scan, tmp_path, FAST)["map"]).GetMetaData("ITK_FileNotes")
    assert "Research use only" in note and model["sha256"][:8] in note


def test_the_json_is_valid_names_its_files_and_brings_the_result_back(tmp_path, scan, result):
    files = write_result(result, scan, tmp_path, FAST)
    document = json.loads(files["result"].read_text(encoding="utf-8"))
    validate_result(document)
    assert all((tmp_path / name).is_file() for name in document["files"].values())
    arrays = [grid_of(tmp_path / document["files"][kind])[1] for kind in ("map", "labels")]
    back = Result.from_json(document, *arrays)
    assert back.regions == result.regions and back.geometry == scan.geometry
    np.testing.assert_array_equal(back.map, result.map)


def test_numbers_that_are_not_finite_do_not_break_the_json(tmp_path, scan, result):
    odd = replace(result, completeness_error=float("nan"))
    document = json.loads(write_result(odd, scan, tmp_path, FAST)["result"].read_text(encoding="utf-8"))
    assert document["completeness_error"] is None


def test_our_own_results_are_not_taken_for_scans(tmp_path, scan, result):
    from hrcam.errors import InputError
    from hrcam.scan.io.discovery import discover

    files = write_result(result, scan, tmp_path, FAST)
    assert [case.error is None for case in discover([str(tmp_path)])] == [False]
    with pytest.raises(InputError, match="segmentation"):
        read_volume(files["levels"])


def test_slicer_opens_the_segmentation_with_names_colors_and_place(tmp_path, scan, result):
    """Read by the real vtkMRMLSegmentationStorageNode, an empty level and a left-handed oblique grid included."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    import vtk
    from hrcam.output.mrml import MRMLSession, import_slicer
    from vtk.util.numpy_support import vtk_to_numpy

    labels = np.where(result.labels == 3, 2, result.labels)  # nothing of the third level
    path = tmp_path / "blob_levels.seg.nrrd"
    write_segmentation(path, labels, scan.geometry, "lesion", result.evidence_levels)
    slicer, session = import_slicer(), MRMLSession(tmp_path)
    try:
        node = session.logics["Segmentations"].LoadSegmentationFromFile(str(path), True, "levels")
        segmentation = node.GetSegmentation()
        assert segmentation.GetNumberOfSegments() == 3
        for number, level in enumerate(result.evidence_levels, start=1):
            segment = segmentation.GetSegment(f"evidence_{number}")
            assert segment.GetName() == f"lesion: {level.name}"
            np.testing.assert_allclose(segment.GetColor(), level.color, atol=1e-6)
            assert segment.GetLabelValue() == number
            image, matrix, tag = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4(), vtk.reference("")
            assert segment.GetTag("TerminologyEntry", tag) and "Lesion" in str(tag)
            node.GetBinaryLabelmapRepresentation(f"evidence_{number}", image)
            image.GetImageToWorldMatrix(matrix)
            found = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]) > 0
            assert found.sum() == (labels == number).sum()
            if found.any():
                first = np.array(image.GetExtent()[::2])
                to_ras = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
                center = to_ras @ [*(np.argwhere(found)[:, ::-1].mean(axis=0) + first), 1]
                wanted = scan.geometry.points_to_ras(np.argwhere(labels == number)[:, ::-1].mean(axis=0))
                np.testing.assert_allclose(center[:3], wanted, atol=1e-6)
        reference = segmentation.GetConversionParameter("Reference image geometry").split(";")
        np.testing.assert_allclose(np.reshape([float(v) for v in reference[:16]], (4, 4)), scan.geometry.ijk_to_ras)
    finally:
        session.close()


def test_a_failure_leaves_nothing_behind(tmp_path, scan, result, monkeypatch):
    def full_disk(path, volume, found):
        path.write_bytes(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers, "_write_overview", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        write_result(result, scan, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after", range(4))
def test_a_case_cut_off_between_two_files_counts_as_absent(after, tmp_path, scan, result, monkeypatch):
    """However many files were renamed into place, there is no JSON before all are; an earlier run's is gone."""
    from pathlib import Path

    plain = replace(result, level_maps=None)
    write_result(plain, scan, tmp_path, FAST)
    moved, real = [], Path.replace

    class PowerCut(BaseException):
        pass

    def cut(self, target):
        if len(moved) == after:
            raise PowerCut
        moved.append(target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(PowerCut):
        write_result(plain, scan, tmp_path, FAST)
    assert not (tmp_path / "blob_result.json").exists()


def test_earlier_results_are_replaced_or_refused(tmp_path, scan, result):
    write_result(result, scan, tmp_path, FAST)
    with pytest.raises(OutputError, match="exists already"):
        write_result(result, scan, tmp_path, FAST, overwrite=False)
    shifted = replace(result, map=result.map + 1)
    files = write_result(shifted, scan, tmp_path, FAST)
    np.testing.assert_array_equal(grid_of(files["map"])[1], shifted.map)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_what_cannot_be_written_is_said(tmp_path, scan, result):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        write_result(result, scan, tmp_path / "file", FAST)
    with pytest.raises(OutputError, match="hologram"):
        write_result(result, scan, tmp_path, ("hologram",))


def test_case_names_become_safe_file_names(tmp_path, scan, result):
    files = write_result(replace(result, case='sub/01: "T1"?'), scan, tmp_path, FAST)
    assert files["map"].parent == tmp_path and files["map"].is_file()


def test_what_only_an_earlier_run_wrote_does_not_stay_beside_new_results(tmp_path, scan, result):
    earlier = write_result(result, scan, tmp_path, ("map", "levels", "overview"))
    level_maps = [path for kind, path in earlier.items() if kind.startswith("map_")]
    strangers = [tmp_path / name for name in ("blob_scene.mrb", "other_map.nii.gz", "blob_2_map.nii.gz")]
    for path in strangers:
        path.write_text("not of this case's results")
    assert level_maps
    write_result(replace(result, level_maps=None), scan, tmp_path, ("map",))
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "blob_map.nii.gz", tmp_path / "blob_result.json",
                                                 *strangers])


@pytest.mark.parametrize("files", [
    {"a": "../victim"}, {"a": "victim"}, {"a": "blob_/../victim_map.nii.gz"}, {"a": 5}, ["victim"], "victim", None,
])
def test_an_earlier_result_cannot_name_files_of_others_for_removal(tmp_path, scan, result, files):
    out = tmp_path / "out"
    out.mkdir()
    victims = [tmp_path / "victim", tmp_path / "victim_map.nii.gz", out / "victim", out / "victim_map.nii.gz"]
    for path in victims:
        path.touch()
    (out / "blob_result.json").write_text(json.dumps({"files": files}))
    write_result(replace(result, level_maps=None), scan, out, ("map",))
    assert all(path.exists() for path in victims) and (out / "blob_map.nii.gz").exists()


def test_a_folder_whose_name_is_not_utf8_is_refused(tmp_path, scan, result):
    with pytest.raises(OutputError, match="not valid UTF-8"):
        write_result(result, scan, tmp_path / os.fsdecode(b"out \xff"), ("map",))
    assert not list(tmp_path.iterdir())
