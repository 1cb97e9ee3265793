"""A whole training on pairs: heads, stage one on crops or whole images, the head, calibration, report, bundle."""

from pathlib import Path

from hrcam.bundle.bundle import Bundle
from hrcam.cam.model import HRCAM
from hrcam_train.finish import finish
from hrcam_train.fit import FittedModel, Say, Split, calibrated, device_of, fit
from hrcam_train.network import build_hrcam, learnt_hrcam
from hrcam_train.run_folder import is_first, open_folder
from hrcam_train.stage_one import train_cnn
from lightning.pytorch.callbacks import Callback

from hrcam_research.paired.config import PairedConfig
from hrcam_research.paired.crops import CropStages, crop_stages
from hrcam_research.paired.pair_classifier import PairClassifier
from hrcam_research.paired.pairs import PairExamples, split_heads, validation_pairs
from hrcam_research.paired.refit import draw_first_weights, measure_norms, refit_head
from hrcam_research.paired.slices import config_of_slices


def run_paired_training(
    config: PairedConfig,
    out: Path,
    resume: bool = False,
    say: Say = print,
    callbacks: tuple[Callback, ...] = (),
) -> Bundle | None:
    """Train on pairs as `config` says and write everything to `out`; see `hrcam_train.run.run_training`."""
    open_folder(config, out, resume)
    if not is_first():
        say = _silent
    say(f"Preparing {config.name}")
    build_hrcam(config)
    if config.head.from_weights:
        learnt_hrcam(config_of_slices(config))  # wrong weights show before hours of training
    training, validation = split_heads(config)
    stages = crop_stages(config, training, validation) if config.data.simulation.patch else None
    split = Split(PairExamples(config, training), [], validation_pairs(config, validation), [])
    say("Training the final model")
    found = _fit(config, split, stages, out / "final", callbacks, say)
    return finish(config, out, found, split, [], _stage_folders(out / "final"), say) if is_first() else None


def _fit(
    config: PairedConfig, split: Split, stages: CropStages | None, folder: Path, callbacks: tuple[Callback, ...],
    say: Say,
) -> FittedModel:  # fmt: skip
    """From crops, from weights that know pairs already, or as any training does."""
    if stages is None and not config.head.from_weights:
        return fit(config, split, folder, callbacks, say)
    hrcam, architecture = build_hrcam(config)
    if stages is not None:
        say("Stage one: the CNN")
        _learn_from_crops(hrcam, stages, config, folder, callbacks)
        say("Stage two: the head, on whole images")
    else:
        say("Stage two: the head, near the one that came with the weights")
        hrcam.load_state_dict(learnt_hrcam(config_of_slices(config)).state_dict())
    head = refit_head(hrcam, split.training, config, config.sick, device_of(config))
    return calibrated(hrcam, architecture, head, config, split.validation, say)


def _learn_from_crops(
    hrcam: HRCAM, stages: CropStages, config: PairedConfig, folder: Path, callbacks: tuple[Callback, ...]
) -> None:
    """Stage one on crops, of volumes' slices where the network looks at these; then the norms see whole images."""
    learner = hrcam if stages.config is config else build_hrcam(stages.config)[0]
    draw_first_weights(learner, config.seed)
    for place, (training, validation) in zip(_stage_folders(folder), stages.stages, strict=False):
        classifier = PairClassifier(learner, training.config, training.config.sick)
        train_cnn(classifier, training, validation, training.config, place, callbacks)
    measure_norms(learner, stages.whole, stages.config, device_of(config))
    if learner is not hrcam:
        hrcam.load_state_dict(learner.state_dict())


def _stage_folders(folder: Path) -> list[Path]:
    """Where stage one on crops logs, or all of it; and that on whole images after it."""
    return [folder, folder / "whole"]


def _silent(text: str) -> None:
    del text
