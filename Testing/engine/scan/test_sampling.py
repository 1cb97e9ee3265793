"""How a volume is shown to a network, and that maps come back to the very voxel they came from."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
import torch
from hrcam.errors import BundleError, InputError
from hrcam.scan.geometry import LPS_TO_RAS, Geometry
from hrcam.scan.intensity import CEILING, find_scale, in_order, otsu_of, otsu_threshold, percentile
from hrcam.scan.resample import AxisFit, fit_axis, linear_weights
from hrcam.scan.sampling import (
    display_position,
    displayed,
    expected_inputs,
    normalize,
    plan_slices,
    plan_volume,
    planes_to_read,
)
from hrcam.scan.volume import Volume

SCALING = {"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "otsu", "per": "volume"}


CORONAL_STACK = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Directions of i, j, k in LPS: to the left, to the feet, to the back."""


def bundle(size=(64, 64), spacing=1.0, planes=("axial", "coronal", "sagittal"), best_plane=None, **intensity):
    inputs = {"planes": list(planes), "size": list(size), "spacing_mm": spacing, "intensity": {**SCALING, **intensity}}
    if best_plane:
        inputs["best_plane"] = best_plane
    return SimpleNamespace(metadata={"input": inputs})


def volume(array, spacing=(1.0, 1.0, 1.0), direction=None, spacing_known=True):
    geometry = Geometry(array.shape[::-1], (0.0, 0.0, 0.0), spacing, np.eye(3) if direction is None else direction)
    return Volume(np.ascontiguousarray(array, np.float32), geometry, "case", spacing_known=spacing_known)


def head(shape=(20, 40, 36), seed=0):
    """A bright ellipsoid with texture on dark noise."""
    rng = np.random.default_rng(seed)
    z, y, x = (np.linspace(-1, 1, n) for n in shape)
    radius = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2
    return np.where(radius < 0.8, 100 + 20 * rng.random(shape), 2 * rng.random(shape)).astype(np.float32)


# --- intensity


def test_tissue_lands_in_the_unit_range_whatever_the_scanner_units():
    image = head()
    for factor, offset in ((1.0, 0.0), (40.0, 7.0), (0.001, -3.0)):
        found = normalize(factor * image + offset, SCALING)
        np.testing.assert_allclose(found, normalize(image, SCALING), atol=2e-3)
    assert found.dtype == np.float32
    assert found.min() == 0 and 0.95 < found.max() < CEILING


def test_dark_tissue_inside_the_head_is_not_turned_into_background():
    image = head()
    image[8:12, 15:25, 15:20] = 30.0  # a ventricle: far below Otsu's threshold, far above air
    assert otsu_threshold(image) > 30.0
    assert normalize(image, SCALING)[10, 20, 17] > 0.15


def test_one_bright_voxel_neither_squeezes_the_range_nor_leaves_it():
    image = head()
    reference = normalize(image, SCALING)
    image[10, 20, 18] = 1e5
    found = normalize(image, SCALING)
    assert found[10, 20, 18] == pytest.approx(CEILING)
    np.testing.assert_allclose(np.delete(found.ravel(), 10 * 40 * 36 + 20 * 36 + 18),
                               np.delete(reference.ravel(), 10 * 40 * 36 + 20 * 36 + 18), atol=0.02)


def test_a_constant_or_not_finite_image_becomes_zero_and_does_not_fail():
    assert not normalize(np.full((4, 4), 7.0), SCALING).any()
    broken = head()
    broken[0, 0, 0] = np.nan
    assert normalize(broken, SCALING)[0, 0, 0] == 0


def test_otsu_separates_two_groups_and_agrees_with_simpleitk():
    image = head()
    reference = SimpleITK.OtsuThresholdImageFilter()
    reference.SetNumberOfHistogramBins(256)
    reference.Execute(SimpleITK.GetImageFromArray(image))
    # Any threshold in the gap separates equally; what matters is the same split of voxels.
    assert np.mean((image >= otsu_threshold(image)) != (image >= reference.GetThreshold())) < 1e-3


@pytest.mark.parametrize(
    "image", [head(), np.round(head()), np.float32(head() > 50), np.full(9, 7.0), np.array([1.0, 1.0, 5.0])])
