"""A whole training from labeled images: data, folds, the final fit, report, bundle. Each finished step is kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from hrcam.atomic_files import replacing
from hrcam.bundle.bundle import Bundle
from hrcam.errors import InputError
from lightning.pytorch.callbacks import Callback

from hrcam_train.config import TrainConfig
from hrcam_train.data import ImageExamples
from hrcam_train.finish import finish, probabilities_of
from hrcam_train.fit import Say, Split, fit
from hrcam_train.network import build_hrcam
from hrcam_train.prepare_cases import prepare_cases
from hrcam_train.report import Probabilities
from hrcam_train.run_folder import is_first, open_folder
from hrcam_train.splits import check_splits, fold_patients, hold_out
from hrcam_train.table import LabeledCase, read_cases


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
    if config.data.kind != "labeled":
        raise InputError(f"{config.name} learns from simulated pairs.", "Train it with hrcam train-pairs.")
    open_folder(config, out, resume)
    if not is_first():
        say = _silent
    say(f"Preparing {config.name}")
    build_hrcam(config)  # a wrong network shows before hours of reading, and so do wrong weights
    split, folds = _labeled_splits(config, out / "cache", say)
    tested = []
    for number, fold in enumerate(folds, start=1):
        say(f"Fold {number} of {len(folds)}")
        tested.append(_cross_validate(config, fold, out / f"fold-{number}", callbacks, say))
    say("Training the final model")
    found = fit(config, split, out / "final", callbacks, say)
    return finish(config, out, found, split, tested, [out / "final"], say) if is_first() else None


def _silent(text: str) -> None:
    del text


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


def _cross_validate(
    config: TrainConfig, split: Split, folder: Path, callbacks: tuple[Callback, ...], say: Say
) -> tuple[Probabilities, Probabilities]:
    """Train on a fold and answer for its held-out patients, who took no part in any choice; kept when done."""
    kept = folder / "probabilities.npz"
    if not kept.exists():
        found = probabilities_of(fit(config, split, folder, callbacks, say), config, split.test)
        if is_first():
            folder.mkdir(parents=True, exist_ok=True)
            columns = zip(("images", "cases"), found, strict=True)
            with replacing(kept) as part:
                np.savez(part, **{f"{n}_{key}": value for n, a in columns for key, value in vars(a).items()})
        return found
    with np.load(kept) as saved:
        keys = ("probabilities", "labels", "patients")
        images, cases = (Probabilities(*(saved[f"{name}_{key}"] for key in keys)) for name in ("images", "cases"))
    return images, cases


def _counter(say: Say) -> Callable[[int, int], None]:
    """Say how far reading has come, ten times."""

    def report(done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            say(f"Prepared {done} of {total} scans")

    return report
