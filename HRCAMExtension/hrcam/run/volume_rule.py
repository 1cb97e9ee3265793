"""The logits of a scan from those of its slices.

The rule is fitted on validation scans (`hrcam_train.volume_rule`) and stored in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BundleError

Logits = npt.NDArray[np.float64]


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
    fitted ``bias`` is added and the sum divided by ``temperature``. The maximum would depend on one odd slice, and in
    the mean a small lesion would count too little; the bias takes back what choosing the most suspicious slices of a
    normal scan adds.

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
    top = top_mean(np.asarray(slice_logits, np.float64), float(rule.get("fraction", 0.1)), pathology)
    return (top + np.asarray(rule.get("bias", 0.0), np.float64)) / float(rule.get("temperature", 1.0))


def softmax(logits: npt.ArrayLike) -> Logits:
    """Probabilities over the last axis."""
    shifted = np.asarray(logits, np.float64)
    exponents = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def top_mean(logits: Logits, fraction: float, pathology: Sequence[bool]) -> Logits:
    """Mean of the share of S×K slice logits, at least one, that speak most for pathology; K."""
    count = max(1, round(fraction * len(logits)))
    order = np.argsort(-pathology_score(logits, pathology), kind="stable")
    return np.asarray(logits[order[:count]].mean(axis=0))


def logsumexp(logits: Logits) -> Logits:
    """Logarithm of the sum of exponentials over the last of two axes; 0 for no column."""
    if logits.shape[1] == 0:
        return np.zeros(len(logits))
    highest = logits.max(axis=1)
    return np.asarray(highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1)))


def _log_odds(logits: Logits, flags: npt.NDArray[np.bool_]) -> Logits:
    return logsumexp(logits[:, flags]) - logsumexp(logits[:, ~flags])
