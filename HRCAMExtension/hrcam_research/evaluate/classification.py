"""How well the network that is explained classifies: a map of a wrong class explains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hrcam_research.evaluate.case import Case, batches

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

ECE_BINS = 15


def class_logits(model: HRCAM, cases: Sequence[Case], batch_size: int = 8) -> np.ndarray:
    """N×K logits of the cases, in order."""
    device = next(model.parameters()).device
    found = []
    with torch.inference_mode():
        for batch in batches(cases, batch_size):
            found.append(model(torch.from_numpy(np.stack([pixels.image for _, pixels in batch])).to(device)).cpu())
    return torch.cat(found).numpy()


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Rows of probabilities at the bundle's temperature."""
    return torch.from_numpy(logits / temperature).softmax(1).numpy()


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of the classes' recalls (classes that occur)."""
    return float(balanced_accuracy_score(labels, probabilities.argmax(1)))


def recalls(labels: np.ndarray, probabilities: np.ndarray) -> dict[int, float]:
    """Share of each occurring class's cases that the network names right."""
    present = np.unique(labels)
    values = recall_score(labels, probabilities.argmax(1), labels=present, average=None)
    return {int(label): float(value) for label, value in zip(present, values, strict=True)}


def by_patient(labels: np.ndarray, probabilities: np.ndarray, patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """One label and the mean probabilities per patient and label (a patient of two labels counts once with each)."""
    keys = sorted({(patient, int(label)) for patient, label in zip(patients, labels, strict=True)})
    names = np.asarray(patients)
    means = [probabilities[(names == patient) & (labels == label)].mean(0) for patient, label in keys]
    return np.array([label for _, label in keys]), np.array(means)


def calibration(labels: np.ndarray, probabilities: np.ndarray, bins: int = ECE_BINS) -> dict[str, list[float] | float]:
    """Expected calibration error (torchmetrics, equal-width bins of the top probability) and the bins' reliability."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    error = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=probabilities.shape[1], n_bins=bins
    )
    top = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    # The upper edge belongs to the bin, as in torchmetrics.
    place = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)
    used = [b for b in range(bins) if (place == b).any()]
    return {
        "ece": float(error),
        "confidence": [float(top[place == b].mean()) for b in used],
        "accuracy": [float(right[place == b].mean()) for b in used],
        "share": [float((place == b).mean()) for b in used],
    }


def one_against_one(labels: np.ndarray, logits: np.ndarray, positive: int, negative: int) -> float:
    """ROC AUC of the difference of two classes' logits on the cases of these two classes; NaN where one is absent."""
    chosen = np.isin(labels, (positive, negative))
    truth = labels[chosen] == positive
    if truth.all() or not truth.any():
        return float("nan")
    return float(roc_auc_score(truth, (logits[:, positive] - logits[:, negative])[chosen]))


def intensity_statistics(image: np.ndarray) -> np.ndarray:
    """Seven global statistics of an image: mean, standard deviation, percentiles 5, 25, 50, 75, 95."""
    return np.array([image.mean(), image.std(), *np.percentile(image, (5, 25, 50, 75, 95))])


def statistics_baseline(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """AUC of a logistic regression on seven statistics: what can be told without looking *where*.

    Parameters
    ----------
    train, test : (N×7 statistics, N booleans: is the positive class).
    """
    if len(np.unique(train[1])) < 2 or len(np.unique(test[1])) < 2:
        return float("nan")
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced")).fit(*train)
    return float(roc_auc_score(test[1], fitted.decision_function(test[0])))
