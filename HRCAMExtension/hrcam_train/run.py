"""A whole training: data, folds, stage one, stage two, calibration, report, bundle. Each finished step is kept."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hrcam.bundle.bundle import Bundle
from hrcam.cam.model import HRCAM
from hrcam.errors import InputError, OutputError
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from hrcam_train.calibrate import Calibration, calibrate
from hrcam_train.config import TrainConfig
from hrcam_train.data import Examples, ImageExamples
from hrcam_train.export import write_bundle
from hrcam_train.network import Architecture, build_hrcam, learnt_hrcam
from hrcam_train.paired import PairExamples, Twins, draw_twins, split_heads, validation_pairs
from hrcam_train.planes import config_of_slices
from hrcam_train.predict import Prediction, predict
from hrcam_train.prepare_cases import PreparedCase, prepare_cases
from hrcam_train.report import Answers, draw_curves, join, summarize, write_report
from hrcam_train.splits import check_splits, fold_patients, hold_out
from hrcam_train.stage_one import train_cnn
from hrcam_train.stage_two import train_head
from hrcam_train.table import LabeledCase, read_cases
from hrcam_train.twin_lesson import draw_first_weights, measure_norms, refit_head

CONFIG = "config.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Split:
    """What one fit sees; `test` is empty but in cross-validation, `cases` empty where pairs are generated.

    `twins` is what stage one learns from where it learns from crops.
    """

    training: Examples
    cases: list[PreparedCase]
    validation: list[PreparedCase]
    test: list[PreparedCase]
    twins: Twins | None = None


@dataclass(frozen=True)
class Fit:
    """A trained and calibrated network, and the words of its head's choice."""

    hrcam: HRCAM
    architecture: Architecture
    calibration: Calibration
    head: dict[str, Any]


def run_training(
    config: TrainConfig,
    out: Path,
    resume: bool = False,
    say: Say = print,
    callbacks: tuple[Callback, ...] = (),
) -> Bundle | None:
    """Train as `config` says and write everything to `out`; return the bundle `out/NAME` (None on ranks but the first).

    `out` gets `report.md`, `report.json`, `curves.png`, the bundle, the logs and checkpoints of each fit, and the
    prepared images (`cache/`, which may be deleted).

    Parameters
    ----------
    resume : go on with an interrupted run in `out`.
    say : told what begins, in words.
    callbacks : further Lightning callbacks for stage one.

    Raises
    ------
    InputError : data or settings that cannot be used.
    ModelError : the network cannot be built, wrapped or trained.
    OutputError : `out` holds another run.
    """
    _open_folder(config, out, resume)
    if not _is_first():
        say = _silent
    say(f"Preparing {config.name}")
    build_hrcam(config)  # a wrong network shows before hours of reading, and so do wrong weights
    if config.head.from_weights:
        learnt_hrcam(config_of_slices(config))
    if config.data.kind == "paired":
        split, folds = _paired_split(config)
    else:
        split, folds = _labeled_splits(config, out / "cache", say)
    tested = []
    for number, fold in enumerate(folds, start=1):
        say(f"Fold {number} of {len(folds)}")
        tested.append(_cross_validate(config, fold, out / f"fold-{number}", callbacks, say))
    say("Training the final model")
    fit = _fit(config, split, out / "final", callbacks, say)
    if not _is_first():
        return None
    device = device_of(config)
    answers = _answers(fit, config, predict(fit.hrcam, split.validation, device, config.train.batch_size))
    report = _report(config, split, fit, summarize(*answers, config.class_names))
    if tested:
        pooled = [join([fold[n] for fold in tested]) for n in (0, 1)]
        report["cross_validation"] = summarize(pooled[0], pooled[1], config.class_names)
    write_report(out, report)
    if config.mode != "head_only":
        draw_curves(_lesson_folders(out / "final"), out / "curves.png", config.title)
    statistics = [case.statistics for case in (split.cases or split.validation)]
    bundle = write_bundle(out / config.name, fit.hrcam, config, fit.architecture, fit.calibration, report, statistics)
    say(f"Wrote the model {bundle.path}")
    return bundle


