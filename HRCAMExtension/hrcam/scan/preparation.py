"""How slices are prepared for a network that has no bundle, or none yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .geometry import PLANES
from .intensity import HIGH_PERCENTILE, LOW_PERCENTILE


@dataclass(frozen=True)
class SlicePreparation:
    """Square slices of any plane, scaled by the usual percentiles of the whole scan, for `sampling.plan_slices`.

    Parameters
    ----------
    size : pixels a side, at least.
    spacing_mm : of a pixel.
    """

    size: int
    spacing_mm: float

    @property
    def metadata(self) -> dict[str, Any]:
        """``dimension`` and ``input``, as a bundle states them."""
        scaling = {"kind": "percentile", "low": LOW_PERCENTILE, "high": HIGH_PERCENTILE, "foreground": "otsu",
                   "per": "volume"}
        return {"dimension": 2, "input": {"planes": list(reversed(PLANES)), "size": [self.size, self.size],
                                          "spacing_mm": self.spacing_mm, "intensity": scaling}}
