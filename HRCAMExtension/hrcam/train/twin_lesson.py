"""Learning from twins: evidence comes to lie where two images with different labels differ (docs/RESEARCH.md).

An image with a lesion and its twin without are the same but for the lesion. So where they are equal, nothing can speak
for the lesion, and somewhere where they differ, something must. No mask is used: the pair and its two labels say it.
The network's head is then scaled, and nothing else about it changed, so that pooled evidence answers for whole images.
"""

import itertools
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from hrcam.head import pool_features
from hrcam.model import HRCAM
from hrcam.train.config import TrainConfig
from hrcam.train.data import Examples, flattened, make_loader
from hrcam.train.module import MONITOR, Classifier, single

LEVEL_WEIGHT = 0.2
"""Of each level's own loss beside that of their sum: otherwise all evidence comes to lie on the coarsest."""

OFFSET = 3.0
"""Evidence at which a pixel is as likely lesion as not; silence is 0, which rectified features reach exactly."""

CHANGED, EQUAL = 0.4, 0.1
"""Twins differ above the first share of their greatest difference, are equal below the second; between is unsure."""

_STRONGEST = 0.01
"""This share of an image's pixels, those most wrongly called lesion, counts once more."""

_FIRST_WEIGHTS = 0.05
_FIRST_SCALE_AND_BIAS = 20.0, -2.0
_NORM_BATCHES = 16


def twin_loss(
    evidence: Tensor, twin: Tensor, changed: Tensor, equal: Tensor, healthy: Tensor | None = None, hardest: float = 1.0
) -> Tensor:
    """Evidence where twins differ, silence where they are equal, and all over the one without lesion.

    Parameters
    ----------
    evidence, twin : log-odds of lesion against none of the images with lesion and without, B×*size.
    changed, equal : where the images differ, and where they do not, B×*size, float.
    healthy : where the twin is known to be healthy, B×*size, float; None: everywhere.
    hardest : weight of the pixels most wrongly called lesion, beside the mean of all.
    """
    healthy = (torch.ones_like(twin) if healthy is None else healthy).flatten(1)
    evidence, twin, changed, equal = (t.flatten(1) for t in (evidence, twin, changed, equal))
    count = max(8, int(_STRONGEST * evidence.shape[1]))

    def silence(log_odds: Tensor, where: Tensor) -> Tensor:
        wrong = functional.softplus(log_odds) * where
        return wrong.sum(1) / where.sum(1).clamp(min=1) + hardest * wrong.topk(count, 1)[0].mean(1)

    size = changed.sum(1).clamp(min=1)
    found = (functional.softplus(-evidence) * changed).sum(1) / size
    left = (functional.softplus(twin) * changed).sum(1) / size
    whole = silence(evidence, equal) + silence(twin, healthy)
    return (2 * found + 0.5 * left + whole).mean()


