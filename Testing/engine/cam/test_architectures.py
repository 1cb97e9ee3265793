"""`levels="auto"` on families of CNNs: the expected levels, and completeness on each."""

import importlib

import architectures as zoo
import pytest
import torch
from hrcam import HRCAM
from hrcam.networks.registry import ARCHITECTURES, build_network
from torch import nn


def monai(name, **arguments):
    return lambda: getattr(pytest.importorskip("monai.networks.nets"), name)(**arguments)


def installed(package, name, **arguments):
    def build():
        try:
            module = importlib.import_module(package)
        except (ImportError, RuntimeError) as error:  # torchvision fails with RuntimeError beside a foreign torch
            pytest.skip(f"{package} does not import: {error}")
        return module.create_model(name, **arguments) if package == "timm" else getattr(module, name)(**arguments)

    return build


# name: (builder, input's channels and size, names of the expected levels fine → coarse)
CASES = {}
for dims in (2, 3):
    size = (1, 64, 96) if dims == 2 else (1, 32, 32, 48)
    fixed = (1, 64, 64) if dims == 2 else (1, 32, 32, 32)
    CASES |= {
        f"VGG {dims}D": (lambda d=dims: zoo.VGG(d), fixed, "features.1 features.4 features.7 features"),
        f"ResNet {dims}D": (lambda d=dims: zoo.ResNet(d), size, "relu layer1 layer2"),
        f"ResNet bottleneck {dims}D": (lambda d=dims: zoo.ResNet(d, bottleneck=True), size, "relu layer1 layer2"),
        f"SE-ResNet {dims}D": (lambda d=dims: zoo.ResNet(d, True, attention=True), size, "relu layer1 layer2"),
        f"DenseNet {dims}D": (lambda d=dims: zoo.DenseNet(d), size, "transition.2 norm5"),
        f"Inception {dims}D": (lambda d=dims: zoo.Inception(d), size, "mixed1 mixed2"),
        f"MobileNet {dims}D": (lambda d=dims: zoo.MobileNet(d), size, "2.expand 4.expand 5"),
        f"EfficientNet {dims}D": (lambda d=dims: zoo.MobileNet(d, True, nn.SiLU), size, "2.expand 4.expand 5"),
        f"ConvNeXt {dims}D": (lambda d=dims: zoo.ConvNeXt(d), size, "stages.0 stages.1"),
        f"SqueezeNet {dims}D": (lambda d=dims: zoo.SqueezeNet(d), size, "features.2 classifier.2"),
        f"ShuffleNet {dims}D": (lambda d=dims: zoo.ShuffleNet(d), size, "0 2 4"),
        f"U-Net encoder {dims}D": (lambda d=dims: zoo.UNetEncoder(d), size, "down.0 down.1 down.2"),
        f"U-Net {dims}D": (lambda d=dims: zoo.UNet(d), size, "up.1 up.0 down.2"),
        f"feature pyramid {dims}D": (lambda d=dims: zoo.FeaturePyramid(d), size, "smooth.0 smooth.1 smooth.2"),
        f"HRNet {dims}D": (lambda d=dims: zoo.HRNet(d), size, "merge:input head:input"),
        f"Xception {dims}D": (lambda d=dims: zoo.Xception(d), size, "stem blocks.1:input head:input"),
        f"own VGG {dims}D": (
            lambda d=dims: build_network("vgg_small", {"dims": d, "width": 4, "stages": 3}),
            size,
            "stages.0 stages.1 stages.2",
        ),
        f"own ResNet {dims}D": (
            lambda d=dims: build_network("resnet_small", {"dims": d, "width": 4, "stages": 3}),
            size,
            "stages.0 stages.1 stages.2",
        ),
        f"own anti-aliased ResNet {dims}D": (
            lambda d=dims: build_network("resnet_small", {"dims": d, "width": 4, "stages": 3, "antialiased": True}),
            size,
            "stages.0 stages.1 stages.2",
        ),
        f"own hourglass {dims}D": (
            lambda d=dims: build_network("hourglass", {"dims": d, "width": 4, "stages": 3, "decoder_width": 4}),
            size,
            "decoder.0 decoder.1 top",
        ),
    }
