"""The panel's model list: names, what each model is, opening its folder, adding and removing; how levels are fused."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .dependencies import ensureDependencies, removePackages, removePackagesTitle
from .engine import defaultModel
from .models import ModelEntry, addModel, listModels, modelEntry, removeModel
from .signals import signalsBlocked

FUSIONS = ("", "sum", "guided", "appearance")
"""Values of the parameter ``fusion``, in the order of the combo box; empty for the model's own."""


class ModelSection:
    """Fills and watches the model widgets of the panel.

    Parameters
    ----------
    ui : the panel's widgets.
    onChosen : called with the model's name (or folder) when the user picks one.
    onFusion : called with one of ``FUSIONS``.
    """

    def __init__(self, ui: Any, onChosen: Callable[[str], None], onFusion: Callable[[str], None]) -> None:
        self._ui, self._onChosen = ui, onChosen
        self._entries: list[ModelEntry] = []
        self.problem = ""
        self.chosen: str | None = None
        for text in (_("The model's own"), _("Sum, as published"), _("Guided by the image's edges"),
                     _("Guided, and weighed by the image's brightness")):
            ui.fusionCombo.addItem(text)
        ui.fusionCombo.connect("activated(int)", lambda index: onFusion(FUSIONS[index]))
        ui.modelCombo.connect("activated(int)", self._activated)
        ui.openModelFolderButton.connect("clicked()", self._openFolder)
        ui.addModelButton.connect("clicked()", self._add)
        ui.removeModelButton.connect("clicked()", self._remove)
        ui.removePackagesButton.connect("clicked()", self._removePackages)
        ui.modelDetailsWidget.setVisible(False)
        ui.modelInfoButton.connect("toggled(bool)", ui.modelDetailsWidget.setVisible)

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
        combo = self._ui.modelCombo
        with signalsBlocked(combo):
            combo.clear()
        for entry in self._entries:
            self._list(entry)
        self.choose(chosen)

    def show(self, name: str, fusion: str) -> None:
        """Show what the parameters say, whoever set them."""
        self._ui.fusionCombo.setCurrentIndex(FUSIONS.index(fusion) if fusion in FUSIONS else 0)
        if name != self.chosen:
            self.choose(name)

    def choose(self, name: str) -> None:
        """Choose a model by name or folder; none, with the reason, when it is not there (a scene from elsewhere).

        Without a name, and where the default model is absent, it is the first one.
        """
        self.chosen, index = name, self._index(name or defaultModel())
        if index is None and ("/" in name or "\\" in name):
            try:
                self._entries.append(modelEntry(name))
                self._list(self._entries[-1])
                index = len(self._entries) - 1
            except Exception as error:  # shown in the panel; the listed models stay usable
                self.problem = str(error)
        elif index is None and name in ("", defaultModel()):
            index = 0
        elif index is None and self._entries:
            self.problem = _('The model "{name}" is not here. Choose another one, or add it.').format(name=name)
        with signalsBlocked(self._ui.modelCombo):
            self._ui.modelCombo.setCurrentIndex(index if index is not None and self._entries else -1)
        entry = self.current
        problem = self.problem or _("No model was found. Press \"i\", then \"Add model...\".")
        self._ui.modelLineLabel.text = entry.line() if entry else problem
        self._ui.modelLineLabel.toolTip = self._ui.modelLineLabel.text  # a narrow panel cuts the line
        self._ui.modelInfoText.setHtml(entry.summary() if entry else html.escape(problem))
        self._ui.openModelFolderButton.enabled = entry is not None
        self._ui.removeModelButton.enabled = entry is not None and entry.removable

    def _index(self, name: str) -> int | None:
        return next((n for n, entry in enumerate(self._entries) if name in (entry.name, str(entry.folder))), None)

    def _list(self, entry: ModelEntry) -> None:
        combo = self._ui.modelCombo
        with signalsBlocked(combo):
            combo.addItem(entry.title)
            combo.setItemData(combo.count - 1, f"{entry.name}\n{entry.folder}", qt.Qt.ToolTipRole)

    def _activated(self, _index: int) -> None:
        entry = self.current
        if entry is not None:
            self.choose(str(entry.folder) if self.find(entry.name) is not entry else entry.name)
            self._onChosen(self.chosen)

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

    def _remove(self) -> None:
        entry = self.current
        if entry is None or not slicer.util.confirmOkCancelDisplay(
                _('Remove the model "{name}" and its files in {folder}?').format(name=entry.title, folder=entry.folder),
                _("HR-CAM: remove a model")):
            return
        with slicer.util.tryWithErrorDisplay(_("The model was not removed."), waitCursor=True):
            removeModel(entry)
            self.refresh("")
            if self.chosen is not None:
                self._onChosen(self.chosen)

    def _removePackages(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The packages were not removed."), waitCursor=True):
            slicer.util.infoDisplay(removePackages(), removePackagesTitle())
