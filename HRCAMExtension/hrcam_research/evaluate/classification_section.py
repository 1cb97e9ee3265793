"""The classification section of a report: which figures, on which images, beside which baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hrcam.bundle.bundle import Bundle
from hrcam.run.volume_rule import volume_logits
from hrcam.scan.volume import read_volume
from sklearn.metrics import roc_auc_score

from hrcam_research.evaluate import classification, data
from hrcam_research.evaluate.case import Case, batches
from hrcam_research.evaluate.localization import Progress
from hrcam_research.evaluate.rivals import own_classifier

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

PAIR = ("glioma", "meningioma")
SITE = "numeric"


def evaluate_classification(
    bundle: Bundle,
    model: HRCAM,
    folder: Path,
    split: str | None = "val",
    batch_size: int = 8,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Keys: figures {name: value}, notes, calibration (see `classification.calibration`)."""
    table = folder if data.table_of(folder) else folder / "t1ce_slices"
    chosen = split if table == folder else "val"
    cases = data.slice_cases(table, bundle, chosen)
    if table == folder:
        cases = data.known_cases(cases, bundle)
    else:  # of a set that we know, a model may know some classes alone
        cases = [case for case in cases if case.label in bundle.class_names]
    patients = len({case.patient for case in cases})
    notes = [f"{len(cases)} images of {patients} patients of {table.resolve().name}, split {chosen or 'all'}."]
    healthy = [kind.name for kind in bundle.classes if not kind.pathology]
    if healthy and table != folder and (folder / "no_tumor").is_dir():
        normals = data.normal_cases(folder / "no_tumor", bundle, healthy[0])
        cases += normals
        notes.append(f"{len(normals)} held-out images of no_tumor as {healthy[0]}, each taken as a patient of its own.")
    labels = np.array([bundle.class_names.index(case.label) for case in cases])
    logits = classification.class_logits(model, cases, batch_size)
    if progress:
        progress("Classification", 0.5)
    probabilities = classification.softmax(logits, bundle.temperature)
    patient_labels, patient_means = classification.by_patient(labels, probabilities, [case.patient for case in cases])
    calibration = classification.calibration(labels, probabilities)
    figures: dict[str, Any] = {
        "balanced accuracy, by image": classification.balanced_accuracy(labels, probabilities),
        "balanced accuracy, by patient (mean probabilities)": classification.balanced_accuracy(
            patient_labels, patient_means
        ),
        "expected calibration error": calibration["ece"],
    }
    if own_classifier(model) is not None:
        own = _own_logits(model, cases, batch_size)
        figures["balanced accuracy, by image, of the CNN's own classifier"] = classification.balanced_accuracy(
            labels, own
        )
    for index, value in classification.recalls(labels, probabilities).items():
        figures[f"recall of {bundle.class_names[index]}"] = value
    if set(PAIR) <= set(bundle.class_names) and any(case.site for case in cases):
        figures.update(_pair(bundle, table, cases, labels, logits))
        notes.append(
            f"Site: every patient of another site than `{SITE}` is a glioma, so only the same-site AUC is free of it. "
            "The baseline is a logistic regression on seven global intensity statistics, fitted on the train split."
        )
    if healthy and table != folder and (folder / "t1ce_volumes").is_dir():
        figures.update(_volumes(bundle, model, folder, healthy[0], batch_size))
        used = next(
            (one.get("use", "") for one in bundle.metadata["data"] if one["name"] == "t1ce_volumes"), "not used"
        )
        notes.append(f"t1ce_volumes with the model as it is, not leave-one-patient-out; in its training: {used}.")
    stated = [f"{key} {value}" for key, value in bundle.metrics.items() if isinstance(value, (int, float, str))]
    if stated:
        notes.append(f"The bundle's own statement, from its training: {', '.join(stated)}.")
    return {"figures": figures, "notes": notes, "calibration": calibration}


def _own_logits(model: HRCAM, cases: Sequence[Case], batch_size: int) -> np.ndarray:
    device = next(model.parameters()).device
    found = []
    with torch.inference_mode():
        for batch in batches(cases, batch_size):
            found.append(model.cnn(torch.from_numpy(np.stack([pixels.image for _, pixels in batch])).to(device)).cpu())
    return torch.cat(found).numpy()


def _pair(bundle: Bundle, table: Path, cases: Sequence[Case], labels: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    """AUC of one class of `PAIR` against the other, all sites and the same site, and what intensity alone reaches."""
    first, second = (bundle.class_names.index(name) for name in PAIR)
    same = np.array([case.site == SITE for case in cases])
    name = " / ".join(PAIR)
    found: dict[str, Any] = {
        f"AUC {name}, all sites": classification.one_against_one(labels, logits, first, second),
        f"AUC {name}, same site": classification.one_against_one(labels[same], logits[same], first, second),
    }
    train = [case for case in data.slice_cases(table, bundle, "train") if case.label in PAIR]
    if {case.label for case in train} != set(PAIR):
        return found  # a table without training rows of both classes: no baseline can be fitted
    test = [case for case in cases if case.label in PAIR]
    for kind, prepared in (("raw", False), ("prepared", True)):
        fit = _statistics(train, table, prepared)
        values = _statistics(test, table, prepared)
        near, near_train = (np.array([case.site == SITE for case in each]) for each in (test, train))
        found[f"baseline on {kind} images, all sites"] = classification.statistics_baseline(fit, values)
        found[f"baseline on {kind} images, same site"] = classification.statistics_baseline(
            (fit[0][near_train], fit[1][near_train]), (values[0][near], values[1][near])
        )
    return found


def _statistics(cases: Sequence[Case], table: Path, prepared: bool) -> tuple[np.ndarray, np.ndarray]:
    images = (case.read().image if prepared else read_volume(table / case.name).array for case in cases)
    values = np.stack([classification.intensity_statistics(image) for image in images])
    return values, np.array([case.label == PAIR[0] for case in cases])


def _volumes(bundle: Bundle, model: HRCAM, folder: Path, healthy: str, batch_size: int) -> dict[str, float]:
    """Of `t1ce_volumes`: AUC of one minus the probability of the healthy class, over slices of the same scans with and
    without tumor, and how many of the scans, all of gliomas, get each class by the bundle's volume rule.
    """
    slices = data.volume_slices(folder / "t1ce_volumes", bundle, "tumor", healthy)
    logits = classification.class_logits(model, slices, batch_size)
    absent = classification.softmax(logits, bundle.temperature)[:, bundle.class_names.index(healthy)]
    found = {"AUC of a tumor in the slice, t1ce_volumes": float(roc_auc_score([c.traced for c in slices], 1 - absent))}
    scans = np.array([case.name.split("#")[0] for case in slices])
    pathology = [kind.pathology for kind in bundle.classes]
    called = [
        int(volume_logits(logits[scans == scan], bundle.volume_rule, pathology).argmax()) for scan in np.unique(scans)
    ]
    for index, name in enumerate(bundle.class_names):
        found[f"share of {len(called)} glioma volumes called {name}, t1ce_volumes"] = called.count(index) / len(called)
    return found
