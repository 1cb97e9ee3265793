"""The core's tests with the oldest and the newest packages that pyproject.toml allows, on each Python: ``make
test-versions``.

``uv`` makes an environment of each pair in ``build/versions/`` and resolves it: "oldest" takes the lowest direct
requirements, "newest" the highest. Pythons that the computer lacks are named and left out. Set ``UV_TORCH_BACKEND=cpu``
for a PyTorch without CUDA, a much smaller download.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
TESTS = ("scan/test_geometry.py", "scan/test_thinning.py", "scan/test_checks.py", "cam/test_fusion.py",
         "run/test_folded.py", "run/test_regions.py", "run/test_level_volumes.py", "test_localize.py")
SHOWN = ("numpy", "torch", "SimpleITK", "jsonschema", "safetensors")


def main() -> int:
    """Command line; returns 1 where a pair failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="*", default=PYTHONS, metavar="X.Y")
    parser.add_argument("--which", nargs="*", default=list(RESOLUTIONS), choices=list(RESOLUTIONS))
    asked = parser.parse_args()
    outcomes = {f"Python {python}, {which}": check(python, which) for python in asked.python for which in asked.which}
    for pair, outcome in outcomes.items():
        print(f"{pair}: {outcome}")
    return int(any(outcome.startswith("failed") for outcome in outcomes.values()))


def interpreter_of(python: str) -> str | None:
    """The path of a Python X.Y: pyenv's own (its commands answer for the chosen one alone), or the system's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    known = sorted(pyenv.glob(f"{python}.*/bin/python"))
    return str(known[-1]) if known else shutil.which(f"python{python}")


def check(python: str, which: str) -> str:
    """Install one pair and run the tests in it; what came out, in words."""
    folder = ROOT / "build" / "versions" / f"{python}-{which}"
    interpreter = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    found, uv = interpreter_of(python), [sys.executable, "-m", "uv"]
    if found is None:
        return "left out, this Python is not installed"
    steps = ([*uv, "venv", "--quiet", "--clear", "--python", found, str(folder)],
             [*uv, "pip", "install", "--quiet", "--python", str(interpreter), "--resolution", RESOLUTIONS[which],
              "--only-binary", ":all:", "--no-binary", "hrcam", "--editable", f"{ROOT}[cli]",
              "psutil>=5.9", "pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100"])
    for step in steps:
        if subprocess.run(step, cwd=ROOT).returncode:
            return f"failed: {' '.join(step[2:5])}"
    versions = subprocess.run(
        [str(interpreter), "-c", "from importlib.metadata import version\n"
         f"print(', '.join(f'{{name}} {{version(name)}}' for name in {SHOWN}))"], capture_output=True, text=True)
    tests = [str(ROOT / "Testing" / "engine" / one) for one in TESTS]
    # The bound ends what hangs: oldest packages are slow, and environments are tried on machines busy with others.
    run = subprocess.run([str(interpreter), "-m", "pytest", "-q", "--timeout=1800", *tests], cwd=ROOT,
                         env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"})
    return f"{'failed' if run.returncode else 'passed'} with {versions.stdout.strip()}"


if __name__ == "__main__":
    sys.exit(main())
