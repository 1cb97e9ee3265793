"""Add model bundles to the user's own: complete or not at all."""

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..errors import BundleError, OutputError
from .bundle import (
    CARD,
    MAX_METADATA_BYTES,
    MAX_WEIGHTS_BYTES,
    METADATA,
    WEIGHTS,
    Bundle,
    load_bundle,
    path_of,
    read_limited,
    user_model_folder,
)

_LIMITS = {METADATA: MAX_METADATA_BYTES, WEIGHTS: MAX_WEIGHTS_BYTES, CARD: MAX_METADATA_BYTES}
_MAX_ENTRIES = 1000
_MAX_ZIP_BYTES = sum(_LIMITS.values()) + (1 << 20)
"""A larger zip's own list of contents could fill the memory before any entry is looked at."""


def install_bundle(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    allow_import: bool = False,
) -> Bundle:
    """Copy a bundle, a folder or a .zip of one, into the user's model folder, after checking all of it.

    Parameters
    ----------
    source : a bundle's folder, or a zip that holds its files at the top or in one folder.
    folder : parent of the new bundle; None for `bundle.user_model_folder`.
    allow_import : see `load_bundle`.

    Raises
    ------
    BundleError : not a bundle, damaged, with paths or links that leave it, or larger than allowed.
    OutputError : a model of this name exists, or the folder cannot be written.
    """
    path = path_of(source)
    parent = path_of(folder) if folder is not None else user_model_folder()
    if path.is_dir():
        contents = {
            n: read_limited(path / n, limit) for n, limit in _LIMITS.items() if n != CARD or (path / n).exists()
        }
    elif path.is_file():
        contents = _read_zip(path)
    else:
        raise BundleError(f"There is no file or folder {path}.", "Give a model's folder or .zip.")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        holder = tempfile.mkdtemp(prefix=".install-", dir=parent)
    except OSError as error:
        raise OutputError(f"{parent} cannot be written: {error.strerror}.", "Choose another folder.") from error
    try:
        for name, content in contents.items():
            (Path(holder) / name).write_bytes(content)
        bundle = load_bundle(holder, allow_import)
        bundle.build()
        with replacing_folder(parent / bundle.name, overwrite) as temporary:
            for name in contents:
                shutil.copyfile(Path(holder) / name, temporary / name)
        return load_bundle(parent / bundle.name, allow_import)
    except OSError as error:
        raise OutputError(f"{parent} cannot be written: {error.strerror}.", "Is the disk full?") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _read_zip(path: Path) -> dict[str, bytes]:
    """Return the bundle's files in a zip, none of them written anywhere yet."""
    try:
        if path.stat().st_size > _MAX_ZIP_BYTES:
            raise BundleError(f"{path} is larger than {_MAX_ZIP_BYTES >> 20} MB.", "This is no HR-CAM model.")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_ENTRIES:
                raise BundleError(f"{path} holds {len(entries)} files.", "This is no HR-CAM model.")
            for entry in entries:
                _refuse_entry(path, entry)
            inner = [PurePosixPath(e.filename) for e in entries if PurePosixPath(e.filename).name == METADATA]
            if len(inner) != 1 or len(inner[0].parts) > 2:
                raise BundleError(f"{path} does not hold one model.", f"Zip one folder with {METADATA} and {WEIGHTS}.")
            names = set(archive.namelist())
            contents = {}
            for name, limit in _LIMITS.items():
                member = str(inner[0].parent / name)
                if member in names:
                    with archive.open(member) as stream:  # the size that a zip states may lie
                        contents[name] = stream.read(limit + 1)
                    if len(contents[name]) > limit:
                        raise BundleError(
                            f"{name} in {path} is larger than {limit >> 20} MB.", "This is no HR-CAM model."
                        )
                elif name != CARD:
                    raise BundleError(f"{path} holds no {name}.", "Zip the model's whole folder.")
            return contents
    except BundleError:
        raise
    except Exception as error:  # each kind of compression has errors of its own
        raise BundleError(f"{path} is not a zip that can be read: {error}.", "Get the model again.") from error


def _refuse_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    parts = PurePosixPath(entry.filename.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in entry.filename:
        raise BundleError(f"{path} holds a path that leaves its folder: {entry.filename!r}.", "Do not trust this file.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise BundleError(f"{path} holds a link: {entry.filename!r}.", "Do not trust this file.")


@contextmanager
def replacing_folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside `target` that takes its place when the block ends well, and vanishes otherwise."""
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists.", "Choose another name, or allow overwriting.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{target.parent} cannot be written: {error.strerror}.", "Choose another folder.") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        if target.exists():
            former = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            target.rename(former / target.name)
            temporary.rename(target)
            shutil.rmtree(former, ignore_errors=True)
        else:
            temporary.rename(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}.", "Is the disk full?") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
