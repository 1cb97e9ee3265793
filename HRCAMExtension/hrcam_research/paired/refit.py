"""After crops: norms measured on whole images, and the head fitted near what pairs taught it, to answer for these."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hrcam.cam.model import HRCAM
from hrcam_train.data import Examples, flattened, make_loader
from hrcam_train.linear_head import pool_features
from hrcam_train.module import single
from scipy.stats import iqr
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrcam_research.paired.config import PairedConfig
from hrcam_research.paired.pair_classifier import kept_encoder

_FIRST_WEIGHTS = 0.05
_FREEDOM = 30.0
"""So many times a feature's spread is that of the evidence already learnt: the penalty hardly bears on it."""

_INVERSE_PENALTY = 1e-4
"""Of the head's change on whole images; docs/RESEARCH.md has others."""

_LEAST_ALIKE = 0.5
"""Cosine of the weights before and after, below which the fit is dropped."""

_NORM_BATCHES = 16


def draw_first_weights(hrcam: HRCAM, seed: int) -> None:
    """Begin a head that is to learn from pairs with little evidence anywhere."""
    generator = torch.Generator().manual_seed(seed)
    nn.init.normal_(hrcam.head.weight, 0.0, _FIRST_WEIGHTS, generator=generator)


@torch.no_grad()
def measure_norms(hrcam: HRCAM, training: Examples, config: PairedConfig, device: torch.device) -> None:
    """Batch norms forget the crops and take their statistics from whole images; a pretrained encoder's are kept."""
    hrcam.to(device).train()
    if (encoder := kept_encoder(hrcam, config)) is not None:
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
    hrcam: HRCAM, training: Examples, config: PairedConfig, sick: int, device: torch.device
) -> dict[str, Any]:
    """Fit the head on whole images, near what pairs taught it, so that their mean evidence answers for them.

    A logistic regression on the pooled features, z-scored, and beside them the pooled evidence of the pairs' head,
    which is next to free of the penalty: the penalty is then on what the head changes. Pairs say where evidence
    belongs, but crops cannot say how much of it a whole head without lesion gathers. Where the fit would leave little
    of the pairs' head, as few images make it, that head stays, and its scale and bias alone are fitted. The class
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
        f"Learnt from pairs, then fitted near them on {len(labels)} whole images (C = {_INVERSE_PENALTY:g}); "
        f"the cosine of the weights before and after is {alike:.2f}."
    )
    return {"text": text}


def _cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))
