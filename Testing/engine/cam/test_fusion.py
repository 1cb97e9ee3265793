"""Fusion: what is added, what is kept, what a gate holds back."""

import numpy as np
import pytest
import torch
from hrcam import ModelError
from hrcam.cam.fusion import FUSIONS, _box, fuse, upsample
from torch.nn import functional as F


def test_upsampling_uses_half_pixel_centers():
    # Weights worked out by hand for 2 → 4 with half-pixel centers: 1, 3/4, 1/4, 0.
    line = torch.tensor([[[[1.0, 0.0]]]])
    assert upsample(line, (1, 4)).flatten().tolist() == [1.0, 0.75, 0.25, 0.0]


@pytest.mark.parametrize(
    ("native", "size"), [((4, 6), (32, 48)), ((3, 4, 5), (12, 16, 10)), ((8, 8), (4, 2)), ((8, 6), (2, 6))]
)
def test_upsampling_keeps_the_mean_where_sizes_divide(native, size):
    m = torch.randn(2, 3, *native, dtype=torch.float64)
    torch.testing.assert_close(upsample(m, size).flatten(2).mean(2), m.flatten(2).mean(2))


def test_corner_aligned_upsampling_would_break_the_mean():
    m = torch.randn(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cornered = F.interpolate(m, size=(64, 64), mode="bilinear", align_corners=True)
    assert abs(float(cornered.mean() - m.mean())) > 1e-3


def test_a_constant_level_stays_constant():
    torch.testing.assert_close(upsample(torch.full((1, 1, 3, 3), 2.5), (10, 7)), torch.full((1, 1, 10, 7), 2.5))


def test_sum_adds_the_levels():
    fine, coarse = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(fuse([fine, coarse], (8, 8)), fine + upsample(coarse, (8, 8)))


def test_fusing_changes_no_level_map():
    maps, image = [torch.randn(1, 1, 8, 8), torch.randn(1, 1, 4, 4)], torch.rand(1, 1, 8, 8)
    copies = [m.clone() for m in (*maps, image)]
    for name in FUSIONS:
        fuse(maps, (8, 8), name, image)
    assert all(torch.equal(a, b) for a, b in zip((*maps, image), copies, strict=True))


SEEING = [name for name in FUSIONS if name != "sum"]
"""Fusions that look at the image."""


def squares(dims=2, size=64, stride=4):
    """Images with a bright square; evidence is the square too, blurred and coarse, as a network's is."""
    image = torch.zeros(2, 1, *[size] * dims, dtype=torch.float64)
    inside = slice(5 * size // 16, 11 * size // 16)
    image[(slice(None), slice(None), *[inside] * dims)] = 1.0
    image[1] *= 300  # units do not matter
    truth = image > 0
    coarse = upsample(truth.double(), [size // stride] * dims)
    for _ in range(2):
        coarse = upsample(upsample(coarse, [size // stride // 2] * dims), [size // stride] * dims)
    return image, truth, [coarse, upsample(coarse, [size // stride // 2] * dims)]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("fusion", SEEING)
def test_evidence_ends_where_the_image_has_its_edge(dims, fusion):
    image, truth, levels = squares(dims, 64 if dims == 2 else 32)
    size = image.shape[2:]
    for case in range(2):
        blurred, sharp = (fuse(levels, size, name, image)[case, 0] for name in ("sum", fusion))

        def wrong(evidence, inside=truth[case, 0]):
            return float(((evidence > evidence.max() / 2) != inside).double().mean())

        assert wrong(sharp) < 0.5 * wrong(blurred) and wrong(blurred) > 0


@pytest.mark.parametrize("size", [(64, 64), (50, 39), (16, 16)])
@pytest.mark.parametrize("fusion", SEEING)
def test_evidence_that_follows_the_image_is_complete_at_any_size(size, fusion):
    image, _, levels = squares()
    fused = fuse(levels, size, fusion, image)
    torch.testing.assert_close(fused.mean((2, 3)), sum(level.mean((2, 3)) for level in levels))


@pytest.mark.parametrize("fusion", SEEING)
def test_an_image_without_edges_bounds_nothing_and_evidence_without_change_stays(fusion):
    levels = [torch.full((1, 2, 8, 8), 1.5), torch.full((1, 2, 4, 4), -0.5)]
    for image in (torch.zeros(1, 1, 32, 32), torch.rand(1, 3, 32, 32)):
        torch.testing.assert_close(fuse(levels, (32, 32), fusion, image), torch.ones(1, 2, 32, 32))


def window_means(x, radius):
    """Means over windows that end at the border, axis after axis, the slow way."""
    for axis in range(x.ndim):
        lines = np.moveaxis(x, axis, 0)
        means = [lines[max(0, n - radius) : n + radius + 1].mean(0) for n in range(len(lines))]
        x = np.moveaxis(np.stack(means), 0, axis)
    return x


@pytest.mark.parametrize("size", [(64, 112), (20, 18, 36)])
def test_guided_is_the_guided_filter_of_he_sun_and_tang(size, radius=1):
    """Levels as large as the image, two channels: the published equations, window by window, applied to
    a guide without the noise of single pixels; the mean given back."""
    rng = np.random.default_rng(0)
    levels, image = rng.normal(size=(2, 1, 1, *size)), rng.uniform(size=(1, 2, *size))
    evidence, guide = levels.sum(0)[0, 0], image[0].mean(0)
    mean_guide, mean_evidence = window_means(guide, radius), window_means(evidence, radius)
    variance = window_means(guide**2, radius) - mean_guide**2
    covariance = window_means(guide * evidence, radius) - mean_guide * mean_evidence
    slope = covariance / (variance + 0.1 * guide.var())
    calm = window_means(guide, 1)
    expected = window_means(slope, radius) * calm + window_means(mean_evidence - slope * mean_guide, radius)
    expected += evidence.mean() - expected.mean()
    fused = fuse([torch.from_numpy(each) for each in levels], size, "guided", torch.from_numpy(image))
    np.testing.assert_allclose(fused[0, 0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("fusion", SEEING)
def test_images_of_no_contrast_and_of_one_pixel_are_taken(fusion):
    flat = torch.full((1, 1, 8, 8), 0.5)
    assert torch.isfinite(fuse([torch.randn(1, 1, 8, 8)], (8, 8), fusion, flat)).all()
    assert fuse([torch.ones(1, 1, 1, 1)], (1, 1), fusion, torch.ones(1, 1, 1, 1)).item() == 1.0
    assert fuse([torch.ones(1, 1, 4)], (9,), fusion, torch.rand(1, 1, 9)).shape == (1, 1, 9)


def _resizes_half():
    image = torch.ones(1, 2, 4, 4, dtype=torch.float16).contiguous(memory_format=torch.channels_last)
    try:
        torch.nn.functional.interpolate(image, size=(8, 8), mode="bilinear")
    except RuntimeError:
        return False
    return True


HALF = pytest.param(torch.float16, marks=pytest.mark.skipif(
    not _resizes_half(), reason="this PyTorch resizes half precision on GPUs alone"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, HALF, torch.bfloat16])
@pytest.mark.parametrize("brightness", [1e-3, 0.3, 0.7, 1.1])
@pytest.mark.parametrize("fusion", SEEING)
def test_rounding_errors_of_an_image_without_contrast_bound_nothing(dtype, brightness, fusion):
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(1, 2, n, n, generator=generator).to(dtype) for n in (32, 8)]
    fused = fuse(levels, (64, 64), fusion, torch.full((1, 1, 64, 64), brightness, dtype=dtype))
    assert fused.abs().max() <= fuse(levels, (64, 64), "sum").abs().max()


@pytest.mark.parametrize("unit", [1e-12, 1e12])
@pytest.mark.parametrize("fusion", SEEING)
def test_the_images_unit_does_not_matter(unit, fusion):
    image, _, levels = squares()
    torch.testing.assert_close(fuse(levels, (64, 64), fusion, unit * image), fuse(levels, (64, 64), fusion, image))


@pytest.mark.parametrize("fusion", SEEING)
def test_every_image_of_a_batch_is_its_own_guide(fusion):
    image, _, levels = squares()
    together = fuse(levels, (64, 64), fusion, image)
    for case in range(2):
        alone = fuse([level[case : case + 1] for level in levels], (64, 64), fusion, image[case : case + 1])
        torch.testing.assert_close(together[case : case + 1], alone)


def test_appearance_takes_evidence_from_what_looks_like_the_surroundings():
    image, truth, levels = squares()
    image = image / image.amax((2, 3), keepdim=True) + 0.3 + 0.05 * torch.rand(image.shape, dtype=image.dtype)
    levels = [level - 0.02 for level in levels]
    guided, weighed = (fuse(levels, (64, 64), name, image) for name in SEEING)
    halo = [float(one.clamp(min=0)[~truth].sum() / one.clamp(min=0).sum()) for one in (guided, weighed)]
    assert halo[1] < 0.7 * halo[0]
    assert torch.equal(weighed[guided <= 0], guided[guided <= 0]), "evidence against the class stays"


def test_appearance_weighs_each_class_by_itself_and_keeps_the_maps_type():
    image, _, levels = squares()
    both = fuse([torch.cat([level, level.flip(3)], 1) for level in levels], (64, 64), "appearance", image)
    alone = fuse(levels, (64, 64), "appearance", image)
    torch.testing.assert_close(both[:, :1], alone)
    assert fuse([level.bfloat16() for level in levels], (64, 64), "appearance", image).dtype == torch.bfloat16


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 4, 4), torch.zeros(1, 4, 4), torch.zeros(1, 1, 4, 4, 4)])
def test_images_of_another_number_or_dimension_are_refused(images):
    with pytest.raises(ModelError, match="needs the images"):
        fuse([torch.zeros(1, 1, 2, 2)], (4, 4), "guided", images)


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), (4, 4, 4)])
def test_sizes_that_do_not_fit_are_refused(size):
    with pytest.raises(ModelError, match="does not fit maps of shape"):
        fuse([torch.zeros(1, 1, 2, 2)], size)


def test_guided_is_linear_in_the_evidence():
    image, _, levels = squares()
    others = [torch.randn_like(level) for level in levels]
    both = fuse([2 * a - b for a, b in zip(levels, others, strict=True)], (64, 64), "guided", image)
    alone = [fuse(each, (64, 64), "guided", image) for each in (levels, others)]
    torch.testing.assert_close(both, 2 * alone[0] - alone[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([torch.zeros(1, 1, 2, 2)], (4, 4), "product"), "no fusion 'product'.*sum, guided"),
        (([torch.zeros(1, 1, 2, 2)], (4, 4), "guided"), "needs the images"),
        (([], (4, 4)), "no level"),
        (([torch.zeros(1, 1, 2, 2)], (4, 4, 4)), "does not fit.*Give 2 positive numbers"),
        (([torch.zeros(1, 1, 2, 2, 2)], (4, 4)), "does not fit.*Give 3 positive numbers"),
        (([torch.zeros(1, 1, 2, 2)], (4, 0)), "does not fit"),
    ],
)
def test_bad_requests_are_refused_in_words(arguments, message):
    with pytest.raises(ModelError, match=message):
        fuse(*arguments)


@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("size", [(9, 17), (1, 6), (2, 3, 4), (1, 1)])
def test_windows_are_means_of_what_lies_inside(size, radius):
    x = torch.rand(2, 1, *size, dtype=torch.float64)
    kept = x.clone()
    expected = x
    for axis in range(2, x.ndim):
        lines = expected.movedim(axis, -1)
        n = lines.shape[-1]
        windows = [lines[..., max(0, i - radius):i + radius + 1].mean(-1) for i in range(n)]
        expected = torch.stack(windows, -1).movedim(-1, axis)
    assert torch.allclose(_box(x, radius), expected, atol=1e-12)
    assert torch.equal(x, kept), "the image itself stays as it is"


@pytest.mark.parametrize("channels", [2, 3])
def test_the_guide_of_several_channels_is_their_mean(channels):
    levels, images = [torch.rand(2, 1, 8, 8)], torch.rand(2, channels, 16, 16)
    expected = fuse(levels, (16, 16), "guided", images.mean(1, keepdim=True))
    assert torch.allclose(fuse(levels, (16, 16), "guided", images), expected, atol=1e-6)
