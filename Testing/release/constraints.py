"""Pin what is installed here: every package that any extra needs, in constraints.txt.

    python Testing/release/constraints.py           what would be written
    python Testing/release/constraints.py --write   write it (make constraints)

Run it with Python 3.11, the only version for which slicer-core has a wheel. What no longer supports Python 3.10 gets a
second line with its last version that does.
"""

import sys
from importlib import metadata

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from requirements import REPOSITORY, TOOLS, everything

LAST_FOR_310 = {
    "annotated-doc": "0.0.6",
    "backrefs": "8.1",
    "contourpy": "1.3.2",
    "coverage": "7.16.2",
    "filelock": "4.1.0",
    "fonttools": "4.65.0",
    "hypothesis": "6.168.5",
    "imageio": "2.38.0",
    "importlib-metadata": "9.0.1",
    "lazy-importer": None,
    "markdown": "3.10.3",
    "matplotlib": "3.10.8",
    "mkdocs-material": "9.7.7",
    "multidict": "7.1.0",
    "networkx": "3.4.2",
    "numpy": "2.2.6",
    "pandas": "2.3.3",
    "pillow": "12.3.0",
    "platformdirs": "4.12.4",
    "pyarrow": "25.0.1",
    "pymdown-extensions": "12.3",
    "python-dateutil": "3.0.0",
    "rpds-py": "0.30.0",
    "scikit-image": "0.25.2",
    "scikit-learn": "1.7.2",
    "scipy": "1.15.3",
    "tifffile": "2025.5.10",
    "torchcam": None,
    "tornado": "6.5.10",
    "typer": "0.29.1",
    "watchdog": "6.0.0",
}
"""Newest versions that still run on Python 3.10; None: it is not used there. As `pip install --dry-run` finds them."""

ONLY_FOR_310 = {
    "async-timeout": "5.0.1",
    "exceptiongroup": "1.3.1",
    "pytz": "2026.6",
    "six": "1.17.0",
    "tomli": "2.5.0",
}
"""What others need on Python 3.10 alone."""

HEAD = "# Every package that any target of the Makefile installs, at the version that was tested. One file pins all.\n"


def constraints():
    """The text of constraints.txt."""
    names = set(TOOLS).union(*everything().values())
    lines, unknown = [], []
    for name in sorted(names):
        version = Version(metadata.version(name)).public
        if SpecifierSet(metadata.metadata(name).get("Requires-Python") or "").contains("3.10.99"):
            lines.append(f"{name}=={version}")
        elif name in LAST_FOR_310:
            lines.append(f"{name}=={version}; python_version >= '3.11'")
            if LAST_FOR_310[name]:
                lines.append(f"{name}=={LAST_FOR_310[name]}; python_version < '3.11'")
        else:
            unknown.append(name)
    older = {name: version for name, version in ONLY_FOR_310.items() if name not in names}
    lines += [f"{name}=={version}; python_version < '3.11'" for name, version in older.items()]
    if unknown:
        raise SystemExit(f"Not for Python 3.10: {', '.join(unknown)}. Add their last versions to LAST_FOR_310.")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = constraints()
    if "--write" in sys.argv[1:]:
        (REPOSITORY / "constraints.txt").write_text(text, encoding="utf-8")
    else:
        print(text, end="")