def device_of(config: TrainConfig) -> torch.device:
    """Where everything but stage one runs."""
    wanted = config.trainer.accelerator in ("auto", "gpu", "cuda")
    return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")


def _silent(text: str) -> None:
    del text


def _is_first() -> bool:
    """Whether this process writes: with DDP, every process runs all of this file."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def _open_folder(config: TrainConfig, out: Path, resume: bool) -> None:
    """Refuse to mix two runs; how it runs (trainer, workers) may change between them.

    Settings that stopped before anything was prepared are no run: corrected ones take their place.
    """
    if not _is_first():
        return
    document = config.model_dump(mode="json", exclude={"trainer": True, "train": {"workers"}})
    known = out / CONFIG
    others = {entry.name for entry in out.iterdir()} - {CONFIG} if out.exists() else set()
    if known.exists() and (others or not _is_settings(known, document)):
        if not resume:
            raise OutputError(f"{out} holds a run already.", "Continue it with --resume, or choose another folder.")
        before = json.loads(known.read_text(encoding="utf-8"))
        changed = [key for key in document if document[key] != before.get(key)]
        if changed:
            raise OutputError(
                f"The run in {out} was started with other settings of {', '.join(changed)}.",
                "Resume with the same configuration, or choose another folder.",
            )
    else:
        if others:
            raise OutputError(f"{out} is not empty and holds no run.", "Choose another folder.")
        out.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _is_settings(file: Path, document: dict[str, Any]) -> bool:
    """Whether a file has settings as `document` has them: else it is somebody else's."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(held, dict) and held.keys() == document.keys()


def _labeled_splits(config: TrainConfig, cache: Path, say: Say) -> tuple[Split, list[Split]]:
    """Splits of the final fit, and of each fold; leakage is checked in all of them."""
    if not config.data.path:
        raise InputError("No data are named.", "Give --data FOLDER (CLASS/PATIENT/…) or a CSV, or set data.path.")
    classes = config.class_names
    cases = read_cases(Path(config.data.path), classes, config.data.patient_pattern)
    training, validation = hold_out(cases, config.data.validation_fraction, config.seed)
    parts = [{"training": training, "validation": validation}]
    held_out = fold_patients(cases, config.folds, config.seed) if config.folds else []
    for number, patients in enumerate(held_out, start=1):
        rest = [_unsplit(case) for case in cases if case.patient not in patients]
        inner, early = hold_out(rest, config.data.validation_fraction, config.seed + number, f" outside fold {number}")
        test = [case for case in cases if case.patient in patients]
        parts.append({"training": inner, "validation": early, "test": test})
    prepared = dict(zip((c.path for c in cases), prepare_cases(cases, config, cache, _counter(say)), strict=True))
    hashes = {path: case.content_hash for path, case in prepared.items()}
    splits = []
    for part in parts:
        check_splits(part, hashes, classes)
        found = {name: [prepared[case.path] for case in group] for name, group in part.items()}
        examples = ImageExamples(found["training"])
        splits.append(Split(examples, found["training"], found["validation"], found.get("test", [])))
    return splits[0], splits[1:]


def _unsplit(case: LabeledCase) -> LabeledCase:
    return LabeledCase(case.path, case.label, case.patient, None, case.slice_labels)


def _paired_split(config: TrainConfig) -> tuple[Split, list[Split]]:
    training, validation = split_heads(config)
    twins = draw_twins(config, training, validation) if config.data.simulation.patch else None
    return Split(PairExamples(config, training), [], validation_pairs(config, validation), [], twins), []


