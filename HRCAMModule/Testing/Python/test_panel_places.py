"""The place of each region: named after the result is shown, by a process of its own."""

import json

import pytest
from module_scene import MODEL

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")

PUTAMEN = {"side": "right", "structure": "putamen", "probability": 0.8, "mni_ras": [27.0, 2.0, 0.0]}


class PlaceWorker:
    """Notes what it is asked, and answers when the test says so."""

    def __init__(self):
        self.asked, self.cancelled, self.warnings = [], 0, []

    def namePlaces(self, scan, document, onDone, onError):
        assert scan.is_file() and document.is_file()
        self.asked.append(len(json.loads(document.read_text(encoding="utf-8"))["regions"]))
        self.done, self.failed = onDone, onError

    def cancel(self):
        self.cancelled += 1

    def answer(self, place):
        self.done({"places": [place and {**place, "words": "right putamen"}] * self.asked[-1],
                   "registration": {"agreement_mm": 0.3} if place else None})


@pytest.fixture
def worker(panel, monkeypatch):
    made = PlaceWorker()
    monkeypatch.setattr(panel.logic._places, "_worker", made)
    return made


def run(ready, slicerHost):
    panel, ui, _volume = ready
    panel._parameters.model = MODEL
    ui.applyButton.click()
    slicerHost.waitUntil(lambda: not panel.logic.running and panel._showing is None, 120)
    slicerHost.processEvents(0.05)
    return panel, ui


def test_places_come_after_the_result_and_go_into_table_and_files(ready, worker, slicerHost, tmp_path):
    panel, ui = run(ready, slicerHost)
    table = ui.regionsTable
    assert table.rowCount == 1 and table.isColumnHidden(5) and not table.isColumnHidden(4)
    table.setCurrentCell(0, 0)
    worker.answer(PUTAMEN)
    slicerHost.processEvents(0.1)
    assert not table.isColumnHidden(5) and table.item(0, 5).text() == "right putamen"
    assert "80% of it lies in right putamen; MNI 27, 2, 0 mm" in table.item(0, 5).toolTip()
    assert table.currentRow() == 0, "the row that was chosen stays so"
    ui.copyRegionsButton.click()
    assert "right putamen" in slicer.app.clipboard().text()
    report = panel.logic.exportReport(panel.result, tmp_path, overview=False)["report"]
    document = json.loads(report.read_text(encoding="utf-8"))
    assert document["regions"][0]["place"] == PUTAMEN and document["provenance"]["options"]["place"] is True
    assert worker.cancelled == 1, "the process does not stay"


def test_a_scan_that_does_not_fit_the_template_has_no_places_and_says_why(ready, worker, slicerHost):
    _panel, ui = run(ready, slicerHost)
    worker.warnings = ["Places are not named: no brain."]
    worker.answer(None)
    slicerHost.processEvents(0.1)
    assert ui.regionsTable.isColumnHidden(5) and "no brain" in ui.regionsTable.toolTip
    assert "no brain" not in ui.warningsLabel.text, "nothing speaks against the result"


def test_the_option_switches_it_off_and_a_removed_result_is_passed_over(ready, worker, slicerHost):
    panel, _ui = run(ready, slicerHost)
    panel.logic.remove(panel.result)
    worker.answer(PUTAMEN)
    panel._parameters.namePlaces = False
    run(ready, slicerHost)
    assert len(worker.asked) == 1 and not panel.logic._places.active
