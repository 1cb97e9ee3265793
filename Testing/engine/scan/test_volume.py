"""Volumes: the same scan from every format, on exactly its own grid; cases found with names of their own."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from corpus.dicom import series, slice_file
from corpus.dicom_objects import OBJECTS, palette, three_planes, write_object
from corpus.kinds import SPACING, head, image, write
from corpus.nifti import patch
from corpus.pictures_paths import gray, save
from hrcam.errors import InputError
from hrcam.scan.io.discovery import find_cases
from hrcam.scan.io.formats import safe_name
from hrcam.scan.io.itk import read_voxels
from hrcam.scan.volume import discover, read_volume, to_sitk, volume_from_array
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation


@pytest.fixture
def oblique():
    """The head on an oblique, left-handed grid."""
    made = image()
    turn = Rotation.from_euler("xyz", [12, -25, 40], degrees=True).as_matrix() @ np.diag([1.0, 1, -1])
    made.SetDirection(turn.ravel().tolist())
    made.SetOrigin((11.5, -22.25, 33.125))
    return made


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.nii", "a.nii.gz"])
def test_every_format_gives_the_voxels_and_the_grid(tmp_path, oblique, name):
    volume = read_volume(write(tmp_path / name, oblique))
    assert np.array_equal(volume.array, head())
    assert volume.array.dtype == np.float32 and volume.array.flags.c_contiguous
    tolerance = 1e-5 if "nii" in name else 1e-12  # NIfTI stores quaternions in single precision
    assert volume.geometry.spacing == pytest.approx(SPACING, abs=tolerance)
    assert volume.geometry.origin_lps == pytest.approx(oblique.GetOrigin(), abs=tolerance)
    assert volume.geometry.direction_lps.ravel() == pytest.approx(oblique.GetDirection(), abs=1e-6)
    assert np.linalg.det(volume.geometry.direction_lps) < 0
    assert (volume.name, volume.spacing_known, volume.source) == ("a", True, str(tmp_path / name))


def test_a_map_written_back_lies_on_the_input_grid_exactly(tmp_path, oblique):
    path = write(tmp_path / "a.nii.gz", oblique)
    volume = read_volume(path)
    source, back = sitk.ReadImage(str(path)), to_sitk(volume.array, volume.geometry)
    assert (back.GetOrigin(), back.GetSpacing(), back.GetDirection()) == (
        source.GetOrigin(), source.GetSpacing(), source.GetDirection())


def test_the_hash_depends_on_content_alone(tmp_path):
    first, second = read_volume(write(tmp_path / "a.nrrd")), read_volume(write(tmp_path / "b.nii.gz"))
    assert first.content_hash == second.content_hash
    changed = head()
    changed[0, 0, 0] += 1
    assert read_volume(write(tmp_path / "c.nrrd", changed)).content_hash != first.content_hash
    moved = image()
    moved.SetOrigin((0, 0, 1))
    assert read_volume(write(tmp_path / "d.nrrd", moved)).content_hash != first.content_hash


def test_slope_and_intercept_are_applied(tmp_path):
    made = patch(write(tmp_path / "a.nii"), 112, "2f", 0.5, -100)
    assert read_volume(made).array == pytest.approx(head() * 0.5 - 100)


def test_a_series_is_ordered_by_position_and_not_by_name(tmp_path):
    volume = read_volume(series(tmp_path / "study"))
    assert np.array_equal(volume.array, head()[:10])
    assert volume.geometry.origin_lps == (-70.5, -90.25, -50)
    assert volume.geometry.spacing == pytest.approx(SPACING)
    assert (volume.name, volume.modality) == ("study", "MR AX T1 POST")


def test_itk_reads_the_same_series_on_the_same_grid(tmp_path):
    def tilt(one, index):
        row, column = [0.0, 0.8, -0.6], [0.0, -0.6, -0.8]
        one.ImageOrientationPatient = row + column
        one.ImagePositionPatient = (np.array([5.0, 6, 7]) + 9 * index * np.cross(row, column)).tolist()

    volume = read_volume(series(tmp_path / "study", tilt))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "study")))
    reference = reader.Execute()
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(reference))
    assert volume.geometry.origin_lps == pytest.approx(reference.GetOrigin())
    assert volume.geometry.direction_lps.ravel() == pytest.approx(reference.GetDirection())


def test_each_slice_has_its_own_rescale_slope(tmp_path):
    def change(one, index):
        one.RescaleSlope, one.RescaleIntercept = 1 + index / 8, -10 * index

    expected = [slope * (1 + n / 8) - 10 * n for n, slope in enumerate(head()[:10].astype(float))]
    assert read_volume(series(tmp_path / "s", change)).array == pytest.approx(np.array(expected), rel=1e-6)


def test_the_choice_of_a_series_is_explained_and_taken(tmp_path):
    first = head()[:10]
    series(tmp_path / "both", number=3)
    series(tmp_path / "both", number=4, prefix="B", count=6)
    with pytest.raises(InputError) as caught:
        read_volume(tmp_path / "both")
    assert "#3 (AX T1 POST, MR 10 slices); #4 (AX T1 POST, MR 6 slices)" in str(caught.value)
    assert np.array_equal(read_volume(f"{tmp_path / 'both'}#4").array, first[:6])
    assert np.array_equal(read_volume(slice_file(tmp_path / "both", 2)).array, first)
    assert [len(read_volume(case.path).array) for case in discover([tmp_path])] == [10, 6]


def test_pictures_have_no_millimeters(tmp_path):
    volume = read_volume(save(tmp_path / "a.png", gray()))
    assert volume.array.shape == (1, *gray().shape) and np.array_equal(volume.array[0], gray())
    assert not volume.spacing_known and volume.geometry.acquisition_plane == "axial"


def test_an_array_becomes_a_volume_and_is_copied():
    array = head().astype(np.float32)
    matrix = np.array([[-2.0, 0, 0, 5], [0, 0, -3, 6], [0, 4, 0, 7], [0, 0, 0, 1]])
    volume = volume_from_array(array, matrix, "MRHead")
    array[:] = 0
    assert np.array_equal(volume.array, head())
    assert np.allclose(volume.geometry.ijk_to_ras, matrix) and volume.geometry.orientation == "LSP"


@pytest.mark.parametrize(("array", "words"), [
    (np.zeros((2, 3, 4, 5)), "is not a volume"),
    (np.zeros((3, 3, 3), complex), "complex"),
    (np.full((3, 3, 3), "x"), "is not a volume"),
    (np.full((3, 3, 3), np.nan), "27 voxels that are not finite"),
])
def test_arrays_that_are_no_volume_are_refused(array, words):
    with pytest.raises(InputError, match=words):
        volume_from_array(array, np.eye(4), "a")


def test_an_array_of_another_shape_does_not_lie_on_the_grid():
    volume = volume_from_array(head(), np.eye(4), "a")
    with pytest.raises(ValueError, match="does not lie on a grid"):
        to_sitk(volume.array[1:], volume.geometry)


@given(st.text(max_size=300))
@settings(max_examples=80, deadline=None)
def test_safe_names_are_safe_everywhere(name):
    safe = safe_name(name)
    assert safe and len(safe.encode()) <= 101 and not set(safe) & set('<>:"/\\|?*\0\n')
    assert safe == safe.strip(" .") and safe.upper() not in {"CON", "NUL", "COM1"}


def test_a_tree_becomes_cases_with_names_of_their_own(tmp_path):
    for place in ("sub-01/anat", "sub-02/anat", "derivatives/x", ".git"):
        (tmp_path / place).mkdir(parents=True)
        write(tmp_path / place / "T1w.nii.gz")
        write(tmp_path / place / "T1w_mask.nii.gz")
    (tmp_path / "readme.txt").write_text("no scan")
    series(tmp_path / "dicom" / "a")
    found = discover([tmp_path])
    assert [case.name for case in found] == ["dicom_a_3", "sub-01_anat_T1w", "sub-02_anat_T1w"]
    assert all(case.error is None and read_volume(case.path) for case in found)


def test_patterns_files_and_series_are_cases_once(tmp_path):
    first, _ = write(tmp_path / "a.nii"), write(tmp_path / "b.nii")
    series(tmp_path / "s", number=3)
    series(tmp_path / "s", number=4, prefix="B")
    found = discover([first, str(tmp_path / "*.nii"), f"{tmp_path / 's'}#4", tmp_path / "a_mask.nii"])
    assert [case.name for case in found] == ["a", "b", "s_4", "a_mask"]
    assert "no file or folder" in str(found[-1].error)


def test_names_that_differ_in_case_alone_are_told_apart(tmp_path):
    for name in ("scan.nii", "SCAN.nrrd", "scan.mha"):
        write(tmp_path / name)
    names = [case.name.lower() for case in discover([tmp_path])]
    assert len(set(names)) == 3


def test_what_cannot_be_found_is_a_case_with_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    broken = series(tmp_path / "broken")
    slice_file(broken, 3).write_bytes(slice_file(broken, 3).read_bytes()[:600])
    found = discover([tmp_path / "empty", tmp_path / "*.nii", broken, "a\0b"])
    words = ["holds no scan", "No file matches", "damaged or not a valid DICOM", ""]
    assert len(found) == 4 and all(w in str(c.error) and c.error for w, c in zip(words, found, strict=True))
    assert len({case.name for case in found}) == 4


def test_links_to_folders_are_followed_and_each_folder_searched_once(tmp_path):
    study, store = tmp_path / "study", tmp_path / "store"
    for place in (study / "sub-01", store / "sub-02"):
        place.mkdir(parents=True)
        write(place / f"{place.name}_T1w.nii.gz")
    (study / "sub-02").symlink_to(store / "sub-02")
    (study / "a_loop").symlink_to(study)
    (study / "again").symlink_to(study / "sub-01")
    cases, passed_over = find_cases([study])
    assert [case.name for case in cases] == ["sub-01_T1w", "sub-02_T1w"]
    assert {(Path(one.path).name, one.why) for one in passed_over} == {
        (name, "a link to a folder that is searched already") for name in ("a_loop", "again")}


def test_a_new_scan_changes_no_name(tmp_path):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "T1.nii.gz")
    series(tmp_path / "a" / "s", number=3)
    before = {case.name for case in discover([tmp_path])}
    for place in ("b", "a/b"):
        (tmp_path / place).mkdir()
        write(tmp_path / place / "T1.nii.gz")
    series(tmp_path / "a" / "s", number=4, prefix="B")
    series(tmp_path / "b" / "s", number=3)
    after = {case.name for case in discover([tmp_path])}
    assert before == {"a_T1", "a_s_3"} and before < after and len(after) == 6
    assert {case.name for case in discover([tmp_path / "*"])} == after


def test_slices_named_singly_are_one_case_and_so_is_a_pair(tmp_path):
    made = series(tmp_path / "s")
    pair = write(tmp_path / "a.hdr", image())
    found = discover([*sorted(made.iterdir()), pair, pair.with_suffix(".img")])
    assert [case.name for case in found] == ["s_3", "a"]
    assert [len(read_volume(case.path).array) for case in found] == [10, 12]
    assert [case.name for case in discover([tmp_path])] == ["a", "s_3"]


def test_what_is_no_scan_is_passed_over_with_a_line(tmp_path):
    write_object(tmp_path / "plan" / "plan.dcm", *OBJECTS["plan"][:1], **OBJECTS["plan"][1])
    series(tmp_path / "s", number=3)
    series(tmp_path / "s", three_planes, number=1, prefix="L", count=3)
    series(tmp_path / "s", palette, number=9, prefix="P", count=1)
    cases, passed_over = find_cases([tmp_path])
    assert [case.name for case in cases] == ["s_3"] and read_volume(cases[0].path).array.shape == (10, 30, 26)
    assert {one.why for one in passed_over} == {
        "it holds DICOM objects, but no image", "3 images of a localizer", "1 color pictures"}
    (alone,) = discover([tmp_path / "plan"])
    assert "holds no scan" in str(alone.error)


@pytest.mark.parametrize(("error", "words"), [
    (MemoryError(), "not enough memory to read"),
    (RuntimeError("Exception thrown in ImageFileReader_Execute: std::bad_alloc"), "not enough memory to read"),
    (RuntimeError("ITK ERROR: Image(0x1f): Failed to allocate memory for image."), "not enough memory to read"),
    (RuntimeError("file.cxx:1:\nITK ERROR: NiftiImageIO(0x1f): the voxels are odd\n"), r"\(the voxels are odd\)"),
])
def test_a_reader_that_fails_on_the_voxels_is_explained(error, words, tmp_path):
    class Reader:
        def Execute(self):  # noqa: N802 - SimpleITK's name
            raise error

    with pytest.raises(InputError, match=words):
        read_voxels(Reader(), tmp_path / "a.nii")
