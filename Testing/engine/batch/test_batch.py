"""What a batch promises: every case on its own, resumed, claimed once, whole or absent, and told in tables."""

import csv
import dataclasses
import json
import shutil
import signal
import threading

import pytest
from batch_data import FILES_ONLY, start, unfinished, wait_until, write_scans
from hrcam.batch import case as batch_case
from hrcam.batch.run import run_batch
from hrcam.cli import app as cli
from hrcam.cli.batch import Remaining
from hrcam.errors import InputError, OutputError
from hrcam.localize import Options, localize
from hrcam.output.writers import write_result
from hrcam.scan.volume import read_volume

CPU = Options(device="cpu")


@pytest.fixture(scope="module")
def scans(tmp_path_factory, blob_volume):
    """Three scans, of which the second has a lesion."""
    return write_scans(tmp_path_factory.mktemp("scans"), blob_volume, 3)


@pytest.fixture(scope="module")
def finished_folder(tmp_path_factory, scans, bright_blob_bundle):
    out = tmp_path_factory.mktemp("finished")
    assert run([scans], bright_blob_bundle, out).exit_code == 0
    return out


@pytest.fixture
def finished(tmp_path, finished_folder):
    """A folder of results that a test may change."""
    return shutil.copytree(finished_folder, tmp_path / "finished")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(batch_case, "_PAUSE_S", 0.0)


def run(inputs, bundle, out, options=CPU, outputs=FILES_ONLY, **more):
    return run_batch(inputs, bundle, out, options, outputs, **{"report": False, **more})


def statuses(batch):
    return {row.case: row.status for row in batch.rows}


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("scan*")}


def test_each_scan_of_a_folder_gets_its_files_and_a_row(finished_folder):
    rows = list(csv.DictReader((finished_folder / "summary.csv").open(encoding="utf-8")))
    assert [(row["case"], row["status"], row["predicted"]) for row in rows] == [
        ("scan0", "done", "no_lesion"), ("scan1", "done", "lesion"), ("scan2", "done", "no_lesion")
    ]
    assert float(rows[1]["p_lesion"]) > 0.9 and rows[1]["level"] == "strong" and rows[0]["peak"] == ""
    assert float(rows[1]["peak_r"]) == pytest.approx(6.0, abs=2) and float(rows[1]["volume_ml"]) > 0
    for name in ("scan0", "scan1", "scan2"):
        assert {f"{name}_map.nii.gz", f"{name}_labels.nii.gz", f"{name}_result.json"} <= set(times(finished_folder))
    assert unfinished(finished_folder) == []


def test_the_parquet_table_says_the_same_as_the_csv(finished_folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(finished_folder / "summary.parquet").to_pylist()
    rows = list(csv.DictReader((finished_folder / "summary.csv").open(encoding="utf-8")))
    assert [row["case"] for row in table] == [row["case"] for row in rows]
    assert table[1]["p_lesion"] == pytest.approx(float(rows[1]["p_lesion"])) and table[0]["peak"] is None


def test_the_batch_finds_what_localize_finds(finished_folder, scans, bright_blob_bundle):
    alone = localize(scans / "scan1.nii.gz", bright_blob_bundle, CPU)
    document = json.loads((finished_folder / "scan1_result.json").read_text(encoding="utf-8"))
    assert document["probabilities"] == pytest.approx(alone.probabilities)
    assert document["regions"][0]["peak_ras"] == pytest.approx(alone.regions[0].peak_ras)


def test_a_second_run_keeps_everything_and_reads_no_voxel(finished, scans, bright_blob_bundle, monkeypatch):
    before = times(finished)
    monkeypatch.setattr(batch_case, "read_volume", lambda path: pytest.fail(f"{path} was read"))
    again = run([scans], bright_blob_bundle, finished)
    assert set(statuses(again).values()) == {"kept"} and again.exit_code == 0
    assert times(finished) == before
    assert again.rows[1].found["predicted"] == "lesion", "the tables tell of kept cases too"


def test_a_moved_or_touched_scan_is_kept_by_its_content(finished, scans, bright_blob_bundle, tmp_path):
    elsewhere = shutil.copytree(scans, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    assert set(statuses(run([elsewhere], bright_blob_bundle, finished)).values()) == {"kept"}


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"class_name": "no_lesion"}, "done"),
        ({"minimum_region_ml": 0.1}, "done"),
        ({"keep_levels": True}, "done"),
        ({"faithfulness": True}, "done"),
        ({"fusion": "sum"}, "kept"),
        ({"batch_size": 2}, "kept"),
    ],
)
def test_other_options_compute_again_where_they_change_the_result(options, status, finished, scans, bright_blob_bundle):
    batch = run([scans / "scan1.nii.gz"], bright_blob_bundle, finished, dataclasses.replace(CPU, **options))
    assert statuses(batch) == {"scan1": status}


def test_what_a_result_has_beyond_what_is_asked_for_is_kept(tmp_path, scans, bright_blob_bundle):
    more = dataclasses.replace(CPU, keep_levels=True, faithfulness=True)
    assert statuses(run([scans / "scan1.nii.gz"], bright_blob_bundle, tmp_path, more)) == {"scan1": "done"}
    for options in (more, CPU):
        assert statuses(run([scans / "scan1.nii.gz"], bright_blob_bundle, tmp_path, options)) == {"scan1": "kept"}
    (tmp_path / "scan1_stages.1_map.nii.gz").unlink()
    assert statuses(run([scans / "scan1.nii.gz"], bright_blob_bundle, tmp_path, CPU)) == {"scan1": "done"}
    assert not list(tmp_path.glob("scan1_stages*")), "of the maps of levels none or all"


def test_the_result_of_a_version_that_knew_fewer_options_is_kept(finished, scans, bright_blob_bundle):
    path = finished / "scan1_result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["provenance"]["options"]["faithfulness"]
    path.write_text(json.dumps(document), encoding="utf-8")
    kept, asked = CPU, dataclasses.replace(CPU, faithfulness=True)
    assert statuses(run([scans / "scan1.nii.gz"], bright_blob_bundle, finished, kept)) == {"scan1": "kept"}
    assert statuses(run([scans / "scan1.nii.gz"], bright_blob_bundle, finished, asked)) == {"scan1": "done"}


def test_a_missing_or_new_output_computes_again(finished, scans, bright_blob_bundle):
    (finished / "scan0_map.nii.gz").unlink()
    (finished / "scan2_result.json").write_text("{", encoding="utf-8")
    assert statuses(run([scans], bright_blob_bundle, finished)) == {"scan0": "done", "scan1": "kept", "scan2": "done"}
    more = run([scans / "scan1.nii.gz"], bright_blob_bundle, finished, outputs=("map", "labels", "levels"))
    assert statuses(more) == {"scan1": "done"} and (finished / "scan1_levels.seg.nrrd").exists()


def test_a_changed_scan_is_computed_again(finished, scans, bright_blob_bundle, blob_volume, tmp_path):
    moved = shutil.copytree(scans, tmp_path / "moved")
    assert set(statuses(run([moved], bright_blob_bundle, finished, overwrite=True)).values()) == {"done"}
    shutil.copyfile(moved / "scan1.nii.gz", moved / "scan0.nii.gz")
    batch = run([moved], bright_blob_bundle, finished)
    assert statuses(batch) == {"scan0": "done", "scan1": "kept", "scan2": "kept"}
    assert batch.rows[0].found["predicted"] == "lesion"


def test_results_of_another_scan_with_the_same_name_are_not_replaced(finished, scans, bright_blob_bundle, tmp_path):
    other = tmp_path / "other" / "scan0.nii.gz"
    other.parent.mkdir()
    shutil.copyfile(scans / "scan1.nii.gz", other)
    before = times(finished)
    batch = run([other], bright_blob_bundle, finished)
    assert batch.rows[0].status == "failed" and "another scan" in batch.rows[0].error and "--out" in batch.rows[0].hint
    assert times(finished) == before
    assert statuses(run([other], bright_blob_bundle, finished, overwrite=True)) == {"scan0": "done"}


def test_results_of_hrcam_localize_are_kept_by_a_batch(tmp_path, scans, bright_blob_bundle):
    volume = read_volume(scans / "scan1.nii.gz")
    write_result(localize(volume, bright_blob_bundle, CPU), volume, tmp_path, FILES_ONLY)
    assert statuses(run([scans / "scan1.nii.gz"], bright_blob_bundle, tmp_path)) == {"scan1": "kept"}


