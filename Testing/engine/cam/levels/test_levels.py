"""Levels named by the user, networks that cannot be wrapped, and what finding levels leaves behind."""

import architectures as zoo
import pytest
import torch
from hrcam import HRCAM, ModelError, find_levels
from hrcam.cam.levels.find import resolve_levels
from torch import nn


def names(levels):
    return [level.name for level in levels]


def test_a_level_tells_channels_size_and_stride():
    first, second = find_levels(nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 7, 2, stride=2)))
    assert (first.name, first.channels, first.size, first.stride) == ("0", 5, (128, 160), (1.0, 1.0))
    assert (second.name, second.channels, second.size, second.stride) == ("1", 7, (64, 80), (2.0, 2.0))


def test_an_example_decides_size_and_channels():
    class Multiply(nn.Module):
        """Takes four channels, which no convolution tells."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, stride=2, padding=1)

        def forward(self, x):
            a, b = x.split([2, 2], 1)
            return self.conv(a * b).mean((2, 3))

    with pytest.raises(ModelError, match=r"accepts none of the inputs tried.*example="):
        find_levels(Multiply())
    (level,) = find_levels(Multiply(), torch.zeros(3, 4, 20, 30))
    assert level.size == (10, 15)


def test_finding_levels_leaves_the_network_as_it_was():
    cnn = zoo.ResNet(2).train()
    cnn.layer1[0].bn1.eval()
    before = {k: v.clone() for k, v in cnn.state_dict().items()}
    flags = [m.training for m in cnn.modules()]
    generator = torch.get_rng_state()
    find_levels(cnn)
    assert flags == [m.training for m in cnn.modules()]
    assert all(torch.equal(v, before[k]) for k, v in cnn.state_dict().items())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in cnn.modules())
    assert torch.equal(generator, torch.get_rng_state())


def test_no_hook_is_left_when_the_network_fails():
    class Broken(zoo.LeNet):
        def forward(self, x):
            super().forward(x)
            raise RuntimeError("boom")

    cnn = Broken()
    with pytest.raises(ModelError, match="boom"):
        find_levels(cnn, torch.zeros(1, 1, 32, 32))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in cnn.modules())


def test_dead_branches_and_auxiliary_heads_are_no_levels():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Conv2d(1, 4, 3, stride=2, padding=1)
            self.auxiliary = nn.Conv2d(4, 9, 3, stride=2, padding=1)
            self.unused = nn.Conv2d(4, 9, 3, padding=1)

        def forward(self, x):
            x = self.used(x)
            self.unused(x)
            return {"logits": x.mean((2, 3)), "auxiliary": self.auxiliary(x).mean((2, 3))}

    assert names(find_levels(Dead())) == ["used"]


def test_in_place_writes_through_views_are_followed():
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(8, 2, 4, stride=4)

        def forward(self, x):
            canvas = torch.zeros(x.shape[0], 8, *x.shape[2:])
            canvas[:, :4] = self.conv(x)
            canvas[:, 4:].add_(1)
            return self.head(canvas).mean((2, 3))

    assert names(find_levels(Writes())) == ["head:input", "head"]


def test_levels_may_be_names_or_modules_in_any_order():
    cnn = zoo.ResNet(2)
    assert names(resolve_levels(cnn, ["layer2", cnn.layer1, "relu"])) == ["relu", "layer1", "layer2"]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (["layr1"], "no module 'layr1'.*layer1"),
        (["layer1", "layer1"], "named twice"),
        (["fc.2"], "not a feature map's.*layer2"),
        (["layer1.0.relu"], r"called 2 times.*layer1.0.relu#1, layer1.0.relu#2"),
        (["layer1.0.relu#7"], "called 2 times.*Feature maps are given by"),
        (["a:b:c"], "not a level's name"),
        ([nn.ReLU()], "not part of the network"),
        ([], "'auto' or a list"),
        ("layer1", "'auto' or a list"),
    ],
)
def test_levels_that_cannot_be_read_are_refused_in_words(levels, message):
    with pytest.raises(ModelError, match=message):
        HRCAM(zoo.ResNet(2), 2, levels=levels)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (zoo.TinyViT, "token sequences.*patches"),
        (zoo.TwoStreams, "never merge: left, right.*levels="),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "no 2D or 3D convolution"),
        (lambda: "resnet18", "is a str"),
        (lambda: torch.jit.trace(zoo.LeNet(), torch.zeros(1, 1, 32, 32)), "TorchScript"),
        (lambda: torch.compile(zoo.LeNet()), "compiled"),
    ],
)
def test_networks_that_cannot_be_wrapped_are_refused_in_words(build, message):
    with pytest.raises(ModelError, match=message):
        find_levels(build())


def test_a_network_without_modules_is_told_to_use_some():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(2, 1, 3, 3))

        def forward(self, x):
            return torch.conv2d(x, self.kernel).mean((2, 3))

    with pytest.raises(ModelError, match="No module of the network"):
        find_levels(Functional())


@pytest.mark.parametrize("example", [torch.zeros(3, 64), "image", torch.zeros(0, 1, 64, 64)])
def test_an_example_that_is_no_image_is_refused(example):
    with pytest.raises(ModelError, match="not an image"):
        find_levels(zoo.LeNet(), example)


def test_a_token_network_is_wrapped_when_its_map_is_named():
    assert names(resolve_levels(zoo.TinyViT(), ["patches"])) == ["patches"]


def test_a_data_parallel_wrapper_is_looked_through():
    assert names(find_levels(nn.DataParallel(zoo.ResNet(2)))) == ["relu", "layer1", "layer2"]


def test_a_backbone_that_returns_feature_maps_works():
    class Backbone(zoo.UNetEncoder):
        def forward(self, x):
            maps = []
            for index, stage in enumerate(self.down):
                x = stage(self.pool(x) if index else x)
                maps.append(x)
            return maps

    assert names(find_levels(Backbone(2))) == ["down.0", "down.1", "down.2"]
