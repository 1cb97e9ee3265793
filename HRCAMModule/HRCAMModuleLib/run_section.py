"""The panel's big button, its progress, status line and log."""

from __future__ import annotations

import time
from typing import Any

from slicer.i18n import tr as _

_TELLABLE_AFTER = 2.0
"""Seconds of a stage's work after which the time left can be told."""


def timeLeft(seconds: float, done: float) -> str:
    """What is left of a run whose share ``done`` took so long, in words; empty while nobody can tell.

    Example
    -------
    >>> timeLeft(10.0, 0.25), timeLeft(1.0, 0.5), timeLeft(200.0, 0.5)
    ('about 30 s left', '', 'about 3 min left')
    """
    if seconds < _TELLABLE_AFTER or not 0.05 < done < 1.0:
        return ""
    left = seconds * (1 - done) / done
    if left < 90:
        return _("about {seconds} s left").format(seconds=max(1, round(left)))
    return _("about {minutes} min left").format(minutes=round(left / 60))


class RunSection:
    """Shows the states of a run: ready, not ready and why, running, ended and how."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._stage = ""
        self._start = 0.0
        self._place = ""
        ui.progressBar.setVisible(False)
        ui.statusLabel.setVisible(False)

    def setReady(self, ready: bool, reason: str) -> None:
        """Whether "Localize" can be pressed; the tooltip says what is missing."""
        self._ui.applyButton.enabled = ready
        self._ui.applyButton.toolTip = _("Find what the scan shows, and where.") if ready else reason

    def started(self, place: str = "") -> None:
        """A run begins: the button cancels it from now on. ``place`` says which of several it is."""
        self._place = f"{place}: " if place else ""
        self._stage, self._start = "", time.monotonic()
        self._ui.applyButton.text = _("Cancel")
        self._ui.applyButton.toolTip = _("Stop and leave the scene as it is.")
        self._ui.applyButton.enabled = True
        self._ui.progressBar.setValue(0)
        self._ui.progressBar.setVisible(True)
        self._say(_("Starting..."))
        self._log(self._place + _("Started."))

    def told(self, message: str) -> None:
        """Something that takes a while before the run begins: packages that are installed."""
        self._say(message)
        self._log(message)

    def progress(self, stage: str, fraction: float) -> None:
        """Named state and fraction of the whole run done."""
        self._ui.progressBar.setValue(int(1000 * fraction))
        seconds = time.monotonic() - self._start
        self._say(f"{self._place}{stage}... {timeLeft(seconds, fraction)}".strip())
        if stage != self._stage:
            self._stage = stage
            self._log(f"{stage} ({time.monotonic() - self._start:.1f} s)")

    def done(self, message: str) -> None:
        """The run brought a result, which the panel shows: the line of the status makes room for it."""
        self.ended(message)
        self._ui.statusLabel.setVisible(False)

    def ended(self, message: str) -> None:
        """The run is over; the message says how and, after a failure, what to do next."""
        self._ui.applyButton.text = _("Localize pathology")
        self._ui.progressBar.setVisible(False)
        self._say(message)
        self._log(message)

    def _say(self, message: str) -> None:
        self._ui.statusLabel.text = message
        self._ui.statusLabel.setVisible(bool(message))

    def _log(self, line: str) -> None:
        self._ui.logText.appendPlainText(f"{time.strftime('%H:%M:%S')}  {line}")