def test_a_bad_case_is_a_row_with_words_and_never_stops_the_others(tmp_path, scans, bright_blob_bundle):
    broken = tmp_path / "in" / "broken.nii.gz"
    broken.parent.mkdir()
    broken.write_bytes(b"junk")
    batch = run([broken, tmp_path / "absent.nrrd", scans], bright_blob_bundle, tmp_path / "out")
    assert [row.status for row in batch.rows] == ["failed", "failed", "done", "done", "done"] and batch.exit_code == 1
    assert "damaged" in batch.rows[0].error and batch.rows[0].hint and batch.rows[0].attempts == 1
    assert "absent.nrrd" in batch.rows[1].error
    rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").open(encoding="utf-8")))
    assert rows[0]["error"] == batch.rows[0].error and rows[0]["predicted"] == ""


def test_an_error_that_may_pass_is_tried_again(tmp_path, scans, bright_blob_bundle, monkeypatch):
    tries = []

    def failing(*given, **options):
        tries.append(1)
        if len(tries) < 3:
            raise OSError(28, "No space left on device")
        return write_result(*given, **options)

    monkeypatch.setattr(batch_case, "write_result", failing)
    once = run([scans / "scan0.nii.gz"], bright_blob_bundle, tmp_path, retries=1)
    assert once.rows[0].status == "failed" and once.rows[0].attempts == 2 and "No space left" in once.rows[0].error
    assert run([scans / "scan0.nii.gz"], bright_blob_bundle, tmp_path, retries=1).rows[0].status == "done"


