"""Write the corpus of bad input into a folder, with ``manifest.json``: ``python Testing/corpus/make.py FOLDER``.

Each kind lies in a folder of its own name. The manifest lists kind, path and the part of the error that must come
(``null`` where the input is good).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus import (
    dicom,
    dicom_elements,
    dicom_enhanced,
    dicom_exports,
    dicom_objects,
    nifti,
    nrrd_meta,
    pictures_paths,
)
from corpus.kinds import KINDS

__all__ = ["KINDS", "make"]

MODULES = (nifti, nrrd_meta, dicom, dicom_elements, dicom_enhanced, dicom_objects, dicom_exports, pictures_paths)


def make(folder: Path) -> list[dict[str, str | None]]:
    """Write all kinds below ``folder`` and return the manifest."""
    manifest: list[dict[str, str | None]] = []
    for kind in KINDS.values():
        place = folder / kind.name
        place.mkdir(parents=True)
        manifest.append({"kind": kind.name, "path": str(kind.make(place)), "says": kind.says})
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return manifest


def main(arguments: list[str]) -> int:
    """Command line."""
    if len(arguments) != 1:
        print(f"usage: {Path(__file__).name} FOLDER", file=sys.stderr)
        return 2
    manifest = make(Path(arguments[0]))
    print(f"{len(manifest)} kinds, {sum(one['says'] is not None for one in manifest)} of them bad")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
