"""The network in training, begun from the bundle `t1ce-tumor`."""

from __future__ import annotations

from typing import Any

import torch
from hrcam.bundle.bundle import load_bundle
from hrcam.cam.model import HRCAM
from hrcam.networks.efficientnet_lite0 import Lite0Pyramid

from hrcam_research.paired.refit import draw_first_weights

CLASSES = ("lesion", "no_lesion")
PATHOLOGY = (True, False)
ARCHITECTURE: dict[str, Any] = {
    "in_channels": 1, "num_classes": 2, "encoder_stride": 16, "finest_stride": 4, "width": 48, "power": 2,
    "mirror": True,
}  # fmt: skip

_FROZEN = ("encoder._conv_stem", "encoder._bn0", "encoder._blocks.0.", "encoder._blocks.1.")
"""Edges and textures serve as they are, and so do filters of single channels: they are the costliest to train."""

_FILTERS = "_depthwise_conv"


def first_network(seed: int = 0, begun_from: str | None = "t1ce-tumor", encoder_alone: bool = False) -> HRCAM:
    """The published form around a mirrored pyramid, with the weights of a bundle of the same width (None: random), or
    of its encoder alone, whatever its width.
    """
    cnn = Lite0Pyramid(**ARCHITECTURE)
    own = cnn.state_dict()
    former = load_bundle(begun_from).build().cnn.state_dict() if begun_from else {}
    for name, value in former.items():
        if name.startswith("classifier") or (encoder_alone and not name.startswith("encoder.")):
            continue
        if own[name].shape != value.shape:  # lateral layers see the mirror image too, at first without weight
            widened = torch.zeros_like(own[name])
            widened[:, : value.shape[1]] = value
            value = widened
        own[name] = value
    cnn.load_state_dict(own)
    hrcam = HRCAM(cnn, len(CLASSES), levels=cnn.pyramid_levels, fusion="appearance")
    with torch.no_grad():
        draw_first_weights(hrcam, seed)
        hrcam.head.weight[1] = 0
        hrcam.head.weight[0].abs_()
        hrcam.head.bias.zero_()
    for name, parameter in cnn.named_parameters():
        parameter.requires_grad = not name.startswith(_FROZEN) and _FILTERS not in name
    return hrcam


def set_training(hrcam: HRCAM) -> None:
    """Training mode; the encoder's batch norms keep their statistics."""
    hrcam.train()
    hrcam.cnn.get_submodule("encoder").eval()
