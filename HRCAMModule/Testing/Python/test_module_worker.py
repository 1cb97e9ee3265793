"""The worker's client against a scripted process: what is sent, and what every kind of ending becomes."""

import json

import numpy as np
import pytest

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

pytest.importorskip("slicer")


class ScriptedProcess:
    """Records what is written; the test speaks for the engine."""

    def __init__(self):
        self.running, self.started, self.lines, self.stopped = False, [], [], 0

    def start(self, program, arguments, folder):
        self.running = True
        self.started.append((program, arguments, folder))

    def write(self, line):
        self.lines.append(json.loads(line))

    def stop(self):
        self.running = False
        self.stopped += 1

    def say(self, **event):
        self.onLine(json.dumps({"protocol": 1, **event}))

    def end(self, code, crashed):
        self.running = False
        self.onFinished(code, crashed)


class Client:
    def __init__(self, folder):
        from HRCAMModuleLib.worker_client import WorkerClient

        self.process = ScriptedProcess()
        self.client = WorkerClient(self.process)
        self.folder, self.progress, self.done, self.errors = folder, [], [], []

    def localize(self, **options):
        from HRCAMModuleLib.localization_run import Request

        self.client.localize(self.folder / "in.nrrd", self.folder, "scan", Request("bright-blob", **options),
                             lambda *state: self.progress.append(state), self.done.append, self.errors.append)
        return self.process.lines[-1]["id"]


@pytest.fixture
def client(panel, tmp_path):
    return Client(tmp_path)


def test_the_request_follows_the_engines_own_schema(client):
    from hrcam.worker.protocol import parse_request

    client.localize(classLabel="lesion", device="cpu", plane="axial", fusion="sum")
    request = parse_request(json.dumps(client.process.lines[-1]).encode())
    assert request["options"] == {"class_name": "lesion", "plane": "axial", "device": "cpu", "fusion": "sum",
                                  "keep_levels": True, "faithfulness": False, "scans": 10}
    client.localize(faithfulness=True)
    assert parse_request(json.dumps(client.process.lines[-1]).encode())["options"]["faithfulness"] is True


def test_the_engine_is_told_where_a_scan_comes_from_and_its_modality(client):
    from hrcam.worker.protocol import parse_request

    client.localize(source="/scans/a.nrrd", modality="CT")
    sent = parse_request(json.dumps(client.process.lines[-1]).encode())
    assert (sent["source"], sent["modality"]) == ("/scans/a.nrrd", "CT")
    client.localize()
    sent = parse_request(json.dumps(client.process.lines[-1]).encode())
    assert sent["source"] == "" and "modality" not in sent


def test_the_process_is_started_once_beside_the_engine_and_stays_warm(client):
    for _ in range(2):
        number = client.localize()
        client.process.say(event="error", id=number, code="input", message="No.", hint="Try.")
    (_, arguments, folder), = client.process.started
    assert arguments == ["-u", "-m", "hrcam.worker"]
    from pathlib import Path

    assert (Path(folder) / "hrcam" / "worker" / "__main__.py").is_file()


