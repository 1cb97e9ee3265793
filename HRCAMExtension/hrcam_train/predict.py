"""What a trained network says about prepared cases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from hrcam.cam.model import HRCAM

from hrcam_train.prepare_cases import PreparedCase

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Logits N×K of a case's N images, beside what is true."""

    name: str
    patient: str
    label: int
    labels: npt.NDArray[np.int64]
    logits: Floats


def predict(hrcam: HRCAM, cases: Sequence[PreparedCase], device: torch.device, batch_size: int) -> list[Prediction]:
    """Classify every image of every case by the HR-CAM head."""
    hrcam.to(device).eval()
    found = []
    with torch.inference_mode():
        for case in cases:
            logits = [hrcam(images).double().cpu().numpy() for images in batches(case, batch_size, device)]
            found.append(Prediction(case.name, case.patient, case.label, case.labels, np.concatenate(logits)))
    return found


def batches(case: PreparedCase, batch_size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """A case's images, B×1×*size, float32."""
    for start in range(0, len(case.images), batch_size):
        images = np.asarray(case.images[start : start + batch_size, None], np.float32)
        yield torch.from_numpy(images).to(device)
