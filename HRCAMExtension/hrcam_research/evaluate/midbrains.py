"""Simulated midbrains never trained on, for models of nigral signal loss: grades, sides, and the anatomy of evidence.

The volumes are drawn by `simulate` on the generator's own grid and prepared as a user's scan is. Their seeds
begin with a number that training never uses. Nothing here is about patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hrcam.bundle.bundle import Bundle
from hrcam.scan.sampling import plan_volume
from hrcam.scan.volume import Volume, read_volume, volume_from_array
from sklearn.metrics import roc_auc_score

from hrcam_research.cut import Where, cut
from hrcam_research.evaluate import classification, data
from hrcam_research.evaluate.case import Case, Pixels
from hrcam_research.simulate.neuromelanin import NigralLoss, random_loss, simulate_midbrain

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

    from hrcam_research.evaluate.localization import Progress

Array = np.ndarray

LABEL = "nigral_loss"
NAME = "simulated midbrains"
CASES = 64
GRADES = {"mild": 0.4, "moderate": 0.6, "advanced": 1.0}
"""Grade and the largest share of the worse side's nigra that is lost (the generator begins at 0.2)."""

CRUS, NIGRA = 1, 2
NEAR_MM = 3.0
REAL = ("sub-001_NM.nii.gz", "sub-001_midbrain_atlas_space-NM.nii.gz")

_SEED = 5
"""First number of the seeds: training draws from 0, validation from 1."""

_ASYMMETRIC = 0.2
"""Sides are told apart where the two sides' lost volumes differ by this share of their sum."""


@dataclass(frozen=True)
class Placed:
    """A simulated midbrain as the network sees it: pixels, and anatomy (1 crus cerebri, 2 nigra), of one shape."""

    image: Array
    counterpart: Array
    mask: Array
    labels: Array
    loss: NigralLoss


def grade_of(loss: NigralLoss) -> str:
    """mild, moderate or advanced, by the worse side."""
    worse = max(loss.left, loss.right)
    return next(name for name, largest in GRADES.items() if worse <= largest)


class Midbrains:
    """The first `count` simulated midbrains as a bundle's network sees them; each is drawn once and kept (1.5 MB)."""

    def __init__(self, bundle: Bundle, count: int = CASES) -> None:
        self.bundle, self.count = bundle, count
        self._kept: dict[int, Placed] = {}

    def placed(self, number: int) -> Placed:
        """Midbrain `number`."""
        if number not in self._kept:
            self._kept[number] = self._draw(number)
        return self._kept[number]

    def cases(self) -> tuple[list[Case], list[Case]]:
        """All midbrains with loss, and their counterparts without; a pair is one patient."""
        sick, healthy = _classes(self.bundle)
        cases, counterparts = [], []
        for number in range(self.count):
            patient, grade = f"midbrain-{number:03d}", grade_of(self._loss(number))
            known: dict[str, Any] = {"grade": grade, "spacing": data.spacing_of(self.bundle)}
            cases.append(Case(patient, patient, sick, partial(self._read, number), traced=True, **known))
            read = partial(self._read_counterpart, number)
            counterparts.append(Case(f"{patient}-counterpart", patient, healthy, read, **known))
        return cases, counterparts

    def _read(self, number: int) -> Pixels:
        found = self.placed(number)
        return Pixels(found.image, {"masks": found.mask})

    def _read_counterpart(self, number: int) -> Pixels:
        return Pixels(self.placed(number).counterpart, {})

    def _loss(self, number: int) -> NigralLoss:
        return random_loss(np.random.default_rng((_SEED, number, 1)))

    def _draw(self, number: int) -> Placed:
        loss = self._loss(number)
        drawn = simulate_midbrain((_SEED, number), parkinson=True, loss=loss, paired=True)
        assert drawn.counterpart is not None
        plan, counterpart = (
            plan_volume(_volume(array, drawn.spacing_mm), self.bundle) for array in (drawn.image, drawn.counterpart)
        )
        labels = np.zeros(plan.size, np.uint8)
        for value in (CRUS, NIGRA):
            labels[data.fit_mask(drawn.labels == value, plan)[0]] = value
        return Placed(plan.load()[0], counterpart.load()[0], data.fit_mask(drawn.mask, plan)[0], labels, loss)


