"""Colours of the overlays: a perceptually even map, and one named colour per evidence level.

Slicer takes the transparency of a scalar overlay from the display node's threshold alone, not from its colour table;
so faint evidence is made transparent there (``display.setMapRange``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from .volume_nodes import RESULT_ATTRIBUTE

# Nine even samples of matplotlib's Inferno (CC0), the first ones lifted a little so that faint evidence shows on
# dark tissue.
_INFERNO = np.array([
    [0.16, 0.04, 0.33], [0.26, 0.04, 0.41], [0.42, 0.09, 0.43], [0.58, 0.15, 0.40], [0.74, 0.22, 0.33],
    [0.87, 0.32, 0.23], [0.96, 0.49, 0.08], [0.99, 0.71, 0.15], [0.99, 1.00, 0.64],
])
_ENTRIES = 256


def evidenceColors() -> np.ndarray:
    """256x3 RGB in 0–1, lowest evidence first."""
    positions = np.linspace(0.0, 1.0, _ENTRIES)
    anchors = np.linspace(0.0, 1.0, len(_INFERNO))
    return np.stack([np.interp(positions, anchors, _INFERNO[:, channel]) for channel in range(3)], axis=1)


def addEvidenceColorNode(name: str) -> Any:
    """Add the continuous map's colour table to the scene and return the node."""
    node = _addTable(name, _ENTRIES)
    for entry, rgb in enumerate(evidenceColors()):
        node.SetColor(entry, f"{entry}", *(float(v) for v in rgb), 1.0)
    return node


def addLevelColorNode(name: str, levels: Sequence[dict]) -> Any:
    """Add the label map's colour table: entry 0 transparent, entry n the nth evidence level with its name."""
    node = _addTable(name, len(levels) + 1)
    node.SetColor(0, "background", 0.0, 0.0, 0.0, 0.0)
    if hasattr(node, "SetColorDefined"):  # Slicer from 5.8 on: the legend then leaves the background out
        node.SetColorDefined(0, False)
    for entry, level in enumerate(levels, start=1):
        node.SetColor(entry, str(level["name"]), *(float(v) for v in level["color"]), 1.0)
    return node


def setLevelVisible(colorNode: Any, entry: int, visible: bool) -> None:
    """Show or hide one level of the label map by its colour's opacity."""
    rgba = [0.0, 0.0, 0.0, 0.0]
    colorNode.GetColor(entry, rgba)
    colorNode.SetColor(entry, colorNode.GetColorName(entry), *rgba[:3], 1.0 if visible else 0.0)


def levelVisible(colorNode: Any, entry: int) -> bool:
    """Whether a level of the label map is shown."""
    rgba = [0.0, 0.0, 0.0, 0.0]
    colorNode.GetColor(entry, rgba)
    return rgba[3] > 0.0


def _addTable(name: str, entries: int) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    node.SetTypeToUser()
    node.SetAttribute("Category", "HR-CAM")
    node.SetAttribute(RESULT_ATTRIBUTE, "colors")
    node.SetNumberOfColors(entries)
    return node
