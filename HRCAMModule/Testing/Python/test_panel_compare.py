"""Two dates compared: by a script, and in the panel by the worker process."""

import numpy as np
import pytest
from module_scene import MODEL, sceneNodes

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")

PLACES = {"left": (-9.0, 6.0, 0.0), "right": (9.0, 6.0, 0.0), "back": (0.0, -10.0, 4.0)}


@pytest.fixture
def addDate(addScan):
    """Add a date of one head: ``addDate("may", left=4, back=3)``, radii of its bright balls in mm."""

    def add(name, **radii):
        from HRCAMModuleLib.volume_nodes import ijkToRas

        node = addScan(name, lesion_ras=None)
        voxels, matrix = slicer.util.arrayFromVolume(node), ijkToRas(node)
        ras = np.stack(np.indices(voxels.shape)[::-1], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]
        for place, radius in radii.items():
            distance = np.linalg.norm(ras - np.asarray(PLACES[place]), axis=-1) / radius
            voxels += (400 / (1 + np.exp(6 * radius * (distance - 1)))).astype(voxels.dtype)
        return node

    return add


@pytest.fixture
def dates(addDate):
    """The later and the earlier scan."""
    return addDate("july", left=4, right=6, back=4), addDate("may", left=4, right=3)


@pytest.fixture
def compared(panel, dates, slicerHost):
    """The panel that shows a comparison, as when its run ended; gives (panel, its widgets, the comparison)."""
    panel._parameters.inputVolume, panel._parameters.earlierVolume = dates
    slicerHost.processEvents(0.05)
    comparison = panel.logic.compare(*dates, model=MODEL, aligned=True)
    panel._comparison._done(comparison)
    settled(panel, slicerHost)
    return panel, panel.ui, comparison


def settled(panel, slicerHost):
    """The views show what the buttons say."""
    slicerHost.waitUntil(lambda: not panel._comparison.showing)
    slicerHost.processEvents(0.05)


def legendOf(volume):
    return slicer.modules.colors.logic().GetColorLegendDisplayNode(volume)


def isVisible(legend):
    return legend is not None and bool(legend.GetVisibility())


def at(changes, place):
    return min(changes, key=lambda one: np.linalg.norm(np.subtract(one["peak_ras"], PLACES[place])))


def test_a_script_compares_two_volumes(logic, dates):
    later, earlier = dates
    found = logic.compare(later, earlier, model=MODEL, aligned=True)
    assert {place: at(found.changes, place)["call"] for place in PLACES} == {
        "left": "stable", "right": "growing", "back": "new"}
    assert found.later is later and found.earlier is earlier
    assert found.earlierThere.GetImageData() is earlier.GetImageData(), "no second copy of the voxels"
    segments = found.change.GetSegmentation()
    assert segments.GetSegment("growing").GetName().endswith("growing") and segments.GetNumberOfSegments() == 6
    again = logic.compare(later, earlier, model=MODEL, aligned=True)
    assert logic.comparisons() == [again], "it takes the place of the former one"


def test_a_scan_is_not_compared_with_itself_or_with_a_result(logic, dates):
    later, earlier = dates
    with pytest.raises(ValueError, match="with itself"):
        logic.compare(later, later, model=MODEL)
    with pytest.raises(ValueError, match="result of HR-CAM"):
        logic.compare(later, logic.localize(earlier, model=MODEL).mapVolume, model=MODEL)


def test_a_click_compares_in_the_worker_process(panel, dates, slicerHost):
    panel._parameters.model = MODEL
    panel._parameters.inputVolume, panel._parameters.earlierVolume = dates
    slicerHost.processEvents(0.05)
    panel.ui.compareButton.click()
    assert panel.logic.running and panel.ui.compareButton.text == "Cancel"
    said = set()
    slicerHost.waitUntil(
        lambda: said.add(panel.ui.compareStatusLabel.text.partition(":")[0]) or not panel.logic.running, 300)
    slicerHost.processEvents(0.05)
    assert {"Aligning the two scans", "Computing evidence"} <= said
    assert panel.ui.changesTable.rowCount == 3 and panel.ui.sideBySideButton.checked
    assert panel.ui.compareButton.text == "Compare" and panel.ui.applyButton.text == "Localize pathology"


