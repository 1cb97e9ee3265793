"""The command line: what it prints, writes and returns."""

import json
import os
import subprocess
import sys
import time

import pytest
import SimpleITK
from hrcam.cli import app as cli
from hrcam.scan.volume import to_sitk


@pytest.fixture(scope="module")
def scan_folder(tmp_path_factory, blob_volume):
    folder = tmp_path_factory.mktemp("scans")
    for name, lesion in (("ill", (6.0, -5.0, 4.0)), ("well", None)):
        scan = blob_volume(lesion_ras=lesion)
        SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(folder / f"{name}.nii.gz"))
    (folder / "broken.nrrd").write_bytes(b"NRRD0004\nnonsense")
    return folder


@pytest.fixture
def run(bright_blob_bundle, tmp_path, capsys):
    """Run `hrcam localize` in this process; returns exit code, output, errors, and the output folder."""

    def call(*arguments, command="localize"):
        extra = ["--model", str(bright_blob_bundle.path), "--out", str(tmp_path / "out"), "--device", "cpu"]
        code = cli.main([command, *map(str, arguments), *extra])
        printed = capsys.readouterr()
        return code, printed.out, " ".join(printed.err.split()), tmp_path / "out"

    return call


def test_a_scan_is_localized_and_its_files_are_named(run, scan_folder):
    options = ("--class", "lesion", "--plane", "coronal", "--keep-levels")
    code, output, errors, out = run(scan_folder / "ill.nii.gz", *options)
    assert (code, errors) == (0, "")
    assert "lesion >99 %" in output and "region 1" in output and "ill_result.json" in output
    document = json.loads((out / "ill_result.json").read_text(encoding="utf-8"))
    assert document["plane"] == "coronal" and document["predicted"] == "lesion"
    assert all((out / name).is_file() for name in document["files"].values())
    assert len(document["files"]) == 6


def test_one_bad_scan_of_several_does_not_stop_the_others(run, scan_folder):
    code, output, errors, out = run(scan_folder, "--no-overview")
    assert code == 1
    assert "broken: Error:" in errors and errors.count("Error") == 1
    assert "2 of 3 scans done" in output
    assert sorted(p.name for p in out.glob("*_result.json")) == ["ill_result.json", "well_result.json"]
    assert not list(out.glob("broken*")) and not list(out.glob("*.png"))


def test_quiet_prints_nothing_but_errors(run, scan_folder):
    code, output, errors, _ = run(scan_folder / "well.nii.gz", "--quiet", "--no-overview")
    assert (code, output, errors) == (0, "", "")
    code, output, errors, _ = run(scan_folder / "missing.nii.gz", "--quiet")
    assert (code, output) == (1, "") and errors.startswith("missing: Error: There is no file or folder")


