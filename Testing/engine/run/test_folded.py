"""Folded networks: the same logits and maps in fewer passes over memory, whatever the image's size."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from hrcam import HRCAM
from hrcam.cam.feature_maps import run_hooked
from hrcam.localize import Options, localize
from hrcam.networks.registry import build_network
from hrcam.run import inference
from hrcam.run.folded import _OneStep, folded
from torch import nn

NETWORKS = {
    "vgg_small": ({"width": 4, "stages": 3}, (40, 56)),
    "resnet_small": ({"width": 4, "stages": 3, "blocks": 1, "antialiased": True}, (32, 48)),
    "hourglass 3D": ({"width": 4, "stages": 3, "decoder_width": 4, "dims": 3}, (16, 24, 24)),
    "lite0_pyramid": ({"finest_stride": 4, "width": 8, "power": 2, "mirror": True}, (64, 96)),
    "lite0_pyramid, odd sides": ({"finest_stride": 4, "width": 8}, (61, 94)),
    "lite0_pyramid 3D": ({"finest_stride": 4, "width": 8, "power": 4, "dims": 3}, (32, 48, 32)),
}


def network_of(name):
    torch.manual_seed(1)
    arguments, size = NETWORKS[name]
    cnn = build_network(name.split(",")[0].split()[0], {"num_classes": 3, **arguments})
    network = HRCAM(cnn, 3, levels=getattr(cnn, "pyramid_levels", "auto"))
    return trained(network), size


def trained(network):
    """As after training: norms that do something."""
    for norm in network.cnn.modules():
        if getattr(norm, "running_mean", None) is not None:
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False)


def assert_same(network, images):
    with torch.inference_mode():
        wanted, levels = network.native_maps(images)
        found, found_levels = folded(network).native_maps(images)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    for one, other in zip(levels, found_levels, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=2e-5 * float(one.abs().max()))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_says_the_same_for_any_batch(name):
    network, size = network_of(name)
    for batch in (1, 3):
        assert_same(network, torch.rand(batch, 1, *size))
    steps = sum(isinstance(module, _OneStep) for module in folded(network).modules())
    norms = [module for module in folded(network).cnn.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)]
    assert steps and not norms


def test_the_finest_maps_are_computed_image_by_image_but_where_a_level_wants_the_batch():
    cnn = build_network("lite0_pyramid", {"num_classes": 3, "finest_stride": 4, "width": 8})
    images = torch.rand(3, 1, 64, 48)
    for levels, sizes in ((cnn.pyramid_levels, [1, 1, 1]), (["encoder._blocks.0", *cnn.pyramid_levels], [3])):
        network, seen = trained(HRCAM(cnn, 3, levels=levels)), []
        folded(network).cnn.encoder._blocks[0].register_forward_hook(
            lambda _, given, __, seen=seen: seen.append(len(given[0])))
        with torch.inference_mode():
            folded(network).native_maps(images)
        assert seen == sizes
        assert_same(network, images)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN")
def test_a_volumes_maps_keep_their_channels_last_from_the_slices_on():
    network, size = network_of("lite0_pyramid 3D")
    cnn = folded(network).cnn
    with torch.inference_mode():
        levels = run_hooked(cnn, cnn.pyramid_levels, torch.rand(1, 1, *size), lambda _, maps: maps)
    assert [level.stride(1) for level in levels] == [1] * len(levels)


def test_without_onednn_norms_are_folded_all_the_same(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    network, size = network_of("lite0_pyramid")
    assert_same(network, torch.rand(2, 1, *size))


@pytest.mark.parametrize("level", ["0", "1", "2", "2:input"])
def test_a_level_within_a_step_keeps_what_it_gives(level):
    torch.manual_seed(0)
    cnn = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1),
                        nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    assert_same(trained(HRCAM(cnn, 2, levels=[level, "5"])), torch.rand(2, 1, 32, 48))


def test_norms_that_cannot_be_folded_stay():
    torch.manual_seed(0)
    cnn = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(4), nn.ReLU(),
                        nn.Conv2d(4, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU(),
                        nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, track_running_stats=False), nn.SiLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network = trained(HRCAM(cnn.eval(), 2, levels=["2", "8"], example=torch.rand(1, 1, 32, 32)))
    assert_same(network, torch.rand(2, 1, 32, 32))
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded(network).modules()) == 3


def test_a_network_is_folded_once_stays_whole_and_is_forgotten_with_it():
    network, _ = network_of("vgg_small")
    before = copy.deepcopy(network.state_dict())
    assert folded(network) is folded(network)
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    alive = weakref.ref(network)
    del network
    gc.collect()
    assert alive() is None


def test_localize_with_a_folded_network_finds_what_the_whole_one_does(monkeypatch, bright_blob_bundle, blob_volume):
    volume, options = blob_volume((48, 52, 8), (1.0, 1.0, 5.0)), Options(device="cpu", engine="torch")
    quick = localize(volume, bright_blob_bundle, options)
    monkeypatch.setattr(inference, "folded", lambda network: network)
    whole = localize(volume, bright_blob_bundle, options)
    np.testing.assert_allclose(quick.map, whole.map, atol=1e-5 * np.abs(whole.map).max())
    assert [region.peak_ras for region in quick.regions] == [region.peak_ras for region in whole.regions]
