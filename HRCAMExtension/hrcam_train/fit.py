"""One fit: stage one, stage two, and calibration on validation images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hrcam.cam.model import HRCAM
from lightning.pytorch.callbacks import Callback

from hrcam_train.calibrate import Calibration, calibrate
from hrcam_train.config import TrainConfig
from hrcam_train.data import Examples, ImageExamples
from hrcam_train.linear_head import HeadFit
from hrcam_train.network import Architecture, build_hrcam
from hrcam_train.predict import predict
from hrcam_train.prepare_cases import PreparedCase
from hrcam_train.stage_one import label_classifier, train_cnn
from hrcam_train.stage_two import train_head

Say = Callable[[str], None]


@dataclass(frozen=True)
class Split:
    """What one fit sees; `test` is empty but in cross-validation, `cases` empty where images are generated."""

    training: Examples
    cases: list[PreparedCase]
    validation: list[PreparedCase]
    test: list[PreparedCase]


@dataclass(frozen=True)
class FittedModel:
    """A trained and calibrated network, and the words of its head's choice."""

    hrcam: HRCAM
    architecture: Architecture
    calibration: Calibration
    head: dict[str, Any]


def fit(config: TrainConfig, split: Split, folder: Path, callbacks: tuple[Callback, ...], say: Say) -> FittedModel:
    """Train as `config.mode` says: the CNN (unless "head_only"), then the head (unless "joint"); then calibrate."""
    hrcam, architecture = build_hrcam(config)
    validation = ImageExamples(split.validation)
    if config.mode != "head_only":
        say("Stage one: the CNN")
        classifier = label_classifier(hrcam, split.training, config)
        train_cnn(classifier, split.training, validation, config, folder, callbacks)
    head = {"text": "Trained together with the CNN."}
    if config.mode != "joint":
        say("Stage two: the head")
        head = {"text": _in_words(train_head(hrcam, split.training, validation, config, device_of(config)))}
    return calibrated(hrcam, architecture, head, config, split.validation, say)


def calibrated(
    hrcam: HRCAM, architecture: Architecture, head: dict[str, Any], config: TrainConfig,
    validation: list[PreparedCase], say: Say,
) -> FittedModel:  # fmt: skip
    """The end of every fit: temperature, volume rule and evidence levels."""
    say("Calibrating")
    device = device_of(config)
    predictions = predict(hrcam, validation, device, config.train.batch_size)
    pathology = [c.pathology for c in config.classes]
    calibration = calibrate(hrcam, validation, predictions, pathology, device, config.train.batch_size)
    return FittedModel(hrcam, architecture, calibration, head)


def device_of(config: TrainConfig) -> torch.device:
    """Where everything but stage one runs."""
    wanted = config.trainer.accelerator in ("auto", "gpu", "cuda")
    return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")


def _in_words(found: HeadFit) -> str:
    tried = ", ".join(f"{t.inverse_penalty:g}: {t.balanced_accuracy:.3f}" for t in found.scores)
    return f"C = {found.inverse_penalty:g}; validation balanced accuracy of each C: {tried or 'one C'}."
