"""The answers in docs/extensions-index.md, held against the code."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ANSWERS = (ROOT / "docs" / "extensions-index.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULE = ROOT / "HRCAMModule"
UI = (MODULE / "Resources" / "UI" / "HRCAMModule.ui").read_text(encoding="utf-8")
FILES = sorted(path for path in MODULE.rglob("*.py") if "Testing" not in path.parts)
ENGINE = sorted((ROOT / "HRCAMExtension" / "hrcam").rglob("*.py"))
WITH_SLICER = {"slicer", "vtk", "qt", "ctk", "numpy", "HRCAMModuleLib"}


def atFileScope(path):
    """Top packages that are imported when the file is."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_third_party_is_imported_at_file_scope(path):
    assert atFileScope(path) <= WITH_SLICER


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_scope_holds_definitions_alone(path):
    """But for the loop in HRCAMModule.py, the batch script's way to its folder, and what runs it as a script."""
    statements = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Expr)
    other = [type(node).__name__ for node in ast.parse(path.read_text(encoding="utf-8")).body
             if not isinstance(node, statements)]
    assert other == {"HRCAMModule.py": ["For"], "HRCAMBatch.py": ["If", "If"]}.get(path.name, [])


def test_eleven_questions_are_answered():
    rows = [line for line in ANSWERS.splitlines() if line.startswith("| ") and "?" in line.split("|")[1]]
    assert len(rows) == 11


def test_nothing_but_packages_is_downloaded_and_nothing_uploaded():
    network = re.compile(r"\b(urllib\.request|urlopen|requests\.|http\.client|socket\.|ftplib|QNetwork\w+)")
    users = [path.name for path in [*FILES, *ENGINE] if network.search(path.read_text(encoding="utf-8"))]
    assert users == []
    sources = "".join(path.read_text(encoding="utf-8") for path in FILES)
    assert set(re.findall(r"slicer\.util\.(pip_\w+)", sources)) == {"pip_install", "pip_uninstall"}
    assert "pip_ensure(" in sources and "installTorch(" in sources
    requirements = (MODULE / "requirements.txt").read_text(encoding="utf-8")
    assert not re.search(r"^torch", requirements, re.MULTILINE), "PyTorch comes through its extension"


def test_what_is_stored_is_named():
    from hrcam.bundle.bundle import MODELS_VARIABLE

    sources = "".join(path.read_text(encoding="utf-8") for path in FILES)
    keys = set(re.findall(r'"(HRCAM/\w+)"', sources)) | set(re.findall(r'notr="true">(HRCAM\w+Folder)<', UI))
    assert len(keys) == 3 and all(f"`{key}`" in ANSWERS for key in keys)
    assert MODELS_VARIABLE in ANSWERS and "~/.hrcam/models" in ANSWERS
    assert "removeModelButton" in UI and "removePackagesButton" in UI


def test_the_readme_has_a_picture_with_an_honest_caption_a_citation_and_the_tutorial():
    picture = re.search(r"!\[.+\]\((Resources/Screenshots/\w+\.png)\)", README)
    assert picture and (ROOT / picture.group(1)).is_file()
    assert "stand-in" in README and "simulated tumor" in README
    assert "MICCAI 2019" in README and "docs/tutorial.md" in README
    assert "MRBrainTumor1" in (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
