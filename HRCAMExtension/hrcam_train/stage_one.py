"""Run stage one: Lightning's trainer with checkpoints, resume, early stop and logs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import safetensors.torch
import torch
from hrcam.atomic_files import replacing
from hrcam.cam.model import HRCAM
from hrcam.errors import HRCAMError, ModelError
from hrcam.run.inference import memory_format
from hrcam.words import reason
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from hrcam_train.config import TrainConfig
from hrcam_train.data import Example, Examples, class_weights, make_loader
from hrcam_train.module import MONITOR, Classifier, freeze_unused

DONE = "stage-one.safetensors"


@dataclass(frozen=True)
class _Data:
    training: Examples
    validation: Examples
    config: TrainConfig


class _Loaders(pl.LightningDataModule):
    """Gives each process its share."""

    def __init__(self, data: _Data) -> None:
        super().__init__()
        self.data = data

    def train_dataloader(self) -> DataLoader[Example]:
        return self._loader(self.data.training, shuffle=True)

    def val_dataloader(self) -> DataLoader[Example]:
        return self._loader(self.data.validation, shuffle=False)

    def _loader(self, examples: Examples, shuffle: bool) -> DataLoader[Example]:
        assert self.trainer is not None
        options = self.data.config.train
        return make_loader(
            examples, options.batch_size, shuffle=shuffle, seed=self.data.config.seed, workers=options.workers,
            rank=self.trainer.global_rank, ranks=self.trainer.world_size,
        )  # fmt: skip


def train_cnn(
    classifier: Classifier,
    training: Examples,
    validation: Examples,
    config: TrainConfig,
    folder: Path,
    callbacks: tuple[Callback, ...] = (),
) -> None:
    """Train the CNN of `classifier.hrcam` in place; it ends with the weights of the best validation loss.

    A run that was interrupted goes on from the last finished epoch where `folder` holds its checkpoint; a finished one
    is loaded. `folder` gets `checkpoints/`, `csv/` and `tensorboard/`.

    Raises
    ------
    ModelError : training diverged, or Lightning refuses the trainer's options.
    """
    hrcam, weights = classifier.hrcam, folder / DONE
    if weights.exists():
        hrcam.load_state_dict(safetensors.torch.load_file(weights))
        return
    freeze_unused(classifier, torch.zeros(1, 1, *config.input.size))
    checkpoints = folder / "checkpoints"
    best = ModelCheckpoint(checkpoints, "best", monitor=MONITOR, enable_version_counter=False)
    # One of its own, after `best`, whose state it holds: with `save_last` only epochs that improve would be kept.
    latest = ModelCheckpoint(checkpoints, "last", enable_version_counter=False)
    trainer = make_trainer(config, folder, [best, latest, *callbacks])
    classifier.to(memory_format=memory_format(hrcam, trainer.strategy.root_device))  # type: ignore[call-overload]
    last = checkpoints / "last.ckpt"
    loaders = _Loaders(_Data(training, validation, config))
    trainer.fit(classifier, datamodule=loaders, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    trainer.strategy.barrier("stage one")
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    hrcam.cpu().load_state_dict({k.removeprefix("hrcam."): v for k, v in state.items() if k.startswith("hrcam.")})
    hrcam.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as a finished one that is loaded
    hrcam.requires_grad_(True)
    if not all(torch.isfinite(value).all() for value in hrcam.state_dict().values()):
        raise ModelError("Training diverged: weights are not finite.", "Lower train.learning_rate.")
    if trainer.is_global_zero:
        with replacing(weights) as part:
            safetensors.torch.save_file({k: v.contiguous() for k, v in hrcam.state_dict().items()}, part)
    trainer.strategy.barrier("stage one saved")


def label_classifier(hrcam: HRCAM, training: Examples, config: TrainConfig) -> Classifier:
    """What learns the labels of `training`, by the CNN's own classifier or, in the mode "joint", the HR-CAM head."""
    weights = None
    if config.class_weights == "balanced":
        weights = class_weights(training.labels, len(config.classes))
    return Classifier(hrcam, config.mode == "joint", weights, config.train, config.augment, config.seed)


def make_trainer(config: TrainConfig, folder: Path, callbacks: list[Callback]) -> pl.Trainer:
    """Lightning's trainer for `config`, logging to `folder`."""
    options: dict[str, Any] = config.trainer.model_dump(exclude={"progress"})
    options["devices"] = _devices(options["devices"])
    try:
        return pl.Trainer(
            **options,
            max_epochs=config.train.epochs,
            callbacks=[
                *callbacks,
                EarlyStopping(MONITOR, patience=config.train.patience, check_finite=True),
            ],
            logger=[CSVLogger(folder, "csv"), TensorBoardLogger(folder, "tensorboard")],
            use_distributed_sampler=False,
            log_every_n_steps=10,
            num_sanity_val_steps=0,
            enable_progress_bar=config.trainer.progress,
            enable_model_summary=False,
        )
    except HRCAMError:
        raise
    except (ValueError, RuntimeError, pl.utilities.exceptions.MisconfigurationException) as error:
        raise ModelError(
            f"The trainer refuses its options: {reason(error)}.", "Correct the trainer section."
        ) from error


def _devices(given: int | str) -> int | str:
    return int(given) if isinstance(given, str) and given.lstrip("-").isdigit() else given