def test_earlier_results_are_kept_unless_overwriting_is_asked_for(run, scan_folder):
    assert run(scan_folder / "well.nii.gz", "--no-overview")[0] == 0
    code, _, errors, _ = run(scan_folder / "well.nii.gz", "--no-overview")
    assert code == 1 and "--overwrite" in errors
    assert run(scan_folder / "well.nii.gz", "--no-overview", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--class", "glioma"], "lesion, no_lesion"),
        (["--plane", "diagonal"], "axial"),
        (["--fusion", "fission"], "sum"),
        (["--device", "cuda:77"], "GPU"),
        (["--batch-size", "0"], "batch-size"),
        (["--engine", "steam"], "openvino"),
        (["--precision", "fp16"], "bf16"),
        (["--frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_there_is(arguments, word, run, scan_folder):
    if arguments[0] == "--device":
        code = cli.main(["localize", str(scan_folder / "ill.nii.gz"), "--model", "nowhere", *arguments])
        assert code == 2
        return
    code, _, errors, out = run(scan_folder / "ill.nii.gz", *arguments)
    assert code == 2 and word in errors
    assert not out.exists()


def test_an_unknown_model_is_wrong_usage(capsys, scan_folder):
    assert cli.main(["localize", str(scan_folder / "ill.nii.gz"), "--model", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err


def test_an_unexpected_error_is_one_line_without_traceback_unless_debugging(run, scan_folder, monkeypatch):
    import hrcam.localize

    def broken(*_, **__):
        raise ZeroDivisionError("the moon is in the wrong phase")

    monkeypatch.setattr(hrcam.localize, "localize", broken)
    monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)
    code, _, errors, _ = run(scan_folder / "ill.nii.gz")
    assert code == 1 and "ZeroDivisionError: the moon" in errors and "Traceback" not in errors
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "")
    with pytest.raises(ZeroDivisionError):
        run(scan_folder / "ill.nii.gz", "--debug")


def test_models_lists_what_is_there_as_table_and_json(bright_blob_bundle, monkeypatch, capsys):
    monkeypatch.setenv("HRCAM_MODELS", str(bright_blob_bundle.path.parent))
    assert cli.main(["models"]) == 0
    table = capsys.readouterr().out
    assert "bright-blob" in table and str(bright_blob_bundle.path.parent) in table.replace("\n", "")
    assert cli.main(["models", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "bright-blob" in [model["name"] for model in document["models"]]


def test_a_model_can_be_added_and_a_broken_one_is_reported(bright_blob_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HRCAM_MODELS", str(tmp_path))
    assert cli.main(["models", "--add", str(bright_blob_bundle.path)]) == 0
    assert (tmp_path / "bright-blob" / "model.safetensors").is_file()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "metadata.json").write_text("{}")
    assert cli.main(["models"]) == 0
    assert "bad" in capsys.readouterr().err
    assert cli.main(["models", "--add", str(tmp_path / "bad")]) == 1


def test_help_is_fast_and_imports_no_torch():
    code = ("import sys, hrcam.cli.app\ntry:\n hrcam.cli.app.build_app()(['--help'])\nexcept SystemExit: pass\n"
            "assert not {'torch', 'SimpleITK', 'pandas', 'matplotlib'} & set(sys.modules), 'heavy import'")
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name in cli.COMMANDS:
        assert name in done.stdout
    assert time.perf_counter() - start < 10, "generous: the machine may be busy"


def test_the_command_alone_imports_no_numpy_and_the_first_progress_comes_before_torch(tmp_path):
    code = ("import sys, hrcam.cli.app as app\nassert 'numpy' not in sys.modules\n"
            "import hrcam.cli.localize as command\n"
            "def said(stage, fraction):\n print(stage, 'torch' in sys.modules)\n raise SystemExit\n"
            "command.ProgressBar.__enter__ = lambda bar: said\n"
            f"app.main(['localize', {str(tmp_path / 'scan.nrrd')!r}])")
    import SimpleITK

    SimpleITK.WriteImage(SimpleITK.Image(16, 16, 4, SimpleITK.sitkInt16), str(tmp_path / "scan.nrrd"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "Reading False\n", done.stderr


def test_a_scan_that_is_no_dicom_needs_no_pydicom_and_no_network_a_compiler(
    bright_blob_bundle, blob_volume, tmp_path
):
    volume = blob_volume((48, 52, 2), (1.0, 1.0, 5.0))
    import SimpleITK
    from hrcam.scan.volume import to_sitk

    SimpleITK.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / "scan.nrrd"))
    given = ["localize", str(tmp_path / "scan.nrrd"), "--model", str(bright_blob_bundle.path), "--quiet",
             "--out", str(tmp_path / "out"), "--no-overview"]
    code = ("import sys, hrcam.cli.app as app\n"
            f"done = app.main({given!r})\nprint(done, {{'pydicom', 'torch._dynamo'}} & sys.modules.keys())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "0 set()\n", done.stderr


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_its_own_help(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert "--help" in capsys.readouterr().out


def test_the_package_runs_as_a_module_and_states_its_version():
    done = subprocess.run([sys.executable, "-m", "hrcam", "--version"], capture_output=True, text=True, timeout=60)
    from hrcam import __version__

    assert done.stdout.strip() == f"hrcam {__version__}"


def test_letters_that_the_terminal_has_not_do_not_stop_the_scans(scan_folder, bright_blob_bundle, tmp_path):
    path = tmp_path / "Größe 患者.nii.gz"
    path.write_bytes((scan_folder / "ill.nii.gz").read_bytes())
    arguments = ["localize", str(path), "--model", str(bright_blob_bundle.path), "--out", str(tmp_path / "out"),
                 "--device", "cpu", "--no-overview"]
    done = subprocess.run([sys.executable, "-m", "hrcam", *arguments], capture_output=True, check=False,
                          env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Gr??e ??" in done.stdout
    assert (tmp_path / "out" / "Größe 患者_result.json").is_file()
