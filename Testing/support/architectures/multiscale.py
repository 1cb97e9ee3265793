"""Networks that return to a resolution, or work at several at a time."""

import torch
from torch import nn
from torch.nn import functional as F

from .parts import classifier, conv, pool, unit


class UNetEncoder(nn.Module):
    """Double convolutions and pooling, the way down of a U-Net."""

    def __init__(self, dims):
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(unit(dims, a, b), unit(dims, b, b)) for a, b in ((1, 4), (4, 8), (8, 16))
        )
        self.pool = pool(dims, "Max", 2)  # shared
        self.head = classifier(dims, 16)

    def forward(self, x):
        for index, stage in enumerate(self.down):
            x = stage(self.pool(x) if index else x)
        return self.head(x)


class UNet(UNetEncoder):
    """The whole U-Net with a classifier on its decoder: every resolution but the coarsest is visited twice."""

    def __init__(self, dims):
        super().__init__(dims)
        self.raise_ = nn.ModuleList(
            getattr(nn, f"ConvTranspose{dims}d")(a, b, 2, stride=2) for a, b in ((16, 8), (8, 4))
        )
        self.up = nn.ModuleList(unit(dims, 2 * b, b) for b in (8, 4))
        self.head = classifier(dims, 4)

    def forward(self, x):
        skips = []
        for index, stage in enumerate(self.down):
            x = stage(self.pool(x) if index else x)
            skips.append(x)
        for raise_, up, skip in zip(self.raise_, self.up, skips[-2::-1], strict=True):
            x = up(torch.cat([skip, raise_(x)], 1))
        return self.head(x)


class FeaturePyramid(nn.Module):
    """Bottom-up, top-down, and a classifier on the pooled maps of all levels."""

    def __init__(self, dims):
        super().__init__()
        self.c = nn.ModuleList([unit(dims, 1, 4, stride=2), unit(dims, 4, 8, stride=2), unit(dims, 8, 16, stride=2)])
        self.lateral = nn.ModuleList(conv(dims, c, 4, 1) for c in (4, 8, 16))
        self.smooth = nn.ModuleList(conv(dims, 4, 4, 3, padding=1) for _ in range(3))
        self.fc = nn.Linear(12, 2)

    def forward(self, x):
        merged, maps = None, []
        for stage in self.c:
            x = stage(x)
            maps.append(x)
        pooled = []
        for index in (2, 1, 0):
            y = self.lateral[index](maps[index])
            merged = y if merged is None else y + F.interpolate(merged, size=y.shape[2:])
            pooled.append(self.smooth[index](merged).flatten(2).mean(2))
        return self.fc(torch.cat(pooled, 1))


class HRNet(nn.Module):
    """Two resolutions in parallel that exchange twice and merge at the coarser one."""

    def __init__(self, dims):
        super().__init__()
        self.stem = unit(dims, 1, 4, stride=2)
        self.split = unit(dims, 4, 4, stride=2)
        self.high = nn.ModuleList(unit(dims, 4, 4) for _ in range(2))
        self.low = nn.ModuleList(unit(dims, 4, 4) for _ in range(2))
        self.down = nn.ModuleList(conv(dims, 4, 4, 3, stride=2, padding=1) for _ in range(2))
        self.up = nn.ModuleList(conv(dims, 4, 4, 1) for _ in range(2))
        self.merge = unit(dims, 4, 4, stride=2)
        self.head = classifier(dims, 4)

    def forward(self, x):
        high = self.stem(x)
        low = self.split(high)
        for i in range(2):
            a, b = self.high[i](high), self.low[i](low)
            high = F.relu(a + F.interpolate(self.up[i](b), size=a.shape[2:]))
            low = F.relu(b + self.down[i](a))
        return self.head(self.merge(high) + low)


class PyramidPooling(nn.Module):
    """Context pooled at several sizes and resized back (PSPNet)."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(unit(2, 1, 4, stride=2), unit(2, 4, 8, stride=2))
        self.context = nn.ModuleList(nn.Conv2d(8, 2, 1) for _ in range(3))
        self.fuse = unit(2, 14, 8)
        self.head = classifier(2, 8)

    def forward(self, x):
        x = self.body(x)
        context = [
            F.interpolate(layer(F.adaptive_avg_pool2d(x, bins)), size=x.shape[2:], mode="bilinear")
            for layer, bins in zip(self.context, (1, 2, 4), strict=True)
        ]
        return self.head(self.fuse(torch.cat([x, *context], 1)))
