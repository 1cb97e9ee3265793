"""Pictures that are older than panel or model are noticed."""

import json
import shutil

from Testing.host import screenshots


def test_pictures_older_than_panel_or_model_make_the_target_fail(tmp_path, capsys, bright_blob_bundle, monkeypatch):
    for part in ("HRCAMModule/Resources/UI", "HRCAMExtension/hrcam/run"):
        (tmp_path / part).mkdir(parents=True)
    ui = "HRCAMModule/Resources/UI/HRCAMModule.ui"
    shutil.copy(screenshots.REPOSITORY / ui, tmp_path / ui)
    monkeypatch.setattr(screenshots, "REPOSITORY", tmp_path)
    assert screenshots.main(["--check", "--out", str(tmp_path)]) == 1, "never taken"
    sources = tmp_path / screenshots.SOURCES
    sources.write_text(json.dumps(screenshots.present(str(bright_blob_bundle.path))), encoding="utf-8")
    assert screenshots.main(["--check", "--out", str(tmp_path)]) == 0
    monkeypatch.setattr("Testing.host.views.openGLProblem", lambda: "no OpenGL")
    assert screenshots.main(["--out", str(tmp_path)]) == 0, "taken where they can be"
    (tmp_path / ui).write_text("another panel", encoding="utf-8")
    capsys.readouterr()
    assert screenshots.main(["--out", str(tmp_path)]) == 1
    assert "older than the panel" in capsys.readouterr().err
    sources.write_text(json.dumps({**screenshots.present(str(bright_blob_bundle.path)), "weights": "0"}))
    assert screenshots.main(["--check", "--out", str(tmp_path)]) == 1
    assert "older than the weights" in capsys.readouterr().err
    sources.write_text(json.dumps({**screenshots.present(str(bright_blob_bundle.path)), "version": "0"}))
    assert screenshots.main(["--check", "--out", str(tmp_path)]) == 1, "other settings of the same weights"


def test_the_panels_files_are_named():
    for pattern in screenshots.SHOWN:
        assert list(screenshots.REPOSITORY.glob(pattern)), pattern
