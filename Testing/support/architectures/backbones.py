"""Classifiers that only go down: one family each, from VGG to ConvNeXt."""

import torch
from torch import nn
from torch.nn import functional as F

from .parts import classifier, conv, norm, pool, unit


class VGG(nn.Module):
    """Fixed-size head, as the original: accepts 64² or 32³ only."""

    def __init__(self, dims):
        super().__init__()
        size = 64 if dims == 2 else 32
        layers, before = [], 1
        for width in (4, 8, 16):
            layers += [conv(dims, before, width, 3, padding=1), nn.ReLU(inplace=True), pool(dims, "Max", 2)]
            before = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(16 * (size // 8) ** dims, 8), nn.ReLU(), nn.Linear(8, 2)
        )

    def forward(self, x):
        return self.classifier(self.features(x))


class LeNet(nn.Module):
    """Unpadded convolutions, functional activations and pooling."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(F.relu(self.conv2(x)).mean((2, 3)))


class Residual(nn.Module):
    def __init__(self, dims, before, after, stride, bottleneck, attention=False):
        super().__init__()
        inner = after // 2 if bottleneck else after
        self.conv1 = conv(dims, before, inner, 1 if bottleneck else 3, padding=0 if bottleneck else 1)
        self.bn1 = norm(dims, inner)
        self.conv2 = conv(dims, inner, after, 3, stride=stride, padding=1)
        self.bn2 = norm(dims, after)
        self.relu = nn.ReLU(inplace=True)  # shared, in place
        self.down = conv(dims, before, after, 1, stride=stride) if stride > 1 or before != after else None
        self.se = SqueezeExcite(dims, after) if attention else None

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.se is not None:
            out = self.se(out)
        out += x if self.down is None else self.down(x)
        return self.relu(out)


class SqueezeExcite(nn.Module):
    def __init__(self, dims, channels):
        super().__init__()
        self.fc = nn.Sequential(conv(dims, channels, 2, 1), nn.ReLU(), conv(dims, 2, channels, 1), nn.Sigmoid())
        self.dims = dims

    def forward(self, x):
        return x * self.fc(x.mean(tuple(range(2, 2 + self.dims)), keepdim=True))


class ResNet(nn.Module):
    def __init__(self, dims, bottleneck=False, attention=False):
        super().__init__()
        self.conv1 = conv(dims, 1, 4, 3 if dims == 3 else 7, stride=2, padding=1 if dims == 3 else 3)
        self.bn1, self.relu = norm(dims, 4), nn.ReLU(inplace=True)
        self.maxpool = pool(dims, "Max", 3, stride=2, padding=1)
        block = lambda a, b, s: Residual(dims, a, b, s, bottleneck, attention)  # noqa: E731
        self.layer1 = nn.Sequential(block(4, 8, 1), block(8, 8, 1))
        self.layer2 = nn.Sequential(block(8, 16, 2), block(16, 16, 1))
        self.fc = classifier(dims, 16)

    def forward(self, x):
        return self.fc(self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))))


class PreActivation(nn.Module):
    """Everything inlined in one forward: the sums of the residuals are functional."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.a(F.relu(x))
        x = x + self.b(F.relu(x))
        return self.fc(F.relu(self.down(x)).mean((2, 3)))


class DenseNet(nn.Module):
    """Functional concatenation; the last activation is functional, as torchvision's."""

    def __init__(self, dims):
        super().__init__()
        self.stem = unit(dims, 1, 4, stride=2)
        self.block1 = nn.ModuleList(unit(dims, 4 + 2 * i, 2) for i in range(3))
        self.transition = nn.Sequential(norm(dims, 10), nn.ReLU(), conv(dims, 10, 5, 1), pool(dims, "Avg", 2))
        self.block2 = nn.ModuleList(unit(dims, 5 + 2 * i, 2) for i in range(3))
        self.norm5 = norm(dims, 11)
        self.fc = nn.Linear(11, 2)

    @staticmethod
    def dense(block, x):
        for layer in block:
            x = torch.cat([x, layer(x)], 1)
        return x

    def forward(self, x):
        x = self.transition(self.dense(self.block1, self.stem(x)))
        x = F.relu(self.norm5(self.dense(self.block2, x)))
        return self.fc(x.flatten(2).mean(2))


class Inception(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.stem = unit(dims, 1, 4)
        self.mixed1 = Mixed(dims, 4)
        self.reduction = Reduction(dims, 12)
        self.mixed2 = Mixed(dims, 20)
        self.fc = classifier(dims, 12)
        self.auxiliary = classifier(dims, 12, 2)

    def forward(self, x):
        x = self.mixed1(self.stem(x))
        auxiliary = self.auxiliary(F.relu(x))
        x = self.mixed2(self.reduction(x))
        return self.fc(x), auxiliary


class Mixed(nn.Module):
    def __init__(self, dims, before):
        super().__init__()
        self.one = unit(dims, before, 4, 1)
        self.three = nn.Sequential(unit(dims, before, 2, 1), unit(dims, 2, 4))
        self.pooled = nn.Sequential(pool(dims, "Avg", 3, stride=1, padding=1), unit(dims, before, 4, 1))

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.pooled(x)], 1)


class Reduction(nn.Module):
    """One branch computes at the finer resolution before it strides: that map is no level."""

    def __init__(self, dims, before):
        super().__init__()
        self.three = unit(dims, before, 4, stride=2)
        self.doubled = nn.Sequential(unit(dims, before, 3, 1), unit(dims, 3, 4, stride=2))
        self.pool = pool(dims, "Max", 3, stride=2, padding=1)

    def forward(self, x):
        return torch.cat([self.three(x), self.doubled(x), self.pool(x)], 1)


