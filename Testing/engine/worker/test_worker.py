"""The worker process: warm, honest about progress, deaf to nonsense, and gone when its parent is."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk  # noqa: N813
from hrcam.compare.comparison import validate_comparison
from hrcam.errors import BundleError, Cancelled, HRCAMError, InputError
from hrcam.localize import STAGES, Options
from hrcam.run.level_volumes import read_level
from hrcam.run.result import validate_result
from hrcam.scan.volume import to_sitk
from hrcam.worker.protocol import MAX_LINE_BYTES, ProtocolError, describe, parse_request, read_requests
from hrcam.worker.worker import EXIT_GARBAGE, MAX_BAD_LINES, MAX_QUEUED
from hypothesis import given, settings
from hypothesis import strategies as st
from worker_peer import Peer, wait_until

FAKE_ENGINE = """
import ctypes, os, sys, time
import hrcam.bundle.bundle, hrcam.localize, hrcam.worker.worker
from hrcam.errors import Cancelled

def localize(volume, bundle, options, progress, cancelled):
    print("chatter")
    os.write(1, b"chatter from C\\n")
    os.system("echo chatter from a child")
    progress("Computing", 0.5)
    if volume.name == "wait":
        while not cancelled():
            time.sleep(0.01)
        raise Cancelled
    if volume.name == "hang":
        time.sleep(60)
    if volume.name == "memory":
        raise MemoryError
    raise ZeroDivisionError("division by zero")

