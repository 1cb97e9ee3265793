"""The system says no: full disks, folders that are read-only or none, clocks that jump, users who press Ctrl+C."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
import SimpleITK
from batch_data import FILES_ONLY, write_scans
from hrcam import localize as steps
from hrcam.batch import case as batch_case
from hrcam.batch.run import run_batch
from hrcam.cli import app as cli
from hrcam.errors import Cancelled, OutputError
from hrcam.localize import Options, localize
from hrcam.output import files_together, nifti
from hrcam.output.writers import write_result
from hrcam.scan import volume as reading
from hrcam.scan.volume import to_sitk
from hrcam.worker import files as worker_files
from hrcam.worker.files import write_arrays

CPU = Options(device="cpu")


@pytest.fixture(scope="module")
def scan(blob_volume):
    return blob_volume((48, 52, 6), (1.0, 1.0, 6.0))


@pytest.fixture(scope="module")
def result(scan, bright_blob_bundle):
    return localize(scan, bright_blob_bundle, CPU)


@pytest.fixture
def scan_file(tmp_path, scan):
    path = tmp_path / "in" / "scan.nii.gz"
    path.parent.mkdir()
    SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(path))
    return path


@pytest.fixture
def mounted(tmp_path):
    """Mount a file system in memory on a folder: ``mounted("size=64k")``; skips where that is not allowed."""
    places = []

    def mount(options):
        place = tmp_path / f"mounted{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True,
                              text=True, check=False) if sys.platform == "linux" and os.geteuid() == 0 else None
        if done is None or done.returncode:
            pytest.skip("file systems can be mounted by root alone")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=True)


def command(scan_file, bundle, out, *more):
    return cli.main(["localize", str(scan_file), "--model", str(bundle.path), "--device", "cpu", "--out", str(out),
                     "--no-overview", *more])


@pytest.mark.parametrize("kilobytes", [4, 12, 24])
def test_a_really_full_disk_is_told_and_left_empty(kilobytes, mounted, scan, result, record_property):
    disk = mounted(f"size={kilobytes}k")
    for write in (lambda: write_result(result, scan, disk), lambda: write_arrays(result, disk)):
        with pytest.raises(OutputError, match="cannot be written") as caught:
            write()
        assert "full" in caught.value.hint or "space" in caught.value.message
        assert list(disk.iterdir()) == []
    record_property("injected", 2)


def test_a_batch_on_a_full_disk_fails_in_words_and_goes_on_when_there_is_room(
    mounted, scan_file, bright_blob_bundle, capsys, record_property
):
    disk = mounted("size=48k")
    (disk / "others").write_bytes(bytes(36 << 10))
    arguments = ["batch", str(scan_file), "--model", str(bright_blob_bundle.path), "--device", "cpu", "--out",
                 str(disk), "--no-overview", "--no-report", "--retries", "0"]
    assert cli.main(arguments) == 1
    heard = capsys.readouterr()
    assert "cannot be written" in heard.err + heard.out and "Traceback" not in heard.err
    assert not list(disk.glob("scan_*"))
    (disk / "others").unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    assert cli.main(arguments) == 0 and (disk / "scan_result.json").exists()
    record_property("injected", 1)


def test_a_read_only_folder_is_told_by_a_batch_before_anything_is_computed(
    mounted, scan_file, bright_blob_bundle, capsys, monkeypatch, record_property
):
    disk = mounted("size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert command(scan_file, bright_blob_bundle, disk) == 1
    assert "Read-only file system" in capsys.readouterr().err
    monkeypatch.setattr(batch_case, "localize", lambda *_: pytest.fail("computed in vain"))
    with pytest.raises(OutputError, match="Read-only file system"):
        run_batch([scan_file], bright_blob_bundle, disk, CPU, FILES_ONLY)
    record_property("injected", 2)


@pytest.mark.parametrize("way", ["a file", "a file in the path", "a link to nowhere"])
def test_an_output_that_is_no_folder_is_told_and_not_touched(
    way, tmp_path, scan_file, bright_blob_bundle, capsys, record_property
):
    thing = tmp_path / "thing"
    if way == "a link to nowhere":
        thing.symlink_to(tmp_path / "nowhere" / "deep")
    else:
        thing.write_text("precious")
    out = thing / "out" if way == "a file in the path" else thing
    assert command(scan_file, bright_blob_bundle, out) == 1
    heard = capsys.readouterr().err
    assert "cannot be written" in heard and "Traceback" not in heard
    assert thing.is_symlink() or thing.read_text() == "precious"
    record_property("injected", 1)


FAILING_CALLS = ["mkdtemp", "mkdir", "replace", "fsync"]


@pytest.mark.parametrize("call", FAILING_CALLS)
@pytest.mark.parametrize("number", [28, 30, 122, 5], ids=["full", "read-only", "quota", "input-output"])
def test_whichever_call_the_system_refuses_nothing_is_left(
    call, number, tmp_path, scan, result, monkeypatch, record_property
):
    injected = 0
    for after in itertools.count():
        counted = []

        def refuse(real, counted=counted, after=after):
            def called(*given, **named):
                counted.append(1)
                if len(counted) > after:
                    raise OSError(number, os.strerror(number))
                return real(*given, **named)

            return called

        owner = {"mkdtemp": files_together.tempfile, "mkdir": os, "replace": os, "fsync": os}[call]
        target = tmp_path / f"{after}"
        with monkeypatch.context() as patch:
            patch.setattr(owner, call, refuse(getattr(owner, call)))
            try:
                write_result(result, scan, target, FILES_ONLY)
            except OutputError as error:
                assert os.strerror(number) in str(error) and error.hint
                assert not target.exists() or list(target.iterdir()) == []
                injected += 1
            if len(counted) <= after:
                break
    assert injected or call == "fsync"
    record_property("injected", injected)


STAGE_CALLS = {
    "Reading": (reading, "read_volume"),
    "Checking": (steps, "check_volume"),
    "Preparing": (steps, "_plans"),
    "Computing": (steps, "_run"),
    "Mapping": (steps, "join_planes"),
    "Finding regions": (steps, "find_regions"),
    "Writing": (files_together, "_write_json"),
}


def test_every_stage_is_interrupted_below():
    assert list(STAGE_CALLS) == list(steps.STAGES)


@pytest.mark.parametrize("stage", STAGE_CALLS)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_an_interruption_in_any_stage_leaves_nothing(
    stage, kind, tmp_path, scan_file, bright_blob_bundle, monkeypatch, capsys, record_property
):
    def interrupted(*_, **__):
        raise kind

    monkeypatch.setattr(*STAGE_CALLS[stage], interrupted)
    code = command(scan_file, bright_blob_bundle, tmp_path / "out", "--quiet")
    assert code == (130 if kind is KeyboardInterrupt else 1)
    heard = capsys.readouterr()
    assert heard.out == "" and "Traceback" not in heard.err and len(heard.err.strip().splitlines()) <= 1
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    record_property("injected", 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_request_to_end_while_files_are_written_leaves_nothing(
    name, tmp_path, scan_file, bright_blob_bundle, monkeypatch, capsys, record_property
):
    number, pack = getattr(signal, name), nifti._pack

    def told_to_end(*paths):
        pack(*paths)
        signal.raise_signal(number)

    before = signal.signal(number, signal.SIG_DFL)
    try:
        monkeypatch.setattr(nifti, "_pack", told_to_end)
        assert command(scan_file, bright_blob_bundle, tmp_path / "out", "--quiet") == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert list((tmp_path / "out").iterdir()) == [] and "Traceback" not in capsys.readouterr().err
    record_property("injected", 1)


def test_cancelling_at_every_poll_ends_with_cancelled_and_nothing_else(
    bright_blob_bundle, scan, record_property
):
    options = Options(device="cpu", batch_size=1, plane="all")
    for after in itertools.count():
        asked = []

        def cancelled(asked=asked, after=after):
            asked.append(1)
            return len(asked) > after

        try:
            localize(scan, bright_blob_bundle, options, cancelled=cancelled)
        except Cancelled:
            assert len(asked) == after + 1
            continue
        break
    assert after > len(steps.STAGES), "polled between batches, too"
    record_property("injected", after)


def test_a_clock_that_jumps_harms_neither_results_nor_resuming(
    tmp_path, blob_volume, bright_blob_bundle, monkeypatch, record_property
):
    """The clock runs backwards; scans are newer and results older than now: content decides, not time."""
    scans, out = write_scans(tmp_path / "in", blob_volume, 2), tmp_path / "out"
    now = itertools.count(2e9, -3600)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: float(next(now)))
        first = run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, report=False)
        assert first.count("done") == 2 and all(row.seconds >= 0 for row in first.rows) and first.seconds >= 0
    for path in out.iterdir():
        os.utime(path, (1, 1))
    assert run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, report=False).count("kept") == 2
    changed = scans / "scan0.nii.gz"
    changed.write_bytes((scans / "scan1.nii.gz").read_bytes())
    os.utime(changed, (1, 1))  # older than its result, and different
    batch = run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, report=False)
    assert [row.status for row in batch.rows] == ["done", "kept"]
    record_property("injected", 3)


def test_folders_of_intermediate_files_are_private(tmp_path, scan, result, monkeypatch):
    """Whatever the user's mask allows others to read, what is not finished is nobody else's."""
    modes, real = [], worker_files.tempfile.mkdtemp

    def watched(*given, **named):
        made = real(*given, **named)
        modes.append(os.stat(made).st_mode & 0o777)  # noqa: PTH116
        return made

    mask = os.umask(0)
    try:
        monkeypatch.setattr(files_together.tempfile, "mkdtemp", watched)
        write_result(result, scan, tmp_path / "a", FILES_ONLY)
        write_arrays(result, tmp_path / "b")
    finally:
        os.umask(mask)
    assert modes == [0o700, 0o700]


def test_the_table_of_an_interrupted_batch_tells_what_was_done(
    tmp_path, blob_volume, bright_blob_bundle, record_property
):
    scans, out = write_scans(tmp_path / "in", blob_volume, 3), tmp_path / "out"

    def interrupt(finished, total, row):
        if finished == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, report=False, progress=interrupt)
    rows = list(csv.DictReader((out / "summary.csv").open(encoding="utf-8")))
    assert [row["status"] for row in rows] == ["done", "done", "not run"]
    record_property("injected", 1)
