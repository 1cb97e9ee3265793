"""From a trained network to the bundle: calibration, metadata with validation figures, model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hrcam.bundle.bundle import Bundle
from hrcam.bundle.write import save_bundle
from hrcam.cam.model import HRCAM
from hrcam.scan.statistics import intensity_statistics, ranges
from sklearn.metrics import roc_auc_score

from hrcam_research import recipe_card
from hrcam_research.t1ce_tumor.bundle import BORDER_WEIGHT
from hrcam_research.t1ce_tumor.bundle import SOURCES as T1CE_SOURCES
from hrcam_research.t1ce_tumor.network import FLIPS, with_flips

from .calibration import BATCH, INTENSITY, READ_SIZE, READ_SPACING_MM, Examples, calibrate, prepared
from .network import ARCHITECTURE, CLASSES

NAME = "brain-lesion"
VERSION = "2.5.0"
TITLE = "Brain lesions on any MR sequence"
DESCRIPTION = (
    "Lesion or none on T1, T1 with contrast agent, T2 and FLAIR, whole heads or brains alone, slice by slice in any "
    "plane, scans of small voxels in all three. Learnt from generated heads and real slices with synthetic lesions of "
    "known place, and from image labels; no human outline was ever shown to it."
)
INTENDED_USE = (
    "Research use only; not a medical device. Brain MRI of adults. It says that something looks abnormal and where, "
    "not what it is."
)

PLANE_WEIGHTS = {"axial": 8.0}
"""Of the planes in the map of three; the others have 1. Within slices the axial map is the best, across slices what the
others see too is mostly true (`ms` and simulated lesions, docs/RESEARCH.md)."""

NEIGHBOR_WEIGHT = 0.25
"""Chosen on `lgg` among no sharing and kernels of 3 to 5 slices: little is enough, more blurs (docs/RESEARCH.md)."""

SOURCES = [
    {"name": "head_labels", "license": "Apache-2.0", "use": "label maps that heads of any contrast are generated from",
     "attribution": "Billot et al.: SynthSeg, Medical Image Analysis 2023"},
    *T1CE_SOURCES,
]  # fmt: skip


def write_bundle(
    folder: Path, hrcam: HRCAM, examples: Examples, normals: npt.NDArray[np.floating], note: str
) -> Bundle:
    """Calibrate, measure and write.

    Parameters
    ----------
    examples, normals : what calibrates, see `calibration.calibrate`.
    note : how the weights came to be, for the model card.
    """
    hrcam = with_flips(hrcam, ARCHITECTURE)
    calibrated = calibrate(hrcam, examples, normals)
    examples, normals = examples.prepared(), prepared(normals)
    everything = np.concatenate([examples.ill, examples.well, normals])
    metrics = _measure(hrcam, examples, normals) | {"level_rates_on_normals": calibrated.rates}
    metadata: dict[str, Any] = {
        "name": NAME, "version": VERSION, "title": TITLE, "description": DESCRIPTION, "task": "classification",
        "classes": [
            {"name": CLASSES[0], "title": "Lesion", "pathology": True, "color": [0.9, 0.2, 0.2], "terminology": None},
            {"name": CLASSES[1], "title": "No lesion", "pathology": False, "color": [0.5, 0.7, 0.5],
             "terminology": None},
        ],
        "modality": "MR", "sequences": ["T1", "T1-CE", "FLAIR", "T2", "PD", "DWI"], "dimension": 2,
        "input": {"planes": ["axial", "coronal", "sagittal"], "best_plane": "all", "plane_weights": PLANE_WEIGHTS,
                  "size": [READ_SIZE, READ_SIZE], "spacing_mm": READ_SPACING_MM, "intensity": INTENSITY},
        "architecture": {"name": "lite0_pyramid", "arguments": ARCHITECTURE | FLIPS},
        "temperature": calibrated.temperature, "volume_rule": calibrated.volume_rule,
        "evidence_levels": calibrated.level_documents,
        "borders": {"weight": BORDER_WEIGHT, "power": ARCHITECTURE["power"]}, "neighbor_weight": NEIGHBOR_WEIGHT,
        "input_statistics": ranges([intensity_statistics(one) for one in everything]),
        "metrics": metrics, "data": SOURCES, "intended_use": INTENDED_USE,
        "reference": "Shinde et al., MICCAI 2019, arXiv:1909.12919",
    }  # fmt: skip
    if calibrated.withholding is not None:
        metadata["withholding"] = calibrated.withholding
    return save_bundle(folder, hrcam, metadata, card(metadata, note), overwrite=True)


def _measure(hrcam: HRCAM, examples: Examples, normals: npt.NDArray[np.floating]) -> dict[str, Any]:
    def said(pixels: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        with torch.inference_mode():
            parts = [hrcam(torch.from_numpy(pixels[n : n + BATCH].astype(np.float32))[:, None])
                     for n in range(0, len(pixels), BATCH)]  # fmt: skip
        return torch.cat(parts)[:, 0].double().numpy()

    ill, well, real = said(examples.ill), said(examples.well), said(normals)
    truth = np.repeat([1, 0], [len(ill), len(well)])
    return {
        "split": f"{len(ill)} generated slices with and {len(well)} without a lesion of heads that taught nothing; "
        f"no_tumor held out ({len(real)} slices)",
        "lesion_auc_slice": float(roc_auc_score(truth, np.concatenate([ill, well]))),
        "sensitivity_slice": float((ill[~examples.small] > 0).mean()),
        "specificity_slice": float((well <= 0).mean()),
        "specificity_real_slice": float((real <= 0).mean()),
    }


def card(metadata: dict[str, Any], note: str) -> str:
    """The model card's text."""
    metrics = metadata["metrics"]
    return f"""{recipe_card.opening(metadata, note, "hrcam_research.brain_lesion")}

## Classification on validation

{metrics["split"]}.

| figure | value |
|---|---|
{recipe_card.figure_rows(metadata)}

Localization on scans of other hospitals, beside other methods: `docs/RESULTS.md` and `docs/RESEARCH.md`.

## Evidence levels on slices without a lesion

| level | slices that show any | mean area of the head |
|---|---|---|
{recipe_card.rate_rows(metadata)}

## Limits

- Scans of glioma patients of other hospitals (`lgg`) chose between training runs and spacings, and they and eight
  healthy heads (`healthy_t1`) the limit from which a scan is called "lesion": figures on new hospitals will be lower.
- How far a region's border follows the image, and how much brightness weighs in the map, was chosen on `lgg`,
  `t1ce_volumes` and `ms`.
- Of scans whose voxels are small in every direction, read in three planes, only what all planes see is marked. The
  limit was chosen on `healthy_t1` and simulated lesions in it.
- What is faint on the sequence at hand is missed: a tumor that FLAIR shows may not be seen on T1.
- The skull's base, the neck, sinuses and the pituitary gland are marked at times.
- Sagittal slices have no mirrored half; there the reflection says nothing.
- Children, operated brains without a cavity, and other organs were not in the data.

## Data and licenses

{recipe_card.sources(metadata)}

Method: {metadata["reference"]}.
"""
