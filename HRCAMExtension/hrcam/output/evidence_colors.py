"""Colors of evidence in scenes: one meaning a color, whatever shows it.

The fused map takes the calibrated levels' own colors where each begins, so that one legend explains labels, map and
surfaces. A single CNN level has no calibrated levels: its map runs through an even scale of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..run.result import EvidenceLevel

ENTRIES = 256

_FAINT = ((0.16, 0.04, 0.33), (0.42, 0.16, 0.46))
"""From no evidence to just below the weakest level."""

_DARKER = 0.6
"""The end of the scale, of the strongest level's color."""

# Nine even samples of matplotlib's Inferno (CC0), the first lifted so that faint evidence shows on dark tissue.
_INFERNO = np.array([
    (0.16, 0.04, 0.33), (0.26, 0.04, 0.41), (0.42, 0.09, 0.43), (0.58, 0.15, 0.40), (0.74, 0.22, 0.33),
    (0.87, 0.32, 0.23), (0.96, 0.49, 0.08), (0.99, 0.71, 0.15), (0.99, 1.00, 0.64),
])  # fmt: skip


def evidence_span(levels: Sequence[EvidenceLevel]) -> tuple[float, float]:
    """Ends of the scale, logits: from no evidence to well above the strongest level; the same for all scans."""
    thresholds = [level.threshold for level in levels] or [1.0]
    low = min(0.0, thresholds[0])
    return low, thresholds[-1] + 0.75 * max(thresholds[-1] - low, 1e-3)


def map_colors(levels: Sequence[EvidenceLevel]) -> npt.NDArray[np.float64]:
    """`ENTRIES`×3 RGB, 0–1, from one end of `evidence_span` to the other, for the fused map."""
    low, high = evidence_span(levels)
    if not levels:
        return even_colors()
    first, last = levels[0], levels[-1]
    below = first.threshold - 1e-3 * (high - low)
    anchors: list[tuple[float, Sequence[float]]] = [(low, _FAINT[0]), (below, _FAINT[1])]
    anchors += [(level.threshold, level.color) for level in levels]
    anchors.append((high, tuple(_DARKER * part for part in last.color)))
    return _between([at for at, _ in anchors], [color for _, color in anchors], np.linspace(low, high, ENTRIES))


def even_colors() -> npt.NDArray[np.float64]:
    """`ENTRIES`×3 RGB, 0–1, perceptually even, for the map of a single CNN level."""
    return _between(np.linspace(0, 1, len(_INFERNO)), _INFERNO, np.linspace(0, 1, ENTRIES))


def _between(
    anchors: npt.ArrayLike, colors: npt.ArrayLike, positions: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    channels = np.asarray(colors, np.float64).T
    return np.stack([np.interp(positions, np.asarray(anchors, np.float64), one) for one in channels], axis=1)
