"""Regions: what is connected, how strong and large it is, and where in the patient."""

import numpy as np
import pytest
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.run.marking import mark
from hrcam.run.regions import find_regions
from hrcam.scan.geometry import Geometry

LEVELS = (EvidenceLevel("possible", 1.0, (1, 1, 0)), EvidenceLevel("strong", 3.0, (1, 0, 0)))
GEOMETRY = Geometry((20, 24, 10), (10.0, -20.0, 30.0), (0.5, 0.5, 4.0), np.diag([-1.0, 1.0, -1.0]))


def regions_of(found, plane=None, minimum_ml=0.0):
    return find_regions(found, mark(found, GEOMETRY, LEVELS, minimum_ml), GEOMETRY, LEVELS, plane)


def evidence():
    found = np.zeros(GEOMETRY.shape_kji, np.float32)
    found[2, 4:8, 5:9] = 1.5  # 16 voxels, possible
    found[7, 12:15, 10:13] = 2.0  # 9 voxels…
    found[7, 13, 11] = 5.0  # …one of them strong
    return found


def test_regions_are_sorted_by_peak_and_measured_in_millilitres_and_ras():
    strong, weak = regions_of(evidence())
    assert (strong.label, strong.level, weak.label, weak.level) == (1, "strong", 2, "possible")
    assert strong.volume_ml == pytest.approx(9 * 0.001) and weak.volume_ml == pytest.approx(16 * 0.001)
    assert (strong.peak, strong.mean) == (5.0, pytest.approx((8 * 2 + 5) / 9))
    assert strong.peak_ras == pytest.approx(GEOMETRY.points_to_ras([11, 13, 7]))
    assert weak.centroid_ras == pytest.approx(GEOMETRY.points_to_ras([6.5, 5.5, 2]))
    assert (strong.plane, strong.slice_index) == ("axial", 7)


def test_the_slice_of_the_asked_plane_is_reported():
    strong, _ = regions_of(evidence(), "sagittal")
    assert (strong.plane, strong.slice_index) == ("sagittal", 11)


@pytest.mark.parametrize("threshold", [0.7, np.float64(0.7), 0.1, 1.1])
def test_a_peak_that_equals_a_threshold_in_single_precision_has_that_level(threshold):
    levels = (EvidenceLevel("possible", threshold, (1, 1, 0)), EvidenceLevel("strong", 3.0, (1, 0, 0)))
    found = np.zeros(GEOMETRY.shape_kji, np.float32)
    found[3, 3, 3] = np.float32(threshold)  # 0.7 is a little more than the float32 nearest to it
    labels = mark(found, GEOMETRY, levels)
    assert [one.level for one in find_regions(found, labels, GEOMETRY, levels)] == ["possible"] * int(labels.max())


def test_touching_corners_belong_together_and_gaps_do_not():
    found = np.zeros(GEOMETRY.shape_kji, np.float32)
    found[1, 1, 1] = found[2, 2, 2] = 2.0
    assert len(regions_of(found)) == 1
    found[2, 2, 2], found[3, 3, 3] = 0.0, 2.0
    assert len(regions_of(found)) == 2


def test_no_evidence_means_no_region():
    assert regions_of(np.full(GEOMETRY.shape_kji, 0.99, np.float32)) == []


def test_the_whole_volume_may_be_one_region():
    region, = regions_of(np.full(GEOMETRY.shape_kji, 4.0, np.float32))
    assert region.volume_ml == pytest.approx(20 * 24 * 10 * 0.001)
    assert region.centroid_ras == pytest.approx(GEOMETRY.points_to_ras([9.5, 11.5, 4.5]))


def test_small_regions_can_be_left_out_of_table_and_labels_alike():
    found = evidence()
    regions = regions_of(found, minimum_ml=0.012)
    assert [(region.label, region.level) for region in regions] == [(1, "possible")]
    labels = (found >= 1).astype(np.uint8) + (found >= 3)
    kept = mark(found, GEOMETRY, LEVELS, 0.012)
    assert not kept[7].any() and (kept[2] == labels[2]).all()
    assert np.array_equal(mark(found, GEOMETRY, LEVELS), labels)
