"""Networks that break a habit of most: a stride for all axes, a module for each stage, convolutions, one path."""

import torch
from torch import nn
from torch.nn import functional as F

from .parts import classifier, unit


class Anisotropic(nn.Sequential):
    """Strides (1, 2, 2) first, as for thick slices."""

    def __init__(self):
        super().__init__(
            unit(3, 1, 4, stride=(1, 2, 2)), unit(3, 4, 8, stride=(1, 2, 2)), unit(3, 8, 8, stride=2), classifier(3, 8)
        )


class SharedStages(nn.Module):
    """One module called at three resolutions."""

    def __init__(self):
        super().__init__()
        self.stem, self.shared = unit(2, 1, 4), unit(2, 4, 4)
        self.head = classifier(2, 4)

    def forward(self, x):
        x = self.shared(self.stem(x))
        x = self.shared(F.avg_pool2d(x, 2))
        x = self.shared(F.avg_pool2d(x, 2))
        return self.head(x)


class SpaceToDepth(nn.Module):
    """Down-sampling by slices and up-sampling by pixel shuffle; no strided convolution at all."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = unit(2, 4, 8), unit(2, 32, 16), unit(2, 4, 8)
        self.shuffle = nn.PixelShuffle(2)
        self.head = classifier(2, 8)

    @staticmethod
    def fold(x):
        return torch.cat([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)

    def forward(self, x):
        x = self.second(self.fold(self.first(self.fold(x))))
        return self.head(self.third(self.shuffle(x)))


class TinyViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 16, stride=16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class TwoStreams(nn.Module):
    """Two streams of the same resolution, merged only after their global pooling."""

    def __init__(self):
        super().__init__()
        self.left, self.right = unit(2, 1, 4, stride=2), unit(2, 1, 6, stride=2)
        self.head = nn.Linear(10, 2)

    def forward(self, x):
        return self.head(torch.cat([self.left(x).mean((2, 3)), self.right(x).mean((2, 3))], 1))
