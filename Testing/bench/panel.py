"""Does the panel ever stand still, and what does it cost over the engine?

``python Testing/bench/panel.py [--size 256 256 256]`` opens the module in the Slicer host, clicks **Localize
pathology** twice on a generated head with a bright lesion, then **Compare** twice with a second head whose lesion is
larger, and prints as JSON: the longest turn of the event loop while the worker computes, and while the scene and the
views are updated; and what a click takes until the overlay is drawn in every slice view, beyond the engine's own time,
and until the panel tells of it too. Turns are also given
in processor time of the window's thread, which other programs do not lengthen, with the load that there was. Ends with
code 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
TURN_LIMIT_S, OVERHEAD_LIMIT_S = 0.1, 0.5
OPEN_S = 20.0
"""So long is the panel open before the first click: a user looks for the scan meanwhile."""


def head(size_ijk: list[int], lesion: float = 0.02, seed: int = 0) -> np.ndarray:
    """An ellipsoid of tissue with texture and a bright ball, float32, axes KJI."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in reversed(size_ijk)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    inside = x**2 / 0.6 + y**2 / 0.75 + z**2 / 0.7 < 1
    noise = np.random.default_rng(seed).normal(0, 12, inside.shape).astype(np.float32)
    ball = (x - 0.25) ** 2 + (y - 0.1) ** 2 + (z - 0.1) ** 2 < lesion
    return np.where(inside, 300 + noise + 500 * ball, 0).astype(np.float32)


class Turns:
    """The longest turns of the event loop, seconds by the clock and of processor time of the window's thread."""

    def __init__(self) -> None:
        self.longest = {"running": 0.0, "scene": 0.0, "processor": 0.0}
        self.busy = 0.0
        self.overlaid: float | None = None
        """When the overlay was first drawn, by the clock of ``time.perf_counter``."""

    def until(self, ended, updating, overlaid=lambda: False) -> None:
        """Turn until ``ended()``; ``updating()`` tells a turn of the scene and the views from one of the run."""
        import slicer

        while not ended():
            began, busy = time.perf_counter(), time.thread_time()
            slicer.app.processEvents()
            busy, took = time.thread_time() - busy, time.perf_counter() - began
            self.busy += busy
            self.longest["processor"] = max(self.longest["processor"], busy)
            part = "scene" if updating() else "running"  # the turn in which the result comes is one of the scene
            self.longest[part] = max(self.longest[part], took)
            if self.overlaid is None and overlaid():
                self.overlaid = time.perf_counter()
            time.sleep(0.001)


def measure(running, model: str, size_ijk: list[int], surfaces: bool = False) -> dict[str, object]:
    """Click twice; the first finds the engine that the open panel has made ready, the second a warm one."""
    import slicer

    running.setTesting(False)  # in tests the panel makes nothing ready
    running.loadModule(REPOSITORY / "HRCAMModule" / "HRCAMModule.py")
    running.completeStartup()
    slicer.util.selectModule("HRCAMModule")
    panel = slicer.util.getModuleWidget("HRCAMModule")
    volume, earlier = (_add_scan(name, head(size_ijk, lesion, seed), size_ijk)
                       for seed, (name, lesion) in enumerate({"head": 0.02, "earlier": 0.012}.items()))
    panel.ui.inputSelector.setCurrentNode(volume)
    running.processEvents(0.5)
    panel._parameters.model, panel._parameters.surfaces3D = model, surfaces
    panel.runs.prepare()
    running.processEvents(OPEN_S)
    clicks = []
    for _ in range(2):
        running.processEvents(0.5)  # what the views have yet to draw is no part of the run
        clicks.append(_click(panel))
    panel.ui.earlierSelector.setCurrentNode(earlier)
    comparisons = []
    for _ in range(2):
        running.processEvents(0.5)
        comparisons.append(_compare(panel))
    return {"size": size_ijk, "model": model, "load": os.getloadavg()[0], "cold": clicks[0], "warm": clicks[1],
            "compare_cold": comparisons[0], "compare_warm": comparisons[1]}


def _add_scan(name: str, array: np.ndarray, size_ijk: list[int]):
    import slicer

    volume = slicer.util.addVolumeFromArray(array, name=name)
    volume.SetSpacing(*(240.0 / n for n in size_ijk))
    return volume


def _overlays() -> set[str | None]:
    """What lies over the scan in the slice views; each is drawn in the step that changes it."""
    import slicer

    return {node.GetLabelVolumeID() for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}


def _click(panel) -> dict[str, float]:
    before = {*_overlays(), None}
    turns, start = Turns(), time.perf_counter()
    panel.ui.applyButton.click()
    clicked = time.perf_counter() - start
    turns.until(lambda: not panel.logic.running and panel._showing is None,
                lambda: not panel.logic.running or panel.ui.statusLabel.text.startswith("Updating the scene"),
                lambda: not _overlays() & before)
    shown = time.perf_counter() - start
    result = panel.result
    if result is None:
        raise SystemExit(f"The run failed: {panel.ui.statusLabel.text}")
    assert turns.overlaid is not None and _overlays() == {result.shownLabels.GetID()}
    overlaid = turns.overlaid - start
    engine = sum(result.info["timings"].values())
    return _rounded(click_s=clicked, longest_while_running_s=turns.longest["running"],
                    longest_scene_update_s=turns.longest["scene"],
                    longest_turn_processor_s=turns.longest["processor"], click_to_overlay_s=overlaid,
                    click_to_panel_s=shown, engine_s=engine, over_the_engine_s=overlaid - engine,
                    processor_s=turns.busy)


def _compare(panel) -> dict[str, float]:
    """Press *Compare* and wait until the table and both views stand."""
    before = panel.logic.comparisons()
    turns, start = Turns(), time.perf_counter()
    panel.ui.compareButton.click()
    clicked = time.perf_counter() - start
    turns.until(lambda: not panel.logic.running and not panel._comparison.showing,
                lambda: not panel.logic.running or "Updating the scene" in panel.ui.statusLabel.text)
    shown = time.perf_counter() - start
    found = [one for one in panel.logic.comparisons() if one not in before]
    if not found:
        raise SystemExit(f"The comparison failed: {panel.ui.compareStatusLabel.text}")
    engine = sum(found[0].info["timings"].values())
    return _rounded(click_s=clicked, longest_while_running_s=turns.longest["running"],
                    longest_scene_update_s=turns.longest["scene"],
                    longest_turn_processor_s=turns.longest["processor"], click_to_views_s=shown, engine_s=engine,
                    processor_s=turns.busy)


def _rounded(**figures: float) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=[256, 256, 24], metavar=("I", "J", "K"))
    parser.add_argument("--model", default="t1ce-tumor")
    parser.add_argument("--surfaces", action="store_true", help="with the levels' surfaces in the 3D view")
    asked = parser.parse_args(arguments)
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "HRCAMExtension")]
    from Testing import host
    from Testing.host import pytorch_extension

    running = host.start(withMainWindow=True)
    try:
        pytorch_extension.setState("ready")
        figures = measure(running, asked.model, asked.size, asked.surfaces)
    finally:
        running.stop()
    print(json.dumps(figures, indent=1))
    done = [figures[name] for name in ("cold", "warm", "compare_cold", "compare_warm")]
    blocked = max(one[name] for one in done
                  for name in ("click_s", "longest_while_running_s", "longest_scene_update_s"))
    beyond = max(one.get("over_the_engine_s", 0.0) for one in done)
    return int(blocked > TURN_LIMIT_S or beyond > OVERHEAD_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
