"""Write a simulated data set: images, masks, table, configuration; resumable, and the same for any number of jobs."""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.atomic_files import replacing
from hrcam.errors import OutputError
from hrcam.words import reason
from PIL import Image

from .case import simulate_case
from .config import SimulationConfig
from .head import Head, phantom_head, read_head
from .neuromelanin import simulate_midbrain

Array = np.ndarray

COLUMNS = ("path", "label", "patient", "split", "mask", "seed", "plane", "style", "spacing_mm", "mask_voxels", "spec")
CONFIG_FILE = "recipe.json"
"""Named so since version 0.1, whose sets are finished too."""

_CHUNK = 32
_GAIN = 16  # stored = 16 x intensity, the same for all images of a set, so that pairs stay pairs
# Columns of the direction matrix (LPS) of a picture's i, j and k axis.
_DIRECTIONS = {
    None: (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "axial": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "coronal": (1, 0, 0, 0, 0, 1, 0, -1, 0),
    "sagittal": (0, 0, 1, 1, 0, 0, 0, -1, 0),
}


@contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """Give a name to write to; the file appears under its own name only when whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            yield part
    except (OSError, RuntimeError) as error:  # ITK's writers raise RuntimeError
        raise OutputError(f"{path} cannot be written: {reason(error)}.", "Free space or choose another --out.") \
            from error


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with _atomic(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_image(path: Path, array: Array, spacing_mm: tuple[float, ...], plane: str | None) -> None:
    """Write intensities (float) as 16 bits, masks and labels as 8 bits."""
    if array.dtype in (np.dtype(bool), np.dtype(np.uint8)):
        stored = array.astype(np.uint8) * (255 if path.suffix == ".png" else 1)
    else:
        stored = np.clip(np.rint(array * _GAIN), 0, 65535).astype(np.uint16)
    with _atomic(path) as part:
        if path.suffix == ".png":
            Image.fromarray(stored).save(part, format="PNG")
            return
        volume = sitk.GetImageFromArray(stored if stored.ndim == 3 else stored[None])
        spacing = spacing_mm if len(spacing_mm) == 3 else (max(spacing_mm), *spacing_mm)
        volume.SetSpacing([float(s) for s in spacing[::-1]])
        volume.SetDirection([float(d) for d in _DIRECTIONS[plane]])
        corner = np.array(_DIRECTIONS[plane], float).reshape(3, 3) @ (
            np.array(volume.GetSpacing()) * (np.array(volume.GetSize()) - 1) / 2
        )
        volume.SetOrigin((-corner).tolist())  # the picture's center is the origin of space
        sitk.WriteImage(volume, str(part), useCompression=True)


@lru_cache(maxsize=1)
def head_at(config: SimulationConfig, number: int) -> Head:
    """One of the heads that images are drawn from, by its index."""
    if config.heads:
        return read_head(config.heads[number])
    return phantom_head(np.random.default_rng((config.seed, 2, number)), name=config.head_names()[number])


def _make(config: SimulationConfig, out: Path, image: int) -> None:
    """Draw and write one image, its mask and, last, its record."""
    sick, key = config.pathological(image), config.key(image)
    seed = (config.seed, 0, key)
    spec: dict[str, Any] = {}
    plane, style = None, ""
    spacing: tuple[float, ...]
    if config.kind == "lesion":
        case = simulate_case(
            head_at(config, config.head_of(image)), seed, dims=config.dims, size=config.size, lesion=sick,
            spacing_mm=config.spacing_mm, diameter_mm=config.diameter_mm, contrast=config.contrast,
            least_change=config.least_change, style=config.style,
        )  # fmt: skip
        pixels, mask, spacing, plane, style = case.image, case.mask, case.spacing_mm, case.plane, case.style
        spec = case.spec.to_dict() if case.spec else {}
    else:
        volume = simulate_midbrain(seed, parkinson=sick)
        pixels, mask, spacing = volume.image, volume.mask, volume.spacing_mm
        spec = volume.loss.to_dict() if volume.loss else {}
        _write_image(out / "anatomy" / _file(config, image), volume.labels, spacing, plane)
    name = _file(config, image)
    _write_image(out / "masks" / name, mask, spacing, plane)
    _write_image(out / "images" / name, pixels, spacing, plane)
    record = {
        "path": f"images/{name}", "label": config.labels[0 if sick else 1], "patient": config.subject(image),
        "mask": f"masks/{name}", "seed": f"{config.seed}-0-{key}", "plane": plane or "", "style": style,
        "spacing_mm": " ".join(f"{s:g}" for s in spacing), "mask_voxels": int(mask.sum()), "spec": json.dumps(spec),
    }  # fmt: skip
    _write_json(_record(out, image), record)


def _file(config: SimulationConfig, image: int) -> str:
    return f"{config.kind}_{image:06d}" + (".png" if config.file_format == "png" else ".nii.gz")


def _record(out: Path, image: int) -> Path:
    return out / "records" / f"{image:06d}.json"


def _make_all(config: SimulationConfig, out: Path, images: Iterable[int]) -> int:
    made = 0
    for image in images:
        _make(config, out, image)
        made += 1
    return made


def _chunks(config: SimulationConfig, images: list[int]) -> list[list[int]]:
    """Groups of images of one head each, so that a head is read once a group."""
    groups: dict[int, list[int]] = {}
    for image in images:
        groups.setdefault(config.head_of(image) if config.kind == "lesion" else 0, []).append(image)
    return [group[n : n + _CHUNK] for group in groups.values() for n in range(0, len(group), _CHUNK)]


def make_dataset(
    config: SimulationConfig, out: Path, jobs: int = 1, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Make a data set, or finish one that was interrupted.

    ``out`` gets ``images/``, ``masks/``, ``cases.csv`` (readable by ``hrcam train``) and ``recipe.json``; neuromelanin
    sets also ``anatomy/``, label maps of the crus cerebri (1) and the nigra (2).

    Parameters
    ----------
    config : what to make.
    out : folder, new or begun with the same configuration.
    jobs : processes.
    progress : told (images done, images in all).

    Returns
    -------
    Path of ``cases.csv``.

    Raises
    ------
    InputError : a head cannot be used.
    OutputError : the folder holds something else, or cannot be written.
    """
    table = out / "cases.csv"
    content = config.to_dict()
    if (out / CONFIG_FILE).exists():
        if _kept_config(out) != content:
            raise OutputError(f"{out} holds a set made with other settings.", "Choose another --out, or delete it.")
    elif out.exists() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty.", "Choose a new folder for --out.")
    report = progress or (lambda done, total: None)
    if table.exists():
        report(config.count, config.count)
        return table
    _write_json(out / CONFIG_FILE, content)
    todo = [image for image in range(config.count) if not _record(out, image).exists()]
    done = config.count - len(todo)
    report(done, config.count)
    try:
        for made in _make_chunks(config, out, _chunks(config, todo), jobs):
            done += made
            report(done, config.count)
    except BaseException:
        if [path.name for path in out.iterdir()] == [CONFIG_FILE]:  # nothing was made: the folder is free again
            (out / CONFIG_FILE).unlink()
        raise
    _write_table(config, out, table)
    shutil.rmtree(out / "records")
    for part in out.glob("*/.*"):  # left by a run that was killed
        part.unlink()
    return table


def _make_chunks(config: SimulationConfig, out: Path, chunks: list[list[int]], jobs: int) -> Iterator[int]:
    """Make groups of images and tell the size of each that is done."""
    if jobs <= 1:
        for chunk in chunks:
            yield _make_all(config, out, chunk)
        return
    # Spawned, not forked: forking a process with threads (torch, ITK) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, max(len(chunks), 1)), mp_context=context) as pool:
        futures = [pool.submit(_make_all, config, out, chunk) for chunk in chunks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _kept_config(out: Path) -> Any:
    try:
        return json.loads((out / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError:
        return None


def _write_table(config: SimulationConfig, out: Path, table: Path) -> None:
    splits = config.splits()
    with _atomic(table) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for image in range(config.count):
            row = json.loads(_record(out, image).read_text(encoding="utf-8"))
            writer.writerow({**row, "split": splits[row["patient"]]})