def _volume(array: Array, spacing_kji: Sequence[float]) -> Volume:
    # The generator's axes K, J, I grow to superior, posterior and left.
    return volume_from_array(array, np.diag([-spacing_kji[2], -spacing_kji[1], spacing_kji[0], 1.0]), "midbrain")


def _classes(bundle: Bundle) -> tuple[str, str]:
    kinds = {kind.pathology: kind.name for kind in bundle.classes}
    return kinds[True], kinds[False]


def evaluate_midbrains(
    midbrains: Midbrains, model: HRCAM, folder: Path, batch_size: int = 4, progress: Progress | None = None
) -> dict[str, Any]:
    """Answers, sides and the anatomy of positive evidence; keys as those of `evaluate_classification`.

    Parameters
    ----------
    folder : data folder; where it has the one real volume with midbrain labels, the model's answer on it is told too.
    """
    bundle = midbrains.bundle
    sick = bundle.class_names.index(_classes(bundle)[0])
    cases, counterparts = midbrains.cases()
    everything = [*cases, *counterparts]
    labels = np.array([bundle.class_names.index(case.label) for case in everything])
    logits = classification.class_logits(model, everything, batch_size)
    if progress:
        progress("Classification", 0.5)
    probabilities = classification.softmax(logits, bundle.temperature)
    calibration = classification.calibration(labels, probabilities)
    margin = logits[:, sick] - logits[:, 1 - sick]
    figures: dict[str, Any] = {
        "AUC, loss against counterpart": float(roc_auc_score(labels == sick, margin)),
        "balanced accuracy": classification.balanced_accuracy(labels, probabilities),
        "expected calibration error": calibration["ece"],
    }
    for grade in GRADES:
        chosen = np.array([case.grade == grade for case in everything])
        if chosen.any():
            figures[f"AUC, {grade}"] = float(roc_auc_score(labels[chosen] == sick, margin[chosen]))
    higher = margin[: len(cases)] > margin[len(cases) :]
    figures["pairs in which the image with loss has more evidence"] = float(higher.mean())
    figures.update(_anatomy(midbrains, model, sick))
    limits = ", ".join(f"{grade} to {largest:.0%}" for grade, largest in GRADES.items())
    notes = [
        f"{len(cases)} simulated midbrains with loss and their counterparts without, all of seeds that were never "
        "trained on.",
        f"Grade by the lost share of the worse side's nigra: {limits}.",
        "Everything here is simulated; no clinical accuracy follows from it.",
    ]
    real = _real(bundle, model, folder / "neuromelanin", sick)
    if real:
        notes.append(real)
    return {"figures": figures, "notes": notes, "calibration": calibration}


def positive_evidence(model: HRCAM, image: Array, sick: int) -> Array:
    """Evidence above 0 for loss, *size, of an image 1×*size."""
    maps = model.evidence(torch.from_numpy(image[None]).to(next(model.parameters()).device), classes=sick).maps
    return np.maximum(maps[0, 0].float().cpu().numpy(), 0)


def worse_side(evidence: Array, labels: Array) -> float:
    """Share (left − right) / (left + right) of evidence, the sides parted midway between the two nigrae; -1 to 1.

    W of D×H×W grows to the patient's left. 0 where there is no evidence.
    """
    columns = np.nonzero(labels == NIGRA)[2]
    middle = (np.median(columns[columns > columns.mean()]) + np.median(columns[columns <= columns.mean()])) / 2
    left = float(evidence[:, :, np.arange(evidence.shape[2]) > middle].sum())
    whole = float(evidence.sum())
    return 2 * left / whole - 1 if whole > 0 else 0.0


