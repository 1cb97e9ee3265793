"""docs/training.md, "Bring your own CNN", executed as it stands: simulate, train, list, localize."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from hrcam.cli.app import main

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
NAMED = re.compile(r"[Ss]ave as `([\w.-]+)`")


def blocks():
    """(language, text, name under which it is to be saved) of the tutorial's code blocks."""
    text = PAGE.read_text(encoding="utf-8").split("## Bring your own CNN")[1].split("\n## ")[0]
    before = ""
    for prose, language, code in re.findall(r"(.*?)```(\w+)\n(.*?)```", text, re.DOTALL):
        names = NAMED.findall(before + prose)
        yield language, code, names[-1] if names else None
        before = ""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_works_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HRCAM_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("HRCAM_ALLOW_IMPORT", raising=False)
    said = {}
    for language, code, name in blocks():
        if name:
            Path(name).write_text(code, encoding="utf-8")
        elif language == "console":
            for line in code.splitlines():
                words = shlex.split(line.replace("$PWD", str(tmp_path)))
                if words[0] == "export":
                    monkeypatch.setenv(*words[1].split("="))
                    continue
                assert words[0] == "hrcam" and main(words[1:]) == 0, line
                said[words[1]] = capsys.readouterr().out
        else:
            exec(compile(code, "tutorial", "exec"), {})
            said["python"] = capsys.readouterr().out
    assert Path("models/my-lesion/metadata.json").exists() and "HRCAM_ALLOW_IMPORT=my_cnn" in said["train"]
    assert "my-lesion" in said["models"] and "lesion" in said["python"]
    assert list(Path("results").rglob("0_map.nii.gz")) and list(Path("results").rglob("*_result.json"))
    assert "balanced accuracy" in Path("run/report.md").read_text(encoding="utf-8")
    del sys.modules["my_cnn"]
