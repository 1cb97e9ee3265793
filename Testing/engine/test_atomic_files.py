"""What is on the disk when the power goes, and whose files lie together when two write at once."""

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hrcam import atomic_files
from hrcam.errors import OutputError
from hrcam.localize import Options, localize
from hrcam.output.writers import write_result

FAST = ("map", "labels")


@pytest.fixture(scope="module")
def scan(blob_volume):
    return blob_volume((40, 44, 12), (1.1, 0.9, 3.5))


@pytest.fixture(scope="module")
def result(bright_blob_bundle, scan):
    return localize(scan, bright_blob_bundle, Options(device="cpu"))


def test_content_reaches_the_disk_before_its_name_and_the_json_comes_last(tmp_path, scan, result, monkeypatch):
    done, real_replace, real_fsync = [], Path.replace, os.fsync

    def fsync(handle):
        done.append(("content", Path(f"/proc/self/fd/{handle}").resolve().name))
        real_fsync(handle)

    def rename(self, target):
        done.append(("name", Path(target).name))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    files = [path.name for path in write_result(result, scan, tmp_path, FAST).values()]
    for file in files:
        assert done.index(("content", file)) < done.index(("name", file))
    assert done[-3:] == [("content", tmp_path.name), ("name", files[-1]), ("content", tmp_path.name)]
    assert files[-1] == "blob_result.json"


def test_two_writers_of_one_case_never_mix_their_files(tmp_path, scan, result):
    """Each map holds its writer's number, and so does the JSON: whoever comes last, both are of the same one."""
    versions = [replace(result, map=np.full_like(result.map, n), warnings=(str(n),)) for n in range(2)]
    start, mixed = threading.Barrier(2), []

    def work(own):
        start.wait()
        for _ in range(12):
            write_result(versions[own], scan, tmp_path, FAST)
            with atomic_files.locked(tmp_path):
                stated = json.loads((tmp_path / "blob_result.json").read_text(encoding="utf-8"))["warnings"]
                found = SimpleITK.ReadImage(str(tmp_path / "blob_map.nii.gz"))[0, 0, 0]
                mixed.append(stated != [f"{found:g}"])

    threads = [threading.Thread(target=work, args=(own,)) for own in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(mixed) == 24 and not any(mixed)
    assert {path.name for path in tmp_path.iterdir()} == {"blob_map.nii.gz", "blob_labels.nii.gz", "blob_result.json"}


def test_of_two_writers_that_may_not_overwrite_only_one_wins(tmp_path, scan, result):
    start, outcomes = threading.Barrier(4), []

    def work():
        start.wait()
        try:
            write_result(result, scan, tmp_path, FAST, overwrite=False)
            outcomes.append("written")
        except OutputError as error:
            outcomes.append("exists already" in str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["True", "True", "True", "written"]


def test_a_folder_that_another_process_keeps_is_told_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files, "PATIENCE_S", 0.05)
    with (
        atomic_files.locked(tmp_path),
        pytest.raises(OutputError, match="keeps the folder"),
        atomic_files.locked(tmp_path),
    ):
        pass
    with atomic_files.locked(tmp_path):
        pass  # free again


def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("lack", ["locks", "handles of folders", "fcntl"])
def test_a_file_system_without_locks_and_syncs_of_folders_takes_results_all_the_same(
    lack, tmp_path, scan, result, monkeypatch
):
    """Network drives, and Windows."""
    fcntl, real_open, real_fsync = pytest.importorskip("fcntl"), os.open, os.fsync
    if lack == "locks":
        monkeypatch.setattr(fcntl, "flock", refuse)
        monkeypatch.setattr(os, "fsync", lambda file: refuse() if Path(f"/proc/self/fd/{file}").is_dir() else
                            real_fsync(file))
    elif lack == "fcntl":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    else:
        monkeypatch.setattr(os, "open", lambda path, flags, *rest, **more:
                            refuse() if Path(path) == tmp_path else real_open(path, flags, *rest, **more))
    written = write_result(result, scan, tmp_path, FAST)
    assert sorted(tmp_path.iterdir()) == sorted(written.values()) and len(written) == 3


LIMITED = """
import resource, signal, sys
import numpy as np
from hrcam.errors import OutputError
from hrcam.scan.geometry import Geometry
from hrcam.run.result import EvidenceLevel, Result, SliceEvidence
from hrcam.scan.volume import Volume
from hrcam.worker.files import write_arrays
from hrcam.output.writers import write_result
from pathlib import Path

writer, folder, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
noise = np.random.default_rng(0).normal(size=(24, 40, 40)).astype(np.float32)
grid = Geometry((40, 40, 24), (0, 0, 0), (1, 1, 1), np.eye(3))
result = Result("noise", {"a": 0.5, "b": 0.5}, "a", "a", noise, (noise > 0).astype(np.uint8),
                (EvidenceLevel("strong", 0.0, (1, 0, 0)),), (), (SliceEvidence(0, (0, 0, 0), 0.0, {}),), "axial", grid,
                provenance={"hrcam_version": "0", "options": {}, "input": {"source": "", "content_hash": ""},
                            "model": {"name": "m", "version": "1", "sha256": ""}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    if writer == "worker":
        write_arrays(result, folder)
    else:
        write_result(result, Volume(noise, grid, "noise"), folder, writer.split(","))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="the limit of a file's size is POSIX's")
@pytest.mark.parametrize("writer", ["map", "labels", "levels", "overview", "worker"])
def test_a_file_that_does_not_fit_on_the_disk_is_an_error_and_nothing_is_left(writer, tmp_path):
    """The operating system cuts the file off in the middle; ITK, left to itself, says nothing for NIfTI."""
    limit = {"labels": 2000, "levels": 2000}.get(writer, 20000)
    done = subprocess.run([sys.executable, "-c", LIMITED, writer, str(tmp_path), str(limit)], capture_output=True,
                          text=True, check=True)
    assert "cannot be written" in done.stdout and "disk full" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []
