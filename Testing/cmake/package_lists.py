"""Compare the files that CMake packages with the files on disk, and on request write the lists anew.

    python Testing/cmake/package_lists.py            says which lines are missing or too many; exit code 1 if any
    python Testing/cmake/package_lists.py --write    rewrites the lists in place

A file that CMake does not list is missing in the installed extension; a listed file that is gone breaks the build.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTS = {
    "HRCAMModule/CMakeLists.txt": ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"),
    "HRCAMExtension/CMakeLists.txt": ("ENGINE_PYTHON_SCRIPTS", "ENGINE_PYTHON_RESOURCES"),
}
"""CMake file to the names of its lists: Python files, everything else."""

_IGNORED_FOLDERS = {"__pycache__", "hrcam_train", "hrcam_research", "Testing"}
"""Training and research belong to the Python package alone; a run in Slicer needs neither, and no tests."""

PYTHON_ALONE = (
    "hrcam/__main__.py", "hrcam/cli/", "hrcam/cohort/", "hrcam/templates/cohort_report.html",  # the command line
    "hrcam/batch/cluster.py",  # several processes and Dask; HRCAMBatch.py takes one case after the other
    "hrcam/output/mrml.py", "hrcam/output/scene.py",  # scenes without Slicer, by slicer-core
)
"""Files and folders of the engine that belong to the Python package alone: nothing in Slicer reaches them."""

_IGNORED_NAMES = {"CMakeLists.txt", "README.md"}


def files_to_package(folder: Path) -> tuple[list[str], list[str]]:
    """Python files and other files below ``folder``, relative, sorted, without hidden files and build products."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    kept = [
        path for path in found
        if not _IGNORED_FOLDERS & set(path.parts)
        and not any(part.startswith(".") or part.endswith(".egg-info") for part in path.parts)
        and not (len(path.parts) == 1 and path.name in _IGNORED_NAMES)
        and not path.as_posix().startswith(PYTHON_ALONE)
    ]
    scripts = sorted(path.as_posix() for path in kept if path.suffix == ".py")
    return scripts, sorted(path.as_posix() for path in kept if path.suffix != ".py")


def listed(text: str, name: str) -> list[str]:
    """Entries of ``set(NAME …)`` in a CMake file."""
    match = re.search(rf"set\({name}\n(.*?)\n?  \)", text, re.DOTALL)
    if match is None:
        raise ValueError(f"there is no set({name} …)")
    return match.group(1).split()


def differences(root: Path = ROOT) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """For each list: CMake file, its name, entries that are missing, entries whose file is gone."""
    for file, names in LISTS.items():
        text = (root / file).read_text(encoding="utf-8")
        for name, wanted in zip(names, files_to_package((root / file).parent), strict=True):
            present = listed(text, name)
            yield file, name, sorted(set(wanted) - set(present)), sorted(set(present) - set(wanted))


def write(root: Path = ROOT) -> None:
    """Write all lists anew."""
    for file, names in LISTS.items():
        path = root / file
        text = path.read_text(encoding="utf-8")
        for name, wanted in zip(names, files_to_package(path.parent), strict=True):
            lines = "".join(f"  {entry}\n" for entry in wanted)
            text = re.sub(rf"set\({name}\n(.*?)  \)", f"set({name}\n{lines}  )", text, count=1, flags=re.DOTALL)
        path.write_text(text, encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    """Print what differs, or write; returns the exit code."""
    if arguments == ["--write"]:
        write()
        return 0
    wrong = 0
    for file, name, missing, gone in differences():
        for sign, entries in (("+", missing), ("-", gone)):
            for entry in entries:
                wrong += 1
                print(f"{file}: {name}: {sign} {entry}")
    if wrong:
        print("Run: python Testing/cmake/package_lists.py --write")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
