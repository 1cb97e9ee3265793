"""Absolute evidence: what a volume's slices say together, and from which logits on evidence is worth showing.

Both are measured on validation scans and stored in the bundle, so that a map means the same on every scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.evidence_level import EvidenceLevel
from ..errors import BundleError, InputError

Logits = npt.NDArray[np.float64]

LEVEL_RULES = (
    ("possible", 0.002, 0.95, (1.00, 0.86, 0.25), 0.35),
    ("probable", 0.0005, 0.99, (1.00, 0.52, 0.10), 0.60),
    ("strong", 0.0, 1.00, (0.88, 0.10, 0.16), 0.80),
)
"""Level, largest share of the head it may cover, on which share of normal scans, color, share of a region's peak."""

SHOWN_NORMALS = 0.04
"""Largest share of normal validation scans that may carry a mark, those that are withheld being empty."""

MINIMUM_STEP = 0.1
"""Least distance between neighbouring thresholds, logits: levels that coincide say nothing."""

FRACTIONS = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)

_BIAS_PENALTY = 0.01
_TEMPERATURE_PENALTY = 0.01
_LARGEST_LOG_TEMPERATURE = 5.0
"""Either way: logits that tell few volumes apart perfectly would be scaled without end."""


def pathology_score(slice_logits: npt.ArrayLike, pathology: Sequence[bool]) -> Logits:
    """How much each slice speaks for pathology: S×K logits to S log-odds of any pathology class against the others.

    Where every class is a pathology the log-odds of each slice's most probable class are taken: its certainty.
    """
    logits = np.asarray(slice_logits, np.float64)
    flags = np.asarray(pathology, bool)
    if flags.all() or not flags.any():
        return np.asarray(np.max([_log_odds(logits, np.arange(len(flags)) == c) for c in range(len(flags))], axis=0))
    return _log_odds(logits, flags)


def volume_logits(slice_logits: npt.ArrayLike, rule: Mapping[str, Any], pathology: Sequence[bool]) -> Logits:
    """Logits of a volume from its slices: the bundle's ``volume_rule``.

    "top_mean": the logits of the ``fraction`` of slices (at least one) that speak most for pathology are averaged, the
    fitted ``bias`` is added and the sum divided by ``temperature``. The maximum would follow one odd slice, the mean
    would drown a small lesion; the bias takes back what choosing the most suspicious slices of a normal scan adds.

    Parameters
    ----------
    slice_logits : S×K, slices that are not empty.
    rule : ``{"kind": "top_mean", "fraction": f, "temperature": t, "bias": [K]}``.
    pathology : K flags.

    Raises
    ------
    BundleError : another kind of rule.
    """
    if rule.get("kind") != "top_mean":
        raise BundleError(f"The model's volume rule is of the unknown kind {rule.get('kind')!r}.",
                          "Use a bundle made for this version of hrcam.")
    top = _top_mean(np.asarray(slice_logits, np.float64), float(rule.get("fraction", 0.1)), pathology)
    return (top + np.asarray(rule.get("bias", 0.0), np.float64)) / float(rule.get("temperature", 1.0))


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
        tops = np.stack([_top_mean(np.asarray(one, np.float64), fraction, pathology) for one in slice_logits])
        loss, temperature, bias = _calibrate(tops, target, weights)
        if best is None or loss < best[0] - 1e-6:
            rule = {"kind": "top_mean", "fraction": fraction, "temperature": temperature, "bias": bias}
            best = loss, rule
    assert best is not None
    return best[1]


def softmax(logits: npt.ArrayLike) -> Logits:
    """Probabilities over the last axis."""
    shifted = np.asarray(logits, np.float64)
    exponents = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def fit_evidence_levels(normals: Iterable[npt.ArrayLike], exponent: int = 1) -> tuple[EvidenceLevel, ...]:
    """Choose absolute thresholds from normal validation scans alone: no mask is needed.

    A level's threshold is the evidence that 95 % (possible) or 99 % (probable) of the normal scans exceed on no more
    than 0.2 % or 0.05 % of the head, and that none exceeds anywhere (strong); see `LEVEL_RULES`. So nearly every normal
    scan shows nothing, on purpose at the price of faint lesions; `level_rates` says what that price is.

    Parameters
    ----------
    normals : per normal scan (or slice) the evidence, in logits, of the class that would be shown (the strongest
        pathology), inside the head; any shape.
    exponent : power that the network raises its feature maps to. Shares of a region's peak are raised to it too: a
        third of the peak of maps is a ninth of that of their squares.

    Raises
    ------
    InputError : no scan given.
    """
    rows = []
    for one in normals:
        values = np.asarray(one, np.float32).ravel()
        if values.size:
            rows.append([float(np.quantile(values, 1.0 - share)) for _, share, *_ in LEVEL_RULES])
    if not rows:
        raise InputError("There is no normal scan to measure evidence levels on.",
                         "Add scans of a class that is not a pathology to the validation data.")
    table = np.asarray(rows)
    levels: list[EvidenceLevel] = []
    for column, (name, _, scans, color, of_peak) in enumerate(LEVEL_RULES):
        threshold = float(np.quantile(table[:, column], scans))
        floor = levels[-1].threshold + MINIMUM_STEP if levels else MINIMUM_STEP
        levels.append(EvidenceLevel(name, round(max(threshold, floor), 4), color, round(of_peak**exponent, 4)))
    return tuple(levels)