def test_what_is_looked_up_in_order_is_what_is_found_without(image):
    ordered = in_order(image)
    for percent in (0, 1, 37.5, 50, 99.5, 100):
        assert percentile(ordered, percent) == pytest.approx(float(np.percentile(image, percent)))
    assert otsu_of(ordered) == otsu_threshold(image)


@pytest.mark.parametrize("scaling", [{"kind": "zscore"}, {**SCALING, "foreground": "brain"}])
def test_an_unknown_scaling_is_refused_by_name(scaling):
    with pytest.raises(BundleError, match=r"zscore|brain"):
        find_scale(head(), scaling)


# --- resampling


def test_weights_keep_a_ramp_a_ramp_and_sum_to_one():
    for source, target in ((10, 25), (25, 10), (24, 153), (7, 7)):
        weights = linear_weights(source, target)
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        positions = (np.arange(source) + 0.5) / source
        wanted = (np.arange(target) + 0.5) / target
        inner = slice(target // 8 + 2, target - target // 8 - 2)
        np.testing.assert_allclose((weights @ positions)[inner], wanted[inner], atol=1e-3)


def test_upsampling_equals_torch_with_half_pixel_centers():
    torch = pytest.importorskip("torch")
    signal = np.random.default_rng(0).random((1, 1, 13)).astype(np.float32)
    reference = torch.nn.functional.interpolate(torch.from_numpy(signal), size=31, mode="linear", align_corners=False)
    np.testing.assert_allclose(linear_weights(13, 31) @ signal[0, 0], reference.numpy()[0, 0], atol=1e-6)


def test_padding_is_undone_exactly_and_nothing_is_cropped():
    array = np.random.default_rng(0).random((3, 11, 17)).astype(np.float32)
    fit = AxisFit(11, 11, 16)
    there = fit.forward(array, 1)
    assert there.shape == (3, 16, 17)
    np.testing.assert_array_equal(fit.backward(there, 1), array)
    assert fit_axis(300, 1.0, 1.0, 256, 32) == AxisFit(300, 300, 320)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_axis_is_resampled_alike(axis):
    array = np.random.default_rng(1).random((9, 10, 11)).astype(np.float32)
    fit = AxisFit(array.shape[axis], 14, 20)
    moved = np.moveaxis(fit.forward(np.moveaxis(array, axis, -1), -1), -1, axis)
    np.testing.assert_allclose(fit.forward(array, axis), moved, atol=1e-6)


def test_resampling_keeps_to_one_thread():
    """Those of numpy's BLAS spin between products, for milliseconds each: a whole core that the network wants."""
    code = """
import time
import numpy as np
from hrcam.scan.resample import AxisFit

fit, images = AxisFit(256, 193, 256), np.ones((4, 256, 256), np.float32)
def there_and_back():
    for step in (fit.forward, fit.backward):
        step(step(images, 1), 2)
there_and_back()  # weights are made once, by a product
time.sleep(0.2)
began = time.process_time(), time.thread_time()
for _ in range(30):
    there_and_back()
print((time.process_time() - began[0]) / (time.thread_time() - began[1]))
"""
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    run = subprocess.run([sys.executable, "-c", code], env=free, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1.2


# --- display orientation


@pytest.mark.parametrize(
    ("plane", "down", "right"),
    [("axial", (0, -1, 0), (-1, 0, 0)), ("coronal", (0, 0, -1), (-1, 0, 0)), ("sagittal", (0, 0, -1), (0, -1, 0))],
)
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_slices_are_shown_in_radiological_orientation(plane, down, right, flip):
    """Rows and columns of the displayed slice grow towards these RAS directions, on flipped grids too."""
    direction = np.diag(flip).astype(float)
    scan = volume(head(), direction=direction)
    ras = np.moveaxis(np.indices(scan.array.shape)[::-1], 0, -1) @ (LPS_TO_RAS[:3, :3] @ direction).T
    shown = np.stack([displayed(np.ascontiguousarray(ras[..., n]), scan.geometry, plane) for n in range(3)], axis=-1)
    np.testing.assert_array_equal(shown[0, 1, 0] - shown[0, 0, 0], down)
    np.testing.assert_array_equal(shown[0, 0, 1] - shown[0, 0, 0], right)


def test_display_position_finds_the_voxel_in_the_displayed_slice():
    scan = volume(head(), direction=np.diag([-1.0, 1.0, -1.0]))
    for plane in ("axial", "coronal", "sagittal"):
        i, j, k = 7, 30, 4
        row, column = display_position(scan.geometry, plane, (i, j, k))
        index = (i, j, k)[scan.geometry.axis_of(plane)]
        assert displayed(scan.array, scan.geometry, plane)[index, int(row), int(column)] == scan.array[k, j, i]


# --- plans


def test_what_is_shown_comes_back_exactly_where_no_resampling_is_needed():
    scan = volume(head(), direction=np.diag([-1.0, 1.0, -1.0]))
    for plane in ("axial", "coronal", "sagittal"):
        plan = plan_slices(scan, bundle(), plane)
        images = plan.load(slice(None))
        assert images.shape == (plan.count, 1, 64, 64) and images.dtype == np.float32
        restored = plan.restore(images[:, 0])
        wanted = normalize(scan.array, SCALING)
        shown = displayed(np.ones_like(wanted), scan.geometry, plane) * 0
        shown[list(plan.indices)] = displayed(wanted, scan.geometry, plane)[list(plan.indices)]
        assert restored.flags.c_contiguous and restored.shape == scan.array.shape
        np.testing.assert_allclose(displayed(restored, scan.geometry, plane), shown, atol=1e-6)


def test_resampled_slices_come_back_with_the_same_mean_and_place():
    rows = np.exp(-0.5 * ((np.arange(40) - 14) / 3.0) ** 2)
    columns = np.exp(-0.5 * ((np.arange(36) - 23) / 3.0) ** 2)
    scan = volume(np.tile(rows[:, None] * columns, (3, 1, 1)) * 100, spacing=(0.7, 0.9, 5.0))
    plan = plan_slices(scan, bundle(size=(96, 96), spacing=0.45))
    images = plan.load(slice(None))
    restored = plan.restore(images[:, 0])
    np.testing.assert_allclose(restored, normalize(scan.array, SCALING), atol=0.05)
    assert np.unravel_index(restored[1].argmax(), (40, 36)) == (14, 23)


@pytest.mark.parametrize("spacing", [1.0, 0.8])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_coarse_level_goes_to_the_grid_as_if_it_were_up_sampled_first(dims, spacing):
    given, plan_it = bundle(size=[64] * dims, spacing=1.0), plan_slices if dims == 2 else plan_volume
    plan = plan_it(volume(head(), spacing=[spacing] * 3), given)
    coarse = np.random.default_rng(0).normal(size=(plan.count, *[n // 16 for n in plan.size])).astype(np.float32)
    mode = {2: "bilinear", 3: "trilinear"}[dims]
    raised = torch.nn.functional.interpolate(torch.from_numpy(coarse[:, None]), plan.size, mode=mode)[:, 0].numpy()
    grid = np.zeros(plan.volume.geometry.shape_kji, np.float32)
    plan.add(grid, slice(0, plan.count), coarse)
    np.testing.assert_allclose(grid, plan.restore(raised), atol=1e-5)


def test_empty_slices_are_skipped_and_come_back_as_no_evidence():
    array = head()
    array[:4] = 0
    plan = plan_slices(volume(array, spacing=(1, 1, 3)), bundle())
    assert min(plan.indices) >= 4
    restored = plan.restore(np.ones((plan.count, *plan.size), np.float32))
    assert not restored[:4].any() and (restored[list(plan.indices)] == 1).all()


def test_a_volume_of_background_alone_is_an_error():
    with pytest.raises(InputError, match="nothing but background"):
        plan_slices(volume(np.full((4, 8, 8), 3.0)), bundle())


def test_a_large_slice_makes_the_input_larger_instead_of_being_cropped():
    plan = plan_slices(volume(head((3, 70, 40)), spacing=(1, 1, 4)), bundle(size=(64, 64)))
    assert plan.size == (96, 64)


def test_absurd_spacing_is_an_error_about_the_spacing():
    with pytest.raises(InputError, match="spacing"):
        plan_slices(volume(head(), spacing=(200.0, 200.0, 200.0)), bundle())


def test_a_picture_of_unknown_spacing_fills_the_input():
    plan = plan_slices(volume(head((1, 150, 100)), spacing_known=False), bundle(size=(64, 64), spacing=0.5))
    assert plan.size == (64, 64) and plan.plane == "axial"
    assert (plan.rows.resampled, plan.columns.resampled) == (64, 43)


def test_auto_reads_small_voxels_in_the_models_best_plane_however_they_are_stored():
    anisotropic = volume(head((46, 40, 40)), spacing=(1, 1, 0.87))
    assert anisotropic.geometry.acquisition_plane == "coronal"
    assert plan_slices(anisotropic, bundle()).plane == "axial"
    assert plan_slices(anisotropic, bundle(best_plane="sagittal")).plane == "sagittal"
    assert plan_slices(anisotropic, bundle(planes=["coronal", "sagittal"])).plane == "coronal"


def test_small_voxels_may_be_read_in_three_planes_and_thick_slices_never_are():
    everything = bundle(best_plane="all")
    small, thick = volume(head()), volume(head((20, 40, 40)), spacing=(1, 1, 2), direction=CORONAL_STACK)
    assert planes_to_read(small, everything) == ("axial", "coronal", "sagittal")
    assert planes_to_read(small, everything, "coronal") == planes_to_read(thick, everything) == ("coronal",)
    assert planes_to_read(small, bundle()) == ("axial",)
    assert planes_to_read(thick, bundle(), "all") == ("axial", "coronal", "sagittal"), "asked for"
    assert planes_to_read(volume(head((1, 40, 36))), everything) == ("axial",)
    with pytest.raises(InputError, match="single slice"):
        planes_to_read(volume(head((1, 40, 36))), everything, "all")
    sizes = [(plan.size, plan.count) for plan in (plan_slices(small, everything, one) for one in
                                                  ("axial", "coronal", "sagittal"))]  # fmt: skip
    expected = expected_inputs(small.geometry, everything)
    assert [size for size, _ in expected] == [size for size, _ in sizes]
    assert all(most >= count for (_, most), (_, count) in zip(expected, sizes, strict=True))


def test_auto_reads_thick_slices_and_slabs_as_acquired():
    thick = volume(head((20, 40, 40)), spacing=(1, 1, 2), direction=CORONAL_STACK)
    slab = volume(head((8, 40, 40)), direction=CORONAL_STACK)
    assert plan_slices(thick, bundle()).plane == plan_slices(slab, bundle()).plane == "coronal"


def test_auto_takes_the_acquisition_plane_and_else_one_that_the_model_knows():
    thick_coronal = volume(head((40, 8, 36)), spacing=(1, 5, 1))
    assert plan_slices(thick_coronal, bundle()).plane == "coronal"
    assert plan_slices(thick_coronal, bundle(planes=["axial"])).plane == "axial"
    assert plan_slices(volume(head((1, 40, 36))), bundle(planes=["sagittal"])).plane == "axial"
    with pytest.raises(InputError, match="diagonal"):
        plan_slices(thick_coronal, bundle(), "diagonal")


def test_scaling_by_slice_makes_every_slice_use_its_own_range():
    array = head()
    array[10] *= 5
    by_slice = plan_slices(volume(array, spacing=(1, 1, 3)), bundle(per="slice"))
    images = by_slice.load(slice(None))
    peaks = np.percentile(images.reshape(len(images), -1), 99.9, axis=1)
    assert peaks.min() > 0.8 and peaks.max() < 1.2


def test_a_map_of_the_wrong_shape_is_refused():
    plan = plan_slices(volume(head()), bundle())
    with pytest.raises(ValueError, match="shape"):
        plan.restore(np.zeros((plan.count, 8, 8)))


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1)])
def test_a_3d_model_sees_superior_posterior_left_and_its_map_comes_back(flip):
    scan = volume(head(), spacing=(1.0, 1.0, 2.0), direction=np.diag(flip).astype(float))
    plan = plan_volume(scan, bundle(size=(48, 48, 48)))
    image = plan.load()
    assert image.shape == (1, 1, 48, 48, 48)
    np.testing.assert_allclose(plan.restore(image[:, 0]), normalize(scan.array, SCALING), atol=0.5)
    marked = scan.array.copy()
    marked[15, 30, 8] = 1000.0
    image = plan_volume(Volume(marked, scan.geometry, "m"), bundle(size=(48, 48, 48))).load()[0, 0]
    d, h, w = np.unravel_index(image.argmax(), image.shape)
    assert (d > 24) == (flip[2] > 0) and (h > 24) == (flip[1] > 0) and (w > 24) == (flip[0] < 0)
