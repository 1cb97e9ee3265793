"""What is marked: calibrated levels decide whether, a region's own peak decides how far."""

import time

import numpy as np
import pytest
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.run.marking import label_levels, large_enough, mark
from hrcam.run.options import MINIMUM_REGION_ML
from hrcam.run.regions import find_regions
from hrcam.scan.geometry import Geometry

LEVELS = tuple(
    EvidenceLevel(name, threshold, (1, 0, 0), share)
    for name, threshold, share in (("possible", 154.0, 0.35), ("probable", 278.0, 0.6), ("strong", 317.0, 0.8))
)
GEOMETRY = Geometry((40, 30, 8), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), np.eye(3))


def blob(peak, i, fall=25.0):
    """A cone of evidence around (i, 15, 4) that falls by so many logits a voxel."""
    k, j, x = np.indices(GEOMETRY.shape_kji)
    return np.clip(peak - fall * np.sqrt((k - 4) ** 2 + (j - 15) ** 2 + (x - i) ** 2), 0, None).astype(np.float32)


def test_a_weak_lesion_beside_a_strong_one_stays():
    alone = mark(blob(172, 33), GEOMETRY, LEVELS)
    together = mark(np.maximum(blob(508, 8), blob(172, 33)), GEOMETRY, LEVELS)
    assert alone[4, 15, 33] == 1 and np.array_equal(together[:, :, 28:], alone[:, :, 28:])
    evidence = np.maximum(blob(508, 8), blob(172, 33))
    strong, weak = find_regions(evidence, together, GEOMETRY, LEVELS)
    assert (strong.peak, strong.level, weak.peak, weak.level) == (508.0, "strong", 172.0, "possible")


def test_the_halo_of_a_region_ends_at_a_share_of_its_own_peak():
    evidence = blob(508, 20)
    labels = mark(evidence, GEOMETRY, LEVELS)
    assert np.array_equal(labels > 0, evidence >= 0.35 * 508), "and not at 154"
    assert np.array_equal(labels == 3, evidence >= 0.8 * 508)
    assert np.array_equal(mark(blob(172, 20), GEOMETRY, LEVELS) > 0, blob(172, 20) >= 154)


def test_a_hill_in_the_halo_of_a_higher_one_is_marked_where_its_own_level_stands_apart():
    evidence = np.maximum(blob(1000, 6, 40.0), blob(330, 34))
    assert evidence[4, 15, 22:30].min() > LEVELS[0].threshold, "joined above the lowest level"
    labels = mark(evidence, GEOMETRY, LEVELS)
    assert labels[4, 15, 34] == 3, "its strong evidence is a region of its own"
    assert len(find_regions(evidence, labels, GEOMETRY, LEVELS)) == 2


def test_nothing_is_marked_where_marks_are_withheld():
    labels = mark(blob(508, 20), GEOMETRY, LEVELS, withheld=True)
    assert not labels.any() and labels.dtype == np.uint8 and labels.shape == GEOMETRY.shape_kji


def test_only_regions_in_which_planes_agree_are_marked_and_all_that_they_agree_on():
    evidence = np.maximum(blob(508, 8), blob(172, 33))
    agreed = np.zeros(evidence.shape, bool)
    agreed[4, 15, 33] = True
    labels = mark(evidence, GEOMETRY, LEVELS, agreed=agreed)
    assert np.array_equal(labels > 0, mark(blob(172, 33), GEOMETRY, LEVELS) > 0)
    assert not mark(evidence, GEOMETRY, LEVELS, agreed=np.zeros_like(agreed)).any()
    halo = np.zeros_like(agreed)
    halo[4, 15, 22] = True
    assert not mark(evidence, GEOMETRY, LEVELS)[halo].any(), "what its peak would trim"
    assert mark(evidence, GEOMETRY, LEVELS, agreed=halo)[halo].all()