def _anatomy(midbrains: Midbrains, model: HRCAM, sick: int) -> dict[str, Any]:
    shares: list[tuple[float, float, float, float]] = []
    sides: list[tuple[float, float]] = []
    for number in range(midbrains.count):
        found = midbrains.placed(number)
        evidence = positive_evidence(model, found.image, sick)
        whole = max(float(evidence.sum()), 1e-9)
        parts = (found.mask, (found.labels == NIGRA) & ~found.mask, found.labels == CRUS)
        inside = [float(evidence[part].sum()) / whole for part in parts]
        shares.append((inside[0], inside[1], inside[2], 1 - sum(inside)))
        truth = worse_side(found.mask.astype(np.float32), found.labels)
        sides.append((truth, worse_side(evidence, found.labels)))
    names = ("lost nigra", "spared nigra", "crus cerebri", "elsewhere")
    figures: dict[str, Any] = {
        f"share of positive evidence in: {name}": float(value)
        for name, value in zip(names, np.mean(shares, axis=0), strict=True)
    }
    truth, said = np.array(sides).T
    clear = np.abs(truth) >= _ASYMMETRIC
    figures["worse side right, of asymmetric cases"] = float((np.sign(truth) == np.sign(said))[clear].mean())
    figures["asymmetric cases"] = int(clear.sum())
    figures["correlation of asymmetry, truth and evidence"] = float(np.corrcoef(truth, said)[0, 1])
    return figures


def crop_around(volume: Volume, center_kji: Sequence[float], extent_mm: float) -> tuple[Volume, Where]:
    """The part of a volume in a box of rows and columns around a point, all slices kept; and where it was cut."""
    spans = []
    for axis in (1, 2):
        half = extent_mm / 2 / volume.geometry.spacing[2 - axis]
        start = max(0, round(center_kji[axis] - half))
        spans.append(slice(start, min(volume.array.shape[axis], round(center_kji[axis] + half) + 1)))
    where = (slice(0, volume.array.shape[0]), spans[0], spans[1])
    return cut(volume, where), where


def _real(bundle: Bundle, model: HRCAM, folder: Path, sick: int) -> str | None:
    """What the model says of the one real volume, cropped to the simulated field of view, and where."""
    scan, atlas = (folder / name for name in REAL)
    if not (scan.is_file() and atlas.is_file()):
        return None
    whole, labels = read_volume(scan), read_volume(atlas).array
    inputs = bundle.metadata["input"]
    extent = float(inputs["size"][1]) * data.spacing_of(bundle)[1]
    volume, where = crop_around(whole, np.argwhere(labels > 0).mean(0).tolist(), extent)
    plan = plan_volume(volume, bundle)
    image = plan.load()[0]
    with torch.inference_mode():
        logits = model(torch.from_numpy(image[None]).to(next(model.parameters()).device)).cpu().numpy()
    probability = classification.softmax(logits, bundle.temperature)[0, sick]
    evidence = plan.restore(positive_evidence(model, image, sick)[None])
    shares = _shares(evidence, labels[where], volume.geometry.spacing[::-1])
    words = ", ".join(f"{name} {share:.0%} ({space:.1%} of the voxels)" for name, (share, space) in shares.items())
    return (
        f"The one real volume ({REAL[0]}, KCL, CC BY-NC 4.0, never trained on; healthy or not is not known here), "
        f"cropped to {extent:.0f} mm around the midbrain: probability of simulated loss {probability:.2f}, which is no "
        f"diagnosis; positive evidence in {words}."
    )


def _shares(evidence: Array, labels: Array, spacing: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Share of the evidence, and of the voxels, in nigra, within `NEAR_MM` of it, in the crus, and elsewhere."""
    from scipy import ndimage

    nigra, crus = labels == NIGRA, labels == CRUS
    near = (ndimage.distance_transform_edt(~nigra, sampling=spacing) <= NEAR_MM) & ~nigra & ~crus
    whole = max(float(evidence.sum()), 1e-9)
    parts = {"nigra": nigra, f"within {NEAR_MM:g} mm of it": near, "crus cerebri": crus,
             "elsewhere": ~(nigra | near | crus)}  # fmt: skip
    return {name: (float(evidence[part].sum()) / whole, float(part.mean())) for name, part in parts.items()}
