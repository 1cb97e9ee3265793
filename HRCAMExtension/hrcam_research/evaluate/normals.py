"""What methods mark on images without lesion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from hrcam_research.evaluate.case import Case, batches
from hrcam_research.evaluate.hrcam_maps import maps_in_scan
from hrcam_research.evaluate.thresholds import Counts, count_above

if TYPE_CHECKING:
    from hrcam_research.evaluate.map_maker import MapMaker
    from hrcam_research.evaluate.own_levels import Own


@dataclass(frozen=True)
class NormalMaps:
    """`rows`: see `localization.MapTable`. `above`: by method, pixels at or above its T thresholds, images × T."""

    rows: pd.DataFrame
    above: dict[str, np.ndarray]


def measure_normals(
    maker: MapMaker,
    normals: Sequence[Case],
    class_names: list[str],
    shown: list[str],
    fitted: Mapping[str, Mapping[str, float]],
    counts: Mapping[str, Counts],
    own: Own,
    batch_size: int,
    progress: Callable[[str, float], None] | None,
) -> NormalMaps:
    """False overlay on images without lesion, at the threshold of the class shown; slow methods are left out.

    Parameters
    ----------
    shown : classes that may be shown; the likeliest of them is.
    fitted : by method, the threshold of each class.
    counts : by method, what was counted on images with a lesion, at the same thresholds.
    """
    names = maker.names(slow=False)
    indices = torch.tensor([class_names.index(name) for name in shown], device=maker.device)
    found: list[dict[str, Any]] = []
    above: dict[str, list[np.ndarray]] = {}
    for batch in batches(normals, batch_size):
        x = maker.stack(batch)
        if len(indices) == 1:
            classes = indices.expand(len(x))
        else:
            with torch.no_grad():
                classes = indices[maker.model(x)[:, indices].argmax(1)]
        made = maker.make(x, classes, names)
        made |= {name: maps for name, maps in maps_in_scan([pixels for _, pixels in batch]).items() if name in fitted}
        for name, maps in made.items():
            for (at, pixels), values, index in zip(batch, maps.numpy(), classes.tolist(), strict=True):
                label = class_names[index]
                levels = own.overlays(name, values, pixels.image[0], normals[at].spacing)
                marked = {f"{name}@{level}": one for level, one in levels.items()}
                if label in fitted[name]:
                    marked[name] = values >= fitted[name][label]
                known = {"case": normals[at].name, "patient": normals[at].patient, "label": label}
                for overlay, one in marked.items():
                    found.append({"method": overlay, **known, "area": float(one.mean())})
                if name in counts:
                    above.setdefault(name, []).append(count_above(values, counts[name].thresholds))
        if progress:
            progress("Normal images", (batch[-1][0] + 1) / len(normals))
    rows = pd.DataFrame(found, columns=["method", "case", "patient", "label", "area"])
    return NormalMaps(rows, {name: np.stack(each) for name, each in above.items()})