class TwinClassifier(Classifier):
    """Stage one on pairs of crops, for one class with pathology and one without.

    Parameters
    ----------
    hrcam : its encoder's batch norms keep the statistics that came with pretrained weights.
    config : optimizer, augmentation and seed.
    sick : index of the class with pathology.
    """

    def __init__(self, hrcam: HRCAM, config: TrainConfig, sick: int) -> None:
        super().__init__(hrcam, True, None, config.train, config.augment, config.seed)
        self.sick, self.pretrained = sick, config.network.pretrained
        self.scale, self.bias = (nn.Parameter(torch.tensor(value)) for value in _FIRST_SCALE_AND_BIAS)
        nn.init.normal_(hrcam.head.weight, 0.0, _FIRST_WEIGHTS)

    def train(self, mode: bool = True) -> "TwinClassifier":
        """Training mode, but for norms that are kept."""
        super().train(mode)
        if self.pretrained:
            encoder = self.hrcam.cnn.encoder
            assert isinstance(encoder, nn.Module)
            encoder.eval()
        return self

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """A pretrained encoder learns at a third of the pace."""
        if not self.pretrained:
            return super().parameter_groups()
        encoder: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                (encoder if ".encoder." in name else rest).append(parameter)
        return [(encoder, 1 / 3), (rest, 1.0)]

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Augment twins alike, look for the lesion, and return the loss."""
        images, labels = batch
        loss = self._judge(self.augmented(images), labels)[0]
        self.log("training_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Log loss, and balanced accuracy of crops by their strongest pixels."""
        images, labels = batch
        loss, strongest = self._judge(images, labels)
        said = torch.where(strongest > 0, self.sick, 1 - self.sick)
        present = labels.flatten() == self.sick
        self.accuracy.update(said, torch.cat([labels.flatten()[present], labels.flatten()[~present]]))
        self.log(MONITOR, loss, prog_bar=True, batch_size=len(images), sync_dist=True)
        self.log("validation_balanced_accuracy", self.accuracy, prog_bar=True)

    def _judge(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and the mean log-odds of each crop's strongest pixels: all with lesion, then their twins."""
        x, present = single(images), labels.flatten() == self.sick
        with_lesion, without = x[present], x[~present]
        _, maps = self.hrcam.native_maps(torch.cat([with_lesion, without]))
        levels = [m[:, self.sick] - m[:, 1 - self.sick] for m in maps]
        size = levels[0].shape[1:]
        mode = "bilinear" if len(size) == 2 else "trilinear"
        raised = [functional.interpolate(v[:, None], size, mode=mode, align_corners=False)[:, 0] for v in levels]
        difference = functional.interpolate((with_lesion - without).abs(), size, mode="area")[:, 0]
        share = difference / difference.flatten(1).amax(1).clamp(min=1e-6).reshape(-1, *[1] * len(size))
        changed, equal = (share > CHANGED).float(), (share < EQUAL).float()

        def lesson(log_odds: Tensor) -> Tensor:
            ill, well = log_odds.chunk(2)
            return twin_loss(ill, well, changed, equal)

        total = torch.stack(raised).sum(0)
        alone = torch.stack([lesson(len(raised) * level - OFFSET) for level in raised]).sum()
        # The published form: the mean evidence classifies. Healthy tissue shall be silent in it, not outvote a lesion.
        logits = self.scale * total.flatten(1).mean(1) + self.bias
        ill = (torch.arange(len(logits), device=logits.device) < len(logits) // 2).to(logits)
        classified = functional.binary_cross_entropy_with_logits(logits, ill)
        loss = lesson(total - OFFSET) + LEVEL_WEIGHT * alone + classified + functional.relu(-total).mean()
        count = max(1, int(_STRONGEST * total[0].numel()))
        return loss, (total - OFFSET).flatten(1).topk(count, 1)[0].mean(1)


@torch.no_grad()
def measure_norms(hrcam: HRCAM, training: Examples, config: TrainConfig, device: torch.device) -> None:
    """Batch norms forget the crops and take their statistics from whole images; a pretrained encoder's are kept."""
    hrcam.to(device).train()
    if config.network.pretrained:
        encoder = hrcam.cnn.encoder
        assert isinstance(encoder, nn.Module)
        encoder.eval()
    norms = [m for m in hrcam.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    loader = make_loader(training, config.train.batch_size, shuffle=True, seed=config.seed)
    for images, _ in itertools.islice(loader, _NORM_BATCHES if norms else 0):
        hrcam.native_maps(single(images).to(device))
    hrcam.eval()


def scale_head(
    hrcam: HRCAM, training: Examples, config: TrainConfig, sick: int, device: torch.device
) -> dict[str, Any]:
    """Scale the head and set its bias so that logits of whole images answer for them; the map keeps its form.

    Two numbers are fitted (logistic regression on the pooled evidence, not penalized); the class without pathology
    becomes the reference with logit 0.
    """
    loader = make_loader(training, config.train.batch_size, workers=config.train.workers)
    features, labels = pool_features(hrcam, flattened(loader), device)
    with torch.no_grad():
        weight = (hrcam.head.weight[sick] - hrcam.head.weight[1 - sick]).cpu()
        pooled = features.astype(np.float64) @ weight.double().numpy()
        spread = float(pooled.std()) or 1.0
        fit = LogisticRegression(C=np.inf).fit(pooled[:, None] / spread, labels == sick)
        scale, bias = max(float(fit.coef_[0, 0]) / spread, 1e-3), float(fit.intercept_[0])
        hrcam.head.weight.zero_()
        hrcam.head.bias.zero_()
        hrcam.head.weight[sick] = scale * weight.to(hrcam.head.weight)
        hrcam.head.bias[sick] = bias
    text = f"Learnt from twins; scaled by {scale:.3g} and offset by {bias:.3g} on {len(labels)} whole images."
    return {"text": text, "scale": scale, "bias": bias}
