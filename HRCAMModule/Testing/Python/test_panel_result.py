"""What the panel says of a result: classes, warnings, regions, and the evidence of each slice."""

import json
import time

import numpy as np
import pytest
from module_scene import MODEL

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

pytest.importorskip("slicer")


def test_the_result_shows_probabilities_class_and_regions(shown):
    panel, ui, result = shown
    bars = [widget for widget in panel._result.bars._widgets if widget.className() == "QProgressBar"]
    assert [bar.value for bar in bars] == [round(1000 * p) for p in sorted(result.probabilities.values(), reverse=True)]
    assert ui.classCombo.currentText == "lesion"
    assert "lesion" in ui.resultTitleLabel.text
    assert ui.regionsTable.item(0, 1).text() == result.regions[0]["level"]


def test_the_class_bars_claim_no_certainty_and_say_what_the_overview_says(shown):
    panel, _ui, result = shown
    result.resultNode.SetText(json.dumps({**result.info, "probabilities": {"lesion": 1.0, "no_lesion": 0.0}}))
    panel.refresh()
    bars = [widget for widget in panel._result.bars._widgets if widget.className() == "QProgressBar"]
    assert [bar.format for bar in bars] == [">99 %", "<1 %"] == [bar.text for bar in bars]


def test_the_predicted_class_is_bold_also_where_evidence_for_another_is_shown(ready, logic, addScan, slicerHost):
    panel, _ui, _ = ready
    panel.runs.done(logic.localize(addScan("normal", lesion_ras=None), model=MODEL))
    slicerHost.waitUntil(lambda: panel._showing is None)
    assert (panel.result.predicted, panel.result.shownClass) == ("no_lesion", "lesion")
    labels = [widget for widget in panel._result.bars._widgets if widget.className() == "QLabel"]
    assert [label.text for label in labels if "bold" in label.styleSheet] == ["no lesion"]


def test_the_bars_are_there_at_once_when_they_are_shown_anew(shown):
    panel, ui, result = shown
    ui.probabilitiesWidget.window().show()
    panel._result.bars.show(result.probabilities, {}, result.predicted)
    assert all(widget.isVisible() for widget in panel._result.bars._widgets)


def test_a_normal_scan_says_that_the_overlay_is_empty(ready, logic, addScan, slicerHost):
    panel, ui, _ = ready
    panel.runs.done(logic.localize(addScan("normal", lesion_ras=None), model=MODEL))
    slicerHost.waitUntil(lambda: panel._showing is None)
    assert not ui.noRegionsLabel.isHidden() and "stays below the weakest" in ui.noRegionsLabel.text
    assert ui.regionsTable.isHidden()


def test_warnings_are_shown_and_hidden_when_there_are_none(shown, slicerHost):
    panel, ui, result = shown
    info = {**result.info, "warnings": ["The scan is <brighter> than the model's."]}
    result.resultNode.SetText(json.dumps(info))
    panel.refresh()
    assert not ui.warningsLabel.isHidden() and "&lt;brighter&gt;" in ui.warningsLabel.text
    layout = panel.ui.resultsCollapsibleButton.layout()
    assert layout.indexOf(ui.warningsLabel) < layout.indexOf(ui.probabilitiesWidget), "above the bars"
    result.resultNode.SetText(json.dumps({**info, "warnings": []}))
    panel.refresh()
    assert ui.warningsLabel.isHidden()


def test_many_regions_are_listed_without_holding_the_window_up(panel):
    region = {"level": "possible", "volume_ml": 1.0, "peak": 2.0, "mean": 1.0, "centroid_ras": (1, 2, 3),
              "plane": "axial", "slice_index": 3}
    regions = [{**region, "label": number} for number in range(1, 301)]
    steps, longest, turn = panel._result.regions.showSteps(regions, {"possible": (1, 0, 0)}), 0.0, time.perf_counter()
    for _done in steps:
        longest, turn = max(longest, time.perf_counter() - turn), time.perf_counter()
    assert panel.ui.regionsTable.rowCount == 300 and panel.ui.regionsTable.item(299, 0).text() == "300"
    assert longest < 0.1
    assert list(panel._result.regions.showSteps([], {})) == [] and panel.ui.regionsTable.rowCount == 0


def test_a_click_on_a_region_moves_all_views_to_it(sliceViews, shown, slicerHost):
    _panel, ui, result = shown
    for node in sliceViews.values():
        node.JumpSliceByCentering(15, 15, 15)
    ui.regionsTable.cellClicked(0, 0)
    point = result.regions[0]["peak_ras"]
    for name, axis in (("Red", 2), ("Yellow", 0), ("Green", 1)):
        assert sliceViews[name].GetSliceToRAS().GetElement(axis, 3) == pytest.approx(point[axis])


def test_stepping_through_the_strongest_slices_moves_the_views_and_the_marker(sliceViews, shown, slicerHost):
    panel, ui, result = shown
    order = np.argsort(-np.array([item["peak"] for item in result.slices]), kind="stable")
    sliceViews["Red"].JumpSliceByCentering(*result.slices[3]["position_ras"])
    slicerHost.processEvents()
    assert panel._result.plot.current == 3
    ui.nextStrongestButton.click()
    assert panel._result.plot.current == order[0] and not ui.previousStrongestButton.enabled, "the strongest is first"
    ui.nextStrongestButton.click()
    assert panel._result.plot.current == order[1]
    expected = result.slices[order[1]]["position_ras"][2]
    assert sliceViews["Red"].GetSliceToRAS().GetElement(2, 3) == pytest.approx(expected)
    ui.previousStrongestButton.click()
    assert panel._result.plot.current == order[0]
    position = result.slices[3]["position_ras"]
    sliceViews["Red"].JumpSliceByCentering(*position)  # the user scrolls in the view
    slicerHost.processEvents()
    assert panel._result.plot.current == 3 and ui.sliceSlider.value == 3


def test_a_click_in_the_plot_goes_to_the_slice_under_it(sliceViews, shown):
    panel, ui, result = shown
    from HRCAMModuleLib.evidence_plot import LEFT, RIGHT

    width, count = ui.evidencePlotLabel.width, len(result.slices)
    panel._result.plot.clickedAt(LEFT + (10 + 0.5) * (width - LEFT - RIGHT) / count)
    assert panel._result.plot.current == 10
    assert sliceViews["Red"].GetSliceToRAS().GetElement(2, 3) == pytest.approx(result.slices[10]["position_ras"][2])


def test_the_chooser_names_what_the_scan_was_called(logic, addScan):
    from HRCAMModuleLib.results_section import resultTitle

    healthy = addScan("healthy", lesion_ras=None)
    assert resultTitle(logic.localize(healthy, model=MODEL)).startswith("healthy · no lesion · bright-blob · ")
    asked = logic.localize(healthy, model=MODEL, classLabel="lesion")
    assert resultTitle(asked).startswith("healthy · no lesion, evidence for lesion · bright-blob · ")
    ill = logic.localize(addScan("ill"), model=MODEL, classLabel="lesion")
    assert resultTitle(ill).startswith("ill · lesion · bright-blob · ")
