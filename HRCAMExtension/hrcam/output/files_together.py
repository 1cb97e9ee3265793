"""Write several files that belong together: all of them appear, the document last, or none."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..atomic_files import locked, sync_file, sync_folder
from ..errors import HRCAMError, OutputError
from ..scan.io.formats import safe_name
from ..words import reason, shown

MAX_DOCUMENT_BYTES = 64 << 20
"""Longer ones are no results: the schema's hundred thousand regions and slices take less."""

Write = Callable[[Path], None]


def write_together(
    case: str, folder: Path, document_suffix: str, document: Callable[[Mapping[str, str]], Mapping[str, Any]],
    files: Mapping[str, tuple[str, Write]], may_remove: Callable[[str, str], bool], overwrite: bool = True,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Path]:
    """Write a case's files into a folder, which is created where it does not exist.

    They are written into a hidden folder beside their destination, settled, and renamed into place, the JSON last.

    Parameters
    ----------
    case, folder : whose files, and where to.
    document_suffix : end of the JSON's name.
    document : from the files' names by kind makes the JSON that names them; it raises where that breaks its schema.
    files : kind to (end of the file name, function that writes it).
    may_remove : given the case's safe name and a file name that an earlier run's JSON states, says whether it is a file
        that this case can have: anybody may have written that JSON.
    overwrite : replace the files of an earlier run, and remove those that only it had; otherwise they are an error.
    progress : called before each file with the share of the files that is written.

    Returns
    -------
    Kind (the JSON's is "result") to the path written.

    Raises
    ------
    OutputError : existing files, a folder that cannot be written, a full disk. Nothing of the case is left then.
    """
    name = safe_name(case)
    _refuse_unwritable_name(folder)
    names = {kind: name + suffix for kind, (suffix, _) in files.items()}
    content = document(names)
    names["result"] = name + document_suffix
    writers = {kind: write for kind, (_, write) in files.items()}
    writers["result"] = lambda path: _write_json(content, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not overwrite:
            _refuse_existing(folder, names)
        holder = Path(tempfile.mkdtemp(prefix=f".{name[:40]}-", dir=folder))
    except OSError as error:
        raise OutputError(f'The folder "{shown(folder)}" cannot be written: {reason(error)}.',
                          "Choose another folder.") from error
    try:
        for number, (kind, write) in enumerate(writers.items()):
            if progress is not None:
                progress(number / len(writers))
            write(holder / names[kind])
            sync_file(holder / names[kind])
        with locked(folder):
            if not overwrite:
                _refuse_existing(folder, names)
            _move_into_place(holder, folder, names, lambda file: may_remove(name, file))
    except HRCAMError:
        raise
    except (OSError, RuntimeError) as error:
        raise OutputError(f'The results of "{case}" cannot be written to "{shown(folder)}": {reason(error)}.',
                          "Is the disk full?") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    return {kind: folder / one for kind, one in names.items()}


def remove_together(folder: Path, names: Mapping[str, str], may_remove: Callable[[str], bool]) -> None:
    """Remove what an earlier run wrote: the JSON ``names["result"]`` first, then what it names and ``names`` has not.

    Raises ``OSError`` where a file cannot be removed.
    """
    former = _former_files(folder, names, may_remove)
    for one in (names["result"], *former):
        (folder / one).unlink(missing_ok=True)


def _refuse_unwritable_name(target: Path) -> None:
    """SimpleITK ends the whole process at a path that is not UTF-8."""
    try:
        str(target).encode("utf-8")
    except UnicodeEncodeError:
        raise OutputError(f'The name of the folder "{shown(target)}" is not valid UTF-8.', "Choose another folder.") \
            from None


def _refuse_existing(target: Path, names: Mapping[str, str]) -> None:
    existing = [one for one in names.values() if (target / one).exists()]
    if existing:
        raise OutputError(f'"{shown(target / existing[0])}" exists already.',
                          "Choose another folder, or allow overwriting.")


def _move_into_place(holder: Path, target: Path, names: Mapping[str, str], may_remove: Callable[[str], bool]) -> None:
    """Rename all files; without the JSON, which goes first and comes last, a case counts as absent."""
    remove_together(target, names, may_remove)
    moved: list[Path] = []
    try:
        for kind, one in names.items():
            if kind == "result":
                sync_folder(target)
            (holder / one).replace(target / one)
            moved.append(target / one)
        sync_folder(target)
    except OSError:
        for path in moved:
            path.unlink(missing_ok=True)
        raise


def _former_files(target: Path, names: Mapping[str, str], may_remove: Callable[[str], bool]) -> list[str]:
    """Files of an earlier run that this one does not write again."""
    try:
        with (target / names["result"]).open("rb") as file:
            document = json.loads(file.read(MAX_DOCUMENT_BYTES))
        files = [str(one) for one in document["files"].values()]
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return []
    return [one for one in files if one not in names.values() and safe_name(one) == one and may_remove(one)]


def _write_json(document: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
