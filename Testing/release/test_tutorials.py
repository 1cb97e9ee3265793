"""What the manual shows of comparing, naming places and cohorts, run as a user types it, on made-up scans."""

import json
import re
import shlex
from pathlib import Path

import pytest
from documents import DOCS, code_blocks

pytest.importorskip("typer")
sitk = pytest.importorskip("SimpleITK")
COMPARE, COHORT = DOCS / "compare.md", DOCS / "cohort.md"


@pytest.fixture
def here(tmp_path, monkeypatch, blob_volume, bright_blob_bundle):
    """A folder with the scans that the pages name, in which commands are typed; models are the tests' own."""
    from hrcam.scan.volume import to_sitk

    for name, radius in (("may", 2.0), ("july", 6.0), ("scan", 4.0)):
        scan = blob_volume(radius_mm=radius)
        sitk.WriteImage(to_sitk(scan.array, scan.geometry), str(tmp_path / f"{name}.nii.gz"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRCAM_MODELS", str(bright_blob_bundle.path.parent))
    return tmp_path


def lines(page, heading):
    """Command lines of the console block under a heading."""
    text = page.read_text(encoding="utf-8").partition(f"# {heading}\n")[2]
    return text.partition("```console\n")[2].partition("```")[0].strip().splitlines()


def typed(line, *more):
    """Type a command line of the manual; the tests' model stands for the one that it names."""
    from hrcam.cli.app import main

    words = shlex.split(line.replace("t1ce-tumor", "bright-blob"))
    assert words[0] == "hrcam"
    return main([*words[1:], *more])


def test_two_dates_are_compared_as_shown(here, capsys):
    command, = lines(COMPARE, "Compare two dates")
    assert typed(command, "--aligned", "--device", "cpu", "--no-overview") == 0
    assert "1 growing" in capsys.readouterr().out
    files = {path.name for path in Path("comparison").iterdir()}
    named = {name for row in re.findall(r"^\| (`NAME[^|]*)", COMPARE.read_text(encoding="utf-8"), re.MULTILINE)
             for name in re.findall(r"`([^`]+)`", row)}
    wanted = {name.replace("NAME", "july") for name in named} - {"july_comparison.png"}
    assert wanted <= files, "the table of files is the folder"


def test_two_dates_are_compared_from_python_as_shown(here, capsys):
    block, = code_blocks(COMPARE, "python")
    block = block.replace("t1ce-tumor", "bright-blob").replace("load_bundle(\"bright-blob\"))",
                                                               "load_bundle(\"bright-blob\"), aligned=True)")
    exec(compile(block, "compare.md", "exec"), {})
    assert "1 growing" in capsys.readouterr().out and Path("comparison/july_comparison.json").is_file()


def test_a_place_that_is_not_known_is_said_as_shown(here, capsys):
    command, = lines(COHORT, "Name the place")
    assert typed(command, "--model", "bright-blob", "--device", "cpu", "--no-overview", "--out", "results") == 0
    assert "Places are not named" in capsys.readouterr().out, "the made-up head is no brain"
    assert json.loads(Path("results/scan_result.json").read_text())["regions"][0]["place"] is None


def test_a_cohort_is_simulated_localized_and_summed_up_as_shown(here, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    simulate, batch, cohort = lines(COHORT, "Sum up a cohort")
    assert typed(simulate.replace("--count 80", "--count 6")) == 0
    assert typed(batch, "--device", "cpu", "--no-overview") == 0
    assert typed(cohort, "--permutations", "20") == 0
    assert "3 cases" in capsys.readouterr().out
    document = json.loads(Path("cohort/cohort.json").read_text())
    assert document["groups"] == {"control": 3, "parkinson": 3}
