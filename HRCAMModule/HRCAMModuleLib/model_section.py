"""The panel's model list: names, what each model is, opening its folder, adding one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .dependencies import ensureDependencies
from .models import ModelEntry, addModel, listModels, modelEntry


class ModelSection:
    """Fills and watches the model widgets of the panel.

    Parameters
    ----------
    ui : the panel's widgets.
    onChosen : called with the model's name (or folder) when the user picks one.
    """

    def __init__(self, ui: Any, onChosen: Callable[[str], None]) -> None:
        self._ui, self._onChosen = ui, onChosen
        self._entries: list[ModelEntry] = []
        self.problem = ""
        ui.modelCombo.connect("activated(int)", self._activated)
        ui.openModelFolderButton.connect("clicked()", self._openFolder)
        ui.addModelButton.connect("clicked()", self._add)

    @property
    def current(self) -> ModelEntry | None:
        """The chosen model."""
        index = self._ui.modelCombo.currentIndex
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def find(self, name: str) -> ModelEntry | None:
        """The listed model of that name."""
        return next((entry for entry in self._entries if entry.name == name), None)

    def refresh(self, chosen: str) -> None:
        """Read the model folders again and choose ``chosen``, a name or a folder."""
        self.problem = ""
        try:
            self._entries = listModels()
        except Exception as error:  # a missing engine must not keep the panel from opening
            self._entries, self.problem = [], str(error)
        if chosen and self.find(chosen) is None and ("/" in chosen or "\\" in chosen):
            try:
                self._entries.append(modelEntry(chosen))
            except Exception as error:  # shown in the panel; the bundled models stay usable
                self.problem = str(error)
        combo = self._ui.modelCombo
        wasBlocked = combo.blockSignals(True)
        combo.clear()
        for row, entry in enumerate(self._entries):
            combo.addItem(entry.title)
            combo.setItemData(row, f"{entry.name}\n{entry.folder}", qt.Qt.ToolTipRole)
        combo.blockSignals(wasBlocked)
        self.choose(chosen)

    def choose(self, name: str) -> None:
        """Choose a listed model; the first one when there is none of that name or folder."""
        index = next((n for n, entry in enumerate(self._entries) if name in (entry.name, str(entry.folder))), 0)
        wasBlocked = self._ui.modelCombo.blockSignals(True)
        self._ui.modelCombo.setCurrentIndex(index if self._entries else -1)
        self._ui.modelCombo.blockSignals(wasBlocked)
        entry = self.current
        self._ui.modelInfoLabel.text = entry.summary() if entry else (
            self.problem or _("No model was found. Press \"Add model...\" to add one."))
        self._ui.openModelFolderButton.enabled = entry is not None

    def _activated(self, _index: int) -> None:
        entry = self.current
        if entry is not None:
            self.choose(entry.name)
            self._onChosen(entry.name)

    def _openFolder(self) -> None:
        if self.current is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.current.folder)))

    def _add(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self._ui.addModelButton, _("Choose the folder of a model bundle"))
        if folder:
            with slicer.util.tryWithErrorDisplay(_("The model was not added."), waitCursor=True):
                ensureDependencies()  # the network is built once, to prove that it fits its weights
                entry = addModel(folder)
                self.refresh(entry.name)
                self._onChosen(entry.name)
