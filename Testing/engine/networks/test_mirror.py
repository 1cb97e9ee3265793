"""The mirrored half of the head: where the line lies, what is reflected, and a pyramid that sees both."""

import pytest
import torch
from hrcam import HRCAM, ModelError
from hrcam.networks.efficientnet_lite0 import Lite0Pyramid
from hrcam.networks.mirror import _grid, mirror_reflection, reflect


def _head(height=96, width=80, column=4.0, row=-3.0, slope=0.0):
    """An ellipse whose long axis runs through (row, column), from the image's middle, along (1, slope)."""
    y, x = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2 - row, torch.arange(width) - (width - 1) / 2 - column, indexing="ij"
    )
    norm = (1 + slope**2) ** 0.5
    along, across = (y + slope * x) / norm, (x - slope * y) / norm
    return ((along / 36) ** 2 + (across / 24) ** 2 < 1).float()[None, None]


@pytest.mark.parametrize("slope", [0.0, 0.15, -0.15])
def test_a_symmetric_head_is_its_own_mirror_image_wherever_it_lies_and_however_it_is_tilted(slope):
    head = _head(slope=slope)
    mirrored = reflect(head, mirror_reflection(head))
    assert (mirrored - head).abs().mean() < 0.03  # a line to rows' middles shears a little


def test_a_spot_is_found_at_the_mirrored_place():
    head = 0.5 * _head(column=6.0)
    spot = head.clone()
    spot[0, 0, 40:44, 60:64] = 1.0
    mirrored = reflect(spot, mirror_reflection(spot))
    column = (mirrored[0, 0] > 0.75).float().sum(0).argmax()
    assert abs(float(column) - (2 * (39.5 + 6.0) - 61.5)) < 2


def test_features_of_every_resolution_are_reflected_alike():
    head = _head()
    head[0, 0, 40:48, 56:64] = 3.0
    reflection = mirror_reflection(head)
    fine = torch.nn.functional.avg_pool2d(reflect(head, reflection), 8)
    coarse = reflect(torch.nn.functional.avg_pool2d(head, 8), reflection)
    assert (fine - coarse).abs().mean() < 0.1
    assert fine.flatten().argmax() == coarse.flatten().argmax()


def test_an_empty_image_has_a_reflection_too():
    assert torch.isfinite(mirror_reflection(torch.zeros(2, 1, 32, 32))).all()


def test_channels_stay_last_where_they_were():
    head = torch.rand(2, 3, 16, 24)
    last = head.to(memory_format=torch.channels_last)
    reflection = mirror_reflection(head)
    assert reflect(head, reflection).is_contiguous()
    found = reflect(last, reflection)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, reflect(head, reflection))


def test_a_mirrored_pyramid_without_weight_on_the_mirror_image_is_a_plain_one():
    torch.manual_seed(0)
    plain = Lite0Pyramid(finest_stride=4, width=8, power=2).eval()
    mirrored = Lite0Pyramid(finest_stride=4, width=8, power=2, mirror=True).eval()
    weights = dict(plain.state_dict())
    for name, own in mirrored.state_dict().items():
        if name.startswith("lateral") and own.ndim == 4:
            weights[name] = torch.cat([weights[name], torch.zeros_like(weights[name])], 1)
    mirrored.load_state_dict(weights)
    x = 0.8 * _head(64, 64)
    with torch.no_grad():
        torch.testing.assert_close(mirrored(x), plain(x))


@pytest.mark.parametrize("power", [1, 2])
def test_hrcam_around_a_mirrored_pyramid_is_complete(power):
    torch.manual_seed(0)
    network = Lite0Pyramid(finest_stride=4, width=8, power=power, mirror=True).eval()
    hrcam = HRCAM(network, 2, levels=network.pyramid_levels).eval()
    assert [level.stride for level in hrcam.levels] == [(4.0, 4.0), (8.0, 8.0), (16.0, 16.0)]
    evidence = hrcam.evidence(_head(64, 64), per_level=True)
    pooled = torch.stack([level.mean((2, 3)) for level in evidence.levels]).sum(0) + hrcam.head.bias
    torch.testing.assert_close(pooled, evidence.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(evidence.maps.mean((2, 3)) + hrcam.head.bias, evidence.logits, rtol=1e-4, atol=1e-4)


def test_a_map_that_a_network_warps_and_does_not_vouch_for_is_still_refused():
    network = Lite0Pyramid(finest_stride=4, width=8, mirror=True).eval()
    del network.pyramid["4"].level_stride
    with pytest.raises(ModelError, match="warped"):
        HRCAM(network, 2, levels=network.pyramid_levels)


def test_volumes_have_no_mirror():
    with pytest.raises(ModelError, match="mirror"):
        Lite0Pyramid(dims=3, mirror=True)


def test_the_grid_is_that_of_affine_grid():
    reflection, features = torch.randn(2, 2, 3), torch.zeros(2, 1, 6, 10)
    wanted = torch.nn.functional.affine_grid(reflection, [2, 1, 6, 10], align_corners=False)
    torch.testing.assert_close(_grid(reflection, features), wanted)


def test_evidence_of_flipped_images_is_averaged():
    torch.manual_seed(0)
    arguments = {"finest_stride": 4, "width": 8, "power": 2, "mirror": True}
    plain = Lite0Pyramid(**arguments)
    both = Lite0Pyramid(**arguments, flips=True)
    both.load_state_dict(plain.state_dict())
    one = HRCAM(plain, 2, levels=plain.pyramid_levels).eval()
    two = HRCAM(both, 2, levels=both.pyramid_levels).eval()
    two.load_state_dict(one.state_dict())
    x = 0.8 * _head(64, 64, column=-5.0) + 0.1 * torch.rand(3, 1, 64, 64)
    with torch.no_grad():
        as_is, flipped, averaged = one.evidence(x), one.evidence(x.flip(3)), two.evidence(x)
    assert torch.allclose(averaged.logits, (as_is.logits + flipped.logits) / 2, rtol=1e-4, atol=1e-5)
    assert torch.allclose(averaged.maps, (as_is.maps + flipped.maps.flip(3)) / 2, rtol=1e-4, atol=1e-5)


def test_volumes_are_not_flipped():
    with pytest.raises(ModelError, match="flips"):
        Lite0Pyramid(dims=3, flips=True)