def test_the_table_says_what_became_of_each_region_and_jumps(compared, sliceViews):
    _panel, ui, comparison = compared
    table = ui.changesTable
    rows = [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]
    assert {row[1].rstrip("?") for row in rows} == {"stable", "growing", "new"} and len(rows) == 3
    assert ui.compareStatusLabel.text.startswith("july, compared with may: 1 new, 1 growing, 1 stable.")
    assert all("→" in cell for cell in rows[0][2:4])
    for row, change in enumerate(comparison.changes):
        table.cellClicked(row, 0)
        assert sliceViews["Red"].GetSliceOffset() == pytest.approx(change["peak_ras"][2], abs=1e-3)


def test_the_table_is_as_high_as_its_rows(compared):
    _panel, ui, _comparison = compared
    table = ui.changesTable
    rows = table.rowCount * table.verticalHeader().defaultSectionSize
    assert rows < table.height < rows + 40


def test_both_dates_lie_side_by_side_and_the_result_comes_back(compared, sliceViews, slicerHost):
    panel, ui, comparison = compared
    layers = {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}
    ui.sideBySideButton.click()
    ui.sideBySideButton.click()
    assert ui.sideBySideButton.checked
    settled(panel, slicerHost)
    assert layers["Red"].GetBackgroundVolumeID() == comparison.later.GetID()
    assert layers["Yellow"].GetBackgroundVolumeID() == comparison.earlierThere.GetID()
    assert layers["Yellow"].GetLabelVolumeID() == comparison.earlierLevels.GetID()
    assert layers["Red"].GetLinkedControl() and comparison.change.GetDisplayNode().GetVisibility2D()
    assert sliceViews["Yellow"].GetOrientation() == sliceViews["Red"].GetOrientation()
    assert panel._parameters.inputVolume is comparison.later, "what the views show is no other choice"
    result = panel.logic.localize(comparison.later, model=MODEL)
    panel.showNew(result)
    slicerHost.waitUntil(lambda: panel._showing is None)
    slicerHost.processEvents(0.05)
    assert not ui.sideBySideButton.checked and not comparison.change.GetDisplayNode().GetVisibility2D()
    assert layers["Yellow"].GetBackgroundVolumeID() == comparison.later.GetID()


def test_the_views_go_back_to_what_they_showed_where_the_scan_has_no_result(compared, sliceViews, slicerHost):
    panel, ui, comparison = compared
    layers = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    ui.sideBySideButton.click()
    settled(panel, slicerHost)
    slicer.util.setSliceViewerLayers(background=comparison.later, label=None)
    sliceViews["Yellow"].SetOrientation("Sagittal")
    ui.sideBySideButton.click()
    settled(panel, slicerHost)
    assert sliceViews["Yellow"].GetOrientation() != "Sagittal"
    ui.sideBySideButton.click()
    settled(panel, slicerHost)
    assert sliceViews["Yellow"].GetOrientation() == "Sagittal"
    assert {node.GetBackgroundVolumeID() for node in layers} == {comparison.later.GetID()}
    assert {node.GetLabelVolumeID() for node in layers} == {None}


def test_views_of_another_layout_show_the_later_date(compared, sliceViews, slicerHost):
    _panel, _ui, comparison = compared
    before = legendOf(comparison.laterLevels)
    added = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    slicerHost.waitUntil(lambda: added.GetBackgroundVolumeID())
    assert added.GetBackgroundVolumeID() == comparison.later.GetID()
    assert added.GetLabelVolumeID() == comparison.laterLevels.GetID()
    assert legendOf(comparison.laterLevels) is not before, "a view never shows a legend that was there before it"


