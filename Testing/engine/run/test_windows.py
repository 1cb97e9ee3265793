"""Large volumes in windows: the same maps and logits as in one pass."""

from __future__ import annotations

import pytest
import torch
from hrcam import HRCAM, ModelError
from hrcam.networks.efficientnet_lite0 import Lite0Pyramid
from hrcam.networks.registry import Hourglass, ResNetSmall, VGGSmall
from hrcam.run.windows import Windows, _spans, cut, reach, windowed_maps
from torch import nn

torch.manual_seed(0)


def small(kind: type[nn.Module], dims: int, **options: int) -> HRCAM:
    network = HRCAM(kind(num_classes=2, width=4, dims=dims, **options), 2, example=torch.zeros(1, 1, *[32] * dims))
    for module in network.modules():  # statistics of a trained network, so that nothing is symmetric by chance
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (small(VGGSmall, 3, stages=3, depth=1), (32, 160, 96)),
        (small(ResNetSmall, 2, stages=3, blocks=1), (256, 320)),
        (small(Hourglass, 2, stages=4, depth=1, decoder_width=4), (320, 256)),
    ],
)
def test_windows_give_what_the_whole_volume_gives(network: HRCAM, size: tuple[int, ...]) -> None:
    x = torch.rand(1, 1, *size)
    overlap = reach(network)
    assert overlap is not None
    logits, maps = windowed_maps(network, x, Windows((32,) * len(size), overlap, 0))
    with torch.inference_mode():
        expected, whole = network.native_maps(x)
    assert [m.shape for m in maps] == [m.shape for m in whole]
    assert torch.allclose(logits, expected, atol=1e-5)
    for found, level in zip(maps, whole, strict=True):
        assert (found - level).abs().max() <= 1e-5 * level.abs().max()
    assert len(list(_spans(size[-1], 32, 32))) > 1


def test_reach_is_that_of_the_convolutions_and_no_smaller_overlap_will_do() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 3, 5, padding=2))
    network = HRCAM(plain, 2, levels=["3"], example=torch.zeros(1, 1, 32, 32)).eval()
    assert reach(network) == 1 + 2 * 2 + 1
    x = torch.rand(1, 1, 64, 64)
    _, (torn,) = windowed_maps(network, x, Windows((32, 32), 0, 0))
    with torch.inference_mode():
        _, (whole,) = network.native_maps(x)
    assert (torn - whole).abs().max() > 1e-3 * whole.abs().max()


def test_a_network_that_looks_at_the_whole_image_has_no_reach() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU())
    assert reach(HRCAM(plain, 2, levels=["2"], example=torch.zeros(1, 1, 32, 32)).eval()) is None


def test_windows_fit_their_limit_and_compute_no_more_than_needed() -> None:
    network = small(VGGSmall, 3, stages=2, depth=1)
    loose, tight = cut(network, (32, 256, 512), 1 << 21), cut(network, (32, 256, 512), 1 << 19)
    assert tight.voxels <= 1 << 19 < loose.voxels <= 1 << 21
    assert loose.overlap == tight.overlap == reach(network) and loose.cores[0] == 32
    assert loose.cores[1] * loose.cores[2] > tight.cores[1] * tight.cores[2], "larger windows, less overlap"


def test_what_cannot_be_cut_is_said_in_words() -> None:
    network = small(VGGSmall, 2, stages=2, depth=1)
    with pytest.raises(ModelError, match="multiples of 32"):
        cut(network, (72, 64), 1)
    with pytest.raises(ModelError, match="no smaller"):
        cut(network, (64, 32), 1)
    everywhere = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU())
    with pytest.raises(ModelError, match="depends on all of it"):
        cut(HRCAM(everywhere, 2, levels=["2"], example=torch.zeros(1, 1, 32, 32)).eval(), (64, 64), 1)
    with pytest.raises(ModelError, match="multiples of 32"):
        windowed_maps(network, torch.rand(1, 1, 72, 64), Windows((32, 32), 8, 0))


def test_logits_are_of_all_classes_and_maps_of_those_asked_for() -> None:
    network, x, told = small(VGGSmall, 2, stages=2, depth=1), torch.rand(1, 1, 160, 64), []
    windows = cut(network, (160, 64), 64 * 96)
    logits, maps = windowed_maps(network, x, windows, [1], torch.float16, told.append)
    with torch.inference_mode():
        expected, whole = network.native_maps(x)
    assert torch.allclose(logits, expected, atol=1e-5)
    for found, level in zip(maps, whole, strict=True):
        assert found.shape[1] == 1 and found.dtype == torch.float16
        assert torch.allclose(found[:, 0].float(), level[:, 1], rtol=1e-3, atol=1e-4)
    assert told[0] == 0 and told == sorted(told) and len(told) > 1 and told[-1] < 1


def test_a_network_of_whole_slices_is_not_cut_and_one_that_saturates_is() -> None:
    cnn = Lite0Pyramid(width=4, dims=3)
    planes = HRCAM(cnn, 2, levels=cnn.pyramid_levels, example=torch.zeros(1, 1, 32, 32, 32)).eval()
    with pytest.raises(ModelError, match="whole slices"):
        cut(planes, (64, 64, 64), 1)
    for clipped in (nn.ReLU6(), nn.Hardswish()):
        plain = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), clipped, nn.Conv2d(3, 3, 5, padding=2), nn.Tanh())
        with torch.no_grad():
            plain[0].bias.fill_(100.0)
        network = HRCAM(plain, 2, levels=["2"], example=torch.zeros(1, 1, 32, 32)).eval()
        assert reach(network) == 1 + 2


def test_where_no_gradient_comes_through_the_reach_is_not_known() -> None:
    class Clipped(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.clamp(100.0, 101.0) * 2

    plain = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), Clipped(), nn.Conv2d(3, 3, 5, padding=2))
    assert reach(HRCAM(plain, 2, levels=["2"], example=torch.zeros(1, 1, 32, 32)).eval()) is None
