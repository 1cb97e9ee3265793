"""Evaluate bundles one after the other and rewrite the report from all results there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hrcam.bundle.bundle import Bundle, list_bundles, load_bundle
from hrcam.errors import InputError

from hrcam_research.evaluate.data import data_folder
from hrcam_research.evaluate.report import FORMAT, FORMAT_VERSION, write_report
from hrcam_research.evaluate.results_file import read_json, write_json
from hrcam_research.evaluate.run import EvaluationSet, Settings, commit, evaluate_bundle, find_sets
from hrcam_research.evaluate.scan_report import evaluate_scans
from hrcam_research.evaluate.scans import find_scan_sets, reads_heads

_EVERY_SECONDS = 15.0


def evaluate_models(
    models: Sequence[str] | None, folder: Path | None, out: Path, settings: Settings, say: Callable[[str], object]
) -> Path:
    """Write `out`/results/NAME.json and figures for each model, and `out`/RESULTS.md; returns the report's path.

    Parameters
    ----------
    models : names or folders of bundles; None for every listed one whose classes the data know.

    Raises
    ------
    InputError : no data, no CUDA, no model that fits.
    """
    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("There is no CUDA device here.", "Use --device cpu.")
    place = data_folder(folder)
    scan_sets = [one for one in find_scan_sets(place) if settings.wants(one.name)]
    bundles = list_bundles() if models is None else [load_bundle(name) for name in models]
    measured = 0
    for bundle in bundles:
        started = time.monotonic()
        images = _sets_of(bundle, place, settings, must_fit=models is not None)
        scans = scan_sets if reads_heads(bundle) else []
        if not images and not scans:
            continue
        measured += 1
        say(f"{bundle.name} {bundle.version}")
        if images:
            path = out / "results" / f"{bundle.name}.json"
            keep = partial(write_json, path=path)
            keep(evaluate_bundle(bundle, images, place, out, settings, _told(say), keep, _earlier(path, bundle)))
        evaluate_scans(bundle, scans, out, commit(), settings.device, settings.cases, _told(say))
        say(f"{bundle.name}: {time.monotonic() - started:.0f} s")
    if not measured:
        names = ", ".join(bundle.name for bundle in bundles)
        raise InputError(f"{place} holds no image of a class that {names} knows, or no set of the name that was given.",
                         "Name a model with --model, and a set of the data folder with --data-set.")
    report = write_report(out)
    say(f"Wrote {report}")
    return report


def _sets_of(bundle: Bundle, place: Path, settings: Settings, must_fit: bool) -> list[EvaluationSet]:
    """The sets of images that a bundle is measured on; a table with unknown labels fits no bundle."""
    try:
        return find_sets(bundle, place, settings.split, settings.wants)
    except InputError:
        if must_fit:
            raise
        return []


def _earlier(path: Path, bundle: Bundle) -> dict[str, Any] | None:
    """Results of the same weights and version, if there are any."""
    if not path.is_file():
        return None
    found = read_json(path, FORMAT, FORMAT_VERSION)
    same = all(found["model"][key] == value for key, value in (("version", bundle.version), ("sha256", bundle.sha256)))
    return found if same else None


def _told(say: Callable[[str], object]) -> Callable[[str, float], None]:
    """Progress as a line at each change of stage and every fifteen seconds."""
    last: dict[str, float] = {}

    def progress(stage: str, share: float) -> None:
        now = time.monotonic()
        if stage not in last or now - last[stage] > _EVERY_SECONDS or share >= 1:
            last[stage] = now
            say(f"  {stage}: {share:.0%}")

    return progress
