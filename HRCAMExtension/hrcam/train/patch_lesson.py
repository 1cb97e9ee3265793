"""Learning from small crops, each with its own label: evidence comes to lie where the lesion is (docs/RESEARCH.md).

Of a crop with a lesion the strongest pixels must say so, of one without, all must be silent; the network's head is
then scaled, and nothing else about it changed, so that pooled evidence answers for whole images.
"""

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from hrcam.head import pool_features
from hrcam.model import HRCAM
from hrcam.train.config import TrainConfig
from hrcam.train.data import Examples, flattened, make_loader
from hrcam.train.module import MONITOR, Classifier, single

LEVEL_WEIGHT = 0.2
"""Of each level's own loss beside that of their sum: otherwise all evidence comes to lie on the coarsest."""

OFFSET = 3.0
"""Evidence at which a pixel is as likely lesion as not; silence is 0, which rectified features reach exactly."""

SHARE = 0.03
"""Of a crop's pixels that must speak for a lesion: more than a small lesion has, and nothing is learnt at all."""

_FIRST_WEIGHTS = 0.05


def crop_loss(evidence: Tensor, labels: Tensor, share: float) -> Tensor:
    """Label of each of B crops by the strongest `share` of its pixels, and silence all over one without lesion.

    A quarter of that share speaks for a crop without lesion, so that one false spot counts.

    Parameters
    ----------
    evidence : log-odds of lesion against none, B×*size.
    labels : 1 with, 0 without lesion, B, float.
    """
    flat = evidence.flatten(1)
    ranked = flat.sort(1, descending=True)[0]
    count = max(2, int(share * ranked.shape[1]))
    pooled = torch.where(labels > 0, ranked[:, :count].mean(1), ranked[:, : max(1, count // 4)].mean(1))
    absent = 1 - labels
    silence = (functional.softplus(flat).mean(1) * absent).sum() / absent.sum().clamp(min=1)
    weight = torch.tensor(1.5, device=flat.device)
    return functional.binary_cross_entropy_with_logits(pooled, labels, pos_weight=weight) + silence


class CropClassifier(Classifier):
    """Stage one on crops, for one class with pathology and one without.

    Parameters
    ----------
    hrcam : its encoder's batch norms keep the statistics that came with pretrained weights.
    config : optimizer, augmentation and seed.
    sick : index of the class with pathology.
    """

    def __init__(self, hrcam: HRCAM, config: TrainConfig, sick: int) -> None:
        super().__init__(hrcam, True, None, config.train, config.augment, config.seed)
        self.sick, self.keep_norms = sick, config.network.pretrained
        nn.init.normal_(hrcam.head.weight, 0.0, _FIRST_WEIGHTS)

    def train(self, mode: bool = True) -> "CropClassifier":
        """Training mode, but for norms that are kept."""
        super().train(mode)
        if self.keep_norms:
            encoder = self.hrcam.cnn.encoder
            assert isinstance(encoder, nn.Module)
            encoder.eval()
        return self

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Augment, look for the lesion, and return the loss."""
        images, labels = batch
        loss = self._judge(single(self.augmented(images)), labels.flatten())[0]
        self.log("training_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Log loss and balanced accuracy."""
        images, labels = batch
        loss, strongest = self._judge(single(images), labels.flatten())
        said = torch.where(strongest > 0, self.sick, 1 - self.sick)
        self.accuracy.update(said, labels.flatten())
        self.log(MONITOR, loss, prog_bar=True, batch_size=len(images), sync_dist=True)
        self.log("validation_balanced_accuracy", self.accuracy, prog_bar=True)

    def _judge(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and the mean log-odds of each crop's strongest pixels."""
        _, maps = self.hrcam.native_maps(x)
        levels = [m[:, self.sick] - m[:, 1 - self.sick] for m in maps]
        size = levels[0].shape[1:]
        mode = "bilinear" if len(size) == 2 else "trilinear"
        raised = [
            functional.interpolate(v[:, None], size, mode=mode, align_corners=False)[:, 0] for v in levels
        ]  # fmt: skip
        present = (labels == self.sick).float()
        total = torch.stack(raised).sum(0) - OFFSET
        loss = crop_loss(total, present, SHARE)
        alone = [crop_loss(len(raised) * level - OFFSET, present, SHARE) for level in raised]
        count = max(1, int(SHARE * total[0].numel()))
        return loss + LEVEL_WEIGHT * torch.stack(alone).sum(), total.flatten(1).topk(count, 1)[0].mean(1)


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
    text = f"Learnt from crops; scaled by {scale:.3g} and offset by {bias:.3g} on {len(labels)} whole images."
    return {"text": text, "scale": scale, "bias": bias}