class InvertedResidual(nn.Module):
    def __init__(self, dims, before, after, stride, attention=False, activation=nn.ReLU6):
        super().__init__()
        inner = 3 * before
        self.expand = unit(dims, before, inner, 1, activation=activation)
        self.depthwise = unit(dims, inner, inner, 3, stride, groups=inner, activation=activation)
        self.attention = SqueezeExcite(dims, inner) if attention else nn.Identity()
        self.project = nn.Sequential(conv(dims, inner, after, 1), norm(dims, after))
        self.shortcut = stride == 1 and before == after

    def forward(self, x):
        y = self.project(self.attention(self.depthwise(self.expand(x))))
        return x + y if self.shortcut else y


class MobileNet(nn.Sequential):
    def __init__(self, dims, attention=False, activation=nn.ReLU6):
        block = lambda a, b, s: InvertedResidual(dims, a, b, s, attention, activation)  # noqa: E731
        super().__init__(
            unit(dims, 1, 4, stride=2, activation=activation),
            block(4, 4, 1),
            block(4, 6, 2),
            block(6, 6, 1),
            block(6, 8, 2),
            unit(dims, 8, 16, 1, activation=activation),
            classifier(dims, 16),
        )


class ConvNeXtBlock(nn.Module):
    """Channels last inside: permute, dense layers, permute back."""

    def __init__(self, dims, channels):
        super().__init__()
        self.dims = dims
        self.depthwise = conv(dims, channels, channels, 5, padding=2, groups=channels)
        self.mlp = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 8), nn.GELU(), nn.Linear(8, channels))
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        last = self.depthwise(x).movedim(1, -1)
        return x + (self.scale * self.mlp(last)).movedim(-1, 1)


class ConvNeXt(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.downsample = nn.ModuleList([conv(dims, 1, 4, 4, stride=4), conv(dims, 4, 8, 2, stride=2)])
        self.stages = nn.ModuleList(nn.Sequential(*(ConvNeXtBlock(dims, c) for _ in range(2))) for c in (4, 8))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, x):
        for downsample, stage in zip(self.downsample, self.stages, strict=True):
            x = stage(downsample(x))
        return self.head(self.norm(x.flatten(2).mean(2)))


class SqueezeNet(nn.Module):
    """Fire modules; the classifier is a convolution before the pooling."""

    def __init__(self, dims):
        super().__init__()
        self.features = nn.Sequential(
            conv(dims, 1, 4, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            Fire(dims, 4),
            pool(dims, "Max", 3, stride=2, padding=1),
            Fire(dims, 8),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.5), conv(dims, 8, 2, 1), nn.ReLU(), pool(dims, "AdaptiveAvg", 1))

    def forward(self, x):
        return self.classifier(self.features(x)).flatten(1)


class Fire(nn.Module):
    def __init__(self, dims, before):
        super().__init__()
        self.squeeze, self.left, self.right = (
            conv(dims, before, 2, 1),
            conv(dims, 2, 4, 1),
            conv(dims, 2, 4, 3, padding=1),
        )

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.left(x)), F.relu(self.right(x))], 1)


class ShuffleUnit(nn.Module):
    """Channel split (views), branches, concatenation, shuffle (reshape, transpose, reshape)."""

    def __init__(self, dims, channels, stride):
        super().__init__()
        self.stride = stride
        half = channels // 2 if stride == 1 else channels
        self.right = nn.Sequential(
            unit(dims, half, half, 1),
            conv(dims, half, half, 3, stride=stride, padding=1, groups=half),
            unit(dims, half, half, 1),
        )
        self.left = nn.Identity() if stride == 1 else conv(dims, channels, channels, 3, stride=2, padding=1)

    def forward(self, x):
        left, right = x.chunk(2, 1) if self.stride == 1 else (x, x)
        x = torch.cat([self.left(left), self.right(right)], 1)
        batch, channels, *size = x.shape
        return x.view(batch, 2, channels // 2, *size).transpose(1, 2).reshape(batch, channels, *size)


class ShuffleNet(nn.Sequential):
    def __init__(self, dims):
        super().__init__(
            unit(dims, 1, 4, stride=2),
            ShuffleUnit(dims, 4, 2),
            ShuffleUnit(dims, 8, 1),
            ShuffleUnit(dims, 8, 2),
            ShuffleUnit(dims, 16, 1),
            classifier(dims, 16),
        )


class Xception(nn.Module):
    """Separable convolutions, pre-activation, strided shortcut beside a pooled branch."""

    def __init__(self, dims):
        super().__init__()
        self.stem = unit(dims, 1, 4)
        self.blocks = nn.ModuleList()
        self.skips = nn.ModuleList()
        for a, b in ((4, 6), (6, 8)):
            separable = [nn.ReLU(), conv(dims, a, a, 3, padding=1, groups=a), conv(dims, a, b, 1), norm(dims, b)]
            self.blocks.append(nn.Sequential(*separable, pool(dims, "Max", 3, stride=2, padding=1)))
            self.skips.append(conv(dims, a, b, 1, stride=2))
        self.head = classifier(dims, 8)

    def forward(self, x):
        x = self.stem(x)
        for block, skip in zip(self.blocks, self.skips, strict=True):
            x = block(x) + skip(x)
        return self.head(x)
