"""The map lands on the lesion in physical space, whatever the grid's orientation, spacing and obliqueness."""

from itertools import permutations, product

import numpy as np
import pytest
from hrcam.localize import Options, localize

LESION_RAS = (6.0, -5.0, 4.0)


def signed_permutations(determinant):
    """Direction matrices of axis-aligned grids: 24 right-handed (+1), 24 left-handed (-1)."""
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        matrix = np.eye(3)[list(order)] * signs
        if round(np.linalg.det(matrix)) == determinant:
            yield matrix


def turned(degrees_z, degrees_x):
    z, x = np.radians([degrees_z, degrees_x])
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    return np.asarray(about_z) @ np.asarray(about_x)


GRIDS = {
    "isotropic": ((48, 50, 46), (1.0, 1.0, 1.0), np.eye(3)),
    "thick": ((92, 96, 8), (0.5, 0.5, 6.0), np.eye(3)),
    "oblique": ((52, 50, 24), (0.9, 1.0, 2.0), turned(17, 23)),
}
ORIENTATIONS = list(signed_permutations(1))


def assert_on_lesion(volume, result):
    region = result.regions[0]
    true_ijk = volume.geometry.points_from_ras(LESION_RAS)
    for found in (region.peak_ras, region.centroid_ras):
        assert np.abs(volume.geometry.points_from_ras(found) - true_ijk).max() <= 1.0
    k, j, i = np.unravel_index(result.map.argmax(), result.map.shape)
    assert np.abs(np.array([i, j, k]) - true_ijk).max() <= 1.0
    assert result.labels[k, j, i] >= 2
    assert result.map.shape == volume.array.shape and result.geometry == volume.geometry
    assert result.slices[region.slice_index].index == region.slice_index


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("number", range(24))
def test_the_map_lands_on_the_lesion_in_all_orientations(number, grid, bright_blob_bundle, blob_volume):
    size, spacing, direction = GRIDS[grid]
    volume = blob_volume(size, spacing, direction @ ORIENTATIONS[number], LESION_RAS, noise=0.001)
    assert_on_lesion(volume, localize(volume, bright_blob_bundle, Options(device="cpu")))


@pytest.mark.parametrize("grid", GRIDS)
def test_left_handed_grids_are_no_exception(grid, bright_blob_bundle, blob_volume):
    size, spacing, direction = GRIDS[grid]
    for orientation in list(signed_permutations(-1))[::5]:
        volume = blob_volume(size, spacing, direction @ orientation, LESION_RAS, noise=0.001)
        assert np.linalg.det(volume.geometry.direction_lps) < 0
        assert_on_lesion(volume, localize(volume, bright_blob_bundle, Options(device="cpu")))


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "all"])
@pytest.mark.parametrize("grid", ["isotropic", "oblique"])
def test_every_plane_finds_the_same_place(plane, grid, bright_blob_bundle, blob_volume):
    size, spacing, direction = GRIDS[grid]
    volume = blob_volume(size, spacing, direction, LESION_RAS, noise=0.001)
    result = localize(volume, bright_blob_bundle, Options(device="cpu", plane=plane))
    assert result.plane == plane
    assert_on_lesion(volume, result)


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_planes_across_thick_slices_find_the_slice(plane, bright_blob_bundle, blob_volume):
    size, spacing, direction = GRIDS["thick"]
    volume = blob_volume(size, spacing, direction, LESION_RAS, noise=0.001)
    assert_on_lesion(volume, localize(volume, bright_blob_bundle, Options(device="cpu", plane=plane)))


def test_left_and_right_are_not_exchanged(bright_blob_bundle, blob_volume):
    for side in (-9.0, 9.0):
        for orientation in (np.eye(3), np.diag([-1.0, 1.0, 1.0])):
            volume = blob_volume(direction=orientation, lesion_ras=(side, 0.0, 0.0))
            region = localize(volume, bright_blob_bundle, Options(device="cpu")).regions[0]
            assert np.sign(region.centroid_ras[0]) == np.sign(side)
