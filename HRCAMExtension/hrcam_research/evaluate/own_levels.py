"""What a bundle's own evidence levels mark on its default map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.run.marking import label_levels


@dataclass(frozen=True)
class Own:
    """The evidence levels of a bundle, which its `default` map is drawn with."""

    default: str
    levels: tuple[EvidenceLevel, ...]

    def overlays(self, method: str, values: np.ndarray) -> dict[str, np.ndarray]:
        """What each level marks, by its name, on one map; nothing for other methods' maps."""
        if method != self.default:
            return {}
        labels = label_levels(values, self.levels)
        return {level.name: labels >= number for number, level in enumerate(self.levels, start=1)}
