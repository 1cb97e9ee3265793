"""One localization in this process, for scripts that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .level_map_store import Maps
from .localization import Localization
from .localization_run import Request
from .scene_results import EvidenceData, addToSceneSteps
from .steps import runToEnd
from .volume_nodes import engineVolume


def localizeHere(
    volumeNode: Any, request: Request, onProgress: Callable[[str, float], None] | None
) -> tuple[Localization, Maps]:
    """Localize a volume node and add what was found to the scene; returns it and the maps of the CNN's levels.

    Raises ``hrcam.errors.HRCAMError`` where scan or model cannot be used.
    """
    from hrcam.bundle.bundle import load_bundle
    from hrcam.localize import Options, localize

    bundle = load_bundle(request.model)
    options = Options(class_name=request.classLabel, plane=request.plane, device=request.device,
                      fusion=request.fusion, keep_levels=True, faithfulness=request.faithfulness, place=request.place)
    found = localize(engineVolume(volumeNode), bundle, options, onProgress)
    maps: Maps = {name: partial(found.level_maps.__getitem__, name) for name in found.level_maps or ()}
    data = EvidenceData(bundle.name, found.to_json(), found.map, found.labels, maps)
    return runToEnd(addToSceneSteps(volumeNode, data, request.keepFormer)), maps
