"""Numbers by group: probabilities and how well they tell groups apart; a permutation test of the groups' maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
_SEED = 0

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Separation:
    """How well a probability tells two groups apart.

    Parameters
    ----------
    auc : chance that a case of the first group has the higher one; ties count half.
    low, high : 95 % interval (bootstrap, bias-corrected and accelerated).
    p : of the Mann-Whitney test, two-sided.
    """

    auc: float
    low: float
    high: float
    p: float


def separation(one: Sequence[float], other: Sequence[float]) -> Separation:
    """Area under the ROC curve of two groups' probabilities, with interval and test, by scipy."""
    from scipy.stats import bootstrap, mannwhitneyu

    def auc(a: Numbers, b: Numbers, axis: int = -1) -> Numbers:
        u = mannwhitneyu(a, b, axis=axis, method="asymptotic").statistic
        return np.asarray(u / (a.shape[axis] * b.shape[axis]))

    first, second = np.asarray(one, float), np.asarray(other, float)
    value = float(auc(first, second))
    p = float(mannwhitneyu(first, second).pvalue)
    if value in (0.0, 1.0):  # no resample differs: the rule of three bounds what so few cases can say
        edge = min(1.0, 3 / min(len(first), len(second)))
        return Separation(value, max(0.0, value - edge), min(1.0, value + edge), p)
    found = bootstrap((first, second), auc, n_resamples=RESAMPLES, vectorized=True, batch=200,
                      rng=np.random.default_rng(_SEED)).confidence_interval
    return Separation(value, float(found.low), float(found.high), p)


def permutation_p(maps: npt.NDArray[np.float32], first: npt.NDArray[np.bool_], permutations: int) -> Numbers:
    """Family-wise p value a voxel for a difference of two groups' means, by nilearn's permuted least squares.

    The greatest t of each relabeling is what a voxel's t must exceed.

    Parameters
    ----------
    maps : cases × voxels.
    first : which cases are of the first group.
    permutations : relabelings.
    """
    from nilearn.mass_univariate import permuted_ols

    tested = first.astype(float)[:, None]
    found = permuted_ols(tested, maps, model_intercept=True, n_perm=permutations, two_sided_test=True,
                         random_state=_SEED, n_jobs=1, output_type="dict")
    return np.asarray(10.0 ** -found["logp_max_t"][0])
