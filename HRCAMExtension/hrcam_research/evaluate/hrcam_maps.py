"""HR-CAM's own maps: every fusion, every single level; one forward pass makes them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from hrcam.cam.fusion import FUSIONS, fuse

from hrcam_research.evaluate.case import Pixels
from hrcam_research.evaluate.rivals import Family, Maps, Method, scale01, upsample

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

PUBLISHED = "hrcam/sum"

IN_SCAN = "hrcam/in its scan"
"""The map of a slice as a user sees it who gives the whole scan: slices share evidence with their neighbors."""

SCALED = " 0–1"
"""After the default's name: its map scaled within each image, as rivals' are."""


IN_SCAN_METHODS = (Method(IN_SCAN, "hrcam", "logit"), Method(IN_SCAN + SCALED, "hrcam", "0–1"))


class HRCAMMaps(Family):
    """`hrcam/FUSION` for each fusion, `hrcam/DEFAULT 0–1` (the default scaled within each map, as rivals are),
    `level/NAME`.

    `level/NAME` of the last level is CAM with the multi-level head's weights of that level.
    """

    def __init__(self, model: HRCAM) -> None:
        self._model = model
        self.default = f"hrcam/{model.fusion}"
        fusions = list(dict.fromkeys(["sum", model.fusion, *FUSIONS]))
        self.methods = (
            *(Method(f"hrcam/{name}", "hrcam", "logit") for name in fusions),
            Method(self.default + SCALED, "hrcam", "0–1"),
            *(Method(f"level/{level.name}", "hrcam", "logit") for level in model.levels),
        )

    def maps(self, x: torch.Tensor, classes: torch.Tensor, wanted: Iterable[str]) -> Maps:
        """All wanted maps from one forward pass; fused once a method, so that each can be timed alone."""
        wanted = set(wanted)
        size = tuple(x.shape[2:])
        with torch.inference_mode():
            _, levels = self._model.native_maps(x, classes)
        made: Maps = {}
        for method in self.methods:
            kind, _, name = method.name.partition("/")
            if method.name not in wanted:
                continue
            if kind == "level":
                position = [level.name for level in self._model.levels].index(name)
                made[method.name] = upsample(levels[position][:, 0], size)
            elif name.endswith(SCALED):
                made[method.name] = scale01(fuse(levels, size, self._model.fusion, x)[:, 0])
            else:
                made[method.name] = fuse(levels, size, name, x)[:, 0]
        return made


def maps_in_scan(batch: Sequence[Pixels]) -> Maps:
    """The maps that slices of scans bring with them, B×*size; none where an image of the batch has none."""
    found = [pixels.in_scan for pixels in batch if pixels.in_scan is not None]
    if len(found) < len(batch):
        return {}
    maps = torch.from_numpy(np.stack(found))
    return {IN_SCAN: maps, IN_SCAN + SCALED: scale01(maps)}
