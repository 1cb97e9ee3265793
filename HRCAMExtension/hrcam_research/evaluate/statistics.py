"""Intervals and paired tests that respect that slices of one patient are alike: the unit that is resampled is the
patient.

Reference: Davison & Hinkley, *Bootstrap Methods and their Application*, 1997, §3.8 (clusters resampled with
replacement, everything inside a drawn cluster kept).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

RESAMPLES = 4000
SEED = 20190912


@dataclass(frozen=True)
class Interval:
    """Two means, each with its 95 % interval over patients; NaN bounds where fewer than two patients exist.

    `mean`, `low`, `high`: over cases, so that a patient of many slices counts more. `patient_mean`, `patient_low`,
    `patient_high`: over the patients' own means, so that each patient counts the same.
    """

    mean: float
    low: float
    high: float
    cases: int
    patients: int
    patient_mean: float
    patient_low: float
    patient_high: float

    def to_json(self) -> dict[str, float | int | None]:
        """Plain numbers; NaN becomes None, which JSON can hold."""
        return {
            key: None if isinstance(value, float) and np.isnan(value) else value for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences a − b, 95 % interval, and the p-value of Wilcoxon's test on the patients' means."""

    interval: Interval
    p_value: float

    def to_json(self) -> dict[str, float | int | None]:
        """The interval's numbers and `p_value`."""
        return {**self.interval.to_json(), "p_value": None if np.isnan(self.p_value) else self.p_value}


def _by_patient(values: np.ndarray, patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum of values and number of cases of each patient; NaN (not defined for the case) is left out."""
    if len(values) != len(patients):
        raise ValueError(f"{len(values)} values for {len(patients)} patients: they must match one to one")
    known = ~np.isnan(values)
    _, index = np.unique(np.asarray(patients, dtype=str)[known], return_inverse=True)
    return np.bincount(index, weights=values[known]), np.bincount(index).astype(float)


def bootstrap_mean(
    values: Sequence[float] | np.ndarray, patients: Sequence[str], resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    """Mean over cases and mean over patients, with the percentile bootstrap intervals by patient.

    Parameters
    ----------
    values : one number a case; NaN leaves the case out.
    patients : the patient of each case.
    resamples, seed : number of bootstrap samples and the generator's seed, so that a table can be reproduced.
    """
    sums, counts = _by_patient(np.asarray(values, dtype=float), patients)
    cases, units = int(counts.sum()), len(counts)
    if cases == 0:
        return Interval(np.nan, np.nan, np.nan, 0, 0, np.nan, np.nan, np.nan)

    def bounded(weighted: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
        mean = float(weighted.sum() / weights.sum())
        if units < 2:
            return mean, np.nan, np.nan
        low, high = stats.bootstrap(
            (weighted, weights),
            lambda total, number, axis=-1: total.sum(axis) / number.sum(axis),
            paired=True,
            vectorized=True,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return mean, float(low), float(high)

    return Interval(*bounded(sums, counts), cases, units, *bounded(sums / counts, np.ones(units)))


def paired_difference(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    patients: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Difference:
    """How much better `first` is than `second` on the same cases, by patient."""
    values = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    sums, counts = _by_patient(values, patients)
    means = sums / counts
    # Wilcoxon's test drops zero differences; with none left there is no difference to test.
    p_value = float(stats.wilcoxon(means).pvalue) if np.count_nonzero(means) else 1.0
    return Difference(bootstrap_mean(values, patients, resamples, seed), p_value if len(means) else np.nan)


def patient_folds(patients: Sequence[str], strata: Sequence[str]) -> np.ndarray:
    """Two folds (0, 1 a case) such that no patient is in both and each stratum's patients are split evenly.

    Patients are taken stratum by stratum (a patient's first stratum counts), largest number of cases first, each to the
    fold that has fewer cases of the stratum: deterministic, without a seed.
    """
    home: dict[str, str] = {}
    size: dict[str, int] = {}
    for patient, stratum in zip(patients, strata, strict=True):
        home.setdefault(patient, stratum)
        size[patient] = size.get(patient, 0) + 1
    fold: dict[str, int] = {}
    for stratum in sorted(set(home.values())):
        load = [0, 0]
        for patient in sorted((p for p in home if home[p] == stratum), key=lambda p: (-size[p], p)):
            fold[patient] = int(load[1] < load[0])
            load[fold[patient]] += size[patient]
    return np.array([fold[patient] for patient in patients], dtype=int)
