"""``--dicom`` over many scans: resumed, isolated from one another, and never half-written."""

import errno

import pydicom
import pytest
from dicom_series import write_series
from hrcam.batch.run import run_batch
from hrcam.cli import app as cli
from hrcam.localize import Options
from hrcam.output.dicom import objects
from hrcam.output.writers import DICOM_OUTPUTS

pytest.importorskip("highdicom")

ENDS = {"levels_seg.dcm", "map_pm.dcm", "regions_sr.dcm", "regions_seg.dcm"}


@pytest.fixture
def subjects(tmp_path, blob_volume):
    """Three subjects with a series each; that of the last has a gap."""
    for n, name in enumerate(("anna", "berta", "clara")):
        (tmp_path / "in" / name).mkdir(parents=True)
        write_series(tmp_path / "in" / name / "t1", blob_volume((40, 44, 12), (1.1, 0.9, 3.5), lesion_ras=(6, -5, n)))
    (tmp_path / "in" / "clara" / "t1" / "IM005.dcm").unlink()
    return tmp_path / "in"


def written(folder, subject):
    """Ends of the files of a subject's scan."""
    return {end for path in folder.iterdir() for end in (*ENDS, "result.json")
            if path.name.startswith(subject) and path.name.endswith(f"_{end}")}


def test_a_batch_writes_dicom_of_each_scan_and_is_resumed(subjects, tmp_path, bright_blob_bundle, capsys):
    arguments = ["batch", str(subjects), "--model", str(bright_blob_bundle.path), "--out", str(tmp_path / "out"),
                 "--device", "cpu", "--no-overview", "--dicom"]
    assert cli.main(arguments) == 1
    assert "2 done" in capsys.readouterr().out
    for subject in ("anna", "berta"):
        assert written(tmp_path / "out", subject) == {*ENDS, "result.json"}
        (report,) = (tmp_path / "out").glob(f"{subject}*_regions_sr.dcm")
        assert pydicom.dcmread(report).PatientID == "made-1"
    assert not written(tmp_path / "out", "clara")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.dcm")}
    next((tmp_path / "out").glob("berta*_map_pm.dcm")).unlink()
    assert cli.main(arguments) == 1
    out = capsys.readouterr().out
    assert "1 done" in out and "1 kept" in out
    for path, stamp in times.items():
        assert (path.stat().st_mtime_ns == stamp) == path.name.startswith("anna")


def test_dicom_asked_for_later_is_added(subjects, tmp_path, bright_blob_bundle):
    options = Options(device="cpu")
    for outputs, status in ((("map",), "done"), (("map", *DICOM_OUTPUTS), "done"), (("map", *DICOM_OUTPUTS), "kept")):
        (row,) = run_batch([subjects / "anna"], bright_blob_bundle, tmp_path / "out", options, outputs).rows
        assert row.status == status, row.error
    assert written(tmp_path / "out", row.case) == {*ENDS, "result.json"}


def test_a_full_disk_in_the_middle_leaves_nothing_of_the_case(subjects, tmp_path, bright_blob_bundle, monkeypatch):
    real, full = objects.write_object, [True, False]

    def write(dataset, path):
        if path.name.endswith("_pm.dcm") and full.pop():
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(dataset, path)

    monkeypatch.setattr(objects, "write_object", write)
    done = run_batch([subjects / "anna", subjects / "berta"], bright_blob_bundle, tmp_path / "out",
                     Options(device="cpu"), DICOM_OUTPUTS, retries=0)
    kept, failed = done.rows
    assert (kept.status, failed.status) == ("done", "failed") and "No space left on device" in failed.error
    assert written(tmp_path / "out", kept.case) == {*ENDS, "result.json"}
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.lstrip(".").startswith(failed.case)]
