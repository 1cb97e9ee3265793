"""Which color legend the views show; how it looks is written in the engine's ``scene_nodes``."""

from __future__ import annotations

from typing import Any

import slicer

from .comparison import Comparison
from .localization import FUSED, Localization
from .volume_nodes import RESULT_ATTRIBUTE


def showLegend(localization: Localization, source: str, visible: bool) -> None:
    """Show the legend of what is shown: of the levels, which the fused map's colors follow, or of one CNN level's map.

    A legend appears only in views whose layers hold the volume that it belongs to.
    """
    from hrcam.output.scene_nodes import SCALE_ENTRIES

    of = localization.shownLabels if source == FUSED else localization.mapSource(source)
    for volume in (localization.labelVolume, localization.labelsInRange):
        _setVisible(volume, visible and volume is of, len(localization.evidenceLevels))
    for volume in localization.levelVolumes.values():
        _setVisible(volume, visible and volume is of, SCALE_ENTRIES)


def moveLevelLegend(localization: Localization, former: Any, node: Any) -> None:
    """Let the legend of one label map go over to another."""
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(former)
    if legend is not None and legend.GetVisibility():
        _setVisible(former, False)
        _setVisible(node, True, len(localization.evidenceLevels))


def drawLegendsAnew() -> None:
    """Let the views look again at legends of a loaded scene: Slicer reads them before the volumes that they belong to.

    (vtkMRMLColorLegendDisplayableManager, ``OnMRMLSceneNodeAdded``: the actor is updated when its node comes.)
    """
    for node in _ownLegends():
        node.Modified()


def _ownLegends() -> list[Any]:
    owned = []
    for node in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
        owner = node.GetDisplayableNode()
        if owner is not None and owner.GetAttribute(RESULT_ATTRIBUTE):
            owned.append(node)
    return owned


def hideLegends(localization: Localization) -> None:
    """Take all legends of a result out of the views."""
    showLegend(localization, FUSED, False)


def removeLegends() -> None:
    """Take away the legends of results, to be made again: views that came after a legend never show it.

    (vtkMRMLColorLegendDisplayableManager, ``OnMRMLSceneNodeAdded``: there alone the actor is made.)
    """
    for node in _ownLegends():
        slicer.mrmlScene.RemoveNode(node)


def showComparisonLegends(comparison: Comparison, ofChange: bool) -> None:
    """Show the legend of the levels that are marked on both dates, or with ``ofChange`` that of the change map."""
    from hrcam.output.scene_nodes import CHANGE_LEGEND_ENTRIES

    ofLevels = (not ofChange, len(comparison.info["evidence_levels"]), "Evidence")
    for volume, options in ((comparison.earlierLevels, ofLevels), (comparison.laterLevels, ofLevels),
                            (comparison.changeMap, (ofChange, CHANGE_LEGEND_ENTRIES, "Change"))):
        if options[0] != _isVisible(volume):
            _setVisible(volume, *options)


def hideComparisonLegends(comparison: Comparison) -> None:
    """Take all legends of a comparison out of the views."""
    for volume in (comparison.earlierLevels, comparison.laterLevels, comparison.changeMap):
        _setVisible(volume, False)


def _isVisible(volume: Any) -> bool:
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(volume) if volume is not None else None
    return legend is not None and bool(legend.GetVisibility())


def _setVisible(volume: Any, visible: bool, entries: int = 0, title: str = "Evidence") -> None:
    """Show or hide a volume's legend of so many colors."""
    from hrcam.output.scene_nodes import dress_legend

    if volume is None:
        return
    logic = slicer.modules.colors.logic()
    legend = logic.GetColorLegendDisplayNode(volume)
    if not visible:
        if legend is not None:
            legend.SetVisibility(False)
        return
    legend = legend or logic.AddDefaultColorLegendDisplayNode(volume)
    if legend is None:
        return
    dress_legend(legend, entries, title)
    legend.SetVisibility(True)
    legend.Modified()  # one that came with a scene was looked at before its volume was there
