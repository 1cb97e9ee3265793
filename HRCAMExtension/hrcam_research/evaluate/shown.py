"""Single images as a user sees them: the predicted class's map at the bundle's own levels, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hrcam.bundle.bundle import Bundle
from hrcam.cam.fusion import fuse
from hrcam.run.withholding import is_withheld

from hrcam_research.evaluate import metrics
from hrcam_research.evaluate.case import Case, batches
from hrcam_research.evaluate.own_levels import Own
from hrcam_research.evaluate.statistics import bootstrap_mean

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

    from hrcam_research.evaluate.localization import Progress


def evaluate_shown(
    bundle: Bundle, model: HRCAM, cases: Sequence[Case], normals: Sequence[Case], batch_size: int = 8,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What is marked, whatever the level, on images with an outline and on images without pathology.

    As in `localize` the likeliest pathology is shown, and withheld where the image is called normal; single images
    know no other rule.

    Returns
    -------
    Intervals by patient of ``dice`` and ``unmarked`` (of `cases`, which all have an outline) and of ``marked`` (of
    `normals`; absent without any).
    """
    pathology = [position for position, one in enumerate(bundle.classes) if one.pathology]
    rule = bundle.withholding if bundle.dimension == 3 else None
    own = Own("", bundle.evidence_levels, bundle.borders)
    everything = [*cases, *normals]
    rows: list[tuple[float, float]] = []
    for batch in batches(everything, batch_size):
        x = torch.from_numpy(np.stack([pixels.image for _, pixels in batch])).to(next(model.parameters()).device)
        with torch.inference_mode():
            logits = model(x)
            classes = torch.tensor(pathology, device=x.device)[logits[:, pathology].argmax(1)]
            maps = fuse(model.native_maps(x, classes)[1], tuple(x.shape[2:]), model.fusion, x)[:, 0].cpu().numpy()
        chances = torch.softmax(logits / bundle.temperature, 1).cpu().tolist()
        for (number, pixels), values, chance in zip(batch, maps, chances, strict=True):
            withheld = is_withheld(dict(zip(bundle.class_names, chance, strict=True)), bundle.pathology, rule)
            marked = np.zeros(values.shape, bool)
            if not withheld:
                marked = own.labels(values, pixels.image[0], everything[number].spacing) > 0
            mask = pixels.masks.get("masks")
            rows.append((np.nan if mask is None else metrics.dice(marked, mask), float(marked.any())))
        if progress:
            progress("As shown", (batch[-1][0] + 1) / len(everything))
    dice, some = np.array(rows).T
    whole, patients = len(cases), [case.patient for case in everything]
    found = {"dice": (dice[:whole], patients[:whole]), "unmarked": (1 - some[:whole], patients[:whole])}
    if normals:
        found["marked"] = (some[whole:], patients[whole:])
    return {key: bootstrap_mean(values, names).to_json() for key, (values, names) in found.items()}
