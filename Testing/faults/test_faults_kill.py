"""Killed at every write: afterwards each result is whole or absent, and the next run completes what is missing."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from batch_data import FILES_ONLY, unfinished, write_scans
from hrcam import load_bundle
from hrcam.batch import case as batch_case
from hrcam.batch.run import run_batch
from hrcam.bundle.bundle import list_bundles
from hrcam.bundle.install import install_bundle
from hrcam.localize import Options, localize
from hrcam.output.writers import write_result
from hrcam.run.result import validate_result
from hrcam.scan.io.integrity import check_integrity
from hrcam.scan.volume import read_volume
from hrcam.worker.files import write_arrays

if not hasattr(os, "fork"):
    pytest.skip("processes are forked in the POSIX way", allow_module_level=True)

from kill_points import in_fork, killed_at_each_write, killed_in_the_middle_of_a_file, start_fork

CPU = Options(device="cpu")


@pytest.fixture(scope="module")
def scans(tmp_path_factory, blob_volume):
    return write_scans(tmp_path_factory.mktemp("scans"), blob_volume, 2)


@pytest.fixture(scope="module")
def results(scans, bright_blob_bundle):
    """By name of the case: volume and result, computed once, so that forked processes only write."""
    volumes = {f"scan{n}": read_volume(scans / f"scan{n}.nii.gz") for n in range(2)}
    return {name: (volume, localize(volume, bright_blob_bundle, CPU)) for name, volume in volumes.items()}


@pytest.fixture
def computed(results, monkeypatch):
    """`localize` of batches gives what was computed before."""
    monkeypatch.setattr(batch_case, "localize", lambda volume, *_: replace(results[volume.name][1], case=volume.name))
    monkeypatch.setattr(batch_case, "_PAUSE_S", 0.0)


def whole_or_absent(folder, name="scan1", map_file="map"):
    """Whether a case is there; everything with a visible name must be whole, and of one and the same run."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name.endswith((".nii.gz", ".nrrd")):
            check_integrity(path)
    path = folder / f"{name}_result.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    validate_result(document)
    assert all((folder / file).is_file() for file in document["files"].values())
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / document["files"][map_file])))
    assert float(image.max()) == pytest.approx(float(document["warnings"][0]) if document["warnings"] else image.max())
    return document


def marked(result, value):
    """A result whose map and JSON say the same number."""
    return replace(result, map=np.full_like(result.map, value), warnings=(str(value),))


def test_the_first_results_of_a_case_are_whole_or_absent(tmp_path, results, record_property):
    volume, result = results["scan1"]
    result, there = marked(result, 1.0), []
    for _ in killed_at_each_write(lambda: write_result(result, volume, tmp_path / "out", FILES_ONLY)):
        there.append(whole_or_absent(tmp_path / "out") is not None)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert len(there) >= 8 and there == sorted(there), "absent, and from one write on there"
    record_property("injected", len(there))


def test_replaced_results_are_the_former_the_new_or_absent_never_a_mixture(tmp_path, results, record_property):
    volume, result = results["scan1"]
    former, new = marked(result, 1.0), marked(result, 2.0)
    write_result(former, volume, tmp_path, FILES_ONLY)
    seen = []
    for _ in killed_at_each_write(lambda: write_result(new, volume, tmp_path, FILES_ONLY)):
        document = whole_or_absent(tmp_path)
        seen.append(document["warnings"][0] if document else None)
        write_result(former, volume, tmp_path, FILES_ONLY)
    assert {"1.0", None, "2.0"} == set(seen) and whole_or_absent(tmp_path)["warnings"] == ["2.0"]
    record_property("injected", len(seen))


@pytest.mark.parametrize("limit", [300, 3000])
def test_a_process_killed_within_a_file_leaves_no_result(limit, tmp_path, results, record_property):
    volume, result = results["scan1"]
    killed_in_the_middle_of_a_file(lambda: write_result(result, volume, tmp_path, FILES_ONLY), limit)
    assert whole_or_absent(tmp_path) is None and not [p for p in tmp_path.iterdir() if not p.name.startswith(".")]
    record_property("injected", 1)


