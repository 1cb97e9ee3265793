"""Kinds of the corpus that once were, or might be, read with other values: compared with what was put into them."""

import numpy as np
import pytest
from corpus.dicom_exports import PADDED_ROWS, part_of_three, spread
from corpus.kinds import head
from corpus.make import KINDS
from corpus.pictures_paths import gray
from hrcam.errors import InputError
from hrcam.scan.volume import discover, read_volume

SERIES, WHOLE, PICTURE = head()[:10].astype(float), head().astype(float), gray().astype(float)
PADDED = np.concatenate([np.full_like(SERIES[:, :PADDED_ROWS], SERIES[:, PADDED_ROWS:].min()), SERIES[:, PADDED_ROWS:]],
                        axis=1)
EXPECTED = {
    "dicom_jpeg_ls": SERIES, "dicom_jpeg_ls_of_negative_values": SERIES - 300, "dicom_12_bits_packed": SERIES,
    "dicom_overlays_in_high_bits": SERIES, "dicom_signs_differ": SERIES, "dicom_dark_where_high": 2 * SERIES - 100,
    "dicom_padding_of_the_other_sign": PADDED, "dicom_elements_empty": SERIES,
    "dicom_pixels_hardly_described": SERIES, "dicom_implicit_without_transfer_syntax": SERIES,
    "dicom_series_in_two_folders": SERIES, "dicom_names_in_other_scripts": SERIES, "dicom_links_to_slices": SERIES,
    "dicom_tomography": WHOLE, "dicom_tomography_downwards": WHOLE[::-1],
    "dicom_enhanced_pet_slope_of_each_frame": WHOLE * (0.5 + np.arange(len(WHOLE)) / 8)[:, None, None],
    "dicom_enhanced_second_time": WHOLE[len(WHOLE) // 2 :], "dicom_enhanced_one_part_of_three": WHOLE,
    "nifti_shift_without_a_slope": WHOLE, "nifti_without_voxel_size_beside_an_sform": WHOLE, "meta_letters": WHOLE,
    "dicom_localizer_in_the_series": SERIES[1:], "dicom_screenshot_in_the_series": SERIES[1:],
    "dicom_named_like_pictures": SERIES, "dicom_enhanced_frames_in_fragments": WHOLE,
    "picture_of_signed_bytes": PICTURE[None] // 8 - 16, "picture_of_32_bits_above_the_middle": PICTURE[None] * 2**24,
    "picture_turned_tiff": np.rot90(PICTURE, -1)[None], "picture_white_is_zero": PICTURE[None],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_values_are_those_that_were_put_in(tmp_path, name):
    found = read_volume(KINDS[name].make(tmp_path)).array
    assert found.shape == EXPECTED[name].shape
    np.testing.assert_allclose(found, EXPECTED[name], rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("name", [
    "nifti_without_voxel_size_beside_an_sform", "nifti_negative_voxel_size_beside_an_sform",
    "nifti_negative_voxel_size_beside_a_qform"])
def test_an_sform_states_the_voxel_size_alone_and_a_sign_counts_for_nothing(tmp_path, name):
    geometry = read_volume(KINDS[name].make(tmp_path)).geometry
    np.testing.assert_allclose(geometry.ijk_to_ras, [[-6, 0, 0, 70], [0, -6.5, 0, 90], [0, 0, 9, -50], [0, 0, 0, 1]],
                               atol=1e-6)


@pytest.mark.parametrize("name", ["dicom_localizer_in_the_series", "dicom_screenshot_in_the_series"])
def test_what_is_left_out_of_a_series_is_told_and_can_be_chosen(tmp_path, name):
    made = KINDS[name].make(tmp_path)
    assert read_volume(made).notes == (
        "Localizers or pictures in color were left out of the series (1 of 10 images).",)
    assert read_volume(f"{made}#3#1").array.shape == SERIES[1:].shape


def test_slices_named_like_pictures_are_one_case(tmp_path):
    made = KINDS["dicom_named_like_pictures"].make(tmp_path)
    for named in (made, next(made.glob("*.img")), next(made.glob("*.nii"))):
        (case,) = discover([named])
        np.testing.assert_array_equal(read_volume(case.path).array, SERIES)
        np.testing.assert_array_equal(read_volume(named).array, SERIES)


@pytest.mark.parametrize("name", ["meta_without_spacing", "nrrd_without_spacing"])
def test_a_file_without_distances_has_no_millimeters(tmp_path, name):
    assert not read_volume(KINDS[name].make(tmp_path)).spacing_known


@pytest.mark.parametrize("folders", [2, 10])
def test_a_series_spread_over_folders_is_one_case_with_all_its_slices(tmp_path, folders):
    made = spread(tmp_path / "disk", folders)
    for named in ([made], [f"{made}/*/*.dcm"], sorted(made.iterdir())):
        (case,) = discover(named)
        assert case.name == "disk_3"
        np.testing.assert_array_equal(read_volume(case.path).array, SERIES)


def test_a_spread_series_that_misses_a_slice_is_refused_and_not_read_by_halves(tmp_path):
    made = spread(tmp_path / "disk", 2)
    (made / "part1" / "IM092.dcm").unlink()
    (case,) = discover([made])
    with pytest.raises(InputError, match="1 slices of"):
        read_volume(case.path)


def test_copies_of_a_series_in_two_folders_are_two_cases(tmp_path):
    for name in "ab":
        KINDS["dicom_series"].make(tmp_path / name)
    assert len(discover([tmp_path])) == 2


def test_the_files_of_one_image_are_one_case(tmp_path):
    for number in (1, 2, 3):
        part_of_three(tmp_path / "series", number)
    (case,) = discover([tmp_path])
    np.testing.assert_array_equal(read_volume(case.path).array, WHOLE)


def test_a_dicomdir_stands_for_its_folder(tmp_path):
    KINDS["dicom_series"].make(tmp_path / "disk")
    (tmp_path / "disk" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert [case.path for case in discover([tmp_path / "disk" / "DICOMDIR"])] == [
        case.path for case in discover([tmp_path / "disk"])]


def test_packed_files_in_a_folder_are_named(tmp_path, capsys):
    from hrcam.cli import app as cli

    KINDS["path_packed_folder"].make(tmp_path)
    (tmp_path / "scan" / "a.nii").unlink()
    assert cli.main(["localize", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert "holds no scan, but packed files" in captured.err and "Unpack them first" in captured.err
