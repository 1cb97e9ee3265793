"""The manual: it builds without a warning, and what it quotes, names and shows is in the code."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from documents import DOCS, PAGES, REPOSITORY, code_blocks, commands

sys.path.insert(0, str(DOCS))


def test_the_manual_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="the manual needs mkdocs-material (pip install 'hrcam[docs]')")
    run = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
                         cwd=REPOSITORY, capture_output=True, text=True, check=False,
                         env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert run.returncode == 0, run.stdout + run.stderr
    assert "WARNING" not in run.stdout + run.stderr
    for page in ("index", "models", "messages", "public-api"):
        assert (tmp_path / "site" / f"{page}.html").is_file()
    tutorial = (tmp_path / "site" / "tutorial.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="(screenshots/[^"]+)"', tutorial)
    assert len(pictures) == 3 and all((tmp_path / "site" / picture).is_file() for picture in pictures)


def test_pictures_are_seen_in_the_repository_too():
    named = {page: re.findall(r"!\[[^]]*\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")) for page in PAGES}
    assert sum(map(len, named.values())) > 20
    paths = [page.parent / one for page, found in named.items() for one in found]
    assert [path for path in paths if not path.is_file()] == []


def quoted_messages():
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)


@pytest.fixture(scope="module")
def texts():
    """All string expressions of the code, with … for what is filled in."""
    pytest.importorskip("mkdocs", reason="the manual's hook needs mkdocs (pip install 'hrcam[docs]')")
    import ast

    import hooks

    found = set()
    for path in (path for folder in hooks.CODE for path in (REPOSITORY / folder).rglob("*.py")):
        found |= {hooks.text_of(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))}
    return "\n".join(text for text in found if text)


def test_every_quoted_message_is_in_the_code(texts):
    assert len(quoted_messages()) > 30
    gone = [message for message in quoted_messages() if message not in texts]
    assert not gone, "no longer in the code:\n" + "\n".join(gone)


def test_the_list_of_all_messages_has_the_hints_of_the_code():
    pytest.importorskip("mkdocs", reason="the manual's hook needs mkdocs (pip install 'hrcam[docs]')")
    import hooks

    found = {(kind, message, hint) for kind, message, hint, _ in hooks.messages()}
    assert ("ModelError", "There is no level to fuse.", "Give one evidence map per level.") in found
    assert "There is no level to fuse." in hooks.messages_page()


def test_messages_that_are_translated_and_filled_in_are_found():
    pytest.importorskip("mkdocs", reason="the manual's hook needs mkdocs (pip install 'hrcam[docs]')")
    import ast

    import hooks

    for source in ('_("No {x:g} in {y}.").format(x=1, y=2)', 'tr("No {x!r} in {}.")', 'f"No {x} in {y}."'):
        assert hooks.text_of(ast.parse(source, mode="eval").body) == "No … in …."
    assert hooks.text_of(ast.parse("x.format(y)", mode="eval").body) is None


def test_where_is_x_names_files_that_exist():
    text = (DOCS / "developer.md").read_text(encoding="utf-8")
    section = text.split("## Where is X")[1].split("\n## ")[0]
    missing = []
    for row in section.splitlines():
        folder = ""
        for path in re.findall(r"`([\w./-]+\.(?:py|ui|txt|yml|md)|[\w./-]+/)`", row):
            candidates = (REPOSITORY / path, REPOSITORY / folder / path)
            missing += [] if any(one.exists() for one in candidates) else [path]
            folder = path if path.endswith("/") else str(Path(path).parent) if "/" in path else folder
    assert not missing
    assert len(re.findall(r"^\|", section, re.MULTILINE)) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_are_accepted_as_written(page):
    typer_main = pytest.importorskip("typer.main")
    from hrcam.cli.app import COMMANDS, build_app

    for line in commands(page, "hrcam"):
        words = [word.strip("[]") for word in shlex.split(line)[1:] if "…" not in word and word != "..."]
        if not words or words[0] not in COMMANDS or words[0] == "worker":
            assert not words or words[0] in COMMANDS or words[0].startswith("-"), f"no such command: {line}"
            continue
        command = typer_main.get_command(build_app(words[0])).commands[words[0]]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = [word for word in words[1:] if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known
                   and word not in ("--help", "-h", "--debug")]
        assert not unknown, f"{page.name}: {line}: no option {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_in_the_documents_exist(page):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for line in commands(page, "make"):
        named = [word for word in line.split()[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
        assert set(named) <= targets, f"{page.name}: {line}"


def test_the_python_recipes_run(bright_blob_bundle, blob_volume, tmp_path, monkeypatch):
    sitk = pytest.importorskip("SimpleITK")
    from hrcam.scan.volume import to_sitk

    volume = blob_volume()
    sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / "scan.nii.gz"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRCAM_MODELS", str(bright_blob_bundle.path.parent))
    names = {}
    for block in code_blocks(DOCS / "python.md", "python"):
        exec(compile(block.replace("t1ce-tumor", "bright-blob"), "python.md", "exec"), names)
    assert names["result"].predicted == "lesion" and names["result"].regions
    assert (tmp_path / "results" / "scan_result.json").is_file()
    assert abs(sum(names["result"].level_maps.values()) - names["result"].map).max() < 1e-3
    assert names["evidence"].maps.shape == (2, 1, 16, 24, 16)


def test_dependency_licenses_are_listed_for_every_pin():
    pins = {line.split("==")[0] for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
            if "==" in line and "python_version < '3.11'" not in line}
    listed = set(re.findall(r"^\| ([\w.-]+) \| \d", (DOCS / "licenses.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert pins - {"setuptools"} <= listed | {"setuptools"}
    assert len(listed) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_whole(page):
    """Rows after an empty line, or with cells too many, would be shown as text or lose cells."""
    lines = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL).split("\n")
    rows = {number: line.strip() for number, line in enumerate(lines) if line.lstrip().startswith("|")}
    heads = [number for number in rows if number - 1 not in rows]
    assert [rows[at] for at in heads if not re.fullmatch(r"\|[\s:|-]+\|", rows.get(at + 1, ""))] == []
    cells = {number: len(re.findall(r"(?<!\\)\|", line)) for number, line in rows.items()}
    assert [rows[at] for at in rows if cells.get(at - 1, cells[at]) != cells[at]] == []