def test_the_engine_is_made_ready_for_a_model_once_and_its_answers_disturb_no_run(client):
    from hrcam.worker.protocol import parse_request

    grid = {"size_ijk": [8, 9, 4], "ijk_to_ras": [[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]}
    for device, one in (("auto", None), ("auto", None), ("cpu", None), ("cpu", grid), ("cpu", grid)):
        client.client.prepare("bright-blob", device, "axial", one)
    loads = [parse_request(json.dumps(line).encode()) for line in client.process.lines]
    assert [(one["op"], one["device"], one.get("grid")) for one in loads] == [
        ("load", "auto", None), ("load", "cpu", None), ("load", "cpu", grid)]
    assert len(client.process.started) == 1
    number = client.localize()
    client.process.say(event="error", id=loads[0]["id"], code="model", message="No.", hint="Try.")
    assert client.errors == [] and number != loads[1]["id"]
    client.client.prepare("other", "cpu", "axial", None)
    assert len(client.process.lines) == 4, "not while a run is under way"


def test_the_panel_makes_the_engine_ready_for_the_chosen_model_and_scan(panel, slicerHost, addScan, monkeypatch):
    asked = []
    monkeypatch.setattr(panel.logic._worker, "prepare", lambda *how: asked.append(how))
    slicerHost.setTesting(False)
    panel.exit()
    panel.enter()
    slicerHost.waitUntil(lambda: asked)
    model = str(panel.chosen()[1].folder)
    assert asked == [(model, "auto", "auto", None)]
    scan = addScan("scan", size_ijk=(28, 29, 14), spacing=(1.0, 1.0, 2.0))
    slicerHost.waitUntil(lambda: len(asked) == 2)
    assert panel._parameters.inputVolume is scan
    assert asked[1][:3] == (model, "auto", "auto") and asked[1][3]["size_ijk"] == [28, 29, 14]
    assert np.allclose(np.array(asked[1][3]["ijk_to_ras"])[:3, :3], np.diag([-1, -1, 2]))  # RAS of LPS


def test_progress_is_told_in_words_and_other_requests_events_are_ignored(client):
    number = client.localize()
    client.process.say(event="progress", id="somebody else", stage="Computing", fraction=0.9)
    client.process.say(event="progress", id=number, stage="Computing", fraction=0.5)
    assert client.progress[-1] == ("Computing evidence", 0.5)


@pytest.mark.parametrize("noise", ["", "not json", "[]", "{}", '{"event": 1}', "\x00\xff"])
def test_lines_that_are_no_events_do_no_harm(client, noise):
    number = client.localize()
    client.process.onLine(noise)
    client.process.onErrorLine(noise)
    client.process.say(event="error", id=number, code="input", message="Bad scan.", hint="Load another.")
    assert client.errors == ["Bad scan. Load another."]


def test_a_process_that_fails_while_it_is_started_is_one_error_and_gets_no_request(client, monkeypatch):
    """So does QProcess on Windows: ``errorOccurred`` comes before ``start`` returns."""
    def start(program, arguments, folder):
        client.process.end(-1, True)

    with monkeypatch.context() as patch:
        patch.setattr(client.process, "start", start)
        with pytest.raises(IndexError):  # nothing was written
            client.localize()
    assert len(client.errors) == 1 and client.process.lines == []
    assert client.localize() == "2"


@pytest.mark.parametrize("code, crashed, last, advice", [
    (-1, True, "", "memory"), (137, False, "", "memory"),
    (1, False, "ModuleNotFoundError: No module named 'x'", "package"),
    (1, False, "RuntimeError: CUDA out of memory", "device CPU"), (3, False, "odd", "restart Slicer"),
])
def test_a_crash_says_what_to_do_next_and_the_next_run_starts_afresh(client, code, crashed, last, advice):
    client.localize()
    client.process.onErrorLine(last)
    client.process.end(code, crashed)
    message, = client.errors
    assert advice in message and str(code) in message
    client.localize()
    assert len(client.process.started) == 2


def test_a_process_that_ends_while_idle_is_no_error(client):
    number = client.localize()
    client.process.say(event="error", id=number, code="input", message="No.", hint="")
    client.process.end(0, False)
    assert client.errors == ["No."]


def test_after_cancel_nothing_is_told_any_more(client):
    number = client.localize()
    client.client.cancel()
    client.process.say(event="done", id=number, result={})
    assert client.process.stopped == 1 and client.done == [] and client.errors == []


def test_a_result_that_cannot_be_read_is_an_error_in_words(client):
    number = client.localize()
    client.process.say(event="done", id=number, result={"document": "gone.json", "map": "a", "labels": "b",
                                                        "level_maps": {}})
    message, = client.errors
    assert "could not be read" in message and "run again" in message


def test_a_process_that_cannot_start_outlives_the_signal_that_says_so(panel, slicerHost, tmp_path):
    """PythonQt deletes an object with its last reference, Qt goes on using it after the signal."""
    import weakref

    from HRCAMModuleLib.worker_process import LineProcess

    process, ends = LineProcess(), []
    process.onFinished = lambda *how: ends.append((how, process.running))
    process.start(str(tmp_path / "no-such-program"), [], str(tmp_path))
    wrapper = weakref.ref(process._process)
    slicerHost.waitUntil(lambda: ends)
    assert ends == [((-1, True), False)] and wrapper() is not None


def test_the_volume_file_is_read_by_itk_as_the_node_is(panel, addScan, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    import slicer
    from HRCAMModuleLib.steps import runToEnd
    from HRCAMModuleLib.volume_nodes import ijkToRas, writeVolumeSteps

    c, s = np.cos(0.3), np.sin(0.3)
    node = addScan(direction=[[c, -s, 0], [s, c, 0], [0, 0, -1]], spacing=(0.9, 1.1, 1.4))
    image = sitk.ReadImage(str(runToEnd(writeVolumeSteps(node, tmp_path / "a.nrrd"))))
    assert np.array_equal(sitk.GetArrayFromImage(image), slicer.util.arrayFromVolume(node))
    for ijk in ((0, 0, 0), (3, 5, 7)):
        ras = np.array(image.TransformIndexToPhysicalPoint(ijk)) * (-1, -1, 1)
        assert np.allclose(ras, (ijkToRas(node) @ [*ijk, 1])[:3], atol=1e-6)
