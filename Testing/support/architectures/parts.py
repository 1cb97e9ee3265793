"""The pieces that the networks of the zoo share, in 2D and 3D."""

from torch import nn


def conv(dims, *args, **kwargs):
    return getattr(nn, f"Conv{dims}d")(*args, **kwargs)


def norm(dims, channels):
    return getattr(nn, f"BatchNorm{dims}d")(channels)


def pool(dims, kind="Max", *args, **kwargs):
    return getattr(nn, f"{kind}Pool{dims}d")(*args, **kwargs)


def unit(dims, before, after, kernel=3, stride=1, groups=1, activation=nn.ReLU):
    """Convolution, normalization, activation."""
    return nn.Sequential(
        conv(dims, before, after, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        norm(dims, after),
        activation(),
    )


def classifier(dims, channels, classes=2):
    return nn.Sequential(pool(dims, "AdaptiveAvg", 1), nn.Flatten(), nn.Linear(channels, classes))
