"""How well tumor slices of `t1ce_volumes` are told from tumor-free ones of the same scan, for patients never seen.

The stages before the last see no slice of `t1ce_volumes`; so for each patient only the last is repeated, without them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from .data import CLASSES, NORMAL, Images
from .network import EvidenceNetwork
from .training import WITHOUT_VOLUMES, TrainingData, learn_volumes

BATCH = 16


class LeftOut(TypedDict):
    """AUCs over all slices, their mean over patients, and each patient's."""

    auc_all_slices: float
    auc_mean_of_patients: float
    by_patient: dict[str, float]


def leave_one_out(data: TrainingData, out: Path, steps: int, seed: int) -> LeftOut:
    """AUC of "shows a tumor" on slices, each patient's by the network that was trained without that patient.

    AUCs over all slices compare scans with each other; those by patient compare slices of one patient's scans alone.
    """
    volumes = data.volumes
    patients, names = np.array(volumes.patients), sorted(set(volumes.patients))
    scores = np.zeros(len(volumes))
    for name in names:
        others = TrainingData(data.tumors, data.normal, data.heads, volumes.without(name))
        network = learn_volumes(others, out / f"without-{name}", out / WITHOUT_VOLUMES, steps, seed + 2)
        own = patients == name
        scores[own] = tumor_scores(network, volumes.chosen(own))
    sick = volumes.labels != CLASSES.index(NORMAL)
    by_patient = {name: float(roc_auc_score(sick[patients == name], scores[patients == name])) for name in names}
    return {
        "auc_all_slices": float(roc_auc_score(sick, scores)),
        "auc_mean_of_patients": float(np.mean(list(by_patient.values()))),
        "by_patient": by_patient,
    }


def before_the_volumes(volumes: Images, out: Path) -> float:
    """AUC of "shows a tumor" on all slices, of the network before its last stage, which saw none of the patients."""
    network = EvidenceNetwork(pretrained=False)
    network.load_state_dict(torch.load(out / WITHOUT_VOLUMES, weights_only=True))
    sick = volumes.labels != CLASSES.index(NORMAL)
    return float(roc_auc_score(sick, tumor_scores(network.eval(), volumes)))


@torch.inference_mode()
def tumor_scores(network: EvidenceNetwork, images: Images) -> npt.NDArray[np.float64]:
    """Log-odds of any tumor against none, of N images by the pooled head."""
    found = []
    for start in range(0, len(images), BATCH):
        pixels = torch.from_numpy(images.pixels[start : start + BATCH].astype(np.float32))[:, None]
        found.append(torch.logsumexp(network(pixels).logits, 1))
    return torch.cat(found).double().numpy()
