"""Whether a case is finished already, so that a batch keeps it instead of computing it again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..bundle.bundle import Bundle
from ..errors import InputError
from ..localize import Options
from ..output.files_together import MAX_DOCUMENT_BYTES
from ..output.writers import RESULT_SUFFIX
from ..run.result import validate_result
from ..scan.io.formats import safe_name

DECIDING_OPTIONS = ("class_name", "plane", "precision", "fusion", "minimum_region_ml")
"""Options that change a result. Device, engine and batch size change it by rounding alone."""

ADDING_OPTIONS = ("keep_levels", "faithfulness", "place")
"""Options that only add to a result: one that has more than is asked for is kept, as one with more files is."""


def finished_result(
    folder: str | os.PathLike[str], name: str, bundle: Bundle, options: Options, outputs: Collection[str],
    is_same_input: Callable[[Mapping[str, Any]], bool],
) -> dict[str, Any] | None:
    """The result document of a case that need not be computed again, else None.

    Parameters
    ----------
    folder, name : where the results are, and the case's name.
    bundle, options, outputs : what is asked for.
    is_same_input : given the document's ``provenance["input"]``, says whether it is this scan.
    """
    path = Path(folder) / (safe_name(name) + RESULT_SUFFIX)
    document = read_document(path)
    if document is None:
        return None
    provenance, files = document["provenance"], document["files"]
    asked = asdict(replace(options, fusion=options.fusion or bundle.fusion))
    had = asdict(Options()) | provenance["options"]  # an earlier version's result knows not all of them
    same = (
        provenance["model"]["sha256"] == bundle.sha256
        and all(had[key] == asked[key] for key in DECIDING_OPTIONS)
        and all(had[key] is True or not asked[key] for key in ADDING_OPTIONS)
        and set(outputs) <= set(files)
        and all((path.parent / file).is_file() for file in files.values())
        and is_same_input(provenance["input"])
    )
    return document if same else None


def read_document(path: Path) -> dict[str, Any] | None:
    """A result's JSON, or None where it is none: another program, or a stranger, may have put anything there."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) > MAX_DOCUMENT_BYTES:
            return None
        document = json.loads(content.decode("utf-8"))
        validate_result(document)
    except (OSError, ValueError, RecursionError, InputError):
        return None
    return dict(document)
