"""The panel's input: which volumes are offered, and which scan is taken where the user has chosen none."""

from __future__ import annotations

from typing import Any

from .logic_protocol import LogicProtocol
from .parameters import PanelParameters
from .volume_nodes import RESULT_ATTRIBUTE, offerScansAlone, scansInScene


class InputSection:
    """Keeps a scan chosen, so that one click is enough.

    Parameters
    ----------
    ui : the panel's widgets.
    logic : knows which scan a map was made from.
    """

    def __init__(self, ui: Any, logic: LogicProtocol) -> None:
        self._ui, self._logic = ui, logic
        self._takeFirst = True

    def takeFirst(self) -> None:
        """Other scans came: take the first at the next refresh if none is chosen. A user's later "none" is left alone.
        """
        self._takeFirst = True

    def refresh(self, parameters: PanelParameters) -> None:
        """Offer scans alone, and choose one where there is need.

        Where Slicer's selector came upon one of our maps, as after a removed scan, it is the scan of that map.
        """
        offerScansAlone(self._ui.inputSelector, self._ui.earlierSelector)
        chosen = parameters.inputVolume
        if chosen is not None and chosen.GetAttribute(RESULT_ATTRIBUTE):
            owners = (one.inputVolume for one in self._logic.results() if chosen in one.ownNodes())
            parameters.inputVolume = next(owners, None)
        if self._takeFirst:
            if parameters.inputVolume is None:
                parameters.inputVolume = next(iter(scansInScene()), None)
            self._takeFirst = parameters.inputVolume is None
