"""The end of a training: a model bundle that `hrcam localize` and the Slicer module list."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrcam.bundle.bundle import Bundle
from hrcam.bundle.write import save_bundle
from hrcam.cam.model import HRCAM
from hrcam.scan.statistics import ranges

from hrcam_train.calibrate import Calibration
from hrcam_train.config import TrainConfig
from hrcam_train.network import Architecture
from hrcam_train.report import to_markdown

COLORS = ((0.90, 0.20, 0.20), (0.20, 0.45, 0.90), (0.95, 0.65, 0.15), (0.55, 0.30, 0.75), (0.15, 0.65, 0.55))
"""Of pathologies that name none, in this order."""

NORMAL_COLOR = (0.5, 0.7, 0.5)


def write_bundle(
    folder: Path,
    hrcam: HRCAM,
    config: TrainConfig,
    architecture: Architecture,
    calibration: Calibration,
    report: Mapping[str, Any],
    statistics: Sequence[Mapping[str, float]],
) -> Bundle:
    """Write `folder` as a bundle, with its model card, over an earlier one of the same run.

    Raises
    ------
    BundleError : the metadata are not valid, for example arguments that are not plain numbers and words.
    OutputError : the folder cannot be written.
    """
    metadata: dict[str, Any] = {
        "name": config.name,
        "version": config.version,
        "title": config.title,
        "description": config.description,
        "task": "classification",
        "classes": _classes(config),
        "modality": config.modality,
        "dimension": config.dimension,
        "input": config.input.model_dump(mode="json"),
        "architecture": {"name": architecture.name, "arguments": architecture.arguments},
        "temperature": calibration.temperature,
        "evidence_levels": calibration.level_documents,
        "input_statistics": ranges(statistics),
        "metrics": {key: report[key] for key in ("cross_validation", "validation") if key in report},
        "data": [source.model_dump(mode="json", exclude_defaults=True) for source in config.sources],
        "intended_use": config.intended_use,
        "reference": config.reference,
    }
    if config.sequences:
        metadata["sequences"] = config.sequences
    if calibration.volume_rule is not None:
        metadata["volume_rule"] = calibration.volume_rule
    if calibration.withholding is not None:
        metadata["withholding"] = calibration.withholding
    card = to_markdown(dict(report)) + _origin(config)
    return save_bundle(os.fspath(folder), hrcam, metadata, card, overwrite=True, allow_import=architecture.imported)


def _classes(config: TrainConfig) -> list[dict[str, Any]]:
    found = []
    colors = iter(COLORS * len(config.classes))
    for c in config.classes:
        color = c.color or (next(colors) if c.pathology else NORMAL_COLOR)
        entry = {"name": c.name, "pathology": c.pathology, "color": list(color), "terminology": c.terminology}
        found.append(entry | ({"title": c.title} if c.title else {}))
    return found


def _origin(config: TrainConfig) -> str:
    lines = ["", "## Data and licenses", ""]
    lines += [f"- {s.name} ({s.license}): {s.use}. {s.attribution}" for s in config.sources] or ["Not stated."]
    lines += ["", f"Method: HR-CAM, {config.reference}.", ""]
    return "\n".join(lines)
