"""The panel's runs: the big button, another class or plane of a result, and all scans one after the other."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from .comparison import Comparison
from .dependencies import DependencyError, ensureDependencies
from .localization import Localization
from .models import noModelMessage
from .run_section import RunSection
from .scan_queue import ScanQueue
from .scene_run import EndedByUser
from .volume_nodes import scansInScene

PREPARE_AFTER_MS = 500
"""So long is the panel open, or a scan chosen, before the engine gets ready: passing through costs nothing."""


class PanelProtocol(Protocol):
    """What the runs need of the panel."""

    logic: Any

    def chosen(self) -> tuple[Any, Any]:
        """Parameters and model, connected."""

    def showNew(self, result: Localization) -> None:
        """A new result is in the scene."""

    def runEnded(self) -> None:
        """A run ended without one."""


class PanelRuns:
    """Starts and ends runs in the worker process.

    Parameters
    ----------
    ui : the panel's widgets.
    panel : shows what comes out.
    """

    def __init__(self, ui: Any, panel: PanelProtocol) -> None:
        self._panel = panel
        self.section = RunSection(ui)
        self._queue = ScanQueue(self._beginNext, self._allEnded)
        self._place, self._preparing = "", False

    def prepareSoon(self) -> None:
        """Prepare when the panel has been open, or its choices have stood, for a moment."""
        if not self._preparing:
            self._preparing = True
            qt.QTimer.singleShot(PREPARE_AFTER_MS, self.prepare)

    def prepare(self) -> None:
        """Have the engine ready for the chosen model and scan, so that the first run need not wait for it."""
        self._preparing = False
        parameters, entry = self._panel.chosen()
        if parameters is not None and entry is not None:
            importlib.import_module("hrcam.output.scene_nodes")  # what the first result needs at once
            self._panel.logic.prepare(str(entry.folder), parameters.device.value, parameters.plane.value,
                                      parameters.inputVolume)

    def toggle(self) -> None:
        """The big button: localize the chosen scan, or cancel."""
        if self._panel.logic.running:
            self.cancel()
            self._panel.runEnded()
            return
        self.start(self._panel.chosen()[0].inputVolume)

    def cancel(self, message: str = "") -> None:
        """Stop what runs and what waits; the panel shows ``message``, or that nothing was changed."""
        self._queue.stop()
        self._place = ""
        self._panel.logic.cancel()
        self.section.ended(message or _("Cancelled. The scene is as it was."))

    def again(self, result: Localization, classLabel: str | None = None, plane: str | None = None) -> None:
        """Localize a result's scan again with its model, for another class or in another plane."""
        parameters, _entry = self._panel.chosen()
        parameters.model = result.model
        options = result.info["provenance"]["options"]
        self.start(result.inputVolume, classLabel or options.get("class_name"), plane or options.get("plane"))

    def localizeAll(self) -> None:
        """Localize every scan that has no result of the chosen model yet."""
        _parameters, entry = self._panel.chosen()
        if entry is None or self._panel.logic.running:
            return
        waiting = [scan for scan in scansInScene() if not self._panel.logic.results(scan, entry.name)]
        if not waiting:
            self.section.told(_("Every scan in the scene has a result of this model already."))
            return
        if self._ready():
            self._queue.start(waiting)

    def start(self, volumeNode: Any, classLabel: str | None = None, plane: str | None = None) -> None:
        """Localize a scan with the chosen model in the worker process."""
        parameters, entry = self._panel.chosen()
        if entry is None or not self._ready():
            return
        try:
            self.section.started(self._place)
            self._panel.logic.localize(
                volumeNode, model=str(entry.folder), classLabel=classLabel, device=parameters.device.value,
                plane=plane or parameters.plane.value, fusion=parameters.fusion or None,
                keepFormer=parameters.keepFormerResult, place=parameters.namePlaces, wait=False,
                onProgress=self.section.progress, onDone=self.done, onError=self.failed)
        except Exception as error:
            self.failed(str(error))

    def compare(
        self, earlier: Any, onProgress: Callable[[str], None], onDone: Callable[[Comparison], None],
        onFailed: Callable[[str], None],
    ) -> None:
        """Compare the chosen scan with an earlier one in the worker process; one of the last two is called in the end,
        unless it is cancelled.
        """
        parameters, entry = self._panel.chosen()
        if entry is None or not self._ready():
            onFailed(noModelMessage() if entry is None else _("Packages are missing."))
            return

        def progress(stage: str, fraction: float) -> None:
            self.section.progress(stage, fraction)
            onProgress(f"{stage}: {fraction:.0%}")

        def done(comparison: Comparison) -> None:
            self.section.done(_("Compared."))
            self._panel.runEnded()
            onDone(comparison)

        def failed(message: str) -> None:
            self.failed(message)
            onFailed(message)

        try:
            self.section.started()
            self._panel.logic.compare(
                parameters.inputVolume, earlier, model=str(entry.folder), device=parameters.device.value,
                plane=parameters.plane.value, fusion=parameters.fusion or None, wait=False, onProgress=progress,
                onDone=done, onError=failed)
        except Exception as error:
            failed(str(error))

    def done(self, result: Localization) -> None:
        """A run brought a result."""
        self.section.done(_("Done: {name}.").format(name=result.predicted.replace("_", " ")))
        self._panel.showNew(result)
        self._queue.ended()

    def failed(self, message: str) -> None:
        """A run ended with a message that says what to do next."""
        self.section.ended(message)
        self._panel.runEnded()
        if self._queue.active:  # told at the end, with the others
            self._queue.ended(message)
        elif not isinstance(message, EndedByUser):
            slicer.util.errorDisplay(message, windowTitle=_("HR-CAM"))

    def _ready(self) -> bool:
        try:
            ensureDependencies(onProgress=self.section.told)
        except DependencyError as error:
            self.failed(str(error))
            return False
        return True

    def _beginNext(self, scan: Any, place: tuple[int, int]) -> None:
        self._place = _("Scan {number} of {count}, {name}").format(number=place[0], count=place[1],
                                                                   name=scan.GetName()) if place[1] > 1 else ""
        self.start(scan)

    def _allEnded(self, done: int, failed: dict[str, str]) -> None:
        self._place = ""
        words = _("{done} of {count} scans localized.").format(done=done, count=done + len(failed))
        self.section.ended("\n".join([words, *(f"{name}: {message}" for name, message in failed.items())]))
        self._panel.runEnded()
