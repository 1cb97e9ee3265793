"""What a bundle must know beside its weights, measured on validation: temperature, volume rule, evidence levels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.cam.model import HRCAM
from hrcam.networks.efficientnet_lite0 import map_exponent
from hrcam.run.volume_rule import softmax, volume_logits
from hrcam.scan.sampling import FOREGROUND_VALUE

from hrcam_train.evidence_levels import MINIMUM_STEP, fit_evidence_levels, level_rates
from hrcam_train.linear_head import fit_temperature
from hrcam_train.predict import Floats, Prediction, batches
from hrcam_train.prepare_cases import PreparedCase
from hrcam_train.volume_rule import fit_volume_rule
from hrcam_train.withholding import fit_withholding

DEFAULT_FRACTION = 0.1
"""Of a volume's slices, averaged by the volume rule where no validation case has several slices to fit it on."""

PEAK_SHARES = (0.1, 0.25, 0.5)
"""Of the peak that true evidence nearly always reaches, for each evidence level: the least of its threshold."""

_WEAKEST = 0.1
"""Of the cases with pathology, whose peaks may be lower than that. Peaks spread over several powers of ten where maps
are products, so that shares of the median peak would hide half of the lesions."""

_MOST_CERTAIN = 100

FEWEST_SCANS = 20
"""Of each kind, with pathology and without, that a rule for withholding marks is fitted on."""


@dataclass(frozen=True)
class Calibration:
    """The calibrated part of a bundle's metadata; `rates` is what the levels show on cases without the class."""

    temperature: float
    volume_rule: dict[str, Any] | None
    levels: tuple[EvidenceLevel, ...]
    rates: dict[str, dict[str, float]]
    withholding: dict[str, float | int] | None = None

    @property
    def level_documents(self) -> list[dict[str, Any]]:
        """The bundle's ``evidence_levels``."""
        return [
            {"name": v.name, "threshold": v.threshold, "color": list(v.color), "of_peak": v.of_peak}
            for v in self.levels
        ]

    def case_probabilities(self, prediction: Prediction, pathology: Sequence[bool]) -> Floats:
        """K probabilities of a whole case, as `localize` computes them."""
        if len(prediction.logits) == 1 or self.volume_rule is None:
            return softmax(prediction.logits.mean(0) / self.temperature)
        return softmax(volume_logits(prediction.logits, self.volume_rule, pathology))

    def image_probabilities(self, prediction: Prediction) -> Floats:
        """N×K probabilities of a case's images."""
        return softmax(prediction.logits / self.temperature)


def calibrate(
    hrcam: HRCAM,
    cases: Sequence[PreparedCase],
    predictions: Sequence[Prediction],
    pathology: Sequence[bool],
    device: torch.device,
    batch_size: int,
) -> Calibration:
    """Measure everything on validation cases.

    The evidence levels come from what must not be there: evidence for pathology in cases of a class without it or,
    where every class is a pathology, evidence for another class than the case's own. Where that is so little that any
    faint spread of true evidence would pass, they are raised to `PEAK_SHARES` of what nine of ten true peaks reach.
    """
    temperature = slice_temperature(predictions)
    rule = _volume_rule(predictions, pathology, temperature) if len(cases[0].size) == 2 else None
    partial = Calibration(temperature, rule, (), {})
    absent = [
        strongest_evidence(hrcam, case, shown, device, batch_size)
        for case, prediction in zip(cases, predictions, strict=True)
        for shown in _false_class(partial, prediction, pathology)
    ]
    present = [
        float(strongest_evidence(hrcam, case, case.label, device, batch_size).max())
        for case in cases
        if pathology[case.label]
    ]
    levels = _raised(fit_evidence_levels(absent, map_exponent(hrcam.cnn)), present)
    withholding = withholding_of([partial.case_probabilities(p, pathology) for p in predictions],
                                 [p.label for p in predictions], pathology)
    rule, withholding = at_even_odds(rule, withholding, pathology)
    return Calibration(temperature, rule, levels, level_rates(absent, levels), withholding)


