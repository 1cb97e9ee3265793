"""Names that every file system takes: those of the repository and those that are written."""

import re
import subprocess

import numpy as np
import pytest
from documents import REPOSITORY
from hrcam.scan.io.formats import safe_name
from hypothesis import example, given, settings
from hypothesis import strategies as st

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def problem(name):
    """Why Windows, or an archive made for it, would refuse a file's name; empty where it would not."""
    if re.search(r'[<>:"/\\|?*\x00-\x1f]', name):
        return "a forbidden character"
    if name != name.strip(" ") or name.endswith("."):
        return "a space or point at its end"
    if name.split(".")[0].lower() in RESERVED:
        return "a reserved name"
    return "" if 0 < len(name.encode()) <= 255 else "its length"


@settings(deadline=None)
@given(st.text(max_size=200))
@example("patient: 7/2 <T1|CE>?*")
@example("CON")
@example("aux.nii")
@example("nul.")
@example(" . ")
@example("é" * 300)
@example("")
def test_a_case_of_any_name_gets_files_that_windows_takes(name):
    from hrcam.output.writers import OUTPUTS, RESULT_SUFFIX

    for suffix in (*OUTPUTS.values(), RESULT_SUFFIX):
        assert not problem(safe_name(name) + suffix), name
    assert safe_name(safe_name(name)) == safe_name(name)


@pytest.mark.parametrize("name", ["sub-01: T1?", "con", "very " * 60 + "long", "Größe 7 µm"])
def test_results_of_awkward_names_are_written_with_safe_names(name, bright_blob_bundle, blob_volume, tmp_path):
    from hrcam.localize import localize
    from hrcam.output.writers import write_result

    volume = blob_volume(size_ijk=(24, 24, 8), spacing=(2.0, 2.0, 4.0), name=name)
    result = localize(volume, bright_blob_bundle)
    written = write_result(result, volume, tmp_path, ("map", "levels", "labels"))
    assert {path.name for path in written.values()} == {path.name for path in tmp_path.iterdir()}
    assert [problem(path.name) for path in tmp_path.iterdir()] == [""] * 4
    assert np.isfinite(result.map).all()


def test_the_repositorys_own_paths_can_be_checked_out_on_windows():
    run = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip("this is no Git checkout")
    paths = [path for path in run.stdout.split("\0") if path]
    assert len(paths) > 200
    assert [path for path in paths if any(problem(part) for part in path.split("/"))] == []
    assert max(map(len, paths)) <= 120  # leaves half of Windows' 260 for the folder of the clone
    assert len({path.lower() for path in paths}) == len(paths), "two paths differ in case only"
