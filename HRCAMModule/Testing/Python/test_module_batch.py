"""The batch script as Slicer runs it: arguments, exit codes, one bad case, resuming."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from module_scene import sceneNodes

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")
sitk = pytest.importorskip("SimpleITK")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def batch(panel):
    sys.path.insert(0, str(ROOT / "HRCAMModule"))
    import HRCAMBatch

    return HRCAMBatch


@pytest.fixture
def scans(tmp_path, blob_volume):
    """A folder with two good scans and one that is no image."""
    from hrcam.scan.volume import to_sitk

    folder = tmp_path / "scans"
    folder.mkdir()
    for name, lesion in (("ill", (6, -5, 4)), ("well", None)):
        volume = blob_volume(lesion_ras=lesion)
        sitk.WriteImage(to_sitk(np.ascontiguousarray(volume.array), volume.geometry), str(folder / f"{name}.nrrd"))
    (folder / "broken.nrrd").write_bytes(b"NRRD0004\nnot an image")
    return folder


def rows(output):
    with (output / "summary.csv").open(encoding="utf-8", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_one_bad_case_does_not_stop_the_others_and_shows_in_the_exit_code(batch, scans, tmp_path):
    output, nodes = tmp_path / "out", sceneNodes()
    code = batch.main(["--input", str(scans), "--output", str(output), "--model", "bright-blob", "--no-overview"])
    assert code == 1
    table = rows(output)
    assert table["ill"]["status"] == table["well"]["status"] == "done"
    assert table["ill"]["predicted"] == "lesion" and table["well"]["regions"] == "0"
    assert table["broken"]["status"] == "failed" and table["broken"]["error"]
    for name in ("ill_result.json", "ill_map.nii.gz", "ill_levels.seg.nrrd", "ill_labels.nii.gz", "hrcam_batch.log"):
        assert (output / name).is_file(), name
    assert not [path for path in output.iterdir() if path.name.startswith("broken")]
    assert sceneNodes() == nodes


def test_a_second_run_skips_what_is_finished_unless_the_options_changed(batch, scans, tmp_path):
    (scans / "broken.nrrd").unlink()
    common = ["--input", str(scans / "*.nrrd"), "--output", str(tmp_path / "out"), "--model", "bright-blob",
              "--no-overview"]
    assert batch.main(common) == 0
    assert batch.main(common) == 0
    assert {row["status"] for row in rows(tmp_path / "out").values()} == {"kept"}
    assert batch.main([*common, "--plane", "sagittal"]) == 0
    assert {row["status"] for row in rows(tmp_path / "out").values()} == {"done"}


def test_regions_smaller_than_asked_for_are_left_out(batch, scans, tmp_path):
    (scans / "broken.nrrd").unlink()
    common = ["--input", str(scans), "--output", str(tmp_path / "out"), "--model", "bright-blob", "--no-overview"]
    assert batch.main([*common, "--minimum-region", "0"]) == 0
    assert int(rows(tmp_path / "out")["ill"]["regions"]) >= 1
    assert batch.main([*common, "--minimum-region", "1000"]) == 0
    assert rows(tmp_path / "out")["ill"]["regions"] == "0"


def test_levels_and_faithfulness_are_written_on_request(batch, scans, tmp_path):
    import json

    output = tmp_path / "out"
    common = ["--input", str(scans / "ill.nrrd"), "--output", str(output), "--model", "bright-blob", "--no-overview"]

    def run(*more):
        assert batch.main([*common, *more]) == 0
        return rows(output)["ill"], sorted(path.name for path in output.glob("ill_*_map.nii.gz"))

    row, levels = run()
    assert (row["status"], row["faithfulness"], levels) == ("done", "", [])
    row, levels = run("--keep-levels", "--faithfulness")
    assert row["status"] == "done" and levels == ["ill_stages.0_map.nii.gz", "ill_stages.1_map.nii.gz"]
    score = json.loads((output / "ill_result.json").read_text(encoding="utf-8"))["faithfulness"]["score"]
    assert score > 4 and float(row["faithfulness"]) == score
    maps = [sitk.GetArrayFromImage(sitk.ReadImage(str(output / name))) for name in ("ill_map.nii.gz", *levels)]
    np.testing.assert_allclose(maps[1] + maps[2], maps[0], atol=1e-3)
    for more in (["--keep-levels", "--faithfulness"], ["--keep-levels"], []):
        assert run(*more)[0]["status"] == "kept", "it has what is asked for"
    row, levels = run("--plane", "sagittal")
    assert (row["status"], levels) == ("done", []), "maps of levels in another plane are gone"


def test_a_file_of_a_finished_case_that_is_missing_is_written_again(batch, scans, tmp_path):
    output = tmp_path / "out"
    common = ["--input", str(scans / "ill.nrrd"), "--output", str(output), "--model", "bright-blob"]
    assert batch.main([*common, "--no-overview"]) == 0
    for gone, more in (("ill_map.nii.gz", []), ("ill_overview.png", []), ("ill_scene.mrb", ["--scene"])):
        (output / gone).unlink(missing_ok=True)
        assert batch.main([*common, *more]) == 0
        assert rows(output)["ill"]["status"] == "done" and (output / gone).is_file()
    assert batch.main([*common, "--scene"]) == 0
    assert rows(output)["ill"]["status"] == "kept"


def test_dicom_of_a_dicom_scan_and_of_any_other(batch, scans, tmp_path, blob_volume):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    from dicom_series import write_series

    write_series(tmp_path / "series", blob_volume((40, 44, 12), (1.1, 0.9, 3.5)))
    output = tmp_path / "out"
    code = batch.main(["--input", str(tmp_path / "series"), str(scans / "ill.nrrd"), "--output", str(output),
                       "--model", "bright-blob", "--no-overview", "--dicom"])
    assert code == 0
    for end in ("levels_seg", "map_pm", "regions_sr", "regions_seg"):
        derived, own = sorted((pydicom.dcmread(path) for path in output.glob(f"*_{end}.dcm")),
                              key=lambda one: str(one.PatientID))
        assert own.PatientID == "made-1" and derived.PatientID.startswith("HRCAM-")


def test_what_dicom_needs_is_installed_on_request_or_named(batch, scans, tmp_path, monkeypatch, capsys):
    import slicer
    from HRCAMModuleLib import dependencies

    installed, real = [], dependencies.isInstalled
    extra = (dependencies.DICOM_WRITER,)
    monkeypatch.setattr(dependencies, "isInstalled", lambda one: one in installed or (one not in extra and real(one)))
    monkeypatch.setattr(slicer.util, "pip_install", installed.extend)
    common = ["--input", str(scans / "ill.nrrd"), "--output", str(tmp_path / "out"), "--model", "bright-blob",
              "--no-overview", "--dicom", "--place"]
    assert batch.main(common) == 2
    assert "highdicom>=0.26; add --install" in capsys.readouterr().err
    assert batch.main([*common, "--install"]) == 0 and installed == list(extra)


def test_options_have_the_names_that_they_have_in_the_command(batch):
    import typer.main
    from hrcam.cli.app import build_app

    own = {"--input", "--output", "--usage", "--install", "--screenshots"}
    command = typer.main.get_command(build_app("batch")).commands["batch"]
    known = {name for option in command.params for name in option.opts}
    assert {name for option in batch.parser()._actions for name in option.option_strings} <= known | own


def test_tables_and_what_is_kept_are_those_of_the_command(batch, scans, tmp_path, monkeypatch):
    """A run of one goes on with the other: same model, options and files."""
    import hrcam.bundle.bundle
    from hrcam.batch.report import COLUMNS
    from hrcam.batch.run import run_batch
    from hrcam.localize import Options

    (scans / "broken.nrrd").unlink()
    output = tmp_path / "out"
    bundle = hrcam.bundle.bundle.load_bundle("bright-blob")
    assert batch.main(["--input", str(scans), "--output", str(output), "--model", "bright-blob"]) == 0
    first = rows(output)
    assert list(first["ill"])[: len(COLUMNS)] == list(COLUMNS)
    again = run_batch([scans], bundle, output, Options(), report=False)
    assert {row.status for row in again.rows} == {"kept"} and again.rows[0].found["predicted"] == "lesion"


@pytest.mark.parametrize("arguments", [
    [], ["--input", "x"], ["--output", "x"], ["--input", "{empty}", "--output", "{out}", "--plane", "oblique"],
    ["--input", "{empty}", "--output", "{out}", "--color", "red"],
    ["--input", "{empty}", "--output", "{out}", "--model", "none"],
    ["--input", "{empty}", "--output", "{out}", "--model", "bright-blob", "--class", "dragon"],
    ["--input", "{empty}", "--output", "{out}", "--model", "bright-blob", "--minimum-region", "-1"],
    ["--input", "{empty}", "--output", "{out}", "--model", "bright-blob", "--minimum-region", "nan"],
])
def test_arguments_that_make_no_sense_end_with_code_2(batch, tmp_path, arguments, capsys):
    (tmp_path / "empty").mkdir()
    known = {"out": str(tmp_path / "out"), "empty": str(tmp_path / "empty")}
    assert batch.main([argument.format(**known) for argument in arguments]) == 2
    assert "HRCAMBatch" in capsys.readouterr().err


def test_usage_is_shown_without_work(batch, capsys):
    assert batch.main(["--usage"]) == 0
    assert "--screenshots" in capsys.readouterr().out


def test_screenshots_without_a_window_are_refused_in_log_and_exit_code(batch, scans, tmp_path, capsys):
    common = ["--input", str(scans / "ill.nrrd"), "--output", str(tmp_path / "out"), "--model", "bright-blob",
              "--no-overview"]
    assert batch.main([*common, "--screenshots"]) == 2
    for text in (capsys.readouterr().err, (tmp_path / "out" / "hrcam_batch.log").read_text(encoding="utf-8")):
        assert "needs Slicer's main window" in text


def test_a_scene_is_saved_and_the_own_scene_is_as_before(batch, scans, tmp_path):
    nodes = sceneNodes()
    code = batch.main(["--input", str(scans / "ill.nrrd"), "--output", str(tmp_path / "out"), "--model", "bright-blob",
                       "--no-overview", "--scene"])
    assert code == 0 and (tmp_path / "out" / "ill_scene.mrb").is_file()
    assert sceneNodes() == nodes, "saving makes storage nodes"


def test_an_input_that_is_not_there_is_a_usage_error(batch, tmp_path, capsys):
    out = tmp_path / "out"
    assert batch.main(["--input", str(tmp_path / "gone.nii.gz"), "--output", str(out), "--model", "bright-blob"]) == 2
    assert 'there is no "' in capsys.readouterr().err and not out.exists()


def test_what_the_file_says_of_itself_reaches_the_result(batch, scans, tmp_path, monkeypatch):
    import dataclasses
    import json

    import hrcam.batch.case

    read = hrcam.batch.case.read_volume
    monkeypatch.setattr(hrcam.batch.case, "read_volume", lambda path: dataclasses.replace(
        read(path), modality="CT", notes=("Left may be right.",)))
    (scans / "broken.nrrd").unlink()
    output = tmp_path / "out"
    assert batch.main(["--input", str(scans), "--output", str(output), "--model", "bright-blob", "--no-overview"]) == 0
    report = json.loads((output / "ill_result.json").read_text(encoding="utf-8"))
    assert any("CT scan" in warning for warning in report["warnings"]) and "Left may be right." in report["warnings"]
    assert report["case"] == "ill" and report["provenance"]["input"]["source"] == str(scans / "ill.nrrd")


def test_slicer_lists_the_script_nowhere_though_it_takes_it_for_a_module(slicerHost):
    module = slicerHost.loadModule(str(ROOT / "HRCAMModule" / "HRCAMBatch.py"))
    try:
        assert module.hidden and module.title == "HR-CAM Batch"
    finally:
        slicerHost.unloadModule("HRCAMBatch")


def test_run_as_a_script_it_ends_the_application_even_after_an_unforeseen_error(batch, monkeypatch):
    codes = []
    monkeypatch.setattr(slicer.util, "exit", codes.append)
    source = (ROOT / "HRCAMModule" / "HRCAMBatch.py").read_text(encoding="utf-8")
    monkeypatch.setattr("argparse.ArgumentParser.parse_args", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        exec(compile(source, "HRCAMBatch.py", "exec"), {"__name__": "__main__", "__file__": batch.__file__})
    assert codes == [2]


def test_run_as_a_script_it_ends_the_application_with_its_code(tmp_path):
    code = f"""
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
sys.path.insert(0, {str(ROOT)!r})
from Testing.host import start
host = start()
script = {str(ROOT / "HRCAMModule" / "HRCAMBatch.py")!r}
sys.argv = [script, "--input", "nothing here"]
exec(open(script).read(), {{"__name__": "__main__", "__file__": script}})
assert host.app.mrmlScene() is not None
from PySide6.QtWidgets import QApplication
print("code", QApplication.instance().exitCode)
host.stop()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False,
                         env={**os.environ})
    assert "code 2" in run.stdout, run.stderr[-2000:]


def test_pictures_of_the_views_are_saved_where_there_is_a_window(batch, mainWindow, logic, addScan, tmp_path):
    from HRCAMModuleLib.screenshots import saveScreenshots

    written = saveScreenshots(logic, logic.localize(addScan(), model="bright-blob"), tmp_path, "scan")
    names = {"scan_Red.png", "scan_Yellow.png", "scan_Green.png", "scan_3D.png"}
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()} == names
    for path in written:
        voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        assert voxels.shape[0] > 50 and voxels.std() > 1, f"{path.name} is empty"