def lower_possible(levels: Sequence[EvidenceLevel], peaks: npt.ArrayLike) -> tuple[EvidenceLevel, ...]:
    """The levels with the weakest as low as normal scans allow that would be *shown*, if that is lower.

    `fit_evidence_levels` takes normal scans as if all were marked. Most are withheld (``withholding.py``); what a user
    sees is bounded here: no more than `SHOWN_NORMALS` of the normal scans carry any mark.

    Parameters
    ----------
    levels : of `fit_evidence_levels`.
    peaks : greatest evidence of each normal validation scan, logits; -inf where its marks are withheld.
    """
    ordered = np.sort(np.asarray(peaks, float))[::-1]
    allowed = int(SHOWN_NORMALS * len(ordered))
    if allowed + 1 > len(ordered) or not np.isfinite(ordered[allowed]):
        return tuple(levels)
    above = ordered[allowed - 1] if allowed else ordered[0] + 2 * MINIMUM_STEP
    threshold = max(float(ordered[allowed] + above) / 2, MINIMUM_STEP)
    weakest = min(levels[0].threshold, round(threshold, 4))
    return (replace(levels[0], threshold=weakest), *levels[1:])


def level_rates(evidence: Iterable[npt.ArrayLike], levels: Sequence[EvidenceLevel]) -> dict[str, dict[str, float]]:
    """What the levels show on given scans: per level the share of scans with any evidence, and the mean share of area.

    On normal scans these are false positives; on scans with pathology "scans" is the sensitivity.
    """
    shares = [
        [float(np.mean(values >= level.threshold)) for level in levels] for values in map(np.asarray, evidence)
    ]
    if not shares:
        raise InputError("There is no scan to measure.", "Give at least one map.")
    table = np.asarray(shares)
    return {
        level.name: {"scans": float(np.mean(table[:, n] > 0)), "area": float(np.mean(table[:, n]))}
        for n, level in enumerate(levels)
    }


def fit_bias(logits: npt.ArrayLike, labels: Sequence[int]) -> Logits:
    """What to add to N×K logits so that classes, each weighing the same, are told apart best; K, mean 0.

    A few numbers on validation images: a map does not change with them, its class's logit does.
    """
    table, target = np.asarray(logits, np.float64), np.asarray(labels, int)
    weights = 1.0 / np.bincount(target, minlength=table.shape[1])[target]
    return np.asarray(_calibrate(table, target, weights / weights.sum())[2])


def _log_odds(logits: Logits, flags: npt.NDArray[np.bool_]) -> Logits:
    return _logsumexp(logits[:, flags]) - _logsumexp(logits[:, ~flags])


def _logsumexp(logits: Logits) -> Logits:
    if logits.shape[1] == 0:
        return np.zeros(len(logits))
    highest = logits.max(axis=1)
    return np.asarray(highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1)))


def _top_mean(logits: Logits, fraction: float, pathology: Sequence[bool]) -> Logits:
    count = max(1, round(fraction * len(logits)))
    order = np.argsort(-pathology_score(logits, pathology), kind="stable")
    return np.asarray(logits[order[:count]].mean(axis=0))


def _calibrate(
    tops: Logits, target: npt.NDArray[np.int_], weights: npt.NDArray[np.float64]
) -> tuple[float, float, list[float]]:
    """Minimise the weighted cross-entropy of softmax((tops + bias) / temperature), temperature within its bounds."""
    from scipy.optimize import minimize

    count = tops.shape[1]
    wanted = np.eye(count)[target]

    def loss(parameters: Logits) -> tuple[float, Logits]:
        log_scale, bias = float(parameters[0]), parameters[1:]
        scaled = (tops + bias) * np.exp(log_scale)
        entropy = float(weights @ (_logsumexp(scaled) - (scaled * wanted).sum(axis=1)))
        slope = weights[:, None] * (softmax(scaled) - wanted)
        gradient = np.append((slope * scaled).sum(), slope.sum(axis=0) * np.exp(log_scale))
        penalty = _TEMPERATURE_PENALTY * log_scale**2 + _BIAS_PENALTY * float(bias @ bias)
        return entropy + penalty, gradient + 2 * np.append(_TEMPERATURE_PENALTY * log_scale, _BIAS_PENALTY * bias)

    bounds = [(-_LARGEST_LOG_TEMPERATURE, _LARGEST_LOG_TEMPERATURE), *[(None, None)] * count]
    found = minimize(loss, np.zeros(1 + count), jac=True, method="L-BFGS-B", bounds=bounds)
    bias = found.x[1:] - found.x[1:].mean()
    return float(found.fun), float(np.exp(-found.x[0])), [float(b) for b in bias]
