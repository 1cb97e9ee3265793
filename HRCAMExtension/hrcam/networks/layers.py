"""Building blocks of the bundled networks, and the checks of their arguments."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError


def of_dims(layer: str, dims: int) -> Any:
    """Return the 2D or 3D class of a torch layer: ``of_dims("Conv", 3)`` is `torch.nn.Conv3d`."""
    return getattr(nn, f"{layer}{dims}d")


def check_between(name: str, value: Any, low: int, high: int) -> None:
    """Raise `ModelError` unless `value` is an integer in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ModelError(f"{name} is {value!r}.", f"Give an integer from {low} to {high}.")


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raise `ModelError` unless `value` is one of `choices`, of the same type."""
    choices = list(choices)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ModelError(f"{name} is {value!r}.", f"Choose one of: {', '.join(map(str, choices))}.")


def resize_to(x: Tensor, like: Tensor) -> Tensor:
    """Up-sample linearly, half-pixel centers, to the spatial size of another feature map."""
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return F.interpolate(x, size=like.shape[2:], mode=mode, align_corners=False)


class ConvBNReLU(nn.Sequential):
    """3×3(×3) convolution, batch normalization, ReLU."""

    def __init__(self, before: int, after: int, dims: int, stride: int = 1) -> None:
        super().__init__(
            of_dims("Conv", dims)(before, after, 3, stride=stride, padding=1, bias=False),
            of_dims("BatchNorm", dims)(after),
            nn.ReLU(inplace=True),
        )


class PooledClassifier(nn.Sequential):
    """Global average pooling and one dense layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(_GlobalAverage(), nn.Linear(channels, num_classes))


class _GlobalAverage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


class BlurPool(nn.Module):
    """Sub-sampling after a binomial low-pass [1 2 1] per axis (Zhang, Making convolutional networks
    shift-invariant)."""

    kernel: Tensor

    def __init__(self, channels: int, dims: int, stride: int = 2) -> None:
        super().__init__()
        self.stride = stride
        line = torch.tensor([0.25, 0.5, 0.25])
        kernel = reduce(
            torch.Tensor.mul, (line.view([-1 if i == axis else 1 for i in range(dims)]) for axis in range(dims))
        )
        self.register_buffer("kernel", kernel.expand(channels, 1, *kernel.shape).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×*size → B×C×*(size / stride)."""
        convolve = F.conv2d if x.ndim == 4 else F.conv3d
        padded = F.pad(x, [1, 1] * (x.ndim - 2), mode="replicate")
        return convolve(padded, self.kernel, stride=self.stride, groups=x.shape[1])
