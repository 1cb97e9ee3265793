"""Files and modules that documents, docstrings and comments cite are in the repository."""

import ast
import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from documents import REPOSITORY

FILE = re.compile(r"(?<![\w*{./-])((?:[\w-]+/)*[\w-]+\.(?:py|md|ui|toml|sh|svg|yaml|yml))\b")
MODULE = re.compile(r"`(hrcam(?:_train|_research)?(?:\.[a-z_0-9]+)+)`")
READERS_OWN = {"my.yaml", "my-lesion.yaml", "my_cnn.py"}
WRITTEN_BY_US = {"report.md"}
MADE_BY_THE_MANUAL = {"public-api.md", "messages.md", "models.md"}
SLICERS = re.compile(r"slicer/.*|wrapper\.py")
NOT_READ = ("docs/RELIABILITY.md", "Testing/support/version_0_1_0/", "CHANGELOG.md", "docs/slicer-compatibility.md")
"""They name the files of the tree that was measured, of a former version, or of Slicer."""


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    return [file for file in listed.stdout.splitlines() if (REPOSITORY / file).is_file()]


def prose_of(path):
    """Whole documents; of Python docstrings, the strings below constants, and comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    strings = [node.value.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)
               and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)]
    return "\n".join([*strings, *(line.partition("# ")[2] for line in text.splitlines())])


def is_there(name):
    """Whether a dotted name is a module, or an attribute of one."""
    try:
        import_module(name)
        return True
    except ModuleNotFoundError:
        package, _, attribute = name.rpartition(".")
        return bool(package) and is_there(package) and hasattr(import_module(package), attribute)


def test_cited_files_and_modules_exist():
    files = tracked()
    names = {Path(file).name for file in files}
    wrong = []
    for file in files:
        if not file.endswith((".md", ".py")) or file.startswith(NOT_READ):
            continue
        text = prose_of(REPOSITORY / file)
        for cited in set(FILE.findall(text)) - READERS_OWN - WRITTEN_BY_US - MADE_BY_THE_MANUAL:
            known = any(one.endswith(f"/{cited}") or one == cited for one in files) if "/" in cited else cited in names
            if not known and not SLICERS.fullmatch(cited):
                wrong.append(f"{file}: {cited}")
        wrong += [f"{file}: {module}" for module in set(MODULE.findall(text)) if not is_there(module)]
    assert not wrong, "\n".join(wrong)


def test_what_is_gone_is_noticed():
    assert FILE.findall("see `evidence.py`, docs/METHOD.md, not a.b.py2") == ["evidence.py", "docs/METHOD.md"]
    assert is_there("hrcam.scan.volume") and is_there("hrcam.scan.volume.read_volume") and is_there("hrcam.volume")
    assert not is_there("hrcam.evidence") and not is_there("hrcam.scan.volume.nothing")
