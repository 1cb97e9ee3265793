"""Other libraries as judges, in float64, on one tap a level (they are optional: extra `evaluate`)."""

import architectures as zoo
import pytest
import torch
from hrcam import HRCAM
from torch import nn


class Tapped(nn.Module):
    """HR-CAM written as plain modules, as other libraries want it: one cloning module a level, one dense layer."""

    def __init__(self, hrcam):
        super().__init__()
        self.stages, self.head = nn.ModuleList(hrcam.cnn.down), hrcam.head
        self.pool = hrcam.cnn.pool
        self.taps = nn.ModuleList(Clone() for _ in self.stages)

    def forward(self, x):
        pooled = []
        for index, (stage, tap) in enumerate(zip(self.stages, self.taps, strict=True)):
            x = stage(self.pool(x) if index else x)
            pooled.append(tap(x).flatten(2).mean(2))
        return self.head(torch.cat(pooled, 1))


class Clone(nn.Module):
    def forward(self, x):
        return x.clone()


@pytest.fixture(params=[2, 3], ids=["2D", "3D"])
def judged(request):
    torch.manual_seed(0)
    cnn = zoo.UNetEncoder(request.param).double()
    for module in cnn.modules():  # not in place: the libraries read gradients
        if isinstance(module, nn.ReLU):
            module.inplace = False
    hrcam = HRCAM(cnn, 3).eval()
    x = torch.randn(1, 1, *((16, 24) if request.param == 2 else (8, 16, 12)), dtype=torch.float64)
    evidence = hrcam.evidence(x, classes=1, per_level=True)
    tapped = Tapped(hrcam).eval()
    torch.testing.assert_close(tapped(x), evidence.logits)
    return tapped, x, [m[0, 0] for m in evidence.levels]


def test_torchcam_gradcam_is_the_positive_part(judged):
    methods = pytest.importorskip("torchcam.methods")
    tapped, x, levels = judged
    for tap, expected in zip(tapped.taps, levels, strict=True):
        with methods.GradCAM(tapped, tap, enable_hooks=True) as extractor:
            (cam,) = extractor(1, tapped(x), normalized=False)
        torch.testing.assert_close(cam[0] * expected.numel(), expected.relu())


def test_monai_gradcam_is_the_positive_part(judged):
    visualize = pytest.importorskip("monai.visualize")
    tapped, x, levels = judged
    for index, expected in enumerate(levels):
        cam = visualize.GradCAM(
            tapped, target_layers=f"taps.{index}", upsampler=lambda _size: lambda m: m, postprocessing=lambda m: m
        )
        got = torch.as_tensor(cam(x, class_idx=1))[0, 0]
        torch.testing.assert_close(got.relu() * expected.numel(), expected.relu())


def test_captum_gradcam_is_the_signed_map(judged):
    attr = pytest.importorskip("captum.attr")
    tapped, x, levels = judged
    for tap, expected in zip(tapped.taps, levels, strict=True):
        got = attr.LayerGradCam(tapped, tap).attribute(x, target=1)[0, 0].detach()
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
