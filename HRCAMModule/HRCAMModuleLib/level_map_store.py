"""The maps of a result's single CNN levels: kept outside of the scene until they are shown, gone with their result."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from .localization import Localization
from .scene_results import addLevelMapSteps
from .steps import runToEnd

Maps = Mapping[str, Callable[[], np.ndarray]]
"""CNN level to a function that gives its map, float KJI."""


class LevelMapStore:
    """Level maps of the results in the scene; those never shown are gone after a restart."""

    def __init__(self) -> None:
        self._kept: dict[Localization, tuple[Maps, Path | None]] = {}

    def remember(self, localization: Localization, maps: Maps, folder: Path | None) -> None:
        """Keep the maps of a result, and the folder of their files, which goes with them."""
        self.forgetRemoved()
        self._kept[localization] = (maps, folder)

    def names(self, localization: Localization) -> list[str]:
        """The CNN levels whose maps are at hand or in the scene, fine to coarse."""
        waiting = self._maps(localization)
        return [*waiting, *(name for name in localization.levelVolumes if name not in waiting)]

    def all(self, localization: Localization) -> dict[str, np.ndarray]:
        """Every level's map, float KJI."""
        waiting = self._maps(localization)
        return {level: waiting[level]() if level in waiting
                else slicer.util.arrayFromVolume(localization.levelVolumes[level])
                for level in self.names(localization)}

    def bringIn(self, localization: Localization, level: str) -> None:
        """Add a level's map to the scene. Raises ``ValueError`` with the names that there are."""
        maps = self._maps(localization)
        if level not in maps:
            raise ValueError(_('The map of level "{source}" is not here; there are: {known}. Run again.').format(
                source=level, known=", ".join(self.names(localization))))
        runToEnd(addLevelMapSteps(localization, level, maps[level]()))

    def folders(self) -> list[Path]:
        """Folders of files that are kept."""
        return [folder for _maps, folder in self._kept.values() if folder is not None]

    def forgetRemoved(self) -> None:
        """Let go of the maps, and their files, of results that are no longer in the scene."""
        for old in [old for old in self._kept if not old.valid]:
            self._forget(old)

    def clear(self) -> None:
        """Let go of all."""
        for old in list(self._kept):
            self._forget(old)

    def _maps(self, localization: Localization) -> Maps:
        return self._kept.get(localization, ({}, None))[0]

    def _forget(self, localization: Localization) -> None:
        _maps, folder = self._kept.pop(localization)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
