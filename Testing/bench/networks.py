"""The networks of the benchmark: a plain ResNet-18, the bundled models' own, a VGG and a 3D network."""

import itertools

from hrcam import HRCAM
from hrcam.networks.registry import build_network
from torch import nn

CLASSES = 4


class ResNet18(nn.Module):
    """He et al. 2016, as torchvision's resnet18, for one channel: for machines without torchvision."""

    def __init__(self, num_classes=CLASSES):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
                                  nn.MaxPool2d(3, 2, 1))
        widths = (64, 64, 128, 256, 512)
        self.stages = nn.Sequential(*(
            nn.Sequential(_Block(given, width, 1 if given == width else 2), _Block(width, width, 1))
            for given, width in itertools.pairwise(widths)
        ))
        self.pool, self.classify = nn.AdaptiveAvgPool2d(1), nn.Linear(512, num_classes)

    def forward(self, x):
        return self.classify(self.pool(self.stages(self.stem(x))).flatten(1))


class _Block(nn.Module):
    def __init__(self, given, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(given, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )
        self.short = nn.Identity() if stride == 1 and given == width else nn.Sequential(
            nn.Conv2d(given, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.join = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.join(self.body(x) + self.short(x))


def _built(name, **arguments):
    return lambda: build_network(name, {"num_classes": CLASSES, **arguments})


NETWORKS = {  # name → how to build it, shape of one image, batch sizes
    "ResNet-18, 256²": (ResNet18, (256, 256), (1, 16)),
    "VGG, 5 levels, 256²": (_built("vgg_small", width=16, stages=5), (256, 256), (8,)),
    "Lite0 pyramid, 256²": (
        _built("lite0_pyramid", in_channels=1, encoder_stride=16, finest_stride=4, width=48), (256, 256), (8,)),
    "ResNet 3D, 4 levels, 128³": (_built("resnet_small", width=8, stages=4, dims=3), (128, 128, 128), (1,)),
}


def wrapped(build):
    """HR-CAM around a network, ready to run."""
    return HRCAM(build(), CLASSES).eval().requires_grad_(False)