hrcam.localize.localize = localize
hrcam.bundle.bundle.load_bundle = lambda name: None
hrcam.worker.worker.main()
"""


@pytest.fixture
def scan(tmp_path, blob_volume):
    volume = blob_volume(size_ijk=(40, 42, 30))
    path = tmp_path / "input.nrrd"
    sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(path))
    return path


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """One worker for all tests of the real engine."""
    with Peer(log=tmp_path_factory.mktemp("worker") / "log") as peer:
        assert peer.next()["event"] == "ready"
        yield peer


@pytest.fixture
def fake(tmp_path):
    """A worker whose engine chatters, waits, hangs or fails by the name of the case."""
    with Peer((sys.executable, "-c", FAKE_ENGINE), tmp_path / "log") as peer:
        assert peer.next()["event"] == "ready"
        yield peer


def job(scan, tmp_path, bundle="none", **more):
    return {"model": str(getattr(bundle, "path", bundle)), "input": str(scan), "output": str(tmp_path / "out"), **more}


def test_a_scan_is_localized_with_progress_and_files(worker, scan, tmp_path, bright_blob_bundle):
    request = worker.send("localize", **job(scan, tmp_path, bright_blob_bundle, name="Head: 1", source="node",
                                            options={"device": "cpu", "keep_levels": True}))
    answer, before = worker.until_answer(request)
    assert answer["event"] == "done", answer
    stages = [event["stage"] for event in before if event["event"] == "progress"]
    assert list(dict.fromkeys(stages)) == list(STAGES)
    fractions = [event["fraction"] for event in before if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[0] == 0
    files, out = answer["result"], tmp_path / "out"
    document = json.loads((out / files["document"]).read_text())
    validate_result(document)
    assert (document["case"], document["provenance"]["input"]["source"]) == ("Head_ 1", "node")
    evidence, labels = (sitk.ReadImage(str(out / files[one])) for one in ("map", "labels"))
    given = sitk.ReadImage(str(scan))
    for image in (evidence, labels):
        assert (image.GetOrigin(), image.GetSpacing(), image.GetDirection(), image.GetSize()) == (
            given.GetOrigin(), given.GetSpacing(), given.GetDirection(), given.GetSize())
    levels = [read_level(out / name) for name in files["level_maps"].values()]
    fine, coarse = ((out / name).stat().st_size for name in files["level_maps"].values())
    assert coarse < fine / 3, "levels travel at their own size"
    assert len(levels) == 2 and np.allclose(sum(levels), sitk.GetArrayFromImage(evidence), atol=1e-3)
    for number, level in enumerate(document["evidence_levels"], start=1):
        assert np.array_equal(sitk.GetArrayFromImage(labels) >= number,
                              sitk.GetArrayFromImage(evidence) >= np.float32(level["threshold"]))
    assert document["regions"]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [files["document"], files["map"], files["labels"], *files["level_maps"].values()])


def test_a_model_is_made_ready_for_scans_on_a_grid_and_says_where_it_cannot_be(worker, bright_blob_bundle):
    def load(spacing):
        grid = {"size_ijk": [40, 42, 30], "ijk_to_ras": np.diag([spacing, 1.0, 1.0, 1.0]).tolist()}
        return worker.ask("load", model=str(bright_blob_bundle.path), device="cpu", plane="axial", grid=grid)

    assert load(1.0)["result"]["model"] == "bright-blob"
    assert "spacing" in load(1000.0)["hint"]


def test_a_warm_model_answers_quickly_and_warnings_are_told(worker, scan, tmp_path, bright_blob_bundle):
    assert worker.ask("load", model=str(bright_blob_bundle.path), device="cpu")["result"]["model"] == "bright-blob"
    answer, before = worker.until_answer(worker.send("localize", **job(
        scan, tmp_path, bright_blob_bundle, name="x", modality="CT", options={"device": "cpu"})))
    assert answer["event"] == "done" and answer["result"]["level_maps"] == {}
    assert next(e["message"] for e in before if e["event"] == "warning").startswith("This is a CT scan")


def dates(scan, tmp_path, bundle, **more):
    return {"model": str(bundle.path), "earlier": {"input": str(scan), "name": "May"},
            "later": {"input": str(scan), "name": "July", "source": "node"}, "output": str(tmp_path / "out"),
            "aligned": True, "copies": 0, "options": {"device": "cpu"}, **more}


def test_a_first_scan_waits_for_no_package_that_only_a_comparison_needs():
    code = ("import sys, hrcam.localize, hrcam.worker.files, hrcam.worker.jobs\n"
            "print({'scipy', 'pydicom'} & sys.modules.keys())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_two_scans_are_compared_with_progress_and_files(worker, scan, tmp_path, bright_blob_bundle):
    answer, before = worker.until_answer(worker.send("compare", **dates(scan, tmp_path, bright_blob_bundle,
                                                                        copies=1, picture=False)))
    assert answer["event"] == "done", answer
    fractions = [event["fraction"] for event in before if event["event"] == "progress"]
    assert fractions == sorted(fractions) and {"Aligning", "Computing", "Comparing", "Writing"} <= {
        event["stage"] for event in before if event["event"] == "progress"}
    found, out = answer["result"], tmp_path / "out"
    document = json.loads((out / found["files"]["result"]).read_text())
    validate_comparison(document)
    assert found["case"] == "July" and not found["swapped"] and found["summary"] == "1 stable"
    assert document["earlier"]["case"] == "May" and document["provenance"]["later"]["source"] == "node"
    assert sorted(p.name for p in out.iterdir()) == sorted(found["files"].values())


def test_a_comparison_for_a_gui_is_uncompressed(worker, scan, tmp_path, bright_blob_bundle):
    found = worker.ask("compare", **dates(scan, tmp_path, bright_blob_bundle, copies=0, arrays=True))["result"]
    out = tmp_path / "out"
    assert sorted(found["files"]) == ["change", "change_labels", "earlier_levels", "later_levels", "result"]
    assert sorted(p.name for p in out.iterdir()) == sorted(found["files"].values())
    validate_comparison(json.loads((out / found["files"]["result"]).read_text()))
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / found["files"]["change_labels"])))
    later = sitk.GetArrayFromImage(sitk.ReadImage(str(out / found["files"]["later_levels"])))
    assert set(np.unique(labels)) == {0, 3} and (later[labels > 0] > 0).any(), "3: stable"


def test_a_comparison_is_cancelled_and_leaves_nothing(worker, tmp_path, blob_volume, bright_blob_bundle):
    volume = blob_volume(size_ijk=(40, 42, 300), spacing=(1, 1, 0.1))
    sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / "long.nrrd"))
    options = {"device": "cpu", "plane": "axial", "batch_size": 1}
    running = worker.send("compare", **dates(tmp_path / "long.nrrd", tmp_path, bright_blob_bundle, options=options))
    while worker.next().get("stage") != "Computing":
        pass
    worker.send("cancel", target=running)
    assert worker.until_answer(running)[0]["code"] == "cancelled"
    assert not (tmp_path / "out").exists()


def test_places_of_a_result_are_named_afterwards(worker, scan, tmp_path, bright_blob_bundle):
    """The result is there first; what is no brain has no places, and a warning says why."""
    found = worker.ask("localize", **job(scan, tmp_path, bright_blob_bundle, options={"device": "cpu"}))["result"]
    document = tmp_path / "out" / found["document"]
    regions = len(json.loads(document.read_text())["regions"])
    answer, before = worker.until_answer(worker.send("place", input=str(scan), document=str(document)))
    assert answer["result"] == {"places": [None] * regions, "registration": None} and regions
    assert any("Places are not named" in event["message"] for event in before if event["event"] == "warning")
    answer = worker.ask("place", input=str(scan), document=str(scan))
    assert answer["code"] == "input" and "not a result of the worker" in answer["message"]


@pytest.mark.parametrize(("change", "code", "words"), [
    ({"input": "/nowhere/scan.nrrd"}, "input", "There is no file"),
    ({"input": "scan.nrrd"}, "input", "not an absolute path"),
    ({"output": "out"}, "input", "not an absolute path"),
    ({"model": "/nowhere"}, "bundle", ""),
    ({"options": {"plane": "oblique"}}, "input", "oblique"),
    ({"options": {"class_name": "stroke"}}, "input", "stroke"),
    ({"options": {"device": "abacus"}}, "model", "abacus"),
])
def test_what_cannot_be_done_is_an_error_with_a_code(worker, scan, tmp_path, bright_blob_bundle, change, code, words):
    answer = worker.ask("localize", **{**job(scan, tmp_path, bright_blob_bundle), **change})
    assert (answer["event"], answer["code"]) == ("error", code) and words in answer["message"] and answer["hint"]
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_an_error(worker, scan, tmp_path, bright_blob_bundle):
    (tmp_path / "out").write_text("a file is in the way")
    answer = worker.ask("localize", **job(scan, tmp_path, bright_blob_bundle, options={"device": "cpu"}))
    assert answer["code"] == "output" and (tmp_path / "out").read_text() == "a file is in the way"


def test_a_run_is_cancelled_within_a_second(worker, tmp_path, blob_volume, bright_blob_bundle):
    volume = blob_volume(size_ijk=(40, 42, 400), spacing=(1, 1, 0.1))
    sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / "long.nrrd"))
    running = worker.send("localize", **job(tmp_path / "long.nrrd", tmp_path, bright_blob_bundle,
                                            options={"device": "cpu", "plane": "axial", "batch_size": 1}))
    while worker.next().get("stage") != "Computing":
        pass
    began = time.monotonic()
    worker.send("cancel", target=running)
    answer, before = worker.until_answer(running)
    assert answer["code"] == "cancelled" and time.monotonic() - began < 1
    assert any(event.get("result") == {"cancelled": True} for event in before)
    assert not (tmp_path / "out").exists()


def test_hello_tells_versions_and_ping_answers(worker):
    hello = worker.ask("hello")["result"]
    assert hello["protocol"] == 1 and hello["pid"] == worker.process.pid and hello["torch"]
    assert worker.ask("ping")["result"] == {}


def test_only_the_protocol_is_on_standard_output_and_defects_are_logged(fake, scan, tmp_path):
    answer = fake.ask("localize", **job(scan, tmp_path))
    assert answer["code"] == "internal" and "ZeroDivisionError: division by zero" in answer["message"]
    log = fake.log.read_text()
    assert all(line in log for line in ("chatter", "chatter from C", "chatter from a child", "Traceback"))


def test_memory_that_does_not_suffice_is_told_and_the_worker_goes_on(fake, scan, tmp_path):
    assert fake.ask("localize", **job(scan, tmp_path, name="memory"))["code"] == "memory"
    assert fake.ask("ping")["event"] == "done"


def test_running_and_waiting_requests_can_be_cancelled_and_the_queue_is_bounded(fake, scan, tmp_path):
    running = fake.send("localize", **job(scan, tmp_path, name="wait"))
    waiting = [fake.send("localize", **job(scan, tmp_path, name="wait")) for _ in range(MAX_QUEUED - 1)]
    assert fake.ask("localize", **job(scan, tmp_path))["code"] == "busy"
    assert fake.ask("ping")["event"] == "done", "answered while computing"
    assert fake.ask("cancel", target="unknown")["result"] == {"cancelled": False}
    for one in (*waiting, running):
        fake.send("cancel", target=one)
    for one in (running, *waiting):
        assert fake.until_answer(one)[0]["code"] == "cancelled"
    fake.send_bytes(b'{"protocol": 1, "id": "same", "op": "hello"}\n')
    assert fake.until_answer("same")[0]["event"] == "done", "an id may be used again once it is done"


def test_an_id_in_use_is_refused(fake, scan, tmp_path):
    running = fake.send("localize", **job(scan, tmp_path, name="wait"))
    fake.send_bytes(json.dumps({"protocol": 1, "id": running, "op": "hello"}).encode() + b"\n")
    while (event := fake.next())["event"] != "error":
        pass
    assert (event["id"], event["code"]) == (running, "protocol")


@pytest.mark.parametrize(("line", "code"), [
    (b"not json\n", "protocol"),
    (b"\xff\xfe\n", "protocol"),
    (b"[1, 2]\n", "protocol"),
    (b"[" * 100_000 + b"\n", "protocol"),
    (b'{"protocol": 1, "id": "a", "op": "format_disk"}\n', "protocol"),
    (b'{"protocol": 1, "op": "ping"}\n', "protocol"),
    (b'{"protocol": 1, "id": "a", "op": "ping", "more": 1}\n', "protocol"),
    (b'{"protocol": 1, "id": "\\ud800", "op": "hello"}\n', "protocol"),
    (b'{"protocol": 1, "id": "a", "op": "localize", "model": "m"}\n', "protocol"),
    (b'{"protocol": NaN, "id": "a", "op": "ping"}\n', "protocol"),
    (b'{"protocol": 2, "id": "a", "op": "ping"}\n', "version"),
    (b'{"id": "a", "op": "ping"}\n', "version"),
    (b'{"protocol": true, "id": "a", "op": "ping"}\n', "version"),
    (b"x" * (MAX_LINE_BYTES + 10) + b"\n", "too_large"),
    (b'"' + b"x" * (5 * MAX_LINE_BYTES) + b'"\n', "too_large"),
])
def test_nonsense_is_answered_and_survived(line, code):
    found = list(read_requests(BytesIO(line + b'\n{"protocol": 1, "id": "b", "op": "ping"}\n')))
    assert len(found) == 2 and isinstance(found[0], ProtocolError)
    assert found[0].code == code and found[0].hint and len(str(found[0])) < 600
    assert found[1]["id"] == "b"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4))
REQUESTS = st.fixed_dictionaries(
    {"protocol": st.just(1) | JSON, "id": st.text(max_size=120) | JSON,
     "op": st.sampled_from(["hello", "ping", "load", "localize", "compare", "place", "cancel", "folder",
                            "shutdown"]) | JSON},
    optional=dict.fromkeys(("model", "input", "output", "options", "target", "name", "earlier", "later", "document"),
                           JSON))


@given(REQUESTS.map(lambda r: json.dumps(r).encode()) | JSON.map(lambda r: json.dumps(r).encode()) | st.binary())
@settings(max_examples=100, deadline=None)
def test_any_line_is_a_valid_request_or_a_protocol_error(line):
    try:
        request = parse_request(line)
    except ProtocolError as error:
        assert error.code in ("protocol", "version") and error.message and error.hint
    else:
        assert request["protocol"] == 1 and 1 <= len(request["id"]) <= 100


def test_a_stream_of_garbage_ends_the_worker(fake):
    fake.send_bytes(b"garbage\n" * (MAX_BAD_LINES - 1))
    assert fake.ask("ping")["event"] == "done", "a request in between forgives"
    fake.send_bytes(b"garbage\n" * MAX_BAD_LINES)
    assert fake.ended() == EXIT_GARBAGE


def test_shutdown_ends_the_worker_and_removes_its_private_folder(fake):
    folder = Path(fake.ask("folder")["result"]["path"])
    assert folder.is_dir() and folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    (folder / "scan.nrrd").write_text("x")
    fake.ask("shutdown")
    assert fake.ended() == 0 and not folder.parent.exists()


def test_folders_of_killed_workers_are_removed_by_the_next(fake, tmp_path):
    folder = Path(fake.ask("folder")["result"]["path"])
    fake.process.kill()
    fake.ended()
    assert folder.is_dir()
    with Peer(log=tmp_path / "log2") as following:
        following.next()
        following.ask("folder")
        assert not folder.exists()
        following.ask("shutdown")
        following.ended()


def test_the_end_of_standard_input_ends_the_worker_even_while_it_hangs(fake, scan, tmp_path):
    folder = Path(fake.ask("folder")["result"]["path"])
    fake.send("localize", **job(scan, tmp_path, name="hang"))
    while fake.next().get("stage") != "Computing":
        pass
    fake.process.stdin.close()
    assert fake.ended(timeout=8) == 0 and not folder.exists()


def test_sigterm_ends_the_worker_without_leftovers(fake):
    folder = Path(fake.ask("folder")["result"]["path"])
    fake.process.terminate()
    assert fake.ended() == 128 + signal.SIGTERM and not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="file descriptors are passed on in the POSIX way")
def test_the_worker_ends_with_its_parent_though_another_process_holds_its_input(tmp_path):
    # The parent hands the write end of the pipe to a sleeper, so that the worker never sees an end of input.
    parent = subprocess.Popen([sys.executable, "-c", f"""
