"""The panel's big button, its progress, status line and log."""

from __future__ import annotations

import time
from typing import Any

from slicer.i18n import tr as _


class RunSection:
    """Shows the states of a run: ready, not ready and why, running, ended and how."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._stage = ""
        self._start = 0.0
        ui.progressBar.setVisible(False)

    def setReady(self, ready: bool, reason: str) -> None:
        """Whether "Localize" can be pressed; the tooltip says what is missing."""
        self._ui.applyButton.enabled = ready
        self._ui.applyButton.toolTip = _("Find what the scan shows, and where.") if ready else reason

    def started(self) -> None:
        """A run begins: the button cancels it from now on."""
        self._stage, self._start = "", time.monotonic()
        self._ui.applyButton.text = _("Cancel")
        self._ui.applyButton.toolTip = _("Stop and leave the scene as it is.")
        self._ui.applyButton.enabled = True
        self._ui.progressBar.setValue(0)
        self._ui.progressBar.setVisible(True)
        self._ui.statusLabel.text = _("Starting...")
        self._log(_("Started."))

    def told(self, message: str) -> None:
        """Something that takes a while before the run begins: packages that are installed."""
        self._ui.statusLabel.text = message
        self._log(message)

    def progress(self, stage: str, fraction: float) -> None:
        """Named state and fraction of the whole run done."""
        self._ui.progressBar.setValue(int(1000 * fraction))
        self._ui.statusLabel.text = f"{stage}..."
        if stage != self._stage:
            self._stage = stage
            self._log(f"{stage} ({time.monotonic() - self._start:.1f} s)")

    def ended(self, message: str) -> None:
        """The run is over; the message says how and, after a failure, what to do next."""
        self._ui.applyButton.text = _("Localize pathology")
        self._ui.progressBar.setVisible(False)
        self._ui.statusLabel.text = message
        self._log(message)

    def _log(self, line: str) -> None:
        self._ui.logText.appendPlainText(f"{time.strftime('%H:%M:%S')}  {line}")
