"""The network in training: HR-CAM's head written so that evidence is bounded below by "none" and image logits follow.

With ``e_c`` the summed level maps of class c, a pixel's log-odds of c against "none" are ``p_c = e_c − OFFSET`` and the
image's logit is ``z_c = SCALE · mean(e_c) + b_c``, that of "none" being 0. So ``SCALE · e_c`` is HR-CAM's class map of
the published form (one linear head on pooled features), and its background is free to rest at no evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from hrcam.cam.feature_maps import run_hooked
from hrcam.cam.model import HRCAM
from hrcam.networks.efficientnet_lite0 import load_pretrained
from hrcam.networks.registry import Lite0Pyramid
from torch import Tensor, nn
from torch.nn import functional as F

from .data import CLASSES, TUMORS

ARCHITECTURE: dict[str, Any] = {
    "in_channels": 1, "num_classes": len(CLASSES), "encoder_stride": 16, "finest_stride": 4, "width": 48,
}  # fmt: skip
FLIPS = {"flips": True}
"""What the bundled networks add, without weights: see `Lite0Pyramid`."""

SCALE = 40.0
OFFSET = 3.0
FROZEN = ("encoder._conv_stem", "encoder._bn0", "encoder._blocks.0.", "encoder._blocks.1.")
"""Edges and textures of natural images serve as they are; their layers are the costliest to train."""


def with_flips(hrcam: HRCAM, architecture: dict[str, Any]) -> HRCAM:
    """The same weights in the network that a bundle holds, which looks at flipped slices too."""
    cnn = Lite0Pyramid(**architecture, **FLIPS)
    bundled = HRCAM(cnn, hrcam.num_classes, levels=cnn.pyramid_levels, fusion=hrcam.fusion)
    bundled.load_state_dict(hrcam.state_dict())
    return bundled.eval()


class Seen(NamedTuple):
    """What a network says of B images.

    Attributes
    ----------
    pixels : log-odds of each tumor against "none", B×3×H/4×W/4.
    logits : of the images, B×3; "none" is 0.
    levels : what `pixels` would be if every level said the same as this one, of B×3×H/4×W/4 each.
    """

    pixels: Tensor
    logits: Tensor
    levels: list[Tensor]


class EvidenceNetwork(nn.Module):
    """`Lite0Pyramid` with one linear map of evidence per pyramid level."""

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.cnn = Lite0Pyramid(**ARCHITECTURE)
        if pretrained:
            load_pretrained(self.cnn.encoder)
        self.levels = sorted(self.cnn.pyramid_levels, key=lambda name: int(name.split(".")[1]))
        self.weights = nn.ParameterList(
            nn.Parameter(0.05 * torch.randn(len(TUMORS), ARCHITECTURE["width"])) for _ in self.levels
        )
        self.bias = nn.Parameter(torch.full((len(TUMORS),), -2.0))
        self.cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, parameter in self.cnn.named_parameters():
            parameter.requires_grad = not name.startswith(FROZEN)

    def train(self, mode: bool = True) -> EvidenceNetwork:
        """The encoder's batch norms keep their statistics: patches and whole slices differ in theirs."""
        super().train(mode)
        self.cnn.encoder.eval()
        return self

    def forward(self, x: Tensor) -> Seen:
        """What is seen in B×1×H×W."""
        features = run_hooked(self.cnn, self.levels, x.contiguous(memory_format=torch.channels_last), lambda _, f: f)
        maps = [F.conv2d(f, w[:, :, None, None]) for f, w in zip(features, self.weights, strict=True)]
        size = maps[0].shape[2:]
        native = [F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps]
        logits = SCALE * torch.stack([m.mean((2, 3)) for m in maps]).sum(0) + self.bias
        return Seen(torch.stack(native).sum(0) - OFFSET, logits, [len(native) * m - OFFSET for m in native])

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.cnn.pyramid.modules() if isinstance(module, nn.BatchNorm2d)]

    @contextmanager
    def still_statistics(self) -> Iterator[None]:
        """Within: batch norms use a batch's statistics without remembering them. Patches must not speak for slices."""
        former = [norm.momentum for norm in self._norms()]
        for norm in self._norms():
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(self._norms(), former, strict=True):
                norm.momentum = momentum

    @torch.no_grad()
    def measure_statistics(self, batches: Iterable[Tensor], momentum: float = 0.03) -> None:
        """Batch norms forget what they know, take the mean over `batches` of B×1×H×W, and go on at `momentum`."""
        for norm in self._norms():
            norm.reset_running_stats()
            norm.momentum = None
        self.train()
        for images in batches:
            self(images)
        for norm in self._norms():
            norm.momentum = momentum

    def to_hrcam(self) -> HRCAM:
        """The same network as an HR-CAM of four classes, "none" the reference with logit 0."""
        hrcam = HRCAM(self.cnn, len(CLASSES), levels=self.levels, fusion="guided")
        with torch.no_grad():
            weight = SCALE * torch.cat(list(self.weights), dim=1)
            hrcam.head.weight.copy_(torch.cat([weight, torch.zeros_like(weight[:1])]))
            hrcam.head.bias.copy_(torch.cat([self.bias, torch.zeros(1)]))
        return hrcam.eval()


def any_tumor(pixels: Tensor) -> Tensor:
    """Log-odds of any tumor against "none": B×3×h×w → B×h×w."""
    return torch.logsumexp(pixels, dim=1)
