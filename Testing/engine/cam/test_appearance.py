"""The weights of `hrcam.cam.appearance` beside the same written with numpy and scipy."""

import numpy as np
import pytest
import torch
from hrcam.cam.appearance import weigh_by_appearance
from scipy import ndimage


def expected(evidence, gray, reach):
    """What docs/method.md says of one map, with scipy's window and Gaussian; all of it a `float64` array."""
    positive = evidence.clip(min=0)
    core, region = (evidence >= share * evidence.max() for share in (0.25, 0.04))
    ring = ndimage.maximum_filter(region, 2 * reach + 1, mode="constant") & ~region & (gray > gray.min())
    seen = gray[core | ring]
    bins = np.floor(((gray - seen.mean()) / (5 * seen.std(ddof=1)) + 0.5) * 32).clip(0, 31).astype(int)
    shares = []
    for mask in (core, ring):
        counts = np.bincount(bins[mask], minlength=32).astype(float)
        smooth = ndimage.gaussian_filter1d(counts, 3, truncate=4, mode="constant")
        shares.append(0.99 * smooth / smooth.sum() + 0.01 / 32)
    ratio = np.log(shares[0] / shares[1])[bins]
    clear = np.sign(ratio) * (np.abs(ratio) - 0.6).clip(0, 2)
    raised = positive * np.exp(0.3 * clear)
    return evidence - positive + raised * positive.sum() / raised.sum(), np.abs(ratio)


@pytest.fixture(params=[(40, 56), (14, 20, 18)], ids=["2D", "3D"])
def lesion(request):
    """Evidence that reaches beyond a bright blob, to the image's edge, and the image: float64, without a batch."""
    random = np.random.default_rng(3)
    size = request.param
    places = np.meshgrid(*(np.arange(n) - 0.28 * n for n in size), indexing="ij")
    distance = np.sqrt(sum(axis**2 for axis in places)) / min(size)
    gray = 1.0 + (distance < 0.17) + 0.12 * random.standard_normal(size)
    gray[0] = 0.2  # background, which is left out of the surroundings
    return 9 * np.exp(-((distance / 0.2) ** 2)) - 0.4 + 0.1 * random.standard_normal(size), gray


def weighed(evidence, gray, reach):
    maps, images = (torch.as_tensor(one)[None, None] for one in (evidence, gray))
    return weigh_by_appearance(maps, images, reach)[0, 0].numpy()


@pytest.mark.parametrize("reach", [1, 3, 100])
def test_weights_are_those_of_the_written_method(lesion, reach):
    should, ratio = expected(*lesion, reach)
    assert (ratio < 0.6).any() and (ratio > 2.6).any(), "the case tries both ends of what is taken off and left"
    np.testing.assert_allclose(weighed(*lesion, reach), should, rtol=1e-4, atol=1e-4)
    assert np.abs(should - lesion[0]).max() > 0.2


def test_a_core_or_surroundings_of_few_pixels_tell_nothing():
    gray = np.ones((12, 12))
    gray[:, 6:] = 2.0
    evidence = np.zeros((12, 12))
    evidence[4, 2:11] = 1.0  # nine pixels
    np.testing.assert_array_equal(weighed(evidence, gray, 2), evidence)
    evidence[4, 1] = 1.0
    assert np.abs(weighed(evidence, gray, 2) - evidence).max() > 0.01
    evidence[:] = 1.0
    evidence[0, :9] = 0.0  # around ten times as much, nine pixels
    np.testing.assert_array_equal(weighed(evidence, gray, 2), evidence)
