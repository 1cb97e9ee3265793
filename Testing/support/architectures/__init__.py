"""A zoo of tiny classifiers, one per family of CNNs, for tests that must hold for any network."""

from .backbones import (
    VGG,
    ConvNeXt,
    DenseNet,
    Inception,
    LeNet,
    MobileNet,
    PreActivation,
    ResNet,
    ShuffleNet,
    SqueezeNet,
    Xception,
)  # fmt: skip
from .multiscale import FeaturePyramid, HRNet, PyramidPooling, UNet, UNetEncoder
from .parts import unit
from .unusual import Anisotropic, SharedStages, SpaceToDepth, TinyViT, TwoStreams

__all__ = [
    "VGG", "Anisotropic", "ConvNeXt", "DenseNet", "FeaturePyramid", "HRNet", "Inception", "LeNet", "MobileNet",
    "PreActivation", "PyramidPooling", "ResNet", "SharedStages", "ShuffleNet", "SpaceToDepth", "SqueezeNet", "TinyViT",
    "TwoStreams", "UNet", "UNetEncoder", "Xception", "unit",
]  # fmt: skip