def _fit(config: TrainConfig, split: Split, folder: Path, callbacks: tuple[Callback, ...], say: Say) -> Fit:
    """Stage one, stage two and calibration."""
    hrcam, architecture = build_hrcam(config)
    device = device_of(config)
    validation = ImageExamples(split.validation)
    head: dict[str, Any] = {"text": "Trained together with the CNN."}
    if config.mode != "head_only":
        say("Stage one: the CNN")
    if split.twins:
        _learn_twins(hrcam, split.twins, config, folder, callbacks)
        say("Stage two: the head, on whole images")
        head = refit_head(hrcam, split.training, config, config.sick, device)
    elif config.mode != "head_only":
        train_cnn(hrcam, split.training, validation, config, folder, callbacks)
    if config.head.from_weights:
        say("Stage two: the head, near the one that came with the weights")
        hrcam.load_state_dict(learnt_hrcam(config_of_slices(config)).state_dict())
        head = refit_head(hrcam, split.training, config, config.sick, device)
    elif config.mode != "joint":
        say("Stage two: the head")
        fitted = train_head(hrcam, split.training, validation, config, device)
        tried = ", ".join(f"{t.inverse_penalty:g}: {t.balanced_accuracy:.3f}" for t in fitted.trials)
        head = {"text": f"C = {fitted.inverse_penalty:g}; validation balanced accuracy of each C: {tried or 'one C'}."}
    say("Calibrating")
    predictions = predict(hrcam, split.validation, device, config.train.batch_size)
    pathology = [c.pathology for c in config.classes]
    calibration = calibrate(hrcam, split.validation, predictions, pathology, device, config.train.batch_size)
    return Fit(hrcam, architecture, calibration, head)


def _learn_twins(
    hrcam: HRCAM, twins: Twins, config: TrainConfig, folder: Path, callbacks: tuple[Callback, ...]
) -> None:
    """Stage one on crops, of volumes' slices where the network looks at these; then the norms see whole images."""
    learner = hrcam if twins.config is config else build_hrcam(twins.config)[0]
    draw_first_weights(learner, config.seed)
    for place, (training, validation) in zip(_lesson_folders(folder), twins.lessons, strict=False):
        train_cnn(learner, training, validation, training.config, place, callbacks)
    measure_norms(learner, twins.whole, twins.config, device_of(config))
    if learner is not hrcam:
        hrcam.load_state_dict(learner.state_dict())


def _lesson_folders(folder: Path) -> list[Path]:
    """Where stage one on crops logs, or all of it; and that on whole images after it."""
    return [folder, folder / "whole"]


def _cross_validate(
    config: TrainConfig, split: Split, folder: Path, callbacks: tuple[Callback, ...], say: Say
) -> tuple[Answers, Answers]:
    """Train on a fold and answer for its held-out patients, who took no part in any choice; kept when done."""
    kept = folder / "answers.npz"
    if not kept.exists():
        fit = _fit(config, split, folder, callbacks, say)
        found = _answers(fit, config, predict(fit.hrcam, split.test, device_of(config), config.train.batch_size))
        if _is_first():
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / "part.npz"
            columns = zip(("images", "cases"), found, strict=True)
            np.savez(part, **{f"{n}_{key}": value for n, a in columns for key, value in vars(a).items()})
            part.replace(kept)
        return found
    with np.load(kept) as saved:
        keys = ("probabilities", "labels", "patients")
        images, cases = (Answers(*(saved[f"{name}_{key}"] for key in keys)) for name in ("images", "cases"))
    return images, cases


def _answers(fit: Fit, config: TrainConfig, predictions: Sequence[Prediction]) -> tuple[Answers, Answers]:
    """Answers per image and per case."""
    pathology = [c.pathology for c in config.classes]
    images = [
        Answers(fit.calibration.image_probabilities(p), p.labels, np.array([p.patient] * len(p.labels)))
        for p in predictions
    ]
    cases = [
        Answers(fit.calibration.case_probabilities(p, pathology)[None], np.array([p.label]), np.array([p.patient]))
        for p in predictions
    ]
    return join(images), join(cases)


def _report(config: TrainConfig, split: Split, fit: Fit, validation: dict[str, Any]) -> dict[str, Any]:
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


def _counter(say: Say) -> Callable[[int, int], None]:
    """Say how far reading has come, ten times."""

    def report(done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            say(f"Prepared {done} of {total} scans")

    return report
