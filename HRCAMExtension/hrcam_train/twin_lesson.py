"""Learning from twins: evidence comes to lie where two images with different labels differ (docs/RESEARCH.md).

An image with a lesion and its twin without are the same but for the lesion. So where they are equal, nothing can speak
for the lesion, and somewhere where they differ, something must. No mask is used: the pair and its two labels say it.
The network's head is then fitted near what it has learnt, so that pooled evidence answers for whole images.
"""

import itertools
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hrcam.cam.fusion import upsample
from hrcam.cam.head import pool_features
from hrcam.cam.model import HRCAM
from hrcam.networks.efficientnet_lite0 import Lite0Pyramid, map_exponent
from scipy.stats import iqr
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from hrcam_train.config import TrainConfig
from hrcam_train.data import Examples, flattened, make_loader
from hrcam_train.module import MONITOR, Classifier, single

LEVEL_WEIGHT = 0.2
"""Of each level's own loss beside that of their sum: otherwise all evidence comes to lie on the coarsest."""

OFFSET = 3.0
"""Log-odds against a lesion where evidence is 0: silence, which rectified features reach exactly."""

CHANGED, EQUAL = 0.4, 0.1
"""Twins differ above the first share of their greatest difference, are equal below the second; between is unsure."""

_STRONGEST = 0.01
"""This share of an image's pixels, those most wrongly called lesion, counts once more."""

_WHOLE_ANSWER = 3.0
"""Weight of what the mean evidence of a whole image says of it; of a crop: 1."""

_FIRST_WEIGHTS = 0.05
_FIRST_SCALE_AND_BIAS = 20.0, -2.0
_FREEDOM = 30.0
"""So many times a feature's spread is that of the evidence already learnt: the penalty hardly bears on it."""

_INVERSE_PENALTY = 1e-4
"""Of the head's change on whole images; docs/RESEARCH.md has others."""

_LEAST_ALIKE = 0.5
"""Cosine of the weights before and after, below which the fit is dropped."""

_NORM_BATCHES = 16


def log_odds(evidence: Tensor, powered: bool) -> Tensor:
    """Log-odds of lesion against none.

    Evidence is the log-odds itself, up to `OFFSET`. That of maps raised to a power (`powered`) is linear about silence,
    then logarithmic: it may grow until the mean of a whole image tells of a small lesion.
    """
    return (torch.asinh(evidence) if powered else evidence) - OFFSET


def silence_loss(evidence: Tensor, where: Tensor | None = None, hardest: float = 1.0) -> Tensor:
    """What evidence costs where there is nothing: the mean of all pixels, and of those most wrongly called lesion.

    Parameters
    ----------
    evidence : log-odds of lesion against none, B×*size.
    where : of the same shape, 1 where nothing is, else 0; None: everywhere.
    hardest : weight of the most wrong `_STRONGEST` of pixels.

    Returns
    -------
    B losses.
    """
    wrong = functional.softplus(evidence).flatten(1)
    where = torch.ones_like(wrong) if where is None else where.flatten(1)
    wrong = wrong * where
    count = max(8, int(_STRONGEST * wrong.shape[1]))
    return wrong.sum(1) / where.sum(1).clamp(min=1) + hardest * wrong.topk(count, 1)[0].mean(1)


def twin_loss(
    evidence: Tensor, twin: Tensor, changed: Tensor, equal: Tensor, healthy: Tensor | None = None, hardest: float = 1.0
) -> Tensor:
    """Evidence where twins differ, silence where they are equal, and all over the one without lesion.

    Parameters
    ----------
    evidence, twin : log-odds of lesion against none of the images with lesion and without, B×*size.
    changed, equal : where the images differ, and where they do not, B×*size, float.
    healthy : where the twin is known to be healthy, B×*size, float; None: everywhere.
    hardest : see `silence_loss`.
    """
    whole = silence_loss(evidence, equal, hardest) + silence_loss(twin, healthy, hardest)
    evidence, twin, changed = (t.flatten(1) for t in (evidence, twin, changed))
    size = changed.sum(1).clamp(min=1)
    found = (functional.softplus(-evidence) * changed).sum(1) / size
    left = (functional.softplus(twin) * changed).sum(1) / size
    return (2 * found + 0.5 * left + whole).mean()


