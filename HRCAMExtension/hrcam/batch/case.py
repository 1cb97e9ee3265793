"""One case of a batch: kept if it is finished, computed if not, and its failure told in words, never raised.

A case is claimed by a lock that the operating system frees when its holder dies, so any number of processes and
machines may work on one folder. What a killed process left half-written is removed by the next one to claim the case.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..bundle.bundle import Bundle, load_bundle
from ..errors import BundleError, InputError, ModelError, OutputError
from ..localize import localize
from ..output.writers import OUTPUTS, RESULT_SUFFIX, write_result
from ..scan.io.discovery import Case
from ..scan.io.formats import safe_name
from ..scan.volume import Volume, read_volume
from ..words import describe, reason, shown
from .records import BUSY, DONE, FAILED, KEPT, STATE_FOLDER, Beside, Job, Row
from .resume import finished_result, read_document

PATIENCE_S = 3600.0
"""Longest wait for a case that another process works on."""

_PAUSE_S = 1.0
_HOPELESS = (InputError, ModelError, BundleError)
"""Trying again cannot help: the same input and model fail the same way."""


def run_case(case: Case, job: Job, beside: Beside | None = None) -> Row:
    """Finish one case; whatever goes wrong is in the row that it returns.

    A case counts as finished when its JSON and all its files are there, written for the same voxels and grid, the same
    weights and the same options (see `resume.py`). Two processes never compute the same case at the same time.
    """
    began = time.perf_counter()
    tries = 0

    def row(status: str, **columns: Any) -> Row:
        return Row(case.name, case.path, status, round(time.perf_counter() - began, 3), tries, **columns)

    if case.error is not None:
        return row(FAILED, error=case.error.message, hint=case.error.hint)
    try:
        with _claim(case.name, job):
            while True:
                tries += 1
                try:
                    status, document = _finish(case, job, beside)
                    return row(status, found=_found(document))
                except Exception as error:
                    if tries > job.retries or isinstance(error, _HOPELESS):
                        raise
                    time.sleep(_PAUSE_S * tries)
    except Timeout:
        return row(BUSY, error="Another process is working on this case.",
                   hint="Wait for it to end, or end it, and run the batch again.")
    except Exception as error:
        message, hint = describe(error)
        return row(FAILED, error=message, hint=hint)


def signature_of(path: str) -> str | None:
    """Checksum of names, sizes and times of a case's files, or None where they do not tell the whole content.

    It spares a restarted batch from reading what has not changed, as ``make`` and ``git`` do.
    """
    scan = Path(path if os.path.lexists(path) else path.rpartition("#")[0])
    if scan.suffix.lower() in (".mhd", ".nhdr"):
        return None  # the voxels are in another file
    try:
        if scan.is_dir():
            listed = [(one.name, one.stat()) for one in os.scandir(scan) if one.is_file()]
        else:
            listed = [(scan.name, scan.stat())]
    except OSError:
        return None
    known = [str(Path(path).absolute()), sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in listed)]
    return hashlib.sha256(json.dumps(known).encode("utf-8", "surrogateescape")).hexdigest()


def bundle_of(job: Job) -> Bundle:
    """The job's model, verified once a process.

    Raises ``BundleError`` where it is not there, or is another one than the batch began with.
    """
    return _bundle(job.model, job.sha256, job.allow_import)


@lru_cache(maxsize=2)
def _bundle(folder: str, sha256: str, allow_import: bool) -> Bundle:
    bundle = load_bundle(folder, allow_import)
    if bundle.sha256 != sha256:
        raise BundleError(f"The model in {shown(folder)} is not the one that the batch was started with.",
                          "Give every machine the same model.")
    return bundle


def _finish(case: Case, job: Job, beside: Beside | None) -> tuple[str, dict[str, Any]]:
    """Compute a case unless it is finished; returns its status and its result document."""
    _limit_threads(job.threads)
    bundle, out = bundle_of(job), Path(job.out)
    signature = signature_of(case.path)
    whole = all((out / (safe_name(case.name) + end)).is_file() for end in job.further)
    if not job.overwrite and whole and signature is not None:
        document = finished_result(out, case.name, bundle, job.options, job.outputs,
                            lambda scan: scan.get("signature") == signature)
        if document is not None:
            return KEPT, document
    volume = replace(read_volume(case.path), name=case.name)
    if not job.overwrite and whole:
        document = finished_result(out, case.name, bundle, job.options, job.outputs,
                            lambda scan: scan["content_hash"] == volume.content_hash)
        if document is not None:
            return KEPT, document
    if not job.overwrite:
        _refuse_another_scan(out, case.name, volume)
    result = localize(volume, bundle, job.options)
    scan = {**result.provenance["input"], "signature": signature}
    result = replace(result, provenance={**result.provenance, "input": scan})
    if beside is not None:
        beside(result, volume)
    files = write_result(result, volume, out, job.outputs)
    return DONE, result.to_json({kind: path.name for kind, path in files.items() if kind != "result"})


def _refuse_another_scan(out: Path, name: str, volume: Volume) -> None:
    """Results of a changed scan, model or option are replaced; those of another file of the same name are not."""
    earlier = read_document(out / (safe_name(name) + RESULT_SUFFIX))
    if earlier is None:
        return
    source = str(earlier["provenance"]["input"]["source"])
    same = Path(source).absolute() == Path(volume.source).absolute()
    if not same and os.path.lexists(source.partition("#")[0]):
        raise OutputError(f'The folder holds results of another scan named "{name}", {shown(source)}.',
                          "Choose another folder with --out, or add --overwrite.")


def _found(document: Mapping[str, Any]) -> dict[str, Any]:
    """What tables and reports show of a result; a batch keeps this much of every case in memory."""
    regions = document["regions"]
    strongest = max(regions, key=lambda region: region["peak"], default=None)
    return {
        "predicted": document["predicted"],
        "shown_class": document["shown_class"],
        "probabilities": document["probabilities"],
        "plane": document["plane"],
        "regions": len(regions),
        "volume_ml": sum(region["volume_ml"] for region in regions),
        "strongest": strongest,
        "withheld": bool(document.get("withheld")) and _reaches_a_level(document),
        "faithfulness": document.get("faithfulness"),
        "warnings": document["warnings"],
        "out_of_range_score": document["provenance"]["input"].get("out_of_range_score"),
        "overview": document["files"].get("overview"),
        "hrcam_version": document["provenance"]["hrcam_version"],
        "input_sha256": document["provenance"]["input"]["content_hash"],
    }


class _claim:  # noqa: N801 - used as a function
    """Hold a case; entering raises ``Timeout`` when another process has it, and clears what a dead one left."""

    def __init__(self, name: str, job: Job) -> None:
        state = Path(job.out) / STATE_FOLDER
        try:
            state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f'The folder "{shown(job.out)}" cannot be written: {reason(error)}.',
                              "Choose another folder.") from error
        self._name, self._out = safe_name(name), Path(job.out)
        self._lock = FileLock(state / f"{self._name}.lock", timeout=job.patience_s)

    def __enter__(self) -> None:
        self._lock.acquire()
        for left in _left_behind(self._out, self._name):
            shutil.rmtree(left, ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _left_behind(out: Path, name: str) -> list[Path]:
    """Hidden folders in which ``write_result`` was writing this very case when its process died."""
    kinds = "|".join(re.escape(end) for end in (RESULT_SUFFIX, *OUTPUTS.values()))
    images = r"_(.+_)?(map|labels)\.nii(\.gz)?"  # packed in a second step
    own = re.compile(re.escape(name) + f"({kinds}|{images})")
    start = f".{name[:40]}-"
    found = []
    for holder in out.glob(f"{_literal(start)}????????"):
        names = [one.name for one in holder.iterdir()] if holder.is_dir() else [""]
        if all(own.fullmatch(one) for one in names) and (names or len(name) < 40):
            found.append(holder)
    return found


def _literal(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


def _limit_threads(threads: int | None) -> None:
    if threads is None:
        return
    import SimpleITK as sitk  # noqa: N813 - its customary name
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _reaches_a_level(document: Mapping[str, Any]) -> bool:
    """Whether evidence of a result's document reaches its weakest level, marked or not."""
    weakest = min(level["threshold"] for level in document["evidence_levels"])
    return any((one.get("peak") or weakest - 1) >= weakest for one in document["slices"])
