"""Slices share evidence with their neighbors: as a bundle states, complete as before."""

from dataclasses import replace

import numpy as np
import pytest
from hrcam.cam.level_maps import Output
from hrcam.localize import Options, localize
from hrcam.run.across_slices import share_evidence

WEIGHT = 0.25


@pytest.fixture
def output():
    rng = np.random.default_rng(0)
    maps = rng.random((7, 1, 4, 4), np.float32)
    bias = np.array([0.5], np.float32)
    return Output(maps.mean((2, 3)) + bias, (8, 8), (0,), {"a": maps}, bias, lambda chosen: maps)


def maps_of(output, start=0, end=7):
    return output.levels["a"][slice(start, end)]


def test_neighbors_count_as_stated_and_weights_sum_to_one(output):
    one = np.zeros((7, 1, 4, 4), np.float32)
    one[3] = 1
    shared = maps_of(share_evidence(replace(output, levels={"a": one}), range(7), WEIGHT))[:, 0, 0, 0]
    np.testing.assert_allclose(shared[2:5], np.array([WEIGHT, 1, WEIGHT]) / (1 + 2 * WEIGHT), rtol=1e-6)
    assert shared[1] == shared[5] == 0 and shared.sum() == pytest.approx(1)
    even = maps_of(share_evidence(replace(output, levels={"a": one * 0 + 2}), range(7), WEIGHT))
    np.testing.assert_allclose(even, 2, rtol=1e-6)


def test_a_skipped_slice_parts_its_neighbors(output):
    shared = share_evidence(output, [0, 1, 2, 4, 5, 6, 9], WEIGHT)
    np.testing.assert_array_equal(maps_of(shared)[6], maps_of(output)[6])
    assert (maps_of(shared)[2] == (maps_of(output)[2] + WEIGHT * maps_of(output)[1]) / (1 + WEIGHT)).mean() > 0.5
    assert share_evidence(output, range(0, 14, 2), WEIGHT) is output


def test_maps_stay_complete_and_parts_are_those_of_the_whole(output):
    shared = share_evidence(output, range(7), WEIGHT)
    np.testing.assert_allclose(maps_of(shared).mean((2, 3)) + shared.bias, shared.logits, atol=1e-6)
    parts = np.concatenate([maps_of(shared, start, start + 1) for start in range(7)])
    np.testing.assert_array_equal(parts, maps_of(shared))


def test_a_scan_is_smoothed_where_the_bundle_says_so(bright_blob_bundle, blob_volume):
    volume, options = blob_volume(), Options(device="cpu", engine="torch", plane="axial", keep_levels=True)
    sharing = replace(bright_blob_bundle, metadata={**bright_blob_bundle.metadata, "neighbor_weight": 0.5})
    alone, shared = (localize(volume, bundle, options) for bundle in (bright_blob_bundle, sharing))
    assert alone.probabilities == shared.probabilities
    peaks = [np.array([one.peak for one in result.slices]) for result in (alone, shared)]
    assert peaks[1].max() < peaks[0].max() and (peaks[1] > 0).sum() >= (peaks[0] > 0).sum()
    assert shared.completeness_error < 1e-3
    assert shared.map.sum() == pytest.approx(alone.map.sum(), rel=0.05)
