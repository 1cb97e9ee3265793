"""The loss on a pair: evidence where its two images differ, and nowhere else (docs/RESEARCH.md).

An image with a lesion and the same image without ("its counterpart") are equal but for the lesion. So where they are
equal nothing is evidence of the lesion, and somewhere where they differ something is. No mask is used: the pair and its
two labels are enough.
"""

import torch
from torch import Tensor
from torch.nn import functional

LEVEL_WEIGHT = 0.2
"""Of each level's own loss beside that of their sum: otherwise all evidence comes to lie on the coarsest."""

OFFSET = 3.0
"""Log-odds against a lesion where evidence is 0: silence, which rectified features reach exactly."""

CHANGED, EQUAL = 0.4, 0.1
"""The images of a pair differ above the first share of their greatest difference, are equal below the second; between
is unsure."""

STRONGEST = 0.01
"""This share of an image's pixels, those most wrongly called lesion, counts once more."""


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
    hardest : weight of the most wrong `STRONGEST` of pixels.

    Returns
    -------
    B losses.
    """
    wrong = functional.softplus(evidence).flatten(1)
    where = torch.ones_like(wrong) if where is None else where.flatten(1)
    wrong = wrong * where
    count = max(8, int(STRONGEST * wrong.shape[1]))
    return wrong.sum(1) / where.sum(1).clamp(min=1) + hardest * wrong.topk(count, 1)[0].mean(1)


def pair_loss(
    evidence: Tensor, counterpart: Tensor, changed: Tensor, equal: Tensor, healthy: Tensor | None = None,
    hardest: float = 1.0,
) -> Tensor:
    """Evidence where the two images of a pair differ, silence where they are equal, and all over the one without.

    Parameters
    ----------
    evidence, counterpart : log-odds of lesion against none of the images with lesion and without, B×*size.
    changed, equal : where the images differ, and where they do not, B×*size, float.
    healthy : where the counterpart is known to be healthy, B×*size, float; None: everywhere.
    hardest : see `silence_loss`.
    """
    whole = silence_loss(evidence, equal, hardest) + silence_loss(counterpart, healthy, hardest)
    evidence, counterpart, changed = (t.flatten(1) for t in (evidence, counterpart, changed))
    size = changed.sum(1).clamp(min=1)
    found = (functional.softplus(-evidence) * changed).sum(1) / size
    left = (functional.softplus(counterpart) * changed).sum(1) / size
    return (2 * found + 0.5 * left + whole).mean()