def test_the_workers_files_are_whole_or_absent(tmp_path, results, record_property):
    _, result = results["scan1"]
    former, new, kills = marked(result, 1.0), marked(result, 2.0), 0
    write_arrays(former, tmp_path)
    for _ in killed_at_each_write(lambda: write_arrays(new, tmp_path)):
        kills += 1
        whole_or_absent(tmp_path)
        write_arrays(former, tmp_path)
    assert whole_or_absent(tmp_path)["warnings"] == ["2.0"]
    record_property("injected", kills)


def test_a_batch_killed_at_any_write_is_completed_by_the_next(
    tmp_path, scans, bright_blob_bundle, computed, record_property
):
    """Tables included: CSV and report are whole too, and nothing of the dead process is left behind."""
    out, kills = tmp_path / "out", 0

    def work():
        return run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, report=False)

    for _ in killed_at_each_write(work):
        kills += 1
        kept = [name for name in ("scan0", "scan1") if whole_or_absent(out, name)]
        table = out / "summary.csv"
        assert not table.exists() or len(table.read_text(encoding="utf-8").splitlines()) == 3
        again = work()
        assert again.exit_code == 0 and again.count("kept") >= len(kept)
        assert unfinished(out) == []
        assert all(whole_or_absent(out, name) for name in ("scan0", "scan1"))
        shutil.rmtree(out)
    assert kills > 20
    record_property("injected", kills)


def test_an_installed_model_is_the_former_the_new_or_absent(tmp_path, bright_blob_bundle, record_property):
    there, versions = tmp_path / "there", []
    newer = shutil.copytree(bright_blob_bundle.path, tmp_path / "newer")
    text = (newer / "metadata.json").read_text(encoding="utf-8").replace('"version": "1.0.0"', '"version": "2.0.0"')
    (newer / "metadata.json").write_text(text, encoding="utf-8")
    install_bundle(bright_blob_bundle.path, there)
    for _ in killed_at_each_write(lambda: install_bundle(newer, there, overwrite=True)):
        found = there / "bright-blob"
        versions.append(load_bundle(found).version if found.exists() else None)
        assert all(load_bundle(one.path).weights() for one in list_bundles(lambda *problem: pytest.fail(str(problem))))
        shutil.rmtree(there)
        shutil.copytree(bright_blob_bundle.path, there / "bright-blob")
    assert {"1.0.0", "2.0.0"} <= set(versions) <= {"1.0.0", "2.0.0", None}
    assert load_bundle(there / "bright-blob").version == "2.0.0"
    record_property("injected", len(versions))


def test_processes_that_share_a_folder_compute_each_case_once(
    tmp_path, blob_volume, bright_blob_bundle, results, monkeypatch, record_property
):
    """Three real processes, eight cases; one of them is killed in the middle."""
    scans, out, log = write_scans(tmp_path / "in", blob_volume, 8), tmp_path / "out", tmp_path / "log"
    log.touch()

    def compute(volume, *_):
        with log.open("a") as file:
            file.write(f"{os.getpid()} {volume.name}\n")
        if volume.name == "scan3" and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), 9)
        same = replace(results["scan1"][1], case=volume.name)
        source = {**same.provenance["input"], "content_hash": volume.content_hash, "source": volume.source}
        return replace(same, provenance={**same.provenance, "input": source})

    monkeypatch.setattr(batch_case, "localize", compute)
    work = lambda: run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, report=False)  # noqa: E731
    children = [start_fork(work) for _ in range(3)]
    codes = [os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
             for status in (os.waitpid(child, 0)[1] for child in children)]
    assert sorted(codes) == [0, 0, 9], "one was killed, the others finished everything"
    assert all(whole_or_absent(out, f"scan{n}") for n in range(8)) and unfinished(out) == []
    done = [line.split()[1] for line in log.read_text().splitlines()]
    assert sorted(done) == sorted([*(f"scan{n}" for n in range(8)), "scan3"]), "only the killed case was begun again"
    record_property("injected", 1)


def test_the_kill_points_notice_a_writer_that_is_not_atomic(tmp_path):
    """The check itself is checked: it finds writing in place."""
    path, seen = tmp_path / "file", set()

    def careless():
        path.write_text("")
        path.write_text("whole")

    for _ in killed_at_each_write(careless):
        seen.add(path.read_text() if path.exists() else None)
        path.unlink(missing_ok=True)
    assert "" in seen
    assert in_fork(lambda: 1 / 0) != 0