import os, subprocess, sys, time
read, write = os.pipe()
out = open({str(tmp_path / "events")!r}, "wb")
worker = subprocess.Popen([sys.executable, "-m", "hrcam.worker"], stdin=read, stdout=out)
sleeper = subprocess.Popen(["sleep", "60"], pass_fds=[write])
print(worker.pid, sleeper.pid, flush=True)
time.sleep(60)
"""], stdout=subprocess.PIPE)
    worker, sleeper = map(int, parent.stdout.readline().split())
    try:
        assert wait_until(lambda: b"ready" in (tmp_path / "events").read_bytes(), 20)
        parent.kill()
        parent.wait()
        assert wait_until(lambda: not psutil.pid_exists(worker) or
                          psutil.Process(worker).status() == psutil.STATUS_ZOMBIE, 8)
    finally:
        os.kill(sleeper, signal.SIGKILL)
        parent.stdout.close()


def test_options_of_the_protocol_are_those_of_the_engine():
    schema = json.loads(resources.files("hrcam").joinpath("schemas/worker-request.schema.json").read_text())
    options = schema["$defs"]["options"]["properties"]
    assert set(options) == {f.name for f in dataclasses.fields(Options)}


@pytest.mark.parametrize(("error", "code"), [
    (InputError("a.", "b."), "input"),
    (BundleError("a.", "b."), "bundle"),
    (Cancelled(), "cancelled"),
    (HRCAMError("a.", "b."), "internal"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory"),
    (KeyError("x"), "internal"),
])
def test_each_kind_of_failure_has_a_code(error, code):
    assert describe(error)[0] == code
