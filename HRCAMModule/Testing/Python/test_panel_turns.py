"""What a new result and a comparison ask of one turn of the event loop: no more than a view to draw.

Turns are held in processor time of the window's thread, which other programs do not lengthen;
`Testing/bench/panel.py` measures them by the clock.
"""

import time

import numpy as np
import pytest
from module_scene import MODEL

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")

TURN_LIMIT_S = 0.1


@pytest.fixture
def two(addScan):
    """A later and an earlier scan with the same lesion."""
    return addScan("july"), addScan("may")


def viewsAStep(steps):
    """For each step of a generator, the names of the slice views that it changed."""
    changed, tags = set(), []

    def note(node, _event):
        changed.add(node.GetLayoutName())

    for node in (*slicer.util.getNodesByClass("vtkMRMLSliceNode"),
                 *slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")):
        tags.append((node, node.AddObserver("ModifiedEvent", note)))
    try:
        views = []
        for _fraction in steps:
            views.append(frozenset(changed))
            changed.clear()
        return [*views, frozenset(changed)]
    finally:
        for node, tag in tags:
            node.RemoveObserver(tag)


def longestTurn(ended):
    """Turn the event loop until ``ended()``; the longest turn's processor time, seconds."""
    longest = 0.0
    while not ended():
        began = time.thread_time()
        slicer.app.processEvents()
        longest = max(longest, time.thread_time() - began)
        time.sleep(0.001)
    return longest


def test_a_new_result_comes_to_one_slice_view_after_the_other(panel, sliceViews, logic, addScan):
    panel.logic.localize(addScan("first"), model=MODEL)
    result = logic.localize(addScan("second"), model=MODEL)
    views = viewsAStep(panel._showNewSteps(result))
    assert max(map(len, views)) == 1, views
    assert frozenset().union(*views) == set(sliceViews)
    for name, node in sliceViews.items():
        offset = result.regions[0]["peak_ras"][{"Red": 2, "Yellow": 0, "Green": 1}[name]]
        assert abs(node.GetSliceOffset()) == pytest.approx(abs(offset), abs=1e-3)


def test_a_result_that_is_left_half_shown_is_shown_when_the_panel_is_opened_again(panel, sliceViews, logic, addScan):
    result = logic.localize(addScan("scan"), model=MODEL)
    steps = panel.shownState.applySteps(result, panel._parameters)
    next(steps)
    steps.close()
    panel.refresh()
    layers = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert {node.GetLabelVolumeID() for node in layers} == {result.labelVolume.GetID()}


def test_two_dates_come_to_one_view_after_the_other_and_go_so(panel, sliceViews, logic, two):
    comparison = logic.compare(*two, model=MODEL, aligned=True)
    slicer.util.setSliceViewerLayers(background=two[0], label=None)
    there = viewsAStep(logic.comparisonViews.showSteps(comparison))
    back = viewsAStep(logic.comparisonViews.hideSteps())
    for views in (there, back):
        assert max(map(len, views)) == 1 and {"Red", "Yellow"} <= frozenset().union(*views), views


def test_a_comparison_that_is_left_on_its_way_back_leaves_no_view_behind(panel, sliceViews, logic, two):
    comparison = logic.compare(*two, model=MODEL, aligned=True)
    slicer.util.setSliceViewerLayers(background=two[0], label=None)
    logic.comparisonViews.show(comparison)
    steps = logic.comparisonViews.hideSteps()
    next(steps)
    steps.close()
    layers = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert {node.GetBackgroundVolumeID() for node in layers} == {two[0].GetID()}
    assert {node.GetLabelVolumeID() for node in layers} == {None}


def test_no_turn_takes_long_while_the_first_result_and_a_comparison_are_shown(mainWindow, panel, logic, slicerHost):
    volumes = []
    for name in ("later", "earlier"):
        noise = np.random.default_rng(0).normal(0, 12, (48, 256, 256))
        axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (48, 256, 256)), indexing="ij", sparse=True)
        head = 300.0 * (sum(axis**2 for axis in axes) < 0.7)
        ball = sum((axis - 0.2) ** 2 for axis in axes) < 0.02
        volumes.append(slicer.util.addVolumeFromArray((head + 500.0 * ball + noise).astype(np.float32), name=name))
    panel.ui.inputSelector.setCurrentNode(volumes[0])
    slicerHost.processEvents(0.2)
    result = logic.localize(volumes[0], model=MODEL)
    panel.runs.done(result)
    assert longestTurn(lambda: panel._showing is None) < TURN_LIMIT_S
    comparison = logic.compare(*volumes, model=MODEL, aligned=True)
    panel._comparison._done(comparison)
    assert longestTurn(lambda: not panel._comparison.showing) < TURN_LIMIT_S
    panel.ui.sideBySideButton.click()
    assert longestTurn(lambda: not panel._comparison.showing) < TURN_LIMIT_S