class TwinClassifier(Classifier):
    """Stage one on pairs of crops, for one class with pathology and one without.

    In a batch's labels every crop with lesion is followed by its twin; further crops without are healthy ones.

    Parameters
    ----------
    hrcam : its encoder's batch norms keep the statistics that came with pretrained weights.
    config : optimizer, augmentation and seed.
    sick : index of the class with pathology.
    """

    def __init__(self, hrcam: HRCAM, config: TrainConfig, sick: int) -> None:
        super().__init__(hrcam, True, None, config.train, config.augment, config.seed)
        self.sick, self.config = sick, config
        self.answer_weight = _WHOLE_ANSWER if config.data.simulation.patch == max(config.input.size) else 1.0
        hrcam.head.bias.requires_grad_(False)  # it has no say yet; several processes would wait for it
        self.powered = map_exponent(hrcam.cnn) > 1
        if not self.powered:
            self.scale, self.bias = (nn.Parameter(torch.tensor(value)) for value in _FIRST_SCALE_AND_BIAS)

    def train(self, mode: bool = True) -> "TwinClassifier":
        """Training mode, but for norms that are kept."""
        super().train(mode)
        if (encoder := _kept_encoder(self.hrcam, self.config)) is not None:
            encoder.eval()
        return self

    def on_fit_start(self) -> None:
        """Norms that are kept are in eval mode on purpose, of which Lightning warns."""
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """A pretrained encoder learns at a third of the pace."""
        if (encoder := _kept_encoder(self.hrcam, self.config)) is None:
            return super().parameter_groups()
        learnt = {id(parameter) for parameter in encoder.parameters()}
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        slow = [parameter for parameter in trained if id(parameter) in learnt]
        return [(slow, 1 / 3), ([parameter for parameter in trained if id(parameter) not in learnt], 1.0)]

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Augment twins alike, look for the lesion, and return the loss."""
        images, labels = batch
        loss = self._judge(self.augmented(images), labels)[0]
        self.log("training_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Log loss, and balanced accuracy of crops by their strongest pixels."""
        images, labels = batch
        loss, strongest, ill = self._judge(images, labels)
        said, true = (torch.where(lesion, self.sick, 1 - self.sick) for lesion in (strongest > 0, ill))
        self.accuracy.update(said, true)
        self.log(MONITOR, loss, prog_bar=True, batch_size=len(images), sync_dist=True)
        self.log("validation_balanced_accuracy", self.accuracy, prog_bar=True)

    def _judge(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss; and of each crop the mean log-odds of its strongest pixels, and whether it has a lesion."""
        x = single(images)
        ill = labels.flatten() == self.sick
        twin = ill.roll(1)
        order = torch.cat([torch.nonzero(part)[:, 0] for part in (ill, twin, ~(ill | twin))])
        x, ill = x[order], ill[order]
        pairs = int(ill.sum())
        _, maps = self.hrcam.native_maps(x)
        levels = [m[:, self.sick] - m[:, 1 - self.sick] for m in maps]
        size = levels[0].shape[1:]
        raised = [upsample(level[:, None], size)[:, 0] for level in levels]
        difference = upsample((x[:pairs] - x[pairs : 2 * pairs]).abs(), size)[:, 0]
        share = difference / difference.flatten(1).amax(1).clamp(min=1e-6).reshape(-1, *[1] * len(size))
        changed, equal = (share > CHANGED).float(), (share < EQUAL).float()

        def lesson(evidence: Tensor) -> Tensor:
            odds = log_odds(evidence, self.powered)
            healthy = silence_loss(odds[2 * pairs :]).sum() / (2 * pairs)
            return twin_loss(odds[:pairs], odds[pairs : 2 * pairs], changed, equal) + healthy

        total = torch.stack(raised).sum(0)
        alone = torch.stack([lesson(len(raised) * level) for level in raised]).sum()
        # The published form: the mean evidence classifies. Healthy tissue shall be silent in it, not outvote a lesion.
        mean = total.flatten(1).mean(1)
        logits = log_odds(mean / _STRONGEST, True) if self.powered else self.scale * mean + self.bias
        classified = functional.binary_cross_entropy_with_logits(logits, ill.to(logits))
        loss = lesson(total) + LEVEL_WEIGHT * alone + self.answer_weight * classified + functional.relu(-total).mean()
        count = max(1, int(_STRONGEST * total[0].numel()))
        return loss, log_odds(total, self.powered).flatten(1).topk(count, 1)[0].mean(1), ill


def draw_first_weights(hrcam: HRCAM, seed: int) -> None:
    """Begin a head that is to learn from twins with little evidence anywhere."""
    generator = torch.Generator().manual_seed(seed)
    nn.init.normal_(hrcam.head.weight, 0.0, _FIRST_WEIGHTS, generator=generator)


def _kept_encoder(hrcam: HRCAM, config: TrainConfig) -> nn.Module | None:
    """The encoder that has learnt before; its batch norms keep the statistics that came with its weights."""
    begun = config.network.pretrained or config.network.weights is not None
    return hrcam.cnn.encoder if begun and isinstance(hrcam.cnn, Lite0Pyramid) else None


@torch.no_grad()
def measure_norms(hrcam: HRCAM, training: Examples, config: TrainConfig, device: torch.device) -> None:
    """Batch norms forget the crops and take their statistics from whole images; a pretrained encoder's are kept."""
    hrcam.to(device).train()
    if (encoder := _kept_encoder(hrcam, config)) is not None:
        encoder.eval()
    norms = [m for m in hrcam.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    loader = make_loader(training, config.train.batch_size, shuffle=True, seed=config.seed)
    for images, _ in itertools.islice(loader, _NORM_BATCHES if norms else 0):
        hrcam.native_maps(single(images).to(device))
    hrcam.eval()


def refit_head(
    hrcam: HRCAM, training: Examples, config: TrainConfig, sick: int, device: torch.device
) -> dict[str, Any]:
    """Fit the head on whole images, near what twins taught it, so that their mean evidence answers for them.

    A logistic regression on the pooled features, z-scored, and beside them the pooled evidence of the twins' head,
    which is next to free of the penalty: the penalty is then on what the head changes. Twins say where evidence
    belongs, but crops cannot say how much of it a whole head without lesion gathers. Where the fit would leave little
    of the twins' head, as few images make it, that head stays, and its scale and bias alone are fitted. The class
    without pathology becomes the reference with logit 0.
    """
    loader = make_loader(training, config.train.batch_size, workers=config.train.workers)
    features, labels = pool_features(hrcam, flattened(loader), device)
    with torch.no_grad():
        taught = (hrcam.head.weight[sick] - hrcam.head.weight[1 - sick]).double().cpu().numpy()
        pooled = features.astype(np.float64)
        evidence = pooled @ taught
        # Not the standard deviation: a few images' strong evidence, raised to a power, would make it up.
        size, spread = float(iqr(evidence)) or float(evidence.std()) or 1.0, pooled.std(0)
        spread[spread == 0] = np.inf
        design = np.column_stack([_FREEDOM * (evidence - evidence.mean()) / size, (pooled - pooled.mean(0)) / spread])
        fit = LogisticRegression(C=_INVERSE_PENALTY, max_iter=10_000).fit(design, labels == sick)
        kept = max(_FREEDOM * float(fit.coef_[0, 0]) / size, 0.0)
        weight = kept * taught + fit.coef_[0, 1:] / spread
        if _cosine(taught, weight) < _LEAST_ALIKE:  # what tells these images apart is not where lesions are
            fit = LogisticRegression(C=_INVERSE_PENALTY).fit(design[:, :1], labels == sick)
            kept = _FREEDOM * float(fit.coef_[0, 0]) / size
            weight = taught * (kept if kept > 0 else 1 / size)
        bias = float(fit.intercept_[0]) - float(pooled.mean(0) @ weight)
        hrcam.head.weight.zero_()
        hrcam.head.bias.zero_()
        hrcam.head.weight[sick] = torch.from_numpy(weight).to(hrcam.head.weight)
        hrcam.head.bias[sick] = bias
    alike = _cosine(taught, weight)
    text = (
        f"Learnt from twins, then fitted near them on {len(labels)} whole images (C = {_INVERSE_PENALTY:g}); "
        f"the cosine of the weights before and after is {alike:.2f}."
    )
    return {"text": text}


def _cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))
