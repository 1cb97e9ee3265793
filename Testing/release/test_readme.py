"""README: its first screen, its links, its numbers, its code."""

import re
import sys

import pytest
from documents import REPOSITORY, code_blocks

README = REPOSITORY / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_first_screen_shows_a_real_result_and_the_two_commands():
    first = TEXT.splitlines()[:14]
    assert any(re.match(r"!\[.+\]\(Resources/Screenshots/.+\.png\)", line) for line in first)
    assert any(line.startswith("make demo") for line in first)
    assert any(line.startswith("make test") for line in first)
    assert "Research use only" in TEXT[:600]


def test_links_and_pictures_exist():
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("http")]
    assert len(links) > 15
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_the_tables_are_those_of_the_bundled_models():
    sys.path.insert(0, str(REPOSITORY / "Testing" / "release"))
    import readme_results

    assert readme_results.replaced(TEXT) == TEXT, "run: make readme"


def test_the_table_is_short_and_gives_numbers_with_intervals():
    sys.path.insert(0, str(REPOSITORY / "Testing" / "release"))
    import readme_results

    lines = readme_results.tables().splitlines()
    assert 3 <= len(lines) <= 12
    number = r" 0\.\d\d \(0\.\d\d–[01]\.\d\d\) "
    assert all(re.search(rf"\|{number}\|{number}\|{number}\|$", line) for line in lines[2:])


def test_it_is_read_in_three_minutes():
    prose = TEXT.partition("<!-- results")[0] + TEXT.partition("results: end -->")[2]
    assert len(prose.split()) <= 900


def test_the_own_cnn_snippet_runs():
    torch = pytest.importorskip("torch")
    block, = (block for block in code_blocks(README, "python") if "HRCAM(cnn" in block)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["evidence"].logits.shape == (1, 2)
    assert names["evidence"].maps.shape == (1, 2, 96, 128)
    assert isinstance(names["hrcam"], torch.nn.Module)


def test_the_python_snippet_runs(bright_blob_bundle, blob_volume, tmp_path, monkeypatch, capsys):
    sitk = pytest.importorskip("SimpleITK")
    from hrcam.scan.volume import to_sitk

    volume = blob_volume()
    sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / "scan.nii.gz"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRCAM_MODELS", str(bright_blob_bundle.path.parent))
    block, = (block for block in code_blocks(README, "python") if "load_bundle" in block)
    exec(compile(block.replace("t1ce-tumor", "bright-blob"), "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("lesion [('")
