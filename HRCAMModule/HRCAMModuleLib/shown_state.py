"""What the views were last told to show, so that they are told again only when something changed.

Layers that the user changed elsewhere stay until then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from . import volume_rendering
from .display import OverlayKind, jumpTo
from .legend import hideLegends
from .localization import FUSED, Localization
from .logic_protocol import LogicProtocol
from .parameters import PanelParameters
from .steps import Steps


class ShownState:
    """Applies the parameters of the shown result to the slice views and the 3D views.

    Parameters
    ----------
    logic : shows results.
    onTaken : called when the slice views go back from a comparison to a result.
    """

    def __init__(self, logic: LogicProtocol, onTaken: Callable[[], None] = lambda: None) -> None:
        self._logic, self._onTaken = logic, onTaken
        self._lent = False
        self._before: tuple[Any, ...] | None = None
        self._slices: tuple[Any, ...] | None = None
        self._threeD: tuple[Any, ...] | None = None

    def forget(self) -> None:
        """Nothing is shown any more: the scene is closed."""
        self._slices = self._threeD = None

    def forgetSlices(self) -> None:
        """Tell the slice views anew: they were changed, or there are more of them."""
        self._slices = None

    def lend(self) -> None:
        """Leave the slice views to a comparison, until another result or another overlay is chosen."""
        self._lent, self._before = True, self._slices
        if self._before is not None and self._before[0].valid:
            hideLegends(self._before[0])  # beside two dates it would tell of one

    def takeBack(self) -> None:
        """The slice views show results again."""
        self._lent = False
        self.forgetSlices()

    def _areLent(self, state: tuple[Any, ...]) -> bool:
        if self._lent and state != self._before:
            self.takeBack()
            self._onTaken()
        return self._lent

    def applySteps(
        self, result: Localization | None, parameters: PanelParameters, point: Sequence[float] | None = None,
        drawEach: bool = False,
    ) -> Steps:
        """Make the views show a result as the parameters say, one view a step; of the former one nothing stays, in 3D
        neither. ``point`` and ``drawEach`` as for ``display.showOverlaySteps``.
        """
        if self._lent:
            self._logic.comparisonViews.showInNewViews()
        for former in {state[0] for state in (self._slices, self._threeD) if state} - {result}:
            former.hide()
            hideLegends(former)
            volume_rendering.hide3D(former)
        if result is None:
            self.forget()
            return
        sources = self._logic.mapSources(result)
        source = parameters.mapSource if parameters.mapSource in sources else FUSED
        if source != parameters.mapSource:
            parameters.mapSource = source
        options = {"kind": OverlayKind(parameters.overlay.value), "source": source, "opacity": parameters.opacity,
                   "outline": parameters.outline, "legend": parameters.legend}
        state = (result, *options.values())
        if not self._areLent(state) and state != self._slices:
            self._slices = state
            try:
                yield from self._logic.overlaySteps(result, **options, point=point, drawEach=drawEach)
            except GeneratorExit:  # some views do not show it yet
                self.forgetSlices()
                raise
        elif point is not None:
            jumpTo(point)
        yield from self._apply3DSteps(result, parameters)

    def _apply3DSteps(self, result: Localization, parameters: PanelParameters) -> Steps:
        """Show in 3D what the boxes say, of this result alone; a new result and another class keep it."""
        surfaces, cloud, head = parameters.surfaces3D, parameters.cloud3D, parameters.head3D
        state, former = (result, surfaces, cloud, head), self._threeD
        if state == former:
            return
        if not (surfaces or cloud or former):
            self._threeD = state  # nothing was shown, and nothing is to be
            return
        yield 0.0
        self._threeD = state
        for other in self._logic.results():
            if other.valid and other != result:
                volume_rendering.hide3D(other)
        steps = volume_rendering.show3DSteps(result, surfaces, cloud, head)
        going = True
        try:
            while going:
                with slicer.util.tryWithErrorDisplay(_("The 3D view could not be updated."), waitCursor=True):
                    going = next(steps, None) is not None
                yield 0.5
        except GeneratorExit:  # not all is shown yet
            self._threeD = former
            raise
        except Exception:
            self._followIn3D(result, parameters)
            raise
        if (parameters.surfaces3D, parameters.cloud3D) == (surfaces, cloud):
            self._followIn3D(result, parameters)
        else:  # the user has ticked another box meanwhile
            self._threeD = None

    def _followIn3D(self, result: Localization, parameters: PanelParameters) -> None:
        """Let the boxes say what is shown, also after an error."""
        shown = (volume_rendering.surfacesVisible(result), volume_rendering.volumeRenderingVisible(result))
        if shown != (parameters.surfaces3D, parameters.cloud3D):
            with slicer.util.NodeModify(parameters.parameterNode):
                parameters.surfaces3D, parameters.cloud3D = shown
            self._threeD = (result, *shown, parameters.head3D)
