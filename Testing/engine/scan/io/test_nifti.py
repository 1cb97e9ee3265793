"""NIfTI's two positions: the sform counts, both are kept in what is written, and the notes say what was taken."""

import gzip
import struct

import nibabel
import numpy as np
import pytest
from corpus.kinds import SPACING, head, write
from corpus.make import KINDS
from hrcam.errors import InputError
from hrcam.output.nifti import write_nifti
from hrcam.scan.volume import read_volume
from scipy.spatial.transform import Rotation


def turned(degrees, shift=(5.0, -7.0, 11.0)):
    """Index to RAS, turned about the body's axis."""
    a = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    matrix[:3, :3] *= SPACING
    matrix[:3, 3] = shift
    return matrix


def saved(path, sform, scode, qform, qcode):
    image = nibabel.Nifti1Image(head().transpose(2, 1, 0), np.eye(4))
    image.set_qform(qform, qcode)
    image.set_sform(sform, scode)
    image.to_filename(path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
@pytest.mark.parametrize(("qcode", "scode"), [(1, 1), (1, 2), (1, 4), (2, 2), (4, 4), (0, 1), (1, 0), (3, 0)])
def test_the_sform_counts_where_it_is_set(tmp_path, qcode, scode, name):
    path = tmp_path / name
    if name == "a.hdr":
        image = nibabel.Nifti1Pair(head().transpose(2, 1, 0), np.eye(4))
        image.set_qform(turned(20), qcode)
        image.set_sform(turned(-15), scode)
        image.to_filename(path)
    else:
        saved(path, turned(-15), scode, turned(20), qcode)
    volume = read_volume(path)
    assert np.array_equal(volume.array, head())
    assert np.allclose(volume.geometry.ijk_to_ras, turned(-15 if scode else 20), atol=1e-4)
    assert np.allclose(volume.geometry.ijk_to_ras, nibabel.load(path).affine, atol=1e-4)
    assert [note for note in volume.notes if "the sform was taken" in note] == list(volume.notes)
    assert len(volume.notes) == (qcode > 0 and scode > 0)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_qform_turns_the_scan_any_way(tmp_path, seed, mirrored):
    matrix = turned(0)
    axes = Rotation.random(random_state=seed).as_matrix() * [1, 1, -1 if mirrored else 1]
    matrix[:3, :3] = axes * SPACING
    sheared = matrix.copy()
    sheared[0, 1] += 0.5
    for sform, scode, count in ((np.eye(4), 0, 0), (matrix, 1, 0), (sheared, 1, 1)):
        volume = read_volume(saved(tmp_path / "a.nii", sform, scode, matrix, 1))
        assert np.allclose(volume.geometry.ijk_to_ras, matrix, atol=1e-4)
        assert len(volume.notes) == count, "that it is the qform where the sform is sheared"


def test_a_fourth_axis_of_one_volume_changes_nothing(tmp_path):
    image = nibabel.Nifti1Image(head().transpose(2, 1, 0)[..., np.newaxis], np.eye(4))
    image.set_qform(turned(20), 1)
    image.set_sform(turned(20), 1)
    image.header["pixdim"][4] = 0  # no time
    image.to_filename(tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert np.array_equal(volume.array, head()) and volume.notes == ()
    image.set_sform(turned(20), 0)
    image.to_filename(tmp_path / "b.nii")
    assert np.allclose(read_volume(tmp_path / "b.nii").geometry.ijk_to_ras, turned(20), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("name", ["a.nii", "a.hdr"])
def test_voxels_that_are_no_numbers_are_refused_wherever_they_are(tmp_path, name, at, dtype):
    values = head().transpose(2, 1, 0).astype(dtype)
    make = nibabel.Nifti1Pair if name == "a.hdr" else nibabel.Nifti1Image
    make(values, turned(20)).to_filename(tmp_path / name)
    assert np.array_equal(read_volume(tmp_path / name).array, head())
    values[at, at, at] = np.nan
    make(values, turned(20)).to_filename(tmp_path / name)
    with pytest.raises(InputError, match="1 voxel"):
        read_volume(tmp_path / name)


def test_two_positions_apart_are_told_in_mm(tmp_path):
    path = saved(tmp_path / "a.nii", turned(0), 2, turned(0, (5, -7, 31)), 1)
    assert read_volume(path).notes == (
        "The file states two positions, up to 20 mm apart (qform and sform): the sform was taken.",)


@pytest.mark.parametrize(("shift", "told"), [(1.0, False), (1.25, True)])
def test_positions_a_millimeter_apart_are_one(tmp_path, shift, told):
    path = saved(tmp_path / "a.nii", turned(0), 2, turned(0, (5, -7, 11 + shift)), 1)
    assert bool(read_volume(path).notes) == told


def test_the_thickness_of_a_single_slice_moves_no_corner(tmp_path):
    thick = turned(0)
    thick[:3, 2] *= 3
    image = nibabel.Nifti1Image(head()[6].T, np.eye(4))
    image.set_qform(thick, 1)
    image.set_sform(turned(0), 1)
    image.to_filename(tmp_path / "a.nii")
    assert not any("two positions" in note for note in read_volume(tmp_path / "a.nii").notes)


@pytest.mark.parametrize(("slope", "shift", "added"), [(1.0, 5.0, 5.0), (0.0, 5.0, 0.0), (2.0, 0.0, 0.0)])
def test_a_shift_counts_where_a_slope_goes_with_it(tmp_path, slope, shift, added):
    path = saved(tmp_path / "a.nii", turned(0), 1, turned(0), 1)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", slope, shift)
    path.write_bytes(bytes(content))
    assert np.allclose(read_volume(path).array, head() * (slope or 1.0) + added)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_a_file_that_lacks_a_byte_is_refused(tmp_path, name):
    make = nibabel.Nifti1Pair if name == "a.hdr" else nibabel.Nifti1Image
    make(head().transpose(2, 1, 0), turned(20)).to_filename(tmp_path / name)
    data = (tmp_path / name).with_suffix(".img") if name == "a.hdr" else tmp_path / name
    content = gzip.decompress(data.read_bytes()) if name == "a.nii.gz" else data.read_bytes()
    data.write_bytes(gzip.compress(content[:-1]) if name == "a.nii.gz" else content[:-1])
    with pytest.raises(InputError):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("at", [256, 280])
def test_a_position_that_counts_is_finite(tmp_path, at):
    path = saved(tmp_path / "a.nii", turned(0), 1, turned(0), 1)
    content = bytearray(path.read_bytes())
    content[at : at + 4] = struct.pack("<f", np.nan)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="position in space is not finite"):
        read_volume(path)


def test_a_sheared_sform_gives_way_to_the_qform_with_a_note(tmp_path):
    sheared = turned(0)
    sheared[0, 1] = 0.5
    volume = read_volume(saved(tmp_path / "a.nii", sheared, 2, turned(20), 1))
    assert np.allclose(volume.geometry.ijk_to_ras, turned(20), atol=1e-4)
    assert volume.notes == ("The sform of the file is sheared or singular, which no grid can be: the qform was taken.",)


@pytest.mark.parametrize(("qcode", "scode"), [(1, 2), (1, 0), (0, 4), (2, 2)])
def test_what_is_written_keeps_both_positions_and_their_codes(tmp_path, qcode, scode):
    volume = read_volume(saved(tmp_path / "a.nii.gz", turned(-15), scode, turned(20), qcode))
    write_nifti(tmp_path / "map.nii.gz", volume.array, volume.geometry, "a map", volume.forms)
    scan, made = nibabel.load(tmp_path / "a.nii.gz"), nibabel.load(tmp_path / "map.nii.gz")
    for get in ("get_qform", "get_sform"):
        (a, code_a), (b, code_b) = getattr(scan, get)(coded=True), getattr(made, get)(coded=True)
        assert code_a == code_b and (a is None) == (b is None)
        assert a is None or np.allclose(a, b, atol=1e-5)
    again = read_volume(tmp_path / "map.nii.gz")
    assert again.geometry == volume.geometry and np.array_equal(again.array, volume.array)


def test_a_map_of_a_moved_scan_states_its_own_position(tmp_path):
    volume = read_volume(saved(tmp_path / "a.nii", turned(-15), 2, turned(20), 1))
    moved = type(volume.geometry).from_ijk_to_ras(turned(40), volume.geometry.size_ijk)
    write_nifti(tmp_path / "map.nii.gz", volume.array, moved, "a map", volume.forms)
    assert np.allclose(nibabel.load(tmp_path / "map.nii.gz").affine, turned(40), atol=1e-4)


@pytest.mark.parametrize("name", ["nifti_in_meters", "nifti_in_micrometers"])
def test_a_grid_in_another_unit_is_that_in_mm(tmp_path, name):
    usual = read_volume(write(tmp_path / "mm.nii"))
    volume = read_volume(KINDS[name].make(tmp_path))
    assert np.allclose(volume.geometry.ijk_to_ras, usual.geometry.ijk_to_ras, atol=1e-3)
    write_nifti(tmp_path / "map.nii.gz", volume.array, volume.geometry, "", volume.forms)
    assert np.allclose(nibabel.load(tmp_path / "map.nii.gz").affine, usual.geometry.ijk_to_ras, atol=1e-3)
