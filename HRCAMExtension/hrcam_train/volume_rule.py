"""The rule by which a volume's slices decide together, and a head's bias, fitted on validation scans."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from hrcam.errors import InputError
from hrcam.run.volume_rule import Logits, logsumexp, softmax, top_mean

FRACTIONS = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)
"""Of a volume's slices; the best one is taken."""

_BIAS_PENALTY = 0.01
_TEMPERATURE_PENALTY = 0.01
_LARGEST_LOG_TEMPERATURE = 5.0
"""Either way: logits that tell few volumes apart perfectly would be scaled without end."""


def fit_volume_rule(
    slice_logits: Sequence[npt.ArrayLike], labels: Sequence[int], pathology: Sequence[bool]
) -> dict[str, Any]:
    """Fit a "top_mean" rule on validation volumes: fraction, bias and temperature of least cross-entropy.

    Classes count equally, however many volumes each has; small penalties keep bias and temperature near 0 and 1 where
    volumes are few.

    Parameters
    ----------
    slice_logits : one S×K array a volume.
    labels : true class index of each volume.
    pathology : K flags.

    Returns
    -------
    The bundle's ``volume_rule``.
    """
    if len(slice_logits) != len(labels) or not labels:
        raise InputError(f"There are {len(slice_logits)} volumes and {len(labels)} labels.", "Give one label a volume.")
    target = np.asarray(labels, int)
    weights = 1.0 / np.bincount(target)[target]
    weights /= weights.sum()
    best: tuple[float, dict[str, Any]] | None = None
    for fraction in FRACTIONS:
        tops = np.stack([top_mean(np.asarray(one, np.float64), fraction, pathology) for one in slice_logits])
        loss, temperature, bias = _calibrate(tops, target, weights)
        if best is None or loss < best[0] - 1e-6:
            rule = {"kind": "top_mean", "fraction": fraction, "temperature": temperature, "bias": bias}
            best = loss, rule
    assert best is not None
    return best[1]


def fit_bias(logits: npt.ArrayLike, labels: Sequence[int]) -> Logits:
    """What to add to N×K logits so that classes, each weighing the same, are told apart best; K, mean 0.

    A few numbers on validation images: a map does not change with them, its class's logit does.
    """
    table, target = np.asarray(logits, np.float64), np.asarray(labels, int)
    weights = 1.0 / np.bincount(target, minlength=table.shape[1])[target]
    return np.asarray(_calibrate(table, target, weights / weights.sum())[2])


def _calibrate(
    tops: Logits, target: npt.NDArray[np.int_], weights: npt.NDArray[np.float64]
) -> tuple[float, float, list[float]]:
    """Minimize the weighted cross-entropy of softmax((tops + bias) / temperature), temperature within its bounds."""
    from scipy.optimize import minimize

    count = tops.shape[1]
    wanted = np.eye(count)[target]

    def loss(parameters: Logits) -> tuple[float, Logits]:
        log_scale, bias = float(parameters[0]), parameters[1:]
        scaled = (tops + bias) * np.exp(log_scale)
        entropy = float(weights @ (logsumexp(scaled) - (scaled * wanted).sum(axis=1)))
        slope = weights[:, None] * (softmax(scaled) - wanted)
        gradient = np.append((slope * scaled).sum(), slope.sum(axis=0) * np.exp(log_scale))
        penalty = _TEMPERATURE_PENALTY * log_scale**2 + _BIAS_PENALTY * float(bias @ bias)
        return entropy + penalty, gradient + 2 * np.append(_TEMPERATURE_PENALTY * log_scale, _BIAS_PENALTY * bias)

    bounds = [(-_LARGEST_LOG_TEMPERATURE, _LARGEST_LOG_TEMPERATURE), *[(None, None)] * count]
    found = minimize(loss, np.zeros(1 + count), jac=True, method="L-BFGS-B", bounds=bounds)
    bias = found.x[1:] - found.x[1:].mean()
    return float(found.fun), float(np.exp(-found.x[0])), [float(b) for b in bias]
