"""Two scans of one head are brought to one another, and what is not the same head is refused."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.align.rigid import align, check_alignment
from hrcam.align.transforms import carried, distance_mm, inverse, matrix_of
from hrcam.errors import InputError
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import Volume
from scipy import ndimage


def head(seed=0):
    """A head of blobs that no motion maps onto itself: 60 voxels of 3 mm an axis."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, 60)] * 3, indexing="ij")
    inside = (k / 0.75) ** 2 + (j / 0.85) ** 2 + (i / 0.65) ** 2 < 1
    texture = ndimage.gaussian_filter(rng.standard_normal(inside.shape), 3)
    array = np.where(inside, 600 + 250 * texture / texture.std(), 0) + 5 * rng.random(inside.shape)
    geometry = Geometry((60, 60, 60), (-88.5, -88.5, -88.5), (3.0, 3.0, 3.0), np.eye(3))
    return Volume(np.maximum(array, 0).astype(np.float32), geometry, "head")


def motion(degrees=8.0, shift=(6.0, -9.0, 4.0)):
    rigid = sitk.Euler3DTransform()
    rigid.SetRotation(np.radians(degrees), np.radians(-degrees / 2), np.radians(degrees))
    rigid.SetTranslation(shift)
    return matrix_of(rigid)


def moved_copy(volume, there):
    """What the scanner sees of a head that moved: a place in the copy is ``there`` of it in the volume."""
    array = carried(volume.array, volume.geometry, volume.geometry, there)
    noise = np.random.default_rng(1).standard_normal(array.shape)
    return replace(volume, array=np.maximum(0.9 * array + 8 * noise, 0).astype(np.float32))


@pytest.fixture(scope="module")
def pair():
    there = motion()
    return head(), moved_copy(head(), there), there


def test_a_motion_is_found_to_a_part_of_a_voxel(pair):
    earlier, later, there = pair
    found = align(earlier, later)
    points = later.geometry.points_to_lps(np.random.default_rng(0).uniform(10, 50, (100, 3)))
    assert found.trusted and found.method == "registered"
    assert distance_mm(found.later_to_earlier, there, points) < 1.0


@pytest.mark.parametrize("shift", [(5.0, 0.0, 0.0), (0.0, -3.0, 3.0)])
def test_a_wrong_motion_is_noticed(pair, shift):
    earlier, later, there = pair
    wrong = np.eye(4)
    wrong[:3, 3] = shift
    assert check_alignment(earlier, later, there, "given").trusted
    assert not check_alignment(earlier, later, wrong @ there, "given").trusted


def test_another_head_is_refused_in_words():
    with pytest.raises(InputError, match="cannot be brought to one another") as caught:
        align(head(0), head(7))
    assert "--aligned" in caught.value.hint


def test_carried_labels_come_back(pair):
    earlier, _, there = pair
    labels = (earlier.array > 700).astype(np.uint8)
    away = carried(labels, earlier.geometry, earlier.geometry, inverse(there), nearest=True)
    back = carried(away, earlier.geometry, earlier.geometry, there, nearest=True)
    assert away.dtype == np.uint8 and 2 * (labels & back).sum() / (labels.sum() + back.sum()) > 0.9
