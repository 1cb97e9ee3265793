"""Count what Slicer installs: lines of Python, files of each room, the longest file."""

from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE, MODULE = REPOSITORY / "HRCAMExtension" / "hrcam", REPOSITORY / "HRCAMModule"


def installed(folder):
    """Python files that CMake packages below a folder, with their numbers of lines."""
    return {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(folder.rglob("*.py"))
            if not {"Testing", "simulate"} & set(path.relative_to(folder).parts)}


if __name__ == "__main__":
    engine, module = installed(ENGINE), installed(MODULE)
    print(f"lines installed: engine {sum(engine.values()):,}, module {sum(module.values()):,}")
    rooms = Counter(path.relative_to(ENGINE).parts[0] for path in engine if path.parent != ENGINE
                    and path.name != "__init__.py")
    print("files of each room:", ", ".join(f"{room} {count}" for room, count in sorted(rooms.items())))
    longest = max(engine | module, key=(engine | module).get)
    print(f"longest file: {longest.relative_to(REPOSITORY)}, {(engine | module)[longest]} lines")