def test_two_batches_on_one_folder_share_the_work_and_compute_nothing_twice(tmp_path, scans, bright_blob_bundle):
    barrier, batches = threading.Barrier(2), []

    def work():
        barrier.wait()
        batches.append(run([scans], bright_blob_bundle, tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(batches) == 2 and all(batch.exit_code == 0 for batch in batches), "both tell of all cases"
    for case in ("scan0", "scan1", "scan2"):
        assert sorted(statuses(batch)[case] for batch in batches) == ["done", "kept"]
    assert unfinished(tmp_path) == []


def test_a_killed_batch_is_completed_by_the_next_one(tmp_path, blob_volume, bright_blob_bundle):
    scans, out = write_scans(tmp_path / "in", blob_volume, 8), tmp_path / "out"
    process = start("hrcam", "batch", scans, "--out", out, "--model", bright_blob_bundle.path, "--no-overview",
                    "--no-report", "--device", "cpu", "--quiet")
    wait_until(lambda: list(out.glob("*_result.json")) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was killed before its end"
    complete = {path: path.stat().st_mtime_ns for path in out.glob("*_result.json")}
    batch = run([scans], bright_blob_bundle, out)
    assert batch.exit_code == 0 and batch.count("kept") == len(complete) and batch.count("done") == 8 - len(complete)
    assert {path: path.stat().st_mtime_ns for path in complete} == complete, "nothing is computed twice"
    assert unfinished(out) == [], "nothing half stays"


def test_only_the_own_half_written_files_are_cleared(tmp_path, scans, bright_blob_bundle):
    for holder, file in ((".scan0-abcdefgh", "scan0_map.nii.gz"), (".scan0-ijklmnop", "scan0_stages.0_map.nii.gz"),
                         (".scan0-unpacked", "scan0_labels.nii"),
                         (".scan0-qrstuvwx", "notes.txt"), (".scan7-abcdefgh", "scan7_map.nii.gz")):
        (tmp_path / holder).mkdir()
        (tmp_path / holder / file).touch()
    run([scans / "scan0.nii.gz"], bright_blob_bundle, tmp_path)
    assert sorted(unfinished(tmp_path)) == [".scan0-qrstuvwx", ".scan7-abcdefgh"]


def test_a_cancelled_batch_says_what_was_not_run(tmp_path, scans, bright_blob_bundle):
    told = []
    batch = run([scans], bright_blob_bundle, tmp_path, progress=lambda *heard: told.append(heard),
                cancelled=lambda: len(told) == 2)
    assert [row.status for row in batch.rows] == ["done", "done", "not run"] and batch.exit_code == 1
    assert [(done, total, row.case) for done, total, row in told] == [(1, 3, "scan0"), (2, 3, "scan1")]
    rows = list(csv.DictReader((tmp_path / "summary.csv").open(encoding="utf-8")))
    assert rows[2]["status"] == "not run"


def test_results_inside_the_input_folder_are_no_input(tmp_path, blob_volume, bright_blob_bundle):
    scans = write_scans(tmp_path / "in", blob_volume, 1)
    levels = dataclasses.replace(CPU, keep_levels=True)
    for _ in range(2):
        batch = run([scans], bright_blob_bundle, scans / "out", levels)
        assert [row.case for row in batch.rows] == ["scan0"]
    with pytest.raises(InputError, match="both input and output"):
        run([scans], bright_blob_bundle, scans)


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path, scans, bright_blob_bundle):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        run([scans], bright_blob_bundle, tmp_path / "file" / "out")


def test_the_command_has_exit_codes_and_says_where_results_are(tmp_path, scans, bright_blob_bundle, capsys):
    def call(*arguments):
        code = cli.main(["batch", *map(str, arguments), "--model", str(bright_blob_bundle.path), "--no-overview"])
        return code, capsys.readouterr()

    code, heard = call(scans / "scan1.nii.gz", "--out", tmp_path / "out")
    assert code == 0 and "scan1: done lesion" in heard.out and "report.html and summary.csv" in heard.out
    code, heard = call(scans / "scan1.nii.gz", scans / "absent.nrrd", "--out", tmp_path / "out")
    assert code == 1 and "absent" in heard.err and "1 kept from an earlier run, 1 failed" in heard.out
    assert call(scans, "--out", scans)[0] == 2, "input is output"
    assert call(scans, "--out", tmp_path / "out", "--class", "glioma")[0] == 2
    assert call(scans)[0] == 2, "--out is missing"
    assert call(scans / "scan0.nii.gz", "--out", tmp_path / "few", "--no-map", "--no-report")[0] == 0
    assert {path.name for path in (tmp_path / "few").glob("scan0*")} == {
        "scan0_labels.nii.gz", "scan0_levels.seg.nrrd", "scan0_result.json"
    }


def test_the_command_keeps_levels_and_tests_faithfulness_on_request(tmp_path, scans, bright_blob_bundle):
    assert cli.main(["batch", *map(str, (scans / "scan0.nii.gz", scans / "scan1.nii.gz")), "--out", str(tmp_path),
                     "--model", str(bright_blob_bundle.path), "--no-overview", "--keep-levels", "--faithfulness"]) == 0
    for name in ("scan0", "scan1"):
        assert len(list(tmp_path.glob(f"{name}_stages.*_map.nii.gz"))) == 2
    found = json.loads((tmp_path / "scan1_result.json").read_text(encoding="utf-8"))["faithfulness"]
    rows = list(csv.DictReader((tmp_path / "summary.csv").open(encoding="utf-8")))
    assert rows[0]["faithfulness"] == "", "without a region there is nothing to test"
    assert float(rows[1]["faithfulness"]) == pytest.approx(found["score"]) and found["score"] > 4
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("Without region 1 the log-odds of lesion fall by") == 1


def test_a_long_batch_says_how_long_it_will_take():
    now = [0.0]
    remaining = Remaining(lambda: now[0])

    def after(seconds, left, computed=True):
        now[0] += seconds
        return remaining(left, computed)

    assert after(50, 5000, computed=False) == "", "kept cases tell nothing"
    assert after(4, 4999) == ", about 6 h left"
    assert after(4, 100, computed=False) == ", about 13 min left"
    assert after(2, 20) == ", less than 2 min left"
    assert after(90000, 10) == ", about 3 days left"
    assert after(1, 0) == "", "nothing is left"


def test_what_is_no_scan_is_a_line_of_the_tables_and_no_failure(tmp_path, scans, bright_blob_bundle):
    from corpus.dicom_objects import OBJECTS, write_object

    study = shutil.copytree(scans, tmp_path / "study")
    write_object(study / "plans" / "plan.dcm", OBJECTS["plan"][0])
    batch = run([study], bright_blob_bundle, tmp_path / "out", report=True)
    assert batch.exit_code == 0 and statuses(batch)["plans"] == "passed over" and len(batch.rows) == 4
    with (tmp_path / "out" / "summary.csv").open(newline="", encoding="utf-8") as file:
        (line,) = [row for row in csv.DictReader(file) if row["case"] == "plans"]
    assert line["error"] == "it holds DICOM objects, but no image"
    assert "Passed over, no scans (1)" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
