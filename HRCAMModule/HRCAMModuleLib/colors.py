"""Color tables of the overlays in the scene, and which evidence levels they show.

Slicer takes the transparency of a scalar overlay from the display node's threshold alone, not from its color table;
so faint evidence is made transparent there (``display.setMapRange``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from .volume_nodes import RESULT_ATTRIBUTE


def engineLevels(levels: Sequence[dict]) -> tuple[Any, ...]:
    """Evidence levels of a result's JSON as the engine's ``EvidenceLevel``."""
    from hrcam.run.result import EvidenceLevel

    return tuple(EvidenceLevel(**{**level, "color": tuple(level["color"])}) for level in levels)


def addMapColorNode(name: str, levels: Sequence[dict]) -> Any:
    """Add the fused map's color table to the scene."""
    from hrcam.output.evidence_colors import map_colors
    from hrcam.output.scene_nodes import fill_map_table

    node = _addTable(name)
    fill_map_table(node, map_colors(engineLevels(levels)))
    return node


def addScaleColorNode(name: str, high: float, levels: Sequence[dict]) -> Any:
    """Add the color table of a single CNN level's map, which ends at ``high`` logits, to the scene."""
    from hrcam.output.evidence_colors import even_colors
    from hrcam.output.scene_nodes import fill_map_table, scale_names

    node = _addTable(name)
    fill_map_table(node, even_colors(), scale_names(high, engineLevels(levels)))
    return node


def addLevelColorNode(name: str, levels: Sequence[dict]) -> Any:
    """Add the label map's color table: entry 0 transparent, entry n the nth evidence level with its name."""
    from hrcam.output.scene_nodes import fill_level_table

    node = _addTable(name)
    fill_level_table(node, engineLevels(levels))
    return node


def addChangeColorNode(name: str, most: float, levels: Sequence[dict]) -> Any:
    """Add the color table of a change map from ``-most`` to ``most`` logits: loss in blue and gain in red.

    Changes below the weakest evidence level are transparent.
    """
    from hrcam.output.scene_nodes import change_names, fill_map_table

    node = _addTable(name)
    hidden = float(levels[0]["threshold"]) / most
    share = np.linspace(-1.0, 1.0, 255)
    size = np.abs(share)
    strong, weak, shown = 1.0 - 0.1 * size, 0.75 - 0.75 * size, (size > hidden).astype(float)
    red, blue = np.where(share > 0, (strong, weak), (weak, strong))
    names = change_names(most, engineLevels(levels), len(share))
    fill_map_table(node, np.stack([red, weak, blue, shown], axis=1), names)
    return node


def setLevelVisible(colorNode: Any, entry: int, visible: bool) -> None:
    """Show or hide one level of the label map by its color's opacity."""
    rgba = [0.0, 0.0, 0.0, 0.0]
    colorNode.GetColor(entry, rgba)
    colorNode.SetColor(entry, colorNode.GetColorName(entry), *rgba[:3], 1.0 if visible else 0.0)


def levelVisible(colorNode: Any, entry: int) -> bool:
    """Whether a level of the label map is shown."""
    rgba = [0.0, 0.0, 0.0, 0.0]
    colorNode.GetColor(entry, rgba)
    return rgba[3] > 0.0


def _addTable(name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    node.SetAttribute(RESULT_ATTRIBUTE, "colors")
    return node
