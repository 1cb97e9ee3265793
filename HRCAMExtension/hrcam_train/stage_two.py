"""Stage two: pool the frozen CNN's features once and solve for the head (docs/method.md), by `linear_head.py`."""

import torch
from hrcam.cam.model import HRCAM

from hrcam_train.config import TrainConfig
from hrcam_train.data import Examples, flattened, make_loader
from hrcam_train.linear_head import HeadFit, fit_head, pool_features


def train_head(
    hrcam: HRCAM, training: Examples, validation: Examples, config: TrainConfig, device: torch.device
) -> HeadFit:
    """Fit and set `hrcam`'s head; the CNN stays as it is. Images are not augmented.

    Raises
    ------
    ModelError : features are not finite, or a class has no image.
    """
    pooled = []
    for examples in (training, validation):
        loader = make_loader(examples, config.train.batch_size, workers=config.train.workers)
        pooled.append(pool_features(hrcam, flattened(loader), device))
    (features, labels), (val_features, val_labels) = pooled
    fit = fit_head(
        features,
        labels,
        val_features,
        val_labels,
        num_classes=len(config.classes),
        inverse_penalties=config.head.inverse_penalties,
        class_weight="balanced" if config.class_weights == "balanced" else None,
    )
    fit.copy_to(hrcam.cpu())
    return fit
