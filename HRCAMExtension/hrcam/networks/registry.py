"""Small CNN classifiers that a model bundle may name, in 2D and 3D, and the allow-list of them.

A bundle is untrusted: its metadata names one of `ARCHITECTURES` and gives plain numbers, which are checked here, so
that no bundle can run code or ask for absurd amounts of memory. Every network is a classifier by itself: B×C×*size →
B×K.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from .efficientnet_lite0 import Lite0Pyramid, pretrained_encoder
from .layers import BlurPool, ConvBNReLU, PooledClassifier, check_between, check_choice, of_dims, resize_to


class VGGSmall(nn.Module):
    """VGG-like: stages of 3×3 conv-BN-ReLU, maximum pooling between them. No offset between levels.

    Parameters
    ----------
    in_channels, num_classes : as always.
    width : channels of the first stage, doubled by each next one up to `max_width`.
    stages : number of resolutions, strides 1, 2, 4, …
    depth : convolutions per stage.
    dims : 2 or 3.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        width: int = 16,
        stages: int = 5,
        depth: int = 2,
        max_width: int = 256,
        dims: int = 2,
    ) -> None:
        super().__init__()
        _check_common(in_channels, num_classes, width, max_width, dims)
        check_between("stages", stages, 1, 7)
        check_between("depth", depth, 1, 6)
        channels = [in_channels] + [min(width * 2**i, max_width) for i in range(stages)]
        self.pool = of_dims("MaxPool", dims)(2)
        self.stages = nn.ModuleList(_stage(a, b, depth, dims) for a, b in pairwise(channels))
        self.classifier = PooledClassifier(channels[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×*size → logits B×K."""
        for index, stage in enumerate(self.stages):
            x = stage(self.pool(x) if index else x)
        return self.classifier(x)


class ResNetSmall(nn.Module):
    """ResNet with basic blocks (He et al. 2016), without the stem's pooling: strides 1, 2, 4, …

    Parameters
    ----------
    width, max_width, stages, dims : as `VGGSmall`.
    blocks : residual blocks per stage.
    antialiased : low-pass before each sub-sampling (Zhang, ICML 2019), which keeps maps stable under shifts.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        width: int = 16,
        stages: int = 4,
        blocks: int = 2,
        max_width: int = 256,
        antialiased: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        _check_common(in_channels, num_classes, width, max_width, dims)
        check_between("stages", stages, 1, 7)
        check_between("blocks", blocks, 1, 8)
        check_choice("antialiased", antialiased, (True, False))
        channels = [min(width * 2**i, max_width) for i in range(stages)]
        self.stem = ConvBNReLU(in_channels, width, dims)
        self.stages = nn.ModuleList()
        before = width
        for index, after in enumerate(channels):
            steps = [2 if index else 1] + [1] * (blocks - 1)
            inputs = [before] + [after] * (blocks - 1)
            self.stages.append(
                nn.Sequential(
                    *(_Residual(a, after, step, antialiased, dims) for a, step in zip(inputs, steps, strict=True))
                )
            )
            before = after
        self.classifier = PooledClassifier(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×*size → logits B×K."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.classifier(x)


class Hourglass(nn.Module):
    """Encoder and top-down decoder: the last map at every resolution carries context from all coarser ones.

    The decoder's maps are ``decoder.I`` (I = 0 the finest); the coarsest level is ``top``.

    Parameters
    ----------
    width, max_width, stages, depth, dims : the encoder, as `VGGSmall`.
    decoder_width : channels of every decoder map.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        width: int = 16,
        stages: int = 5,
        depth: int = 2,
        max_width: int = 256,
        decoder_width: int = 32,
        dims: int = 2,
    ) -> None:
        super().__init__()
        _check_common(in_channels, num_classes, width, max_width, dims)
        check_between("stages", stages, 2, 7)
        check_between("depth", depth, 1, 6)
        check_between("decoder_width", decoder_width, 1, 512)
        channels = [in_channels] + [min(width * 2**i, max_width) for i in range(stages)]
        self.pool = of_dims("MaxPool", dims)(2)
        self.encoder = nn.ModuleList(_stage(a, b, depth, dims) for a, b in pairwise(channels))
        conv = of_dims("Conv", dims)
        self.lateral = nn.ModuleList(conv(c, decoder_width, 1) for c in channels[1:-1])
        self.top = ConvBNReLU(channels[-1], decoder_width, dims)
        self.decoder = nn.ModuleList(ConvBNReLU(decoder_width, decoder_width, dims) for _ in channels[1:-1])
        self.classifier = PooledClassifier(decoder_width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×*size → logits B×K."""
        skips = []
        for index, stage in enumerate(self.encoder):
            x = stage(self.pool(x) if index else x)
            skips.append(x)
        x = self.top(skips.pop())
        for lateral, refine, skip in zip(reversed(self.lateral), reversed(self.decoder), reversed(skips), strict=True):
            x = refine(lateral(skip) + resize_to(x, skip))
        return self.classifier(x)


class _Residual(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, before: int, after: int, step: int, antialiased: bool, dims: int) -> None:
        super().__init__()
        conv, norm = of_dims("Conv", dims), of_dims("BatchNorm", dims)
        blur = antialiased and step > 1
        self.first = ConvBNReLU(before, after, dims, stride=1 if blur else step)
        self.down: nn.Module = BlurPool(after, dims, step) if blur else nn.Identity()
        self.second = nn.Sequential(conv(after, after, 3, padding=1, bias=False), norm(after))
        self.shortcut: nn.Module = nn.Identity()
        if blur:
            self.shortcut = nn.Sequential(BlurPool(before, dims, step), conv(before, after, 1, bias=False), norm(after))
        elif step > 1 or before != after:
            self.shortcut = nn.Sequential(conv(before, after, 1, stride=step, bias=False), norm(after))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.down(self.first(x))) + self.shortcut(x))


def _stage(before: int, after: int, depth: int, dims: int) -> nn.Sequential:
    return nn.Sequential(*(ConvBNReLU(before if i == 0 else after, after, dims) for i in range(depth)))


def _check_common(in_channels: int, num_classes: int, width: int, max_width: int, dims: int) -> None:
    check_between("in_channels", in_channels, 1, 64)
    check_between("num_classes", num_classes, 1, 1000)
    check_between("width", width, 1, 512)
    check_between("max_width", max_width, width, 2048)
    check_choice("dims", dims, (2, 3))


__all__ = [
    "ARCHITECTURES",
    "Hourglass",
    "Lite0Pyramid",
    "ResNetSmall",
    "VGGSmall",
    "build_network",
    "pretrained_encoder",
]

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "vgg_small": VGGSmall,
    "resnet_small": ResNetSmall,
    "hourglass": Hourglass,
    "lite0_pyramid": Lite0Pyramid,
}
"""Every network that a bundle may name."""


def build_network(name: str, arguments: dict[str, Any] | None = None) -> nn.Module:
    """Build a network of the allow-list.

    Raises
    ------
    ModelError : an unknown name, unknown arguments, or values out of range.
    """
    if name not in ARCHITECTURES:
        raise ModelError(f"There is no architecture {name!r}.", f"Choose one of: {', '.join(ARCHITECTURES)}.")
    try:
        network = ARCHITECTURES[name](**(arguments or {}))
    except TypeError as error:
        raise ModelError(f"Architecture {name!r} does not take these arguments: {error}.") from error
    network.lies_evenly = True  # type: ignore[assignment] # all of them pad, none crops, see `cam.levels.place`
    return network
