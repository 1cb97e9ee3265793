"""Results on disk as JSON: stable order, six digits, a format that is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hrcam.errors import InputError


def write_json(results: dict[str, Any], path: Path) -> None:
    """Write results, numbers rounded to six significant digits; what was there stays until all is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_rounded(results), indent=1, allow_nan=False, ensure_ascii=False)
    part = path.with_name(path.name + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def read_json(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Read what `write_json` wrote, of a format and version.

    Raises
    ------
    InputError : it is no result of this version.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}.", "Remove it and run hrcam evaluate again.") from error
    if not isinstance(results, dict) or (results.get("format"), results.get("format_version")) != (kind, version):
        raise InputError(f"{path} is no result of this version.", "Remove it and run hrcam evaluate again.")
    return results


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return None if value != value or abs(value) == float("inf") else float(f"{value:.6g}")
    return value
