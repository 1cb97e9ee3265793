"""List the licenses of all packages that HR-CAM uses in docs/licenses.md.

    python Testing/release/licenses.py           what would be written
    python Testing/release/licenses.py --write   write it (make licenses)
"""

import json
import subprocess
import sys

from packaging.utils import canonicalize_name
from requirements import REPOSITORY, everything

PATH = REPOSITORY / "docs" / "licenses.md"

HEAD = """# Licenses of dependencies

Made by `make licenses` from the installed packages' own metadata; do not edit. HR-CAM itself is under the Apache
License 2.0 (`LICENSE.txt`) and contains no code of these packages. Licenses of the data behind each model are in its
[model card](models.md).

| Package | Version | License | Needed by |
|---|---|---|---|
"""


def licenses():
    """The text of docs/licenses.md."""
    extras = everything()
    names = sorted(set().union(*extras.values()))
    run = subprocess.run(
        [sys.executable, "-m", "piplicenses", "--from=mixed", "--with-system", "--format=json", "--packages", *names],
        capture_output=True, text=True, check=True)
    rows = []
    for one in sorted(json.loads(run.stdout), key=lambda entry: canonicalize_name(entry["Name"])):
        name = canonicalize_name(one["Name"])
        users = ["all"] if name in extras[""] else [extra for extra in extras if name in extras[extra]]
        rows.append(f"| {name} | {one['Version'].partition('+')[0]} | {_short(one['License'])} | {', '.join(users)} |")
    return HEAD + "\n".join(rows) + "\n"


def _short(text):
    """The license's name: some packages put its whole text there."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "not stated")
    return line.replace("|", "/").rstrip(",.;:")[:90]


if __name__ == "__main__":
    text = licenses()
    if "--write" in sys.argv[1:]:
        PATH.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
