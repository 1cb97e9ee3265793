"""Stage one on pairs of crops, as a Lightning module: the CNN learns through the HR-CAM head where pairs differ."""

import warnings

import torch
from hrcam.cam.fusion import upsample
from hrcam.cam.model import HRCAM
from hrcam.networks.efficientnet_lite0 import Lite0Pyramid, map_exponent
from hrcam_train.module import MONITOR, Classifier, single
from torch import Tensor, nn
from torch.nn import functional

from hrcam_research.paired.config import PairedConfig
from hrcam_research.paired.pair_loss import CHANGED, EQUAL, LEVEL_WEIGHT, STRONGEST, log_odds, pair_loss, silence_loss

_WHOLE_ANSWER = 3.0
"""Weight of what the mean evidence of a whole image says of it; of a crop: 1."""

_FIRST_SCALE_AND_BIAS = 20.0, -2.0


class PairClassifier(Classifier):
    """Stage one on pairs of crops, for one class with pathology and one without.

    In a batch's labels every crop with lesion is followed by its counterpart; further crops without are healthy ones.

    Parameters
    ----------
    hrcam : its encoder's batch norms keep the statistics that came with pretrained weights.
    config : optimizer, augmentation and seed.
    sick : index of the class with pathology.
    """

    def __init__(self, hrcam: HRCAM, config: PairedConfig, sick: int) -> None:
        super().__init__(hrcam, True, None, config.train, config.augment, config.seed)
        self.sick, self.config = sick, config
        self.answer_weight = _WHOLE_ANSWER if config.data.simulation.patch == max(config.input.size) else 1.0
        hrcam.head.bias.requires_grad_(False)  # it has no say yet; several processes would wait for it
        self.powered = map_exponent(hrcam.cnn) > 1
        if not self.powered:
            self.scale, self.bias = (nn.Parameter(torch.tensor(value)) for value in _FIRST_SCALE_AND_BIAS)

    def train(self, mode: bool = True) -> "PairClassifier":
        """Training mode, but for norms that are kept."""
        super().train(mode)
        if (encoder := kept_encoder(self.hrcam, self.config)) is not None:
            encoder.eval()
        return self

    def on_fit_start(self) -> None:
        """Norms that are kept are in eval mode on purpose, of which Lightning warns."""
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """A pretrained encoder learns at a third of the pace."""
        if (encoder := kept_encoder(self.hrcam, self.config)) is None:
            return super().parameter_groups()
        learnt = {id(parameter) for parameter in encoder.parameters()}
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        slow = [parameter for parameter in trained if id(parameter) in learnt]
        return [(slow, 1 / 3), ([parameter for parameter in trained if id(parameter) not in learnt], 1.0)]

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Augment pairs alike, look for the lesion, and return the loss."""
        images, labels = batch
        loss = self._measure(self.augmented(images), labels)[0]
        self.log("training_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Log loss, and balanced accuracy of crops by their strongest pixels."""
        images, labels = batch
        loss, strongest, ill = self._measure(images, labels)
        said, true = (torch.where(lesion, self.sick, 1 - self.sick) for lesion in (strongest > 0, ill))
        self.accuracy.update(said, true)
        self.log(MONITOR, loss, prog_bar=True, batch_size=len(images), sync_dist=True)
        self.log("validation_balanced_accuracy", self.accuracy, prog_bar=True)

    def _measure(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss; and of each crop the mean log-odds of its strongest pixels, and whether it has a lesion."""
        x = single(images)
        ill = labels.flatten() == self.sick
        counterpart = ill.roll(1)
        order = torch.cat([torch.nonzero(part)[:, 0] for part in (ill, counterpart, ~(ill | counterpart))])
        x, ill = x[order], ill[order]
        pairs = int(ill.sum())
        _, maps = self.hrcam.native_maps(x)
        levels = [m[:, self.sick] - m[:, 1 - self.sick] for m in maps]
        size = levels[0].shape[1:]
        raised = [upsample(level[:, None], size)[:, 0] for level in levels]
        difference = upsample((x[:pairs] - x[pairs : 2 * pairs]).abs(), size)[:, 0]
        share = difference / difference.flatten(1).amax(1).clamp(min=1e-6).reshape(-1, *[1] * len(size))
        changed, equal = (share > CHANGED).float(), (share < EQUAL).float()

        def loss_of(evidence: Tensor) -> Tensor:
            odds = log_odds(evidence, self.powered)
            healthy = silence_loss(odds[2 * pairs :]).sum() / (2 * pairs)
            return pair_loss(odds[:pairs], odds[pairs : 2 * pairs], changed, equal) + healthy

        total = torch.stack(raised).sum(0)
        alone = torch.stack([loss_of(len(raised) * level) for level in raised]).sum()
        # The published form: the mean evidence classifies. Healthy tissue shall be silent in it, not outvote a lesion.
        mean = total.flatten(1).mean(1)
        logits = log_odds(mean / STRONGEST, True) if self.powered else self.scale * mean + self.bias
        classified = functional.binary_cross_entropy_with_logits(logits, ill.to(logits))
        loss = loss_of(total) + LEVEL_WEIGHT * alone + self.answer_weight * classified + functional.relu(-total).mean()
        count = max(1, int(STRONGEST * total[0].numel()))
        return loss, log_odds(total, self.powered).flatten(1).topk(count, 1)[0].mean(1), ill


def kept_encoder(hrcam: HRCAM, config: PairedConfig) -> nn.Module | None:
    """The encoder that has learnt before; its batch norms keep the statistics that came with its weights."""
    begun = config.network.pretrained or config.network.weights is not None
    return hrcam.cnn.encoder if begun and isinstance(hrcam.cnn, Lite0Pyramid) else None
