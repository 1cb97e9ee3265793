"""One finished comparison of two scans, as it lives in the scene: a text node that refers to all that belongs to it."""

from __future__ import annotations

import json
from typing import Any

import slicer

from .localization import ownedNodes, removeWithFolder
from .volume_nodes import RESULT_ATTRIBUTE, localToWorld

EARLIER, LATER, EARLIER_THERE = "hrcamEarlier", "hrcamLater", "hrcamEarlierThere"
EARLIER_LEVELS, LATER_LEVELS, CHANGE = "hrcamEarlierLevels", "hrcamLaterLevels", "hrcamChange"
CHANGE_MAP, CHANGE_COLORS, LEVEL_COLORS = "hrcamChangeMap", "hrcamChangeColors", "hrcamLevelColors"
ROLE = "comparison"
_OWNED = (EARLIER_THERE, EARLIER_LEVELS, LATER_LEVELS, CHANGE, CHANGE_MAP, LEVEL_COLORS, CHANGE_COLORS)


class Comparison:
    """What became of each region between two dates, and the nodes that show it; see ``HRCAMModuleLogic.compare``."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def __eq__(self, other: object) -> bool:
        """Two are equal when they stand for the same node."""
        return isinstance(other, Comparison) and other.node is self.node

    def __hash__(self) -> int:
        return hash(id(self.node))

    @property
    def valid(self) -> bool:
        """Whether the nodes are still in the scene."""
        return bool(self.node is not None and self.node.GetScene() and self.later and self.earlierThere and self.change)

    @property
    def info(self) -> dict:
        """The comparison as ``hrcam compare`` writes it to ``NAME_comparison.json``; points in the later scan's RAS."""
        return json.loads(self.node.GetText() or "{}")

    @property
    def later(self) -> Any:
        """The later scan; None when it was removed."""
        return self.node.GetNodeReference(LATER)

    @property
    def earlier(self) -> Any:
        """The earlier scan; None when it was removed."""
        return self.node.GetNodeReference(EARLIER)

    @property
    def earlierThere(self) -> Any:
        """The earlier scan as it lies in the later one's space; it shares its voxels with the earlier scan."""
        return self.node.GetNodeReference(EARLIER_THERE)

    @property
    def laterLevels(self) -> Any:
        """Label map of what was marked on the later date."""
        return self.node.GetNodeReference(LATER_LEVELS)

    @property
    def earlierLevels(self) -> Any:
        """Label map of what was marked on the earlier date, in the later scan's space."""
        return self.node.GetNodeReference(EARLIER_LEVELS)

    @property
    def change(self) -> Any:
        """Segmentation with a segment for each call: new, growing, stable, shrinking, resolved, not covered."""
        return self.node.GetNodeReference(CHANGE)

    @property
    def changeMap(self) -> Any:
        """Volume of the later minus the earlier evidence, logits; 0 where only one scan shows the place."""
        return self.node.GetNodeReference(CHANGE_MAP)

    @property
    def changes(self) -> list[dict]:
        """One record a region, strongest first, with ``peak_ras`` in world RAS, mm."""
        records = self.info["changes"]
        moved = localToWorld(self.later, [record["peak_ras"] for record in records])
        return [{**record, "peak_ras": point} for record, point in zip(records, moved, strict=True)]

    @property
    def warnings(self) -> list[str]:
        """What speaks against trusting the comparison."""
        return list(self.info["warnings"])

    @property
    def baseName(self) -> str:
        """What the names of its nodes begin with."""
        return self.node.GetName().removesuffix(" comparison")

    def ownNodes(self) -> list[Any]:
        """All nodes that the comparison brought into the scene, in the order in which they are removed."""
        return ownedNodes(self.node, _OWNED)

    def remove(self) -> None:
        """Take the comparison out of the scene, with everything that belongs to it; both scans stay."""
        removeWithFolder(self.ownNodes(), self.node, self.baseName)


def findComparisons() -> list[Comparison]:
    """The comparisons in the scene, oldest first."""
    return [Comparison(node) for node in slicer.util.getNodesByClass("vtkMRMLTextNode")
            if node.GetAttribute(RESULT_ATTRIBUTE) == ROLE]
