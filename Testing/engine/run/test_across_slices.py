"""Slices share evidence with their neighbors: by distance, complete as before, and only where a bundle says so."""

from dataclasses import replace

import numpy as np
import pytest
from hrcam.cam.level_maps import Output
from hrcam.localize import Options, localize
from hrcam.run.across_slices import share_evidence

SIGMA = 3.0


@pytest.fixture
def output():
    rng = np.random.default_rng(0)
    maps = rng.random((7, 1, 4, 4), np.float32)
    bias = np.array([0.5], np.float32)
    return Output(maps.mean((2, 3)) + bias, (8, 8), (0,), {"a": maps}, bias, lambda chosen: maps)


def maps_of(output, start=0, end=7):
    return output.levels["a"][slice(start, end)]


def test_weights_fall_with_the_distance_and_sum_to_one(output):
    one = np.zeros((7, 1, 4, 4), np.float32)
    one[3] = 1
    shared = maps_of(share_evidence(replace(output, levels={"a": one}), np.arange(7) * 5.0, SIGMA))[:, 0, 0, 0]
    beside = np.exp(-0.5 * (5 / SIGMA) ** 2)
    assert shared[3] == pytest.approx(1 / (1 + 2 * beside)) and shared[2] == pytest.approx(beside / (1 + 2 * beside))
    assert shared[1] == 0 and shared.sum() == pytest.approx(1)
    even = maps_of(share_evidence(replace(output, levels={"a": one * 0 + 2}), np.arange(7) * 1.0, SIGMA))
    np.testing.assert_allclose(even, 2, rtol=1e-6)


def test_a_skipped_slice_parts_its_neighbors(output):
    shared = share_evidence(output, [0.0, 1.0, 2.0, 40.0, 41.0, 42.0, 43.0], SIGMA)
    np.testing.assert_allclose(maps_of(shared)[:3].mean(), maps_of(output)[:3].mean(), atol=0.05)
    alone = share_evidence(output, np.arange(7) * 40.0, SIGMA)
    assert alone is output


def test_maps_stay_complete_and_parts_are_those_of_the_whole(output):
    shared = share_evidence(output, np.arange(7) * 2.0, SIGMA)
    np.testing.assert_allclose(maps_of(shared).mean((2, 3)) + shared.bias, shared.logits, atol=1e-6)
    parts = np.concatenate([maps_of(shared, start, start + 1) for start in range(7)])
    np.testing.assert_array_equal(parts, maps_of(shared))


def test_a_scan_is_smoothed_where_the_bundle_says_so(bright_blob_bundle, blob_volume):
    volume, options = blob_volume(), Options(device="cpu", engine="torch", plane="axial", keep_levels=True)
    sharing = replace(bright_blob_bundle, metadata={**bright_blob_bundle.metadata, "across_slices_mm": 4.0})
    alone, shared = (localize(volume, bundle, options) for bundle in (bright_blob_bundle, sharing))
    assert alone.probabilities == shared.probabilities
    peaks = [np.array([one.peak for one in result.slices]) for result in (alone, shared)]
    assert peaks[1].max() < peaks[0].max() and (peaks[1] > 0).sum() >= (peaks[0] > 0).sum()
    assert shared.completeness_error < 1e-3
    assert shared.map.sum() == pytest.approx(alone.map.sum(), rel=0.05)
