"""The process that writes a result's files for the panel."""

import json
import os
import subprocess
import sys

import pytest
from hrcam.localize import Options, localize
from hrcam.scan.io.raw_nrrd import write_raw


@pytest.fixture(scope="module")
def found(bright_blob_bundle, blob_volume):
    scan = blob_volume(name="case")
    return scan, localize(scan, bright_blob_bundle, Options(device="cpu", keep_levels=True))


@pytest.fixture
def job(found, tmp_path):
    """A job's folder, its request, and how to run it: gives (exit code, answer)."""
    scan, result = found
    folder = tmp_path / "job"
    folder.mkdir()
    arrays = {"scan": scan.array, "map": result.map, "labels": result.labels}
    for name, array in arrays.items():
        write_raw(folder / f"{name}.nrrd", array, scan.geometry.ijk_to_lps)
    request = {"document": result.to_json(), **{name: f"{name}.nrrd" for name in arrays}, "levels": {}, "name": "case",
               "source": "", "dicom_files": [], "kinds": ["segmentation", "report"], "target": str(tmp_path / "out")}

    def run(**changes):
        (folder / "job.json").write_text(json.dumps(request | changes), encoding="utf-8")
        command = [sys.executable, "-m", "hrcam.worker.export", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=100, env={**os.environ, "HRCAM_MODELS": ""})
        *shares, answer = map(json.loads, done.stdout.splitlines())
        assert [one["progress"] for one in shares] == sorted(one["progress"] for one in shares)
        return done.returncode, answer

    return folder, run


def test_the_chosen_files_are_written_and_named(job, tmp_path, found):
    _folder, run = job
    code, answer = run()
    assert code == 0 and sorted(answer["files"]) == ["report", "segmentation"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["case_levels.seg.nrrd", "case_result.json"]
    report = json.loads((tmp_path / "out" / "case_result.json").read_text(encoding="utf-8"))
    assert len(report["regions"]) == len(found[1].regions)


def test_level_maps_are_written_too(job, tmp_path, found):
    folder, run = job
    scan, result = found
    levels = {}
    for number, (level, array) in enumerate(result.level_maps.items()):
        write_raw(folder / f"level{number}.nrrd", array, scan.geometry.ijk_to_lps)
        levels[level] = f"level{number}.nrrd"
    code, answer = run(levels=levels, kinds=["map"])
    assert code == 0 and set(answer["files"]) == {"map", *(f"map_{level}" for level in levels)}


def test_what_goes_wrong_is_said_in_words_and_leaves_nothing(job, tmp_path):
    _folder, run = job
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, answer = run(target=str(tmp_path / "file"))
    assert code == 1 and "Choose another folder." in answer["message"]
    code, answer = run(kinds=["pdf"])
    assert code == 1 and 'no "pdf"' in answer["message"] and not (tmp_path / "out").exists()
