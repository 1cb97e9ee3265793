"""The loss: evidence where a synthetic lesion lies, none elsewhere and in its counterpart; the image's label."""

from __future__ import annotations

import torch
from hrcam.cam.fusion import upsample
from hrcam.cam.model import HRCAM
from torch import Tensor
from torch.nn import functional as F

from hrcam_research.paired.pair_loss import LEVEL_WEIGHT, log_odds, silence_loss

LABEL_WEIGHT = 2.0
_MEAN_UNIT = 0.01
"""Mean evidence is counted in hundredths: as much as a lesion of one pixel in a hundred gives."""

_ILL, _WELL = 0.5, 0.1
_HARDEST = 1.0


def place_loss(odds: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Of B images: cross-entropy inside and outside the lesion, averaged apart, the most wrong pixels, soft Dice.

    Parameters
    ----------
    odds : log-odds of lesion, B×H×W.
    target : share of lesion, between `_WELL` and `_ILL` unsure.
    weight : of pixels with a lesion.
    """
    ill, well = (target > _ILL).float() * weight, (target < _WELL).float()
    size = ill.flatten(1).sum(1)
    found = (F.softplus(-odds) * ill).flatten(1).sum(1) / size.clamp(min=1)
    probability = torch.sigmoid(odds)
    overlap = (probability * ill).flatten(1).sum(1)
    extent = (probability * (ill + well)).flatten(1).sum(1) + size
    dice = torch.where(size > 0, 1 - (2 * overlap + 1) / (extent + 1), torch.zeros_like(size))
    return 2 * found + dice + silence_loss(odds, well, _HARDEST)


def evidence_loss(
    hrcam: HRCAM, images: Tensor, target: Tensor, weight: Tensor, ill: Tensor, label_weight: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Loss of a batch, and its parts for the log.

    Parameters
    ----------
    images : B×1×H×W.
    target, weight : B×H×W, see `examples.Batch`.
    ill, label_weight : B.
    """
    with torch.autocast("cpu", torch.bfloat16):
        _, maps = hrcam.native_maps(images)
    levels = [m[:, 0].float() - m[:, 1].float() for m in maps]
    size = (levels[0].shape[1], levels[0].shape[2])
    raised = [upsample(level[:, None], size)[:, 0] for level in levels]
    small_target, small_weight = (F.adaptive_avg_pool2d(t[:, None], size)[:, 0] for t in (target, weight))
    total = torch.stack(raised).sum(0)
    where = place_loss(log_odds(total, True), small_target, small_weight).mean()
    alone = sum(place_loss(log_odds(len(raised) * level, True), small_target, small_weight).mean() for level in raised)
    said = log_odds(total.flatten(1).mean(1) / _MEAN_UNIT, True)
    label = (F.binary_cross_entropy_with_logits(said, ill, reduction="none") * label_weight).mean()
    below = F.relu(-total).mean()
    loss = where + LEVEL_WEIGHT * alone + LABEL_WEIGHT * label + below
    parts = {"loss": loss, "where": where, "label": label}
    return loss, {name: float(value.detach()) for name, value in parts.items()}
