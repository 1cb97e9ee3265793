"""README's console snippet and docs/console.md, run as a user pastes them, on real MRML."""

import pytest
from documents import DOCS, REPOSITORY, code_blocks

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui


@pytest.fixture
def paste(logic, blob_volume, tmp_path, monkeypatch):
    """Run blocks in one namespace, in a folder with two scans, with the fast model in the place of t1ce-tumor."""
    import slicer
    from hrcam.scan.volume import to_sitk

    sitk = pytest.importorskip("SimpleITK")
    volume = blob_volume()
    for name in ("scan", "earlier"):
        sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / f"{name}.nii.gz"))
    monkeypatch.chdir(tmp_path)

    def run(blocks):
        names = {"slicer": slicer, "__name__": "__main__"}
        for block in blocks:
            exec(compile(block.replace("t1ce-tumor", "bright-blob"), "console", "exec"), names)
        return names

    return run


def test_readmes_console_snippet_runs(paste, tmp_path, capsys):
    names = paste(block for block in code_blocks(REPOSITORY / "README.md", "python") if "getModuleLogic" in block)
    assert names["result"].predicted == "lesion" and names["result"].regions
    assert capsys.readouterr().out.startswith("lesion {")
    assert (tmp_path / "results" / "scan_result.json").is_file()


def test_the_console_recipes_run_in_order(paste, tmp_path, slicerHost):
    blocks = code_blocks(DOCS / "console.md", "python")
    assert len(blocks) > 8
    names = paste(blocks)
    assert names["written"]["report"].is_file()
    assert names["logic"].results(names["volumeNode"]) == []