def test_the_legend_says_what_colors_mean_on_both_dates(compared, sliceViews, slicerHost):
    _panel, ui, comparison = compared
    levels, change = (comparison.earlierLevels, comparison.laterLevels), comparison.changeMap
    assert all(isVisible(legendOf(volume)) for volume in levels)
    assert legendOf(change) is None
    ui.changeMapButton.click()
    settled(_panel, slicerHost)
    assert isVisible(legendOf(change)) and legendOf(change).GetTitleText() == "Change"
    assert not any(isVisible(legendOf(volume)) for volume in levels)
    colors = change.GetDisplayNode().GetColorNode()
    named = [colors.GetColorName(n) for n in range(colors.GetNumberOfColors()) if colors.GetColorDefined(n)]
    assert [name.split()[0] for name in named] == ["lost", "lost", "gained", "gained"]
    assert named[0].split()[1] == named[-1].split()[1], "the scale is as long to both sides"
    ui.sideBySideButton.click()
    settled(_panel, slicerHost)
    assert not any(isVisible(legendOf(volume)) for volume in (*levels, change))
    _panel._parameters.legend = False
    ui.sideBySideButton.click()
    settled(_panel, slicerHost)
    assert not any(isVisible(legendOf(volume)) for volume in (*levels, change))


def test_the_legend_comes_back_with_the_result(compared, sliceViews, slicerHost):
    panel, ui, comparison = compared
    result = panel.logic.localize(comparison.later, model=MODEL)
    panel.showNew(result)
    slicerHost.waitUntil(lambda: panel._showing is None)
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(result.labelVolume)
    ui.sideBySideButton.click()
    settled(panel, slicerHost)
    assert not legend.GetVisibility()
    ui.sideBySideButton.click()
    settled(panel, slicerHost)
    assert legend.GetVisibility()


def test_the_change_of_evidence_lies_over_both_dates(compared, sliceViews, slicerHost):
    from HRCAMModuleLib.volume_nodes import ijkToRas

    panel, ui, comparison = compared
    layers = {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}
    change, ras = slicer.util.arrayFromVolume(comparison.changeMap), at(comparison.changes, "back")["peak_ras"]
    i, j, k = np.rint(np.linalg.inv(ijkToRas(comparison.changeMap)) @ [*ras, 1])[:3]
    assert change.dtype == np.float32 and change[int(k), int(j), int(i)] > 0, "evidence was gained where it is new"
    ui.changeMapButton.click()
    for view in ("Red", "Yellow"):
        assert layers[view].GetForegroundVolumeID() == comparison.changeMap.GetID()
        assert layers[view].GetForegroundOpacity() > 0.5 and layers[view].GetLabelOpacity() == 0
    display, color = comparison.changeMap.GetDisplayNode(), [0.0] * 4
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()

    def colorOf(evidence):
        display.GetColorNode().GetColor(round(254 * (evidence - low) / (high - low)), color)
        return list(color)

    unit = comparison.info["evidence_levels"][0]["threshold"]
    assert low == -high and colorOf(0.0)[3] == colorOf(0.9 * unit)[3] == colorOf(-0.9 * unit)[3] == 0, "unseen"
    gain, loss = colorOf(high), colorOf(low)
    assert gain[3] == loss[3] == 1 and gain[0] > 0.8 > 0.2 > max(gain[1:3]) and loss[2] > 0.8 > 0.2 > max(loss[:2])
    ui.sideBySideButton.click()
    settled(panel, slicerHost)
    assert layers["Red"].GetForegroundVolumeID() != comparison.changeMap.GetID()
    assert not ui.changeMapButton.checked, "it says what is shown"
    ui.changeMapButton.click()
    settled(panel, slicerHost)
    assert ui.sideBySideButton.checked, "the change is shown on both dates"
    assert layers["Red"].GetForegroundVolumeID() == comparison.changeMap.GetID()
    ui.changeMapButton.click()
    assert layers["Red"].GetForegroundVolumeID() is None and layers["Red"].GetLabelOpacity() > 0
    slicerHost.processEvents(0.05)


