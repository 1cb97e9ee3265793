"""Large volumes in windows: the same maps and logits as in one pass."""

from __future__ import annotations

import pytest
import torch
from hrcam import HRCAM, ModelError
from hrcam.networks import Hourglass, ResNetSmall, VGGSmall
from hrcam.windows import _spans, reach, windowed_maps
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
    logits, maps = windowed_maps(network, x, overlap, core=32)
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
    _, (cut,) = windowed_maps(network, x, 0, core=32)
    with torch.inference_mode():
        _, (whole,) = network.native_maps(x)
    assert (cut - whole).abs().max() > 1e-3 * whole.abs().max()


def test_a_network_that_looks_at_the_whole_image_has_no_reach() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU())
    assert reach(HRCAM(plain, 2, levels=["2"], example=torch.zeros(1, 1, 32, 32)).eval()) is None


def test_sides_that_cannot_be_cut_evenly_are_refused() -> None:
    network = small(VGGSmall, 2, stages=2, depth=1)
    with pytest.raises(ModelError, match="multiples of 32"):
        windowed_maps(network, torch.rand(1, 1, 72, 64), 8)
