"""The panel's export: which files, where to, and what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctk
from slicer.i18n import tr as _


class ExportSection:
    """Asks for a folder and has the ticked files written, in another process: the button cancels it meanwhile.

    Parameters
    ----------
    ui : the panel's widgets.
    export : begins to write the result that is shown; called with the folder, by kind of file whether it is wanted, and
        the callbacks ``onProgress``, ``onDone`` and ``onError``. Returns the run.
    """

    def __init__(self, ui: Any, export: Callable[..., Any]) -> None:
        self._ui, self._export = ui, export
        self._run: Any = None
        ui.exportFolderPath.filters = ctk.ctkPathLineEdit.Dirs
        ui.exportButton.connect("clicked()", self._clicked)

    @property
    def running(self) -> bool:
        """Whether files are being written."""
        return self._run is not None and self._run.running

    def _clicked(self) -> None:
        if self.running:
            self._run.cancel()
            self._ended(_("Cancelled."))
            return
        ui = self._ui
        levels = ui.exportSegmentationCheckBox.checked
        wanted = {"segmentation": levels, "labels": levels, "map": ui.exportMapCheckBox.checked,
                  "report": ui.exportReportCheckBox.checked, "overview": ui.exportOverviewCheckBox.checked,
                  "dicom": ui.exportDicomCheckBox.checked}
        if not ui.exportFolderPath.currentPath:
            ui.exportStatusLabel.text = _("Choose a folder first.")
            return
        if not any(wanted.values()):
            ui.exportStatusLabel.text = _("Tick at least one kind of file.")
            return
        ui.exportButton.text = _("Cancel")
        try:
            self._run = self._export(ui.exportFolderPath.currentPath, **wanted, onProgress=self._progress,
                                     onDone=self._done, onError=self._ended)
        except Exception as error:  # shown where the files would be named
            self._ended(str(error))

    def _done(self, written: dict[str, Path], note: str) -> None:
        self._ui.exportFolderPath.addCurrentPathToHistory()
        words = _("Written: {files}").format(files=", ".join(path.name for path in written.values()))
        self._ended(f"{words}. {note}" if note else words)

    def _progress(self, message: str, fraction: float) -> None:
        self._say(f"{message}: {fraction:.0%}")

    def _ended(self, message: str) -> None:
        self._ui.exportButton.text = _("E&xport")
        self._say(message)

    def _say(self, message: str) -> None:
        self._ui.exportStatusLabel.text = message