def withholding_of(
    probabilities: Sequence[Floats], labels: Sequence[int], pathology: Sequence[bool]
) -> dict[str, float | int] | None:
    """The bundle's ``withholding`` from K probabilities and the label of each validation scan; None of too few."""
    flags = np.asarray(pathology)
    sick = flags[np.asarray(labels)]
    if min(int(sick.sum()), int((~sick).sum())) < FEWEST_SCANS:
        return None
    return fit_withholding([float(p[~flags].sum()) for p in probabilities], sick.tolist())


def at_even_odds(
    rule: dict[str, Any] | None, withholding: dict[str, float | int] | None, pathology: Sequence[bool]
) -> tuple[dict[str, Any] | None, dict[str, float | int] | None]:
    """The volume rule and the rule for withholding with the same answers, whose limit is a probability of one half.

    Users take one half for the limit. Only the bias of the classes without pathology changes, by what the limit says of
    the odds: where validation allows marks up to P(no pathology) .8, scans were called normal too early. Without either
    rule both stay.
    """
    if rule is None or withholding is None:
        return rule, withholding
    above = float(withholding["above"])
    shift = float(rule["temperature"]) * float(np.log(above / (1 - above)))
    bias = np.array([value - (0.0 if sick else shift) for value, sick in zip(rule["bias"], pathology, strict=True)])
    return {**rule, "bias": (bias - bias.mean()).tolist()}, {**withholding, "above": 0.5}


def slice_temperature(predictions: Sequence[Prediction]) -> float:
    """Temperature of single images by labels that are a little uncertain (Platt 1999).

    Each image counts n times with its label and once with every other one, n being the number of images, at most 100.
    With hard labels a validation set without errors would ask for boundless certainty.
    """
    labels = np.concatenate([p.labels for p in predictions])
    logits = np.concatenate([p.logits for p in predictions])
    times, count = min(len(labels), _MOST_CERTAIN), logits.shape[1]
    others = [np.full(len(labels), label) for label in range(count)]
    smoothed = np.concatenate([labels] * (times - 1) + others)
    return fit_temperature(np.tile(logits, (times - 1 + count, 1)), smoothed)


def _volume_rule(predictions: Sequence[Prediction], pathology: Sequence[bool], temperature: float) -> dict[str, Any]:
    volumes = [p for p in predictions if len(p.logits) > 1]
    if len({p.label for p in volumes}) < len(pathology):
        bias = [0.0] * len(pathology)
        return {"kind": "top_mean", "fraction": DEFAULT_FRACTION, "temperature": temperature, "bias": bias}
    return fit_volume_rule([p.logits for p in volumes], [p.label for p in volumes], pathology)


def _false_class(calibration: Calibration, prediction: Prediction, pathology: Sequence[bool]) -> Iterator[int]:
    """The likeliest pathology that the case does not have, if the case is one to measure false evidence on."""
    everything = all(pathology)
    if not everything and pathology[prediction.label]:
        return
    allowed = np.array(pathology) & (np.arange(len(pathology)) != prediction.label)
    probabilities = calibration.case_probabilities(prediction, pathology)
    yield int(np.argmax(np.where(allowed, probabilities, -1.0)))


def _raised(levels: Sequence[EvidenceLevel], peaks: Sequence[float]) -> tuple[EvidenceLevel, ...]:
    """Levels no lower than their share of a weak peak of true evidence, still rising from weak to strong."""
    weak = float(np.quantile(peaks, _WEAKEST, method="lower"))
    found: list[EvidenceLevel] = []
    for level, share in zip(levels, PEAK_SHARES, strict=True):
        lowest = share * weak
        if found:
            lowest = max(lowest, found[-1].threshold + MINIMUM_STEP)
        found.append(replace(level, threshold=round(max(level.threshold, lowest), 4)))
    return tuple(found)


def strongest_evidence(
    hrcam: HRCAM, case: PreparedCase, shown: int, device: torch.device, batch_size: int
) -> npt.NDArray[np.float32]:
    """The case's strongest evidence anywhere, as many values as its head has voxels.

    So shares are shares of the head, and evidence that a map puts into the air counts too.
    """
    maps, voxels = [], 0
    for images in batches(case, batch_size, device):
        maps.append(hrcam.evidence(images, classes=shown).maps.float().cpu().numpy().ravel())
        voxels += int((images > FOREGROUND_VALUE).sum())
    values = np.concatenate(maps)
    voxels = min(max(voxels, 1), values.size)
    return np.partition(values, values.size - voxels)[values.size - voxels :]
