"""What the panel is told to do: the scan, the model and what is known of it, parameters, and by keyboard."""

import re
from pathlib import Path

import pytest
from module_scene import MODEL

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")


def test_the_model_is_described_before_it_is_run(ready):
    _, ui, _ = ready
    names = [ui.modelCombo.itemText(n) for n in range(ui.modelCombo.count)]
    ui.modelCombo.setCurrentIndex(names.index("Bright blob (test model)"))
    ui.modelCombo.activated(ui.modelCombo.currentIndex)
    assert ui.modelLineLabel.text == "Tells apart: lesion, no lesion"
    assert ui.modelDetailsWidget.isHidden()
    ui.modelInfoButton.click()
    assert not ui.modelDetailsWidget.isHidden()
    ui.modelInfoButton.click()
    text = ui.modelInfoText.plainText
    for part in ("by hand-set weights", "MR T1", "lesion, no lesion", "balanced accuracy 1.00", "Research use only"):
        assert part in text


def test_parameters_that_a_script_sets_are_shown(ready, slicerHost):
    panel, ui, _volume = ready
    parameters = panel.logic.getParameterNode()
    parameters.model, parameters.fusion = MODEL, "sum"
    slicerHost.processEvents(0.05)
    assert ui.modelCombo.currentText == "Bright blob (test model)"
    assert panel._models.current.name == MODEL and ui.fusionCombo.currentIndex == 1
    panel.exit()
    parameters.fusion = ""
    panel.enter()
    assert ui.fusionCombo.currentIndex == 0


def test_a_model_that_is_not_here_is_named_instead_of_taking_another_one(ready, slicerHost, bright_blob_bundle):
    panel, ui, _volume = ready
    parameters = panel.logic.getParameterNode()
    parameters.model = "of-a-colleague"
    slicerHost.processEvents(0.05)
    assert '"of-a-colleague" is not here' in ui.modelLineLabel.text and ui.modelCombo.currentIndex == -1
    assert not ui.applyButton.enabled and "not here" in ui.applyButton.toolTip
    parameters.model = str(bright_blob_bundle.path)
    slicerHost.processEvents(0.05)
    assert ui.applyButton.enabled and panel._models.current.name == MODEL


def test_a_user_who_chooses_no_volume_keeps_none_until_another_is_loaded(ready, slicerHost, addScan):
    _panel, ui, volume = ready
    ui.inputSelector.setCurrentNode(None)
    slicerHost.processEvents(0.05)
    assert ui.inputSelector.currentNode() is None and not ui.applyButton.enabled
    addScan("next")
    slicerHost.processEvents(0.05)
    assert ui.inputSelector.currentNode() in (volume, slicer.util.getNode("next"))


def test_no_letter_is_the_shortcut_of_two_widgets():
    panel = Path(__file__).resolve().parents[2] / "Resources" / "UI" / "HRCAMModule.ui"
    letters = [letter.lower() for letter in re.findall(r"&amp;(\w)", panel.read_text(encoding="utf-8"))]
    assert letters and len(set(letters)) == len(letters)


def test_the_panel_fits_into_slicers_dock_with_all_its_sections_open(shown, slicerHost):
    panel, ui, _result = shown
    for name, widget in vars(ui).items():
        if name.endswith("CollapsibleButton"):
            widget.collapsed = False
    slicerHost.processEvents(0.05)
    assert panel.parent.minimumSizeHint.width() <= 430, "Slicer's dock at 1280 x 800"


def test_every_widget_has_a_tooltip_or_a_label_and_is_reached_by_keyboard(panel):
    import qt

    for name in ("modelCombo", "openModelFolderButton", "addModelButton", "deviceCombo", "planeCombo", "fusionCombo",
                 "keepResultsCheckBox", "applyButton", "classCombo", "overlayCombo", "mapSourceCombo",
                 "outlineCheckBox",
                 "legendCheckBox", "regionsTable", "sliceSlider", "previousStrongestButton", "nextStrongestButton",
                 "surfacesCheckBox", "volumeRenderingCheckBox", "headCheckBox", "exportButton", "modelInfoButton",
                 "removeModelButton", "resultCombo", "readPlaneCombo", "showMarksButton", "copyRegionsButton",
                 "editSegmentsButton", "resultsTable", "localizeAllButton", "copyResultsButton", "loadResultButton",
                 "removeResultButton", "removePackagesButton"):
        widget = getattr(panel.ui, name)
        assert widget.toolTip, name
        assert int(widget.focusPolicy) & int(qt.Qt.TabFocus), name