def test_specks_are_marked_where_nothing_larger_is():
    speck, lesion = blob(172, 33), blob(508, 8)
    alone = mark(speck, GEOMETRY, LEVELS)
    assert 0 < (alone > 0).sum() * GEOMETRY.voxel_volume_ml < MINIMUM_REGION_ML
    assert np.array_equal(mark(speck, GEOMETRY, LEVELS, MINIMUM_REGION_ML), alone)
    assert not mark(speck, GEOMETRY, LEVELS, 2 * MINIMUM_REGION_ML).any(), "who asks for more gets what is larger"
    beside = mark(np.maximum(speck, lesion), GEOMETRY, LEVELS, MINIMUM_REGION_ML)
    assert np.array_equal(beside, mark(lesion, GEOMETRY, LEVELS, MINIMUM_REGION_ML))
    agreed = speck >= 154
    both = mark(np.maximum(speck, lesion), GEOMETRY, LEVELS, MINIMUM_REGION_ML, agreed=agreed)
    assert np.array_equal(both, alone), "what planes do not agree on is no larger region"
    assert not mark(speck, GEOMETRY, LEVELS, MINIMUM_REGION_ML, agreed=np.zeros_like(agreed)).any()


def test_regions_of_exactly_the_smallest_volume_are_large_enough():
    assert large_enough([0.04, 0.05, 2.0], 0.05).tolist() == [False, True, True]
    assert large_enough([0.01, 0.04], 0.05).all() and not large_enough([0.01, 0.04], 0.06).any()
    assert large_enough([], 0.05).shape == (0,)


def test_levels_are_numbered_from_their_thresholds_on():
    levels = (EvidenceLevel("a", 1.0, (1, 1, 0)), EvidenceLevel("b", 2.0, (1, 0, 0)))
    found = label_levels(np.array([[0.99, 1.0, 1.99, 2.0, -5.0]], np.float32), levels)
    assert found.dtype == np.uint8 and found.tolist() == [[0, 1, 1, 2, 0]]


@pytest.mark.parametrize("shape", [(7,), (7, 9), (7, 9, 5)])
def test_maps_of_one_to_three_axes_are_marked(shape):
    evidence = np.zeros(shape, np.float32)
    evidence.flat[3], evidence.flat[0] = 500.0, 170.0
    assert label_levels(evidence, LEVELS).ravel()[:5].tolist() == [1, 0, 0, 3, 0]


def test_a_share_of_the_peak_that_is_just_reached_is_marked_and_corners_connect():
    evidence = np.zeros((3, 3, 3), np.float32)
    evidence[0, 0, 0], evidence[1, 1, 1], evidence[2, 2, 2] = 8.0, 4.0, 3.9
    found = label_levels(evidence, (EvidenceLevel("a", 1.0, (1, 0, 0), 0.5),))
    assert np.argwhere(found).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_regions_of_the_smallest_size_stay_and_smaller_ones_go():
    geometry = Geometry((9, 2, 1), (0.0, 0.0, 0.0), (2.0, 2.0, 4.0), np.eye(3))
    evidence = np.zeros(geometry.shape_kji, np.float32)
    evidence[0, 0, 2:7] = 500.0  # 0.08 ml
    assert mark(evidence, geometry, LEVELS, minimum_ml=0.08).any()
    assert not mark(evidence, geometry, LEVELS, minimum_ml=0.081).any()
    assert not mark(0 * evidence, geometry, LEVELS, minimum_ml=0.08).any(), "nothing to be left out"


def test_a_map_that_reaches_no_level_is_unmarked_whatever_its_peak():
    assert not label_levels(np.full((3, 4, 5), -7.0, np.float32), LEVELS).any()


def test_a_head_is_marked_in_a_fraction_of_a_second():
    evidence = np.random.default_rng(0).normal(0, 20, (180, 256, 256)).astype(np.float32)
    evidence[30:150, 40:200, 50:210] += 140.0  # a box of 3 million voxels, half of them above the lowest level
    evidence[60:80, 90:110, 90:110] += 400.0
    geometry = Geometry((256, 256, 180), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), np.eye(3))
    times = []
    for _ in range(2):
        start = time.process_time()
        labels = mark(evidence, geometry, LEVELS)
        times.append(time.process_time() - start)
    assert labels.any() and min(times) < 1.5, "several times what an idle core needs, for busy ones"
