"""Count what Slicer installs: lines and statements of Python, files of each room, the longest file."""

import ast
import sys
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE, MODULE = REPOSITORY / "HRCAMExtension" / "hrcam", REPOSITORY / "HRCAMModule"
sys.path.insert(0, str(REPOSITORY / "Testing" / "cmake"))

from package_lists import files_to_package  # noqa: E402


def lines_of(files):
    """Files with their numbers of lines."""
    return {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(files)}


def statements_of(files):
    """How many statements files have; docstrings, comments and blank lines are none."""
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return sum(isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
               for node in nodes)


if __name__ == "__main__":
    engine, module = (lines_of(folder / file for file in files_to_package(folder)[0])
                      for folder in (ENGINE.parent, MODULE))
    whole = lines_of(ENGINE.rglob("*.py"))
    print(f"lines installed: engine {sum(engine.values()):,} of {sum(whole.values()):,}, "
          f"module {sum(module.values()):,}")
    print(f"statements installed: engine {statements_of(engine):,}, module {statements_of(module):,}")
    rooms = Counter(path.relative_to(ENGINE).parts[0] for path in whole if path.parent != ENGINE
                    and path.name != "__init__.py")
    print("files of each room:", ", ".join(f"{room} {count}" for room, count in sorted(rooms.items())))
    beside = sorted(path.name for path in whole if path.parent == ENGINE)
    print(f"beside the rooms: {len(beside)}: {', '.join(beside)}")
    longest = max(whole | module, key=(whole | module).get)
    print(f"longest file: {longest.relative_to(REPOSITORY)}, {(whole | module)[longest]} lines")
