"""The end of a run: probabilities for validation and held-out patients, the report, the curves, the bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hrcam.bundle.bundle import Bundle

from hrcam_train.config import TrainConfig
from hrcam_train.export import write_bundle
from hrcam_train.fit import FittedModel, Say, Split, device_of
from hrcam_train.predict import predict
from hrcam_train.prepare_cases import PreparedCase
from hrcam_train.report import Probabilities, draw_curves, join, summarize, write_report


def finish(
    config: TrainConfig, out: Path, found: FittedModel, split: Split,
    tested: Sequence[tuple[Probabilities, Probabilities]], curves: Sequence[Path], say: Say,
) -> Bundle:  # fmt: skip
    """Write report, curves and bundle of the final fit; `tested` is of the folds, `curves` stage one's logs."""
    validation = probabilities_of(found, config, split.validation)
    report = _report(config, split, found, summarize(*validation, config.class_names))
    if tested:
        pooled = [join([fold[n] for fold in tested]) for n in (0, 1)]
        report["cross_validation"] = summarize(pooled[0], pooled[1], config.class_names)
    write_report(out, report)
    if config.mode != "head_only":
        draw_curves(curves, out / "curves.png", config.title)
    statistics = [case.statistics for case in (split.cases or split.validation)]
    bundle = write_bundle(out / config.name, found.hrcam, config, found.architecture, found.calibration, report,
                          statistics)
    say(f"Wrote the model {bundle.path}")
    return bundle


def probabilities_of(
    fit: FittedModel, config: TrainConfig, cases: Sequence[PreparedCase]
) -> tuple[Probabilities, Probabilities]:
    """What a fit says of cases: per image, and per case."""
    predictions = predict(fit.hrcam, cases, device_of(config), config.train.batch_size)
    pathology = [c.pathology for c in config.classes]
    images = [
        Probabilities(fit.calibration.image_probabilities(p), p.labels, np.array([p.patient] * len(p.labels)))
        for p in predictions
    ]
    of_cases = [
        Probabilities(fit.calibration.case_probabilities(p, pathology)[None], np.array([p.label]),
                      np.array([p.patient]))
        for p in predictions
    ]
    return join(images), join(of_cases)


def _report(config: TrainConfig, split: Split, fit: FittedModel, validation: dict[str, Any]) -> dict[str, Any]:
    rates = fit.calibration.rates
    levels = [{"name": v.name, "threshold": v.threshold, **rates[v.name]} for v in fit.calibration.levels]
    counted = {"training": split.cases, "validation": split.validation}
    return {
        "title": config.title,
        "description": config.description,
        "intended_use": config.intended_use,
        "data": {name: _count(cases, config.class_names) for name, cases in counted.items() if cases},
        "validation": validation,
        "head": fit.head,
        "calibration": {
            "temperature": fit.calibration.temperature,
            "volume_rule": fit.calibration.volume_rule,
            "levels": levels,
        },
        "limits": "The validation patients chose the epoch, the head's penalty and the calibration: their figures are "
        "somewhat better than those of new patients. Figures out of fold, where given, are free of that.",
    }


def _count(cases: Sequence[PreparedCase], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    return {
        name: {
            "scans": sum(case.label == index for case in cases),
            "images": sum(int((case.labels == index).sum()) for case in cases),
            "patients": len({case.patient for case in cases if case.label == index or index in case.labels}),
        }
        for index, name in enumerate(classes)
    }