def test_segments_are_edited_on_the_scan_alone(compared, sliceViews, slicerHost, monkeypatch):
    from HRCAMModuleLib import segment_editor

    panel, ui, comparison = compared
    result = panel.logic.localize(comparison.later, model=MODEL)
    panel.refresh()
    ui.sideBySideButton.click()
    settled(panel, slicerHost)
    assert ui.sideBySideButton.checked and comparison.change.GetDisplayNode().GetVisibility2D()
    monkeypatch.setattr(segment_editor, "openSegmentEditor", lambda one: opened.append(
        (one, panel.logic.comparisonViews.shown, comparison.change.GetDisplayNode().GetVisibility2D())))
    opened = []
    ui.editSegmentsButton.click()
    assert opened == [(result, None, 0)] and not ui.sideBySideButton.checked
    slicerHost.processEvents(0.05)


def test_a_comparison_is_removed_whole_and_comes_back_with_its_scene(compared, slicerHost, tmp_path):
    panel, ui, _comparison = compared
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    ui.removeComparisonButton.click()
    slicerHost.processEvents(0.05)
    assert panel.logic.comparisons() == [] and ui.changesTable.rowCount == 0
    assert not [name for _kind, name in sceneNodes() if "compared with" in name]
    assert {"july", "may"} <= {name for _kind, name in sceneNodes()}
    slicer.util.loadScene(path)
    slicerHost.processEvents(0.1)
    assert panel.logic.comparisons()[0].valid and ui.changesTable.rowCount == 3


def test_scans_that_do_not_fit_are_refused_in_words_and_the_scene_stays(panel, addDate, slicerHost):
    later, earlier = addDate("july", left=4), addDate("noise")
    voxels = slicer.util.arrayFromVolume(earlier)
    voxels[:] = np.random.default_rng(0).permutation(voxels.ravel()).reshape(voxels.shape)
    panel._parameters.model = MODEL
    panel._parameters.inputVolume, panel._parameters.earlierVolume = later, earlier
    slicerHost.processEvents(0.05)
    before = sceneNodes()
    panel.ui.compareButton.click()
    slicerHost.waitUntil(lambda: not panel.logic.running, 300)
    slicerHost.processEvents(0.05)
    assert sceneNodes() == before and panel.ui.compareButton.text == "Compare"
    assert panel.ui.compareStatusLabel.text and "Traceback" not in panel.ui.compareStatusLabel.text
    slicerHost.dialogs.messages.clear()


def test_a_cancelled_comparison_leaves_the_scene_as_it_was(panel, dates, slicerHost):
    panel._parameters.model = MODEL
    panel._parameters.inputVolume, panel._parameters.earlierVolume = dates
    slicerHost.processEvents(0.05)
    before = sceneNodes()
    panel.ui.compareButton.click()
    slicerHost.processEvents(0.2)
    folder = panel.logic._run._folder
    panel.ui.compareButton.click()
    assert not panel.logic.running and not folder.exists() and sceneNodes() == before
    assert panel.ui.compareStatusLabel.text == "Cancelled." and panel.ui.compareButton.text == "Compare"


def test_a_comparison_that_ends_in_another_module_leaves_its_views_alone(panel, dates, sliceViews, slicerHost):
    panel._parameters.inputVolume, panel._parameters.earlierVolume = dates
    slicerHost.processEvents(0.05)
    assert not panel.ui.changesTable.isVisibleTo(panel.ui.compareCollapsibleButton), "there is nothing to show yet"
    panel.exit()
    before = [node.GetBackgroundVolumeID() for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")]
    panel._comparison._done(panel.logic.compare(*dates, model=MODEL, aligned=True))
    assert before == [node.GetBackgroundVolumeID()
                      for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")]
    panel.enter()
    slicerHost.processEvents(0.05)
    assert panel.ui.changesTable.rowCount == 3 and not panel.ui.sideBySideButton.checked


def test_the_earlier_scan_must_be_another_one(panel, dates, slicerHost):
    panel._parameters.inputVolume, panel._parameters.earlierVolume = dates[0], None
    slicerHost.processEvents(0.05)
    assert not panel.ui.compareButton.enabled and "earlier scan" in panel.ui.compareButton.toolTip
    panel._parameters.earlierVolume = dates[0]
    slicerHost.processEvents(0.05)
    assert not panel.ui.compareButton.enabled and "the same" in panel.ui.compareButton.toolTip
