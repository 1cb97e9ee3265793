"""The panel's export: which files, where to, and what was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
import slicer
from slicer.i18n import tr as _


class ExportSection:
    """Asks for a folder and writes the ticked files.

    Parameters
    ----------
    ui : the panel's widgets.
    export : writes the result that is shown: called with the folder and, by kind of file, whether it is wanted; returns
        the paths by kind.
    """

    def __init__(self, ui: Any, export: Callable[..., dict[str, Any]]) -> None:
        self._ui, self._export = ui, export
        ui.exportFolderPath.filters = ctk.ctkPathLineEdit.Dirs
        ui.exportButton.connect("clicked()", self._clicked)

    def _clicked(self) -> None:
        ui = self._ui
        levels = ui.exportSegmentationCheckBox.checked
        wanted = {"segmentation": levels, "labels": levels, "map": ui.exportMapCheckBox.checked,
                  "report": ui.exportReportCheckBox.checked, "overview": ui.exportOverviewCheckBox.checked}
        if not ui.exportFolderPath.currentPath:
            ui.exportStatusLabel.text = _("Choose a folder first.")
            return
        if not any(wanted.values()):
            ui.exportStatusLabel.text = _("Tick at least one kind of file.")
            return
        ui.exportStatusLabel.text = ""
        with slicer.util.tryWithErrorDisplay(_("Nothing was exported."), waitCursor=True):
            written = self._export(ui.exportFolderPath.currentPath, **wanted)
            ui.exportFolderPath.addCurrentPathToHistory()
            ui.exportStatusLabel.text = _("Written: {files}").format(
                files=", ".join(path.name for path in written.values()))
