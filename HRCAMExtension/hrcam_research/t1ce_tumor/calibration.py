"""What the bundle knows beside its weights, measured on images that taught nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.cam.model import HRCAM
from hrcam.run.volume_rule import softmax, volume_logits
from hrcam_train.calibrate import Calibration, at_even_odds, slice_temperature, strongest_evidence, withholding_of
from hrcam_train.evidence_levels import fit_evidence_levels, level_rates, lower_possible
from hrcam_train.predict import Floats, Prediction, predict
from hrcam_train.prepare_cases import PreparedCase
from hrcam_train.volume_rule import fit_bias, fit_volume_rule

from .data import CLASSES, NORMAL, TUMORS, Images

BATCH = 16
VOLUME_SLICES = 48
TUMOR_SHARE = (0.06, 0.5)
COMPOSED = 60
"""Composed volumes a class: few real volumes with a known class can be had, and all of them gliomas."""

POSSIBLE_SHARE = 0.38
"""Of a region's peak that "possible" reaches down to: single slices of validation like up to .5, scans less."""

_CPU = torch.device("cpu")
_PATHOLOGY = [name != NORMAL for name in CLASSES]


def prepared(name: str, images: Images) -> list[PreparedCase]:
    """Each image a case of its own."""
    return [
        PreparedCase(f"{name}-{n}", patient, int(label), pixels[None], np.array([label]))
        for n, (pixels, label, patient) in enumerate(zip(images.pixels, images.labels, images.patients, strict=True))
    ]


def calibrate(hrcam: HRCAM, tumors: Images, normals: Images, scans: Images, seed: int = 0) -> Calibration:
    """The head's bias, temperature, volume rule, evidence levels and withholding, from validation tumors and held-out
    normal slices.

    The bias is that of classes that occur equally often: in training, views and shares were others. It is changed in
    `hrcam`; no map changes with it.

    The volume rule is fitted on **composed** volumes: slices of one validation patient among slices without tumor, in
    shares as tumors have of a head, and volumes of slices without tumor alone. Half of them have for surroundings the
    tumor-free slices of a real scan (of `scans`): vessels and the pituitary gland, which enhance in every head, are
    rare in single slices without tumor. Surroundings are drawn alike for all classes and hence tell none apart.
    Withholding is fitted where surroundings are slices of people without tumor: what is far from a tumor in the same
    head is not always normal.
    """
    cases = prepared("tumor", tumors) + prepared("normal", normals)
    predictions = predict(hrcam, cases, _CPU, BATCH)
    shift = fit_bias(_logits(predictions), [case.label for case in cases])
    shift -= shift[CLASSES.index(NORMAL)]
    with torch.no_grad():
        hrcam.head.bias.add_(torch.from_numpy(shift).to(hrcam.head.bias))
    predictions = [replace(p, logits=p.logits + shift) for p in predictions]
    temperature = slice_temperature(predictions)
    free = predict(hrcam, prepared("scan", scans.chosen(scans.labels == CLASSES.index(NORMAL))), _CPU, BATCH)
    around = [_logits(p for p in free if p.patient == patient) for patient in sorted({p.patient for p in free})]
    volumes = list(_compose(predictions, around, np.random.default_rng(seed)))
    rule = fit_volume_rule([logits for logits, _ in volumes], [label for _, label in volumes], _PATHOLOGY)
    free_of_tumor = list(_compose(predictions, [], np.random.default_rng(seed)))
    withholding = withholding_of(
        [softmax(volume_logits(logits, rule, _PATHOLOGY)) for logits, _ in free_of_tumor],
        [label for _, label in free_of_tumor], _PATHOLOGY,
    )  # fmt: skip
    levels, rates = fit_levels(hrcam, cases, predictions)
    told, withheld_above = at_even_odds(rule, withholding, _PATHOLOGY)
    return Calibration(temperature, told, levels, rates, withheld_above)


def fit_levels(
    hrcam: HRCAM, cases: Sequence[PreparedCase], predictions: Sequence[Prediction]
) -> tuple[tuple[EvidenceLevel, ...], dict[str, dict[str, float]]]:
    """Evidence levels, and how often each is exceeded, on the cases without a tumor: of each the likeliest tumor."""
    normal = [(case, said.logits[0]) for case, said in zip(cases, predictions, strict=True)
              if not _PATHOLOGY[case.label]]  # fmt: skip
    absent = [strongest_evidence(hrcam, case, int(np.argmax(said[: len(TUMORS)])), _CPU, BATCH)
              for case, said in normal]  # fmt: skip
    withheld = [said.argmax() == CLASSES.index(NORMAL) for _, said in normal]  # single images: no rule
    peaks = np.where(withheld, -np.inf, [one.max() for one in absent])
    possible, *rest = lower_possible(fit_evidence_levels(absent), peaks)
    levels = (replace(possible, of_peak=POSSIBLE_SHARE), *rest)
    return levels, level_rates(absent, levels)


def _logits(predictions: Iterable[Prediction]) -> Floats:
    return np.concatenate([p.logits for p in predictions])


def _compose(
    predictions: list[Prediction], around: list[Floats], rng: np.random.Generator
) -> Iterator[tuple[Floats, int]]:
    """Logits of composed volumes and their class; every second one lies in a scan of `around`, if there is any."""
    normal = _logits(p for p in predictions if p.label == CLASSES.index(NORMAL))

    def surroundings(number: int, count: int) -> Floats:
        real = around and number % 2
        return around[rng.integers(len(around))] if real else normal[rng.choice(len(normal), count)]

    for label in range(len(TUMORS)):
        patients = sorted({p.patient for p in predictions if p.label == label})
        for n in range(COMPOSED):
            patient = patients[n % len(patients)]
            own = _logits(p for p in predictions if p.label == label and p.patient == patient)
            share = rng.uniform(*TUMOR_SHARE)
            others = surroundings(n, round((1 - share) * VOLUME_SLICES))
            count = max(1, round(share / (1 - share) * len(others)))
            yield np.concatenate([own[rng.choice(len(own), count)], others]), label
    for n in range(COMPOSED):
        yield surroundings(n, VOLUME_SLICES), CLASSES.index(NORMAL)
