"""What the bundle knows beside its weights, measured on heads and slices that taught nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.cam.model import HRCAM
from hrcam.networks.efficientnet_lite0 import map_exponent
from hrcam.run.volume_rule import softmax, volume_logits
from hrcam.scan.intensity import normalize
from hrcam.scan.resample import AxisFit
from hrcam_train.calibrate import Calibration, at_even_odds, slice_temperature, strongest_evidence, withholding_of
from hrcam_train.evidence_levels import fit_evidence_levels, level_rates, lower_possible
from hrcam_train.predict import Floats, Prediction, predict
from hrcam_train.prepare_cases import PreparedCase
from hrcam_train.volume_rule import fit_volume_rule
from sklearn.linear_model import LogisticRegression

from .contrasts import SEQUENCES, SHARES
from .heads import LabeledHead, draw_head
from .lesions import add_lesion
from .network import CLASSES, PATHOLOGY
from .scanner import scan

BATCH = 16
SIZE, SPACING_MM = 256, 0.94
"""Of the slices that teach."""

READ_SIZE, READ_SPACING_MM = 192, 1.25
"""Of the slices that the bundle reads: coarser, so that large lesions fit into what the network sees at once. Gliomas
of `lgg` and lesions of multiple sclerosis are found better (docs/RESEARCH.md)."""

INTENSITY = {"kind": "percentile", "low": 1.0, "high": 90.0, "foreground": "otsu", "per": "volume"}
"""Scalp and fat are far brighter than the brain on some scans: the usual high percentile leaves it too dark."""

POSSIBLE_SHARE = 0.2
"""Of a region's peak that "possible" reaches down to, before the maps' power. Regions of scans run through many slices,
whose strongest decides: with the usual third whole slices of a tumor were left out (chosen on scans of `lgg`)."""

PAIRS = 240
VOLUMES = 120
"""Composed volumes of each class, on which the volume rule and withholding are fitted."""

_VOLUME_SLICES = (20, 60)
_LESION_SHARE = (0.06, 0.5)
_CLEAR_PIXELS = 60.0
_LOWER_FACE = 1.5
_ILL, _WELL = range(len(CLASSES))
_CPU = torch.device("cpu")
Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """Slices N×256×256 with and without a lesion; `small` marks those whose lesion is hardly seen."""

    ill: npt.NDArray[np.float32]
    well: npt.NDArray[np.float32]
    small: npt.NDArray[np.bool_]

    def prepared(self) -> Examples:
        """As the bundle prepares scans."""
        return Examples(prepared(self.ill), prepared(self.well), self.small)


def prepared(pixels: npt.NDArray[np.floating]) -> Floats32:
    """Slices N×256×256 of any scale as the bundle prepares them, N×192×192."""
    fit = AxisFit(SIZE, READ_SIZE, READ_SIZE)
    scaled = np.stack([normalize(one.astype(np.float32), INTENSITY) for one in pixels])
    return fit.forward(fit.forward(scaled, 1), 2)


def draw_examples(heads: Sequence[LabeledHead], pairs: int = PAIRS, seed: int = 7) -> Examples:
    """Pairs of generated slices of heads that taught nothing, and slices of their faces."""
    rng = np.random.default_rng(seed)
    ill: list[Floats32] = []
    well: list[Floats32] = []
    small: list[bool] = []
    while len(ill) < pairs:
        head, sequence = heads[int(rng.integers(len(heads)))], str(rng.choice(SEQUENCES, p=SHARES))
        ground = draw_head(rng, head, SIZE, SPACING_MM, sequence)
        lesion = add_lesion(rng, ground)
        if lesion is None:
            continue
        with_lesion, without = scan(rng, [lesion.image, ground.image])
        ill.append(with_lesion)
        well.append(without)
        small.append(float((lesion.mask * lesion.weight).sum()) < _CLEAR_PIXELS)
        if len(ill) % 4 == 0:
            well += scan(rng, [draw_head(rng, head, SIZE, SPACING_MM, sequence, _LOWER_FACE).image])
    return Examples(np.stack(ill), np.stack(well), np.array(small))


def _cases(name: str, pixels: npt.NDArray[np.floating], label: int) -> list[PreparedCase]:
    return [
        PreparedCase(f"{name}-{n}", f"{name}-{n}", label, one[None].astype(np.float16), np.array([label]))
        for n, one in enumerate(pixels)
    ]


def calibrate(hrcam: HRCAM, examples: Examples, normals: npt.NDArray[np.floating], seed: int = 0) -> Calibration:
    """The head's scale and bias (in `hrcam`; maps keep their form), temperature, volume rule, levels, withholding.

    Parameters
    ----------
    examples : generated slices with and without lesion.
    normals : real slices without a lesion, N×256×256.
    """
    make_reference(hrcam)
    cases = cases_of(examples, normals)
    predictions = fit_head(hrcam, predict(hrcam, cases, _CPU, BATCH))
    temperature = slice_temperature(predictions)
    ill = _logits(predictions[: len(examples.ill)])[~examples.small]
    generated = _logits(predictions[len(examples.ill) : -len(normals)])
    real = _logits(predictions[-len(normals) :])
    volumes = list(compose(ill, (generated, real), np.random.default_rng(seed)))
    labels = [label for _, label in volumes]
    rule = fit_volume_rule([logits for logits, _ in volumes], labels, PATHOLOGY)
    chances = [softmax(volume_logits(logits, rule, PATHOLOGY)) for logits, _ in volumes]
    told, withholding = at_even_odds(rule, withholding_of(chances, labels, PATHOLOGY), PATHOLOGY)
    levels, rates = fit_levels(hrcam, cases, predictions)
    return Calibration(temperature, told, levels, rates, withholding)


def cases_of(examples: Examples, normals: npt.NDArray[np.floating]) -> list[PreparedCase]:
    """Slices as the bundle reads them: with a lesion, their counterparts without, and the real ones without."""
    examples = examples.prepared()
    return [*_cases("ill", examples.ill, _ILL), *_cases("well", examples.well, _WELL),
            *_cases("real", prepared(normals), _WELL)]  # fmt: skip


def fit_levels(
    hrcam: HRCAM, cases: Sequence[PreparedCase], predictions: Sequence[Prediction]
) -> tuple[tuple[EvidenceLevel, ...], dict[str, dict[str, float]]]:
    """Evidence levels, and how often each is exceeded, on the cases without a lesion."""
    well = [(case, said) for case, said in zip(cases, predictions, strict=True) if case.label == _WELL]
    absent = [strongest_evidence(hrcam, case, _ILL, _CPU, BATCH) for case, _ in well]
    said = _logits([said for _, said in well])
    peaks = np.where(said[:, _WELL] > said[:, _ILL], -np.inf, [one.max() for one in absent])
    exponent = map_exponent(hrcam.cnn)
    possible, *rest = lower_possible(fit_evidence_levels(absent, exponent), peaks)
    levels = (replace(possible, of_peak=round(POSSIBLE_SHARE**exponent, 4)), *rest)
    return levels, level_rates(absent, levels)


@torch.no_grad()
def make_reference(hrcam: HRCAM) -> None:
    """No lesion becomes the reference with logit 0: what training has taught is the difference of both classes."""
    for parameter in (hrcam.head.weight, hrcam.head.bias):
        parameter[_ILL] -= parameter[_WELL]
        parameter[_WELL] = 0


def fit_head(hrcam: HRCAM, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Fit scale and bias of the lesion's logit, classes weighing the same, and return the predictions with both."""
    evidence = _logits(predictions)[:, _ILL] - float(hrcam.head.bias[_ILL].detach())
    labels = np.array([p.label for p in predictions])
    fit = LogisticRegression(C=1e3, class_weight="balanced").fit(evidence[:, None], labels == _ILL)
    scale, bias = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    with torch.no_grad():
        hrcam.head.weight[_ILL] *= scale
        hrcam.head.bias[_ILL] = bias
    return [replace(p, logits=np.array([[scale * e + bias, 0.0]])) for p, e in zip(predictions, evidence, strict=True)]


def compose(ill: Floats, normals: Sequence[Floats], rng: np.random.Generator) -> Iterator[tuple[Floats, int]]:
    """Logits of volumes and their class: slices with a lesion among others of one source, and these alone."""
    for label in (_ILL, _WELL):
        for number in range(VOLUMES):
            source = normals[number % len(normals)]
            count = int(rng.integers(*_VOLUME_SLICES))
            slices = source[rng.choice(len(source), count)]
            if label == _ILL:
                share = max(1, round(count * rng.uniform(*_LESION_SHARE)))
                slices = np.concatenate([slices[share:], ill[rng.choice(len(ill), share)]])
            yield slices, label


def _logits(predictions: Sequence[Prediction]) -> Floats:
    return np.concatenate([p.logits for p in predictions])
