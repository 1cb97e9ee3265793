"""The extension as the Extensions Index and Slicer's build see it: metadata, icon, license, and what gets packaged."""

import ast
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Testing" / "cmake"))

import package_lists  # noqa: E402

CATEGORIES = {"Neuroimaging", "Segmentation"}
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
INDEX = json.loads((ROOT / "HRCAMExtension.json").read_text(encoding="utf-8"))


def s4ext():
    lines = (ROOT / "HRCAMExtension.s4ext").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if line.strip() and not line.startswith("#"))


def metadata(name):
    """A value of the root CMakeLists.txt, which must be one quoted string on one line."""
    match = re.search(rf'^set\(EXTENSION_{name} "([^"\n]*)"\)$', CMAKE, re.MULTILINE)
    assert match, f"EXTENSION_{name} is not one quoted string on one line"
    return match.group(1)


def test_project_json_and_s4ext_have_one_name():
    assert re.search(r"^project\((\w+)\)$", CMAKE, re.MULTILINE).group(1) == "HRCAMExtension"
    assert [path.stem for path in ROOT.glob("*.s4ext")] == ["HRCAMExtension"]


def test_no_words_for_people_are_written_twice():
    """Of three words or more: a translator sees each sentence once, and a changed one is changed everywhere."""
    found = {}
    for path in sorted((ROOT / "HRCAMModule").glob("HRCAM*/*.py")) + sorted((ROOT / "HRCAMModule").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
                found.setdefault(node.args[0].value, []).append(f"{path.name}:{node.lineno}")
    assert {words: places for words, places in found.items() if len(words.split()) > 2 and len(places) > 1} == {}


def test_the_root_cmake_file_follows_the_order_that_slicer_demands():
    places = [CMAKE.index(text) for text in (
        "cmake_minimum_required(VERSION 3.16.3...3.28)", "project(", "set(EXTENSION_HOMEPAGE",
        "find_package(Slicer REQUIRED)",
        "include(${Slicer_USE_FILE})", "add_subdirectory(", "include(${Slicer_EXTENSION_GENERATE_CONFIG})",
        "include(${Slicer_EXTENSION_CPACK})")]
    assert places == sorted(places)


def test_the_json_entry_follows_the_index_schema():
    assert INDEX["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert set(INDEX) == {
        "$schema", "build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url", "tier"}
    assert INDEX["category"] in CATEGORIES
    assert INDEX["build_dependencies"] == ["PyTorch"]
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+\.git", INDEX["scm_url"])
    assert INDEX["tier"] in (1, 3, 5)


def test_s4ext_says_the_same_as_json_and_cmake():
    entry = s4ext()
    assert entry["scmurl"] == INDEX["scm_url"]
    assert entry["scmrevision"] == INDEX["scm_revision"]
    assert entry["depends"] == metadata("DEPENDS") == "PyTorch"
    assert entry["category"] == metadata("CATEGORY") == INDEX["category"]
    for key, name in (("homepage", "HOMEPAGE"), ("iconurl", "ICONURL"), ("screenshoturls", "SCREENSHOTURLS"),
                      ("contributors", "CONTRIBUTORS"), ("description", "DESCRIPTION")):
        assert entry[key] == metadata(name), key


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_named_by_url_are_in_the_repository(name):
    repository = INDEX["scm_url"].removesuffix(".git").replace("https://github.com/", "")
    for url in metadata(name).split():
        prefix = f"https://raw.githubusercontent.com/{repository}/main/"
        assert url.startswith(prefix)
        assert (ROOT / url.removeprefix(prefix)).is_file(), f"{url} has no file"


def test_the_description_says_what_it_is_and_mentions_patents():
    text = metadata("DESCRIPTION")
    assert text.startswith("HR-CAM Pathology Localization")
    assert "research use only" in text
    assert "patents" in text


@pytest.mark.parametrize("path", ["Resources/Icons/HRCAMExtension.png", "HRCAMModule/Resources/Icons/HRCAMModule.png"])
def test_the_icon_is_a_128_pixel_png(path):
    data = (ROOT / path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (128, 128)


def test_the_icon_is_what_its_script_draws():
    pil = pytest.importorskip("PIL.Image")
    sys.path.insert(0, str(ROOT / "Resources"))
    import draw_icon

    with pil.open(ROOT / "Resources/Icons/HRCAMExtension.png") as image:
        assert image.convert("RGBA").tobytes() == draw_icon.draw().tobytes()


def test_the_license_is_a_txt_file_that_the_build_names():
    assert "Apache License" in (ROOT / "LICENSE.txt").read_text(encoding="utf-8")
    assert 'EXTENSION_LICENSE_FILE "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE.txt"' in CMAKE


@pytest.mark.parametrize("path", [
    "HRCAMExtension.json", "HRCAMExtension.s4ext", "CMakeLists.txt", "HRCAMModule/CMakeLists.txt",
    "HRCAMExtension/CMakeLists.txt", "HRCAMModule/Resources/UI/HRCAMModule.ui"])
def test_text_files_have_unix_line_ends(path):
    data = (ROOT / path).read_bytes()
    assert b"\r" not in data
    assert data.endswith(b"\n")


def test_every_file_on_disk_is_packaged_and_every_packaged_file_exists():
    wrong = [f"{file} {name}: missing {missing}, gone {gone}"
             for file, name, missing, gone in package_lists.differences() if missing or gone]
    assert not wrong, "\n".join([*wrong, "run: python Testing/cmake/package_lists.py --write"])


def test_the_list_check_notices_a_file_too_many_and_one_too_few(tmp_path):
    for file in package_lists.LISTS:
        (tmp_path / file).parent.mkdir(parents=True)
        shutil.copy(ROOT / file, tmp_path / file)
    package_lists.write(tmp_path)
    (tmp_path / "HRCAMModule" / "new.py").touch()
    found = {name: (missing, gone) for _, name, missing, gone in package_lists.differences(tmp_path)}
    assert found["MODULE_PYTHON_SCRIPTS"] == (["new.py"], [])
    package_lists.write(tmp_path)
    (tmp_path / "HRCAMModule" / "new.py").unlink()
    found = {name: (missing, gone) for _, name, missing, gone in package_lists.differences(tmp_path)}
    assert found["MODULE_PYTHON_SCRIPTS"] == ([], ["new.py"])


@pytest.mark.parametrize("script", sorted((ROOT / "HRCAMModule").glob("*.py")), ids=lambda path: path.stem)
def test_every_script_beside_the_module_has_the_class_that_slicer_looks_for(script):
    """Slicer's module factory takes every .py file of the folder for a module, and reports those without the class."""
    classes = [node.name for node in ast.parse(script.read_text(encoding="utf-8")).body
               if isinstance(node, ast.ClassDef)]
    assert script.stem in classes
    assert not script.read_text(encoding="utf-8").startswith("#!"), "Slicer runs such a file as a command line module"
    assert script.read_bytes().isascii(), "--python-script reads it in the system's encoding"


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """Entries that a real CMake run against the stand-in Slicer macros recorded."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("cmake is not installed")
    build = tmp_path_factory.mktemp("build")
    run = subprocess.run(
        [cmake, "-S", ROOT, "-B", build, f"-DSlicer_DIR={ROOT / 'Testing' / 'cmake' / 'Slicer'}"],
        capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return [line.split("|") for line in (build / "packaged.txt").read_text(encoding="utf-8").splitlines()]


def test_cmake_installs_module_and_engine_side_by_side_where_slicer_imports_from(configured):
    installed = {where: what for kind, what, where in configured if kind == "file"}
    folder = "lib/Slicer-5.13/qt-scripted-modules"
    for path in ("HRCAMModule.py", "HRCAMBatch.py", "requirements.txt", "HRCAMModuleLib/logic.py", "hrcam/__init__.py",
                 "hrcam/schemas/bundle.schema.json", "Resources/UI/HRCAMModule.ui"):
        assert f"{folder}/{path}" in installed, path
    assert all(where.startswith(folder) for where in installed)
    assert all(Path(what).is_file() for what in installed.values())


def test_cmake_registers_the_module_its_generic_tests_and_its_self_test(configured):
    entries = [tuple(entry) for entry in configured]
    assert ("module", "HRCAMModule", "generic tests: TRUE") in entries
    assert ("unittest", "HRCAMModule.py", "") in entries
    assert ("package", "HRCAMExtension", "") in entries


LOCALIZE_THERE = """
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
sys.path[:0] = {paths!r}
import hrcam, hrcam.localize, hrcam.bundle.bundle
assert "torch" not in sys.modules, "the module must load where torch is absent"
for file in walk_packages(hrcam.__path__, "hrcam."):
    if file.name != "hrcam.worker.__main__":
        import_module(file.name)
from hrcam.batch import run_batch
from hrcam.bundle import DEFAULT_MODEL, load_bundle
from hrcam.output import write_result
from hrcam.run import Options
from hrcam.scan import read_volume, volume_from_array
whole = read_volume({sample!r})
middle = whole.array.shape[0] // 2
volume = volume_from_array(whole.array[middle - 2 : middle + 2], whole.geometry.ijk_to_ras, "scan")
result = hrcam.localize.localize(volume, load_bundle(DEFAULT_MODEL), hrcam.localize.Options(device="cpu"))
write_result(result, volume, "out", ["map", "levels", "labels"])
Path("batch").mkdir()
done = run_batch(["out/scan_map.nii.gz"], load_bundle(DEFAULT_MODEL), Path("batch"), Options(device="cpu"), ["map"],
                 report=False)
assert done.exit_code == 0, done.rows
used = [name for name in sys.modules if name.partition(".")[0] in ("hrcam_train", "hrcam_research")]
print(hrcam.__file__, used)
"""


LEFT_OUT_ON_DEMAND = {
    ("hrcam/batch/run.py", "hrcam/batch/cluster"),  # more than one process, which HRCAMBatch.py does not ask for
    ("hrcam/output/writers.py", "hrcam/output/scene"),  # a scene without Slicer
}


def test_what_installed_files_of_the_engine_import_is_installed():
    folder = ROOT / "HRCAMExtension"
    scripts, _ = package_lists.files_to_package(folder)
    assert not [file for file in scripts if file.startswith(package_lists.PYTHON_ALONE)]
    assert all(list(folder.glob(f"{name}*")) for name in package_lists.PYTHON_ALONE), "what is left out exists"
    absent = set()
    for file in scripts:
        for node in ast.walk(ast.parse((folder / file).read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            package = Path(file).parents[node.level - 1]
            target = package.joinpath(*(node.module or "").split("."))
            for found in (target, *(target / name.name for name in node.names)):
                for path in (f"{found.as_posix()}.py", f"{found.as_posix()}/__init__.py"):
                    if (folder / path).is_file() and path not in scripts:
                        absent.add((file, found.as_posix()))
    assert absent <= LEFT_OUT_ON_DEMAND


def test_the_installed_files_alone_localize_a_scan(configured, tmp_path):
    """Exactly what CMake installs, in an empty folder, and the packages that Slicer or pip bring: nothing else."""
    for kind, what, where in configured:
        if kind == "file":
            (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(what, tmp_path / where)
    folder = tmp_path / "lib/Slicer-5.13/qt-scripted-modules"
    assert not [path for path in folder.iterdir() if path.name in ("hrcam_train", "hrcam_research", "Testing")]
    assert not [name for name in ("cli", "cohort", "__main__.py") if (folder / "hrcam" / name).exists()]
    sample = folder / "Resources" / "SampleData" / "HRCAMSyntheticTumor.nrrd"
    code = LOCALIZE_THERE.format(paths=[str(folder), *_sitePackages()], sample=str(sample))
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path,
                         env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"{folder / 'hrcam' / '__init__.py'} []"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "scan_map.nii.gz", "scan_levels.seg.nrrd", "scan_labels.nii.gz", "scan_result.json"}


def _sitePackages():
    return [path for path in sys.path if path.endswith("site-packages")]


def test_no_two_files_of_tests_have_one_name():
    """Python imports them by name alone: of two in one process, the second would not be collected."""
    names = [path.name for folder in ("Testing", "HRCAMModule/Testing") for path in (ROOT / folder).rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
