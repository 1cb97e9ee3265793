"""What is kept of a large array stands for all of it, whatever pattern it holds."""

import numpy as np
import pytest
from hrcam.scan.checks import check_volume
from hrcam.scan.geometry import Geometry
from hrcam.scan.intensity import find_scale
from hrcam.scan.thinning import positions, thin
from hrcam.scan.volume import Volume

SCALING = {"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "none"}
N = 1 << 12
BOUND = np.sqrt(np.log(2 / 1.2e-5) / (2 * N))
"""Hoeffding's bound for so many values, at the probability that `thinning.MOST` states."""


def _volumes():
    shape = (32, 64, 256)
    k, j, i = np.indices(shape)
    yield "a slope along the rows", i
    yield "sorted", np.arange(k.size).reshape(shape)
    rng = np.random.default_rng(5)
    for period in (2, 3, 4, 8, 16, 31, 32, 64, 128):
        for phase in (0, 1, period - 1):
            yield f"every {period}th column from {phase}", (i % period == phase) * 1000.0
            yield f"every {period}th row from {phase}", (j % period == phase) * 1000.0
        yield f"a checkerboard of {period}", ((i // period + j // period + k) % 2) * 1000.0
        flat = np.zeros(k.size)
        flat[::period] = rng.random(flat[::period].size)
        yield f"every {period}th voxel", flat.reshape(shape)
    yield "one bright block", (k > 29) * 1000.0


def test_the_sample_s_distribution_is_that_of_the_volume_within_the_stated_bound():
    for name, volume in _volumes():
        kept, every = np.sort(thin(volume, N)), np.sort(volume, axis=None)
        assert kept.size == N
        for value in np.unique(np.quantile(every, np.linspace(0, 1, 101))):
            shares = [np.searchsorted(one, value, "right") / one.size for one in (kept, every)]
            assert abs(shares[0] - shares[1]) <= BOUND, name


def test_bright_columns_that_a_fixed_step_jumps_over_count_for_the_scale():
    volume = np.full((64, 512, 512), 100, np.uint8)  # 16 million voxels: a step of 4 divides the row
    volume[..., 1::8] = 200
    assert find_scale(volume, SCALING).high == pytest.approx(200)


def test_a_scan_with_a_phantom_in_every_eighth_slice_is_no_label_map():
    array = np.random.default_rng(0).normal(100, 10, (256, 32, 32)).astype(np.float32)
    array[::8] = 0  # every eighth slice was looked at
    array[::8, 8:24, 8:24] = 1
    check_volume(Volume(array, Geometry((32, 32, 256), (0.0, 0.0, 0.0), (1.0, 1.0, 5.0), np.eye(3)), "gated"))


def test_the_same_positions_are_drawn_each_time_one_from_each_part():
    drawn = positions(1000, 100)
    assert np.array_equal(drawn, positions(1000, 100))
    assert np.array_equal(drawn // 10, np.arange(100))
    assert len(set(np.diff(drawn))) > 5


def test_few_values_are_all_kept():
    assert np.array_equal(positions(5, 5), np.arange(5))
    assert np.array_equal(np.sort(thin(np.arange(12).reshape(3, 4), 12)), np.arange(12))


def test_a_transposed_volume_is_thinned_without_a_copy_of_it():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.shares_memory(thin(array.transpose(2, 0, 1)), array)
