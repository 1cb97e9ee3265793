"""Build wheel and sdist, install the wheel alone in a clean environment, and run it there.

    python Testing/release/check_dist.py [--isolated]      (make dist-check)

The environment holds the wheel and nothing else of its own; what hrcam depends on is taken from this Python's packages,
so that no network is needed. `--isolated` builds as `make dist` does, with a fresh setuptools from the index.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def build(out, isolated=False):
    """Build the sdist, and the wheel from it; returns the wheel's path."""
    options = [] if isolated else ["--no-isolation"]
    _run([sys.executable, "-m", "build", *options, "--outdir", out, REPOSITORY])
    wheel, = Path(out).glob("*.whl")
    return wheel


def install(wheel, folder):
    """Make an environment with the wheel; returns its Python."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scripts = Path(folder) / ("Scripts" if os.name == "nt" else "bin")
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    python = scripts / Path(sys.executable).name
    _run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel])
    # After the environment's own packages, and without the .pth files (an editable hrcam) of this Python.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def check(python, folder):
    """Run the installed command; returns what it printed, by name. AssertionError where something is wrong."""
    command = python.parent / ("hrcam.exe" if os.name == "nt" else "hrcam")
    where = _run([python, "-c", "import hrcam; print(hrcam.__file__)"], folder).strip()
    assert Path(where).is_relative_to(python.parents[1]), f"hrcam was imported from {where}"
    printed = {
        "version": _run([command, "--version"], folder),
        "help": _run([command, "--help"], folder),
        "models": _run([command, "models", "--json"], folder),
        "recipe": _run([command, "train-pairs", "--print-recipe", "simulated-lesion"], folder),
    }
    assert "localize" in printed["help"] and printed["recipe"].strip()
    there = {one["name"] for one in json.loads(printed["models"])["models"]
             if Path(one["path"]).is_relative_to(python.parents[1])}
    here = {path.parent.name for path in (REPOSITORY / "HRCAMExtension/hrcam/models").glob("*/metadata.json")}
    assert there == here, f"bundled models: {there} in the wheel, {here} in the repository"
    weights = "import torch, hrcam.sequence.recognition as r; print(next(r._network().parameters()).dtype)"
    printed["sequence"] = _run([python, "-c", weights], folder)
    assert printed["sequence"].strip() == "torch.float32", "the network for sequences is not in the wheel"
    return printed


def _run(command, folder=None):
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HRCAM_MODELS")}
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd=folder,
                         env={**environment, "COLUMNS": "120", "PIP_CONSTRAINT": ""})
    if run.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: code {run.returncode}\n{run.stdout}\n{run.stderr}")
    return run.stdout


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        wheel = build(Path(temporary) / "dist", "--isolated" in sys.argv[1:])
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
        print(check(install(wheel, Path(temporary) / "environment"), temporary)["version"].strip(), "runs from it")
