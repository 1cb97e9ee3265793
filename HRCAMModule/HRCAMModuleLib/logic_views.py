"""The part of the module's logic that shows results: overlay, range, levels, 3D, and jumping to regions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from . import display, volume_rendering
from .display import OverlayKind
from .label_range import setLabelRangeSteps
from .legend import showLegend
from .level_map_store import LevelMapStore
from .localization import FUSED, Localization
from .parameters import Overlay, PanelParameters
from .steps import StepRunner, Steps, runToEnd


class ViewsLogic(ScriptedLoadableModuleLogic):
    """Shows results in the views, and notes in the parameter node what is shown, so that the panel shows the same."""

    def __init__(self) -> None:
        super().__init__()
        self._levelMaps = LevelMapStore()
        self._relabeling: StepRunner | None = None
        self._parameters: PanelParameters | None = None

    def getParameterNode(self) -> PanelParameters:
        """The typed parameter node of the module: the same object until the scene is closed."""
        node = super().getParameterNode()
        known = self._parameters
        if known is None or known.parameterNode is not node or not node.GetParameterNames():
            known = self._parameters = PanelParameters(node)
        return known

    def mapSources(self, localization: Localization) -> list[str]:
        """Maps that can be shown: ``"fused"``, then the CNN's levels, fine to coarse.

        Level maps live in the scene once shown; those never shown are gone after a restart.

        Example
        -------
        >>> logic.mapSources(result)[0]
        'fused'
        """
        return [FUSED, *self._levelMaps.names(localization)]

    def showOverlay(
        self,
        localization: Localization,
        kind: str | OverlayKind = OverlayKind.LEVELS,
        source: str = FUSED,
        opacity: float = 0.45,
        outline: bool = False,
        legend: bool = False,
        evidenceRange: tuple[float, float] | None = None,
    ) -> None:
        """Show a result over its scan in the slice views.

        Parameters
        ----------
        kind : ``"levels"`` (calibrated labels), ``"map"`` (continuous), ``"both"`` or ``"none"``.
        source : ``"fused"`` or the name of one CNN level, see ``mapSources``.
        opacity : of the overlay, 0–1.
        outline : outline the labels instead of filling them.
        legend : show a color legend.
        evidenceRange : lowest and highest evidence shown, logits; ``None`` leaves it as it is.

        Example
        -------
        >>> logic.showOverlay(result, kind="both", opacity=0.5, outline=True)
        """
        kind = OverlayKind(kind)
        runToEnd(self.overlaySteps(localization, kind, source, opacity, outline, legend))
        parameters = self.getParameterNode()
        if parameters.resultNode is localization.resultNode:  # so that the panel shows the same
            with slicer.util.NodeModify(parameters.parameterNode):
                parameters.overlay, parameters.mapSource = Overlay(kind.value), source
                parameters.opacity, parameters.outline, parameters.legend = opacity, outline, legend
        if evidenceRange is not None:
            self.setEvidenceRange(localization, *evidenceRange)

    def overlaySteps(
        self, localization: Localization, kind: OverlayKind, source: str, opacity: float, outline: bool, legend: bool,
        point: Sequence[float] | None = None, drawEach: bool = False,
    ) -> Steps:
        """As ``showOverlay``, one slice view a step; ``point`` and ``drawEach`` as for ``display.showOverlaySteps``."""
        if localization.mapSource(source) is None:
            self._levelMaps.bringIn(localization, source)
        yield from display.showOverlaySteps(localization, kind, source, opacity, outline, point, drawEach)
        showLegend(localization, source, legend and kind is not OverlayKind.NONE)  # it appears where its volume is
        yield 1.0

    def setEvidenceRange(
        self, localization: Localization, low: float, high: float, wait: bool = True, *, source: str = FUSED
    ) -> None:
        """Show only evidence between two values, logits; at the scale's end, everything above too.

        The slice views hide the rest; label map, segmentation, regions and files keep what was found. With
        ``wait=False`` the marks follow in the event loop's turns. Each ``source`` has a range of its own.

        Example
        -------
        >>> low, high = result.evidenceSpan()
        >>> logic.setEvidenceRange(result, low, high)
        """
        display.setMapRange(localization, low, high, source)
        if source != FUSED:
            return
        if self._relabeling is not None:
            self._relabeling.cancel()
            self._relabeling = None
        steps = setLabelRangeSteps(localization, low, high)
        if wait:
            runToEnd(steps)
            return
        self._relabeling = StepRunner(steps, lambda count: None, lambda error: logging.error("HR-CAM: %s", error))
        self._relabeling.start()

    def showLevel(self, localization: Localization, level: str | int, visible: bool = True) -> None:
        """Show or hide one evidence level (its name, or 1 for the weakest) in the slices and in 3D.

        Example
        -------
        >>> logic.showLevel(result, 1, visible=False)
        >>> logic.showLevel(result, 1)
        """
        display.showLevel(localization, level, visible)

    def showIn3D(
        self, localization: Localization, surfaces: bool = True, volumeRendering: bool = False, head: bool = True
    ) -> None:
        """Show or hide the levels' surfaces and the map's volume rendering in the 3D views, the head around them.

        Example
        -------
        >>> logic.showIn3D(result, surfaces=True)
        >>> logic.showIn3D(result, surfaces=False)
        """
        runToEnd(volume_rendering.show3DSteps(localization, surfaces, volumeRendering, head))
        parameters = self.getParameterNode()
        if parameters.resultNode is localization.resultNode:  # so that the panel shows the same
            with slicer.util.NodeModify(parameters.parameterNode):
                parameters.surfaces3D, parameters.cloud3D = surfaces, volumeRendering
                if surfaces or volumeRendering:
                    parameters.head3D = head

    def jumpToRegion(self, localization: Localization, number: int = 1) -> tuple[float, float, float]:
        """Center all slice views on a region's strongest voxel and return the point, world RAS, mm.

        Raises ``ValueError`` when there is no region of that number (1 is the strongest).

        Example
        -------
        >>> point = logic.jumpToRegion(result, 1) if result.regions else None
        """
        regions = {int(region["label"]): region for region in localization.regions}
        if number not in regions:
            raise ValueError(_("There is no region {number}: the result has {count}.").format(
                number=number, count=len(regions)))
        point = regions[number]["peak_ras"]
        display.jumpTo(point)
        return point

    def evidenceTable(self, localization: Localization) -> list[dict[str, Any]]:
        """The regions as rows, strongest first: label, level, volume_ml, peak, mean, centroid_ras, peak_ras (world),
        plane, slice_index.

        Example
        -------
        >>> [sorted(row)[0] for row in logic.evidenceTable(result)[:1]] in ([], ["centroid_ras"])
        True
        """
        return localization.regions
