"""Geometry: exact, in every orientation, and only where it makes sense."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hrcam.errors import InputError
from hrcam.scan.geometry import PLANES, Geometry
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

FINITE = st.floats(-500, 500)


@st.composite
def geometries(draw):
    size = tuple(draw(st.integers(1, 40)) for _ in range(3))
    spacing = tuple(draw(st.floats(0.2, 8)) for _ in range(3))
    turn = Rotation.from_euler("xyz", [draw(st.floats(-180, 180)) for _ in range(3)], degrees=True).as_matrix()
    flips = np.diag([draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)])
    return Geometry(size, tuple(draw(FINITE) for _ in range(3)), spacing, turn @ flips)


@given(geometries(), st.tuples(FINITE, FINITE, FINITE))
@settings(max_examples=60, deadline=None)
def test_points_go_there_and_back(geometry, point):
    assert geometry.points_from_lps(geometry.points_to_lps(point)) == pytest.approx(point, abs=1e-6)
    assert geometry.points_from_ras(geometry.points_to_ras(point)) == pytest.approx(point, abs=1e-6)
    assert geometry.points_to_ras(point) == pytest.approx(geometry.points_to_lps(point) * [-1, -1, 1])


@given(geometries())
@settings(max_examples=60, deadline=None)
def test_itk_agrees_on_points_orientation_and_handedness(geometry):
    image = sitk.Image(geometry.size_ijk, sitk.sitkUInt8)
    image.SetOrigin(geometry.origin_lps)
    image.SetSpacing(geometry.spacing)
    image.SetDirection(geometry.direction_lps.ravel().tolist())
    corner = [n - 1 for n in geometry.size_ijk]
    assert geometry.points_to_lps(corner) == pytest.approx(image.TransformIndexToPhysicalPoint(corner), abs=1e-6)


@given(geometries())
@settings(max_examples=60, deadline=None)
def test_a_ras_matrix_gives_the_same_grid(geometry):
    again = Geometry.from_ijk_to_ras(geometry.ijk_to_ras, geometry.size_ijk)
    assert again.ijk_to_lps == pytest.approx(geometry.ijk_to_lps, abs=1e-9)
    assert again.ras_to_ijk @ geometry.ijk_to_ras == pytest.approx(np.eye(4), abs=1e-6)


@given(geometries())
@settings(max_examples=60, deadline=None)
def test_each_plane_has_its_own_axis(geometry):
    assert sorted(geometry.axis_of(plane) for plane in PLANES) == [0, 1, 2]
    assert all(geometry.plane_of(geometry.axis_of(plane)) == plane for plane in PLANES)


@pytest.mark.parametrize("code", ["LPS", "RAS", "RIP", "SAL", "PSR", "LAI", "IRA"])
def test_orientation_codes_are_itks(code):
    reference = sitk.DICOMOrient(sitk.Image([4, 5, 6], sitk.sitkUInt8), code)
    geometry = Geometry(reference.GetSize(), reference.GetOrigin(), reference.GetSpacing(),
                        np.reshape(reference.GetDirection(), (3, 3)))
    assert geometry.orientation == code
    assert geometry.plane_of(next(n for n in range(3) if code[n] in "SI")) == "axial"


@pytest.mark.parametrize("code", ["LPS", "RAS", "AIR"])
def test_oblique_grids_have_the_code_of_the_nearest_axes(code):
    straight = sitk.DICOMOrient(sitk.Image([4, 5, 6], sitk.sitkUInt8), code).GetDirection()
    turn = Rotation.from_euler("xyz", [20, -15, 25], degrees=True).as_matrix()
    assert grid(direction=turn @ np.reshape(straight, (3, 3))).orientation == code


def test_nine_numbers_in_a_row_are_a_direction():
    assert np.array_equal(grid(direction=SAGITTAL_STACK.ravel().tolist()).direction_lps, SAGITTAL_STACK)


def test_a_volume_turned_by_45_degrees_still_has_three_planes():
    turn = Rotation.from_euler("x", 45, degrees=True).as_matrix()
    geometry = Geometry((4, 4, 4), (0, 0, 0), (1, 1, 1), turn)
    assert sorted(geometry.patient_axes) == [0, 1, 2]


def grid(size=(200, 200, 200), spacing=(1.0, 1.0, 1.0), direction=None):
    return Geometry(size, (0, 0, 0), spacing, np.eye(3) if direction is None else direction)


SAGITTAL_STACK = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])


@pytest.mark.parametrize(("geometry", "plane"), [
    (grid(spacing=(0.9, 0.9, 6)), "axial"),
    (grid(spacing=(6, 0.9, 0.9)), "sagittal"),
    (grid(spacing=(0.9, 6, 0.9)), "coronal"),
    (grid(spacing=(0.5, 0.5, 1), direction=SAGITTAL_STACK), "sagittal"),
    (grid(), "axial"),
    (grid(direction=SAGITTAL_STACK), "axial"),
    (grid(size=(256, 256, 24)), "axial"),
    (grid(size=(24, 256, 256)), "sagittal"),
    (grid(size=(256, 256, 24), direction=SAGITTAL_STACK), "sagittal"),
    (grid(size=(256, 256, 1), direction=SAGITTAL_STACK), "sagittal"),
    (grid(size=(1, 256, 24), spacing=(1, 1, 6)), "sagittal"),
    (grid(size=(180, 210, 150)), "axial"),
    (grid(spacing=(2, 2, 0.5)), "coronal"),
    (grid(spacing=(1.1, 1.0, 1.0)), "sagittal"),
    (grid(spacing=(1.09, 1.0, 1.0)), "axial"),
    (grid(size=(128, 256, 256)), "axial"),
    (grid(size=(127, 256, 256)), "sagittal"),
])
def test_the_acquisition_plane(geometry, plane):
    assert geometry.acquisition_plane == plane


def test_the_centre_of_a_slice():
    geometry = Geometry((11, 21, 5), (10, 20, 30), (1, 2, 3), np.eye(3))
    assert geometry.slice_centre_ras(2, 4) == (-15, -40, 42)
    assert geometry.slice_centre_ras(0, 0) == (-10, -40, 36)


def test_sizes_in_millimeters():
    geometry = Geometry((10, 20, 5), (0, 0, 0), (0.5, 1, 4), np.eye(3))
    assert geometry.extent_mm == (5, 20, 20)
    assert geometry.voxel_volume_ml == pytest.approx(0.002)
    assert geometry.shape_kji == (5, 20, 10)


def test_equality_is_exact_and_hashes_agree():
    one, same = grid(), grid()
    assert one == same and hash(one) == hash(same) and one != grid(spacing=(1, 1, 1 + 1e-12)) and one != "grid"


@pytest.mark.parametrize(("change", "words"), [
    ({"size_ijk": (0, 3, 3)}, "empty"),
    ({"size_ijk": (3, 3)}, "2 numbers instead of 3"),
    ({"spacing": (1, 0, 1)}, "not positive"),
    ({"spacing": (1, float("inf"), 1)}, "not positive"),
    ({"spacing": (1, -1, 1)}, "not positive"),
    ({"origin_lps": (0, float("nan"), 0)}, "finite position"),
    ({"direction_lps": np.full((3, 3), np.nan)}, "not finite"),
    ({"direction_lps": np.eye(2)}, "not finite"),
    ({"direction_lps": np.zeros((3, 3))}, "singular"),
    ({"direction_lps": [[1, 1, 0], [0, 0, 0], [0, 0, 1]]}, "singular"),
    ({"direction_lps": [[1, 0.01, 0], [0, 1, 0], [0, 0, 1]]}, "sheared"),
    ({"direction_lps": np.eye(3) * 1.1}, "perpendicular unit vectors"),
    ({"direction_lps": np.diag([1e200, 1, 1])}, "perpendicular unit vectors"),
    ({"direction_lps": np.full((3, 3), -1e308)}, "perpendicular unit vectors"),
])
@pytest.mark.filterwarnings("error")
def test_impossible_grids_are_refused_in_words(change, words):
    valid = {"size_ijk": (3, 3, 3), "origin_lps": (0, 0, 0), "spacing": (1, 1, 1), "direction_lps": np.eye(3)}
    with pytest.raises(InputError, match=words):
        Geometry(**{**valid, **change})


@pytest.mark.parametrize("number", [0.0, 1e200, -1e308, float("inf"), float("nan")])
@pytest.mark.filterwarnings("error")
def test_a_ras_matrix_without_a_spacing_is_refused(number):
    with pytest.raises(InputError, match="not positive"):
        Geometry.from_ijk_to_ras(np.diag([1.0, 1, number, 1]), (3, 3, 3))


@pytest.mark.filterwarnings("error")
def test_a_grid_of_any_finite_spacing_can_be_asked_for_its_sizes():
    huge = grid(spacing=(1e200, 1.0, 1e200))
    assert huge.voxel_volume_ml == float("inf") and huge.extent_mm[0] > 1e200


def test_rounded_direction_cosines_pass_and_are_kept():
    turn = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix().round(4)
    assert np.array_equal(grid(direction=turn).direction_lps, turn)


def test_an_unknown_plane_is_named():
    with pytest.raises(InputError, match='no plane "oblique"'):
        grid().axis_of("oblique")


@pytest.mark.parametrize("matrix", ["direction_lps", "ijk_to_lps"])
def test_what_defines_the_grid_cannot_be_changed(matrix):
    with pytest.raises(ValueError, match="read-only"):
        getattr(grid(), matrix)[0, 0] = 2
