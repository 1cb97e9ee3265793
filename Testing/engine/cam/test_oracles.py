"""Other libraries as oracles, in float64, on one layer a level (they are optional: extra `evaluate`)."""

import architectures as zoo
import pytest
import torch
from hrcam import HRCAM
from torch import nn


class Hooked(nn.Module):
    """HR-CAM written as plain modules, as other libraries want it: one cloning module a level, one dense layer."""

    def __init__(self, hrcam):
        super().__init__()
        self.stages, self.head = nn.ModuleList(hrcam.cnn.down), hrcam.head
        self.pool = hrcam.cnn.pool
        self.level_layers = nn.ModuleList(Clone() for _ in self.stages)

    def forward(self, x):
        pooled = []
        for index, (stage, layer) in enumerate(zip(self.stages, self.level_layers, strict=True)):
            x = stage(self.pool(x) if index else x)
            pooled.append(layer(x).flatten(2).mean(2))
        return self.head(torch.cat(pooled, 1))


class Clone(nn.Module):
    def forward(self, x):
        return x.clone()


@pytest.fixture(params=[2, 3], ids=["2D", "3D"])
def oracles(request):
    torch.manual_seed(0)
    cnn = zoo.UNetEncoder(request.param).double()
    for module in cnn.modules():  # not in place: the libraries read gradients
        if isinstance(module, nn.ReLU):
            module.inplace = False
    hrcam = HRCAM(cnn, 3).eval()
    x = torch.randn(1, 1, *((16, 24) if request.param == 2 else (8, 16, 12)), dtype=torch.float64)
    evidence = hrcam.evidence(x, classes=1, per_level=True)
    hooked = Hooked(hrcam).eval()
    torch.testing.assert_close(hooked(x), evidence.logits)
    return hooked, x, [m[0, 0] for m in evidence.levels]


def test_torchcam_gradcam_is_the_positive_part(oracles):
    methods = pytest.importorskip("torchcam.methods")
    hooked, x, levels = oracles
    for layer, expected in zip(hooked.level_layers, levels, strict=True):
        with methods.GradCAM(hooked, layer, enable_hooks=True) as extractor:
            (cam,) = extractor(1, hooked(x), normalized=False)
        torch.testing.assert_close(cam[0] * expected.numel(), expected.relu())


def test_monai_gradcam_is_the_positive_part(oracles):
    visualize = pytest.importorskip("monai.visualize")
    hooked, x, levels = oracles
    for index, expected in enumerate(levels):
        cam = visualize.GradCAM(
            hooked, target_layers=f"level_layers.{index}", upsampler=lambda _size: lambda m: m,
            postprocessing=lambda m: m
        )
        got = torch.as_tensor(cam(x, class_idx=1))[0, 0]
        torch.testing.assert_close(got.relu() * expected.numel(), expected.relu())


def test_captum_gradcam_is_the_signed_map(oracles):
    attr = pytest.importorskip("captum.attr")
    hooked, x, levels = oracles
    for layer, expected in zip(hooked.level_layers, levels, strict=True):
        got = attr.LayerGradCam(hooked, layer).attribute(x, target=1)[0, 0].detach()
        torch.testing.assert_close(got * expected.numel(), expected)


def one_level(dims):
    torch.manual_seed(0)
    cnn = zoo.ResNet(dims).double().eval()
    hrcam = HRCAM(cnn, 2, levels=["layer2"]).eval()
    hrcam.head.load_state_dict(cnn.fc[2].state_dict())
    x = torch.randn(1, 1, *((32, 48) if dims == 2 else (16, 32, 24)), dtype=torch.float64)
    return cnn, x, hrcam.evidence(x, classes=1, per_level=True).levels[0][0, 0]


@pytest.mark.parametrize("dims", [2, 3])
def test_torchcam_cam_is_one_level_hrcam(dims):
    methods = pytest.importorskip("torchcam.methods")
    cnn, x, expected = one_level(dims)
    with methods.CAM(cnn, "layer2", fc_layer="fc.2") as extractor, torch.no_grad():
        cnn(x)
        (cam,) = extractor(1, normalized=False)
    torch.testing.assert_close(cam[0], expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_monai_cam_is_one_level_hrcam(dims):
    visualize = pytest.importorskip("monai.visualize")
    cnn, x, expected = one_level(dims)
    cam = visualize.CAM(
        cnn, target_layers="layer2", fc_layers="fc.2", upsampler=lambda _size: lambda m: m, postprocessing=lambda m: m
    )
    # MONAI applies the dense layer with its bias at every voxel
    torch.testing.assert_close(cam(x, class_idx=[1])[0, 0].detach(), expected + cnn.fc[2].bias[1].detach())
