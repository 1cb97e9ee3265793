"""Augmentation: seeded, pure, the same for all channels of an item, in 2D and 3D."""

import math

import pytest
import torch
from hrcam_train import augment as A

TRANSFORMS = [A.flip, A.affine, A.gamma, A.gain, A.bias_field, A.noise, A.resolution, A.thick_slices, A.augment]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def head(*size):
    """A smooth ball on background 0, intensities up to 1."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in size], indexing="ij")
    return (1 - sum(a**2 for a in axes)).clamp(min=0)[None, None]


@pytest.mark.parametrize("size", [(48, 40), (16, 20, 24)])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_is_pure_seeded_and_varies_with_the_seed(transform, size):
    images = head(*size).roll(3, -1).repeat(6, 1, *[1] * len(size))
    before = images.clone()
    first, again, other = (transform(images, rng(s)) for s in (0, 0, 1))
    assert torch.equal(images, before)
    assert first.shape == images.shape and first.dtype == torch.float32 and torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, images)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_channels_of_an_item_stay_a_pair(transform):
    counterpart = head(32, 32)
    out = transform(torch.cat([counterpart, counterpart], 1).repeat(8, 1, 1, 1), rng())
    assert torch.equal(out[:, 0], out[:, 1])


@pytest.mark.parametrize("transform", [A.gain, A.noise, A.gamma, A.bias_field, A.resolution])
def test_probability_zero_changes_nothing(transform):
    images = head(20, 20)
    assert torch.equal(transform(images, rng(), probability=0.0), images)


def test_all_strengths_off_changes_nothing():
    off = A.AugmentOptions(
        flip=[], rotate_degrees=0, scale=0, shear=0, translate=0, gamma=0, gain=0, bias_field=0, noise=0,
        resolution=1, thick_slices=1,
    )  # fmt: skip
    images = head(20, 20)
    assert torch.equal(A.augment(images, rng(), off), images)


def test_rotation_does_not_distort_a_non_square_image():
    image = torch.zeros(1, 1, 40, 80)
    yy, xx = torch.meshgrid(torch.arange(40.0), torch.arange(80.0), indexing="ij")
    image[0, 0][(yy - 19.5) ** 2 + (xx - 39.5) ** 2 <= 100] = 1  # a centered disc looks the same after any rotation
    turned = A.affine(image, rng(3), degrees=90, scale=0, shear=0, translate=0)
    assert (turned - image).abs().mean() < 0.01


def test_shift_is_a_fraction_of_the_field_of_view():
    image = head(64, 64).repeat(200, 1, 1, 1)
    moved = A.affine(image, rng(), degrees=0, scale=0, shear=0, translate=0.1)
    columns = torch.arange(64.0)
    center = (moved.sum((1, 2)) * columns).sum(1) / moved.sum((1, 2, 3))
    shift = (center - 31.5).abs()
    assert 5.5 < shift.max() < 6.5  # 10 % of 64


def test_gamma_keeps_the_range_and_the_order():
    image = head(32, 32) * 3 - 1
    out = A.gamma(image, rng(), strength=1.0, probability=1.0)
    assert math.isclose(out.min(), image.min(), abs_tol=1e-5) and math.isclose(out.max(), image.max(), abs_tol=1e-5)
    order = image.flatten().argsort()
    assert (out.flatten()[order].diff() >= -1e-5).all()


def test_thick_slices_blur_one_axis_only():
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1
    out = torch.cat([A.thick_slices(stripes, rng(s), 8.0, 1.0) for s in range(20)])
    contrast = out.std((2, 3)).flatten()
    assert (contrast > 0.49).any() and (contrast < 0.3).any()