CASES |= {
    "own Lite0 pyramid": (
        lambda: build_network("lite0_pyramid", {"width": 8}),
        (1, 64, 96),
        "pyramid.2 pyramid.4 pyramid.8 pyramid.16",
    ),
    "LeNet": (zoo.LeNet, (1, 68, 92), "conv1 conv2"),
    "inlined residuals": (zoo.PreActivation, (1, 64, 96), "down:input down"),
    "anisotropic strides": (zoo.Anisotropic, (1, 16, 32, 48), "0 1 2"),
    "shared module": (zoo.SharedStages, (1, 64, 96), "shared#1 shared#2 shared#3"),
    "space to depth": (zoo.SpaceToDepth, (1, 64, 96), "third second"),
    "pyramid pooling": (zoo.PyramidPooling, (1, 64, 96), "body.0 fuse"),
    "MONAI ResNet 2D": (
        monai("resnet10", spatial_dims=2, n_input_channels=2, num_classes=2, widen_factor=0.1),
        (2, 64, 96),
        "act layer1 layer2 layer3 layer4",
    ),
    "MONAI ResNet 3D": (
        monai("resnet10", spatial_dims=3, n_input_channels=1, num_classes=2, widen_factor=0.1),
        (1, 32, 32, 48),
        "act layer1 layer2 layer3 layer4",
    ),
    "MONAI DenseNet 2D": (
        monai(
            "DenseNet",
            spatial_dims=2,
            in_channels=1,
            out_channels=2,
            init_features=4,
            growth_rate=2,
            block_config=(2, 2),
        ),
        (1, 64, 96),
        "features.relu0 features.transition1.conv class_layers.relu",
    ),
    "MONAI DenseNet 3D": (
        monai(
            "DenseNet",
            spatial_dims=3,
            in_channels=1,
            out_channels=2,
            init_features=4,
            growth_rate=2,
            block_config=(2, 2),
        ),
        (1, 32, 32, 48),
        "features.relu0 features.transition1.conv class_layers.relu",
    ),
    "MONAI SEResNet": (
        monai("SEResNet50", spatial_dims=2, in_channels=1, num_classes=2, layers=(1, 1, 1, 1)),
        (1, 64, 96),
        "layer0.relu1 layer1 layer2 layer3 layer4",
    ),
    "MONAI EfficientNet": (
        monai(
            "EfficientNetBN",
            model_name="efficientnet-b0",
            spatial_dims=2,
            in_channels=1,
            num_classes=2,
            pretrained=False,
        ),
        (1, 64, 96),
        "_blocks.1.1._swish#1 _blocks.2.3._swish#1 _blocks.3.5._swish#1 _blocks.5.11._swish#1 _swish#2",
    ),
    "MONAI AHNet": (  # its context is padded before a convolution of one voxel
        monai("AHNet", spatial_dims=2, in_channels=1, out_channels=2, layers=(1, 1, 1, 1)),
        (1, 128, 128),
        "final conv1 final.conv up3.conv psp.pool_modules.0 up2.conv psp.pool_modules.1 psp.pool_modules.2 up1.conv "
        "psp.pool_modules.3 up0.conv",
    ),
    "torchvision ResNet": (
        installed("torchvision.models", "resnet18", weights=None),
        (3, 64, 96),
        "relu layer1 layer2 layer3 layer4",
    ),
    "timm ResNet": (installed("timm", "resnet18", pretrained=False), (3, 64, 96), "act1 layer1 layer2 layer3 layer4"),
}


@pytest.mark.parametrize("name", CASES)
def test_auto_finds_the_last_map_of_each_resolution_and_evidence_is_complete(name):
    build, (channels, *size), expected = CASES[name]
    torch.manual_seed(0)
    hrcam = HRCAM(build(), num_classes=3).eval()
    assert [level.name for level in hrcam.levels] == expected.split()

    x = torch.randn(2, channels, *size)
    evidence = hrcam.evidence(x, per_level=True)
    assert evidence.maps.shape == (2, 3, *size)
    assert [m.shape[1] for m in evidence.levels] == [3] * len(hrcam.levels)
    total = sum(m.flatten(2).mean(2) for m in evidence.levels) + hrcam.head.bias
    torch.testing.assert_close(total, evidence.logits, rtol=1e-4, atol=1e-4)
    if all(n % m == 0 for level in evidence.levels for n, m in zip(size, level.shape[2:], strict=True)):
        torch.testing.assert_close(
            evidence.maps.flatten(2).mean(2) + hrcam.head.bias, evidence.logits, rtol=1e-4, atol=1e-4
        )
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in hrcam.modules())


def test_the_zoo_is_as_large_as_promised_and_holds_every_own_network():
    assert len(CASES) >= 25
    own = {"vgg_small", "resnet_small", "hourglass", "lite0_pyramid"}
    assert own == set(ARCHITECTURES)
