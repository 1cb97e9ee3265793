"""One comparison in this process, for scripts that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .comparison import Comparison
from .localization_run import Request
from .scene_comparison import ComparisonData, addComparisonSteps
from .steps import runToEnd
from .volume_nodes import engineVolume


def compareHere(
    later: Any, earlier: Any, request: Request, aligned: bool, onProgress: Callable[[str, float], None] | None
) -> Comparison:
    """Compare two volume nodes and add what was found to the scene.

    Raises ``hrcam.errors.HRCAMError`` where a scan cannot be used, or the two cannot be brought to one another.
    """
    from hrcam.bundle.bundle import load_bundle
    from hrcam.compare.run import compare
    from hrcam.localize import Options

    options = Options(class_name=request.classLabel, plane=request.plane, device=request.device, fusion=request.fusion)
    before, after = engineVolume(earlier), engineVolume(later)
    found = compare(before, after, load_bundle(request.model), options, aligned=aligned,
                    progress=onProgress)
    data = ComparisonData(found.to_json(), found.change_labels, found.earlier_labels, found.later.labels,
                          found.change, found.later_scan is before)
    return runToEnd(addComparisonSteps(later, earlier, data))
