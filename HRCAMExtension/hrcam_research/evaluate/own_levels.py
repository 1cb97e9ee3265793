"""What a bundle's own evidence levels mark on its default map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.run.borders import Borders
from hrcam.run.marking import label_levels
from hrcam.scan.intensity import Scale


@dataclass(frozen=True)
class Own:
    """The evidence levels of a bundle, which its `default` map is drawn with, and its ``borders``."""

    default: str
    levels: tuple[EvidenceLevel, ...]
    borders: Mapping[str, Any] | None = None

    def labels(self, values: np.ndarray, image: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        """Level numbers of one image's map, as `localize` gives them to the image alone.

        Parameters
        ----------
        values, image : H×W or D×H×W; the image as the network takes it.
        spacing : mm per axis.
        """
        volume = (1,) * (3 - values.ndim) + values.shape
        labels = label_levels(values.reshape(volume), self.levels)
        if self.borders is not None:
            steps = (math.inf, spacing[-2], spacing[-1])
            found = Borders(image.reshape(volume), Scale(0.0, 1.0), steps, self.borders)
            found.draw(labels, values.reshape(volume), self.levels[0])
        return labels.reshape(values.shape)

    def overlays(
        self, method: str, values: np.ndarray, image: np.ndarray, spacing: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """What each level marks, by its name, on one map; nothing for other methods' maps. See `labels`."""
        if method != self.default:
            return {}
        labels = self.labels(values, image, spacing)
        return {level.name: labels >= number for number, level in enumerate(self.levels, start=1)}
