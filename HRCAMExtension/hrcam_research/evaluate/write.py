"""Evaluate bundles one after the other and rewrite the report from all results there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from hrcam.bundle.bundle import list_bundles, load_bundle
from hrcam.errors import InputError

from hrcam_research.evaluate.data import data_folder
from hrcam_research.evaluate.report import write_json, write_report
from hrcam_research.evaluate.run import Settings, evaluate_bundle, find_sets

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
    if models is None:
        bundles = [bundle for bundle in list_bundles() if find_sets(bundle, place, settings.split)]
        if not bundles:
            raise InputError(f"No model here fits the data in {place}.", "Name one with --model.")
    else:
        bundles = [load_bundle(name) for name in models]
    for bundle in bundles:
        started = time.monotonic()
        say(f"{bundle.name} {bundle.version}")
        results = evaluate_bundle(bundle, place, out, settings, _told(say))
        write_json(results, out / "results" / f"{bundle.name}.json")
        say(f"{bundle.name}: {time.monotonic() - started:.0f} s")
    report = write_report(out)
    say(f"Wrote {report}")
    return report


def _told(say: Callable[[str], object]) -> Callable[[str, float], None]:
    """Progress as a line at each change of stage and every fifteen seconds."""
    last: dict[str, float] = {}

    def progress(stage: str, share: float) -> None:
        now = time.monotonic()
        if stage not in last or now - last[stage] > _EVERY_SECONDS or share >= 1:
            last[stage] = now
            say(f"  {stage}: {share:.0%}")

    return progress
