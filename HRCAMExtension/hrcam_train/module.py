"""Stage one as a Lightning module: the CNN learns the classes, alone or through the HR-CAM head."""

from typing import Any

import lightning.pytorch as pl
import torch
from hrcam.cam.model import HRCAM
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from hrcam_train.augment import AugmentOptions, augment
from hrcam_train.config import OptimizerConfig

MONITOR = "validation_loss"


class Classifier(pl.LightningModule):
    """Trains on batches of (images B×P×*size, labels B×P); the P images of an example are augmented alike.

    Parameters
    ----------
    hrcam : the wrapped CNN.
    joint : train through the HR-CAM head (deep supervision of every level) instead of the CNN's own classifier.
    weights : of the classes in the loss.
    options : optimizer.
    augmentation : None for none.
    seed : of the augmentation; with step and rank it fixes what is drawn, so that a resumed run repeats nothing.
    """

    def __init__(
        self,
        hrcam: HRCAM,
        joint: bool,
        weights: Tensor | None,
        options: OptimizerConfig,
        augmentation: AugmentOptions | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.hrcam, self.joint, self.options = hrcam, joint, options
        self.augmentation, self.seed = augmentation, seed
        self.loss = nn.CrossEntropyLoss(weights, label_smoothing=options.label_smoothing)
        self.accuracy = MulticlassAccuracy(hrcam.num_classes, average="macro")

    def forward(self, images: Tensor) -> Tensor:
        """N×1×*size → logits N×K."""
        return self.hrcam(images) if self.joint else self.hrcam.cnn(images)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Augment, classify, and return the loss."""
        images, labels = batch
        images = self.augmented(images)
        loss = self.loss(self(single(images)), labels.flatten())
        self.log(
            "training_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images), sync_dist=True
        )
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Log loss and balanced accuracy."""
        images, labels = batch
        logits = self(single(images))
        loss = functional.cross_entropy(logits, labels.flatten(), self.loss.weight)
        self.accuracy.update(logits, labels.flatten())
        self.log(MONITOR, loss, prog_bar=True, batch_size=len(images), sync_dist=True)
        self.log("validation_balanced_accuracy", self.accuracy, prog_bar=True)

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """What is trained, and at which share of the learning rate."""
        return [([p for p in self.parameters() if p.requires_grad], 1.0)]

    def on_train_epoch_end(self) -> None:
        """Log the learning rate that the epoch ended with."""
        self.log("learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"], sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, one cycle of the learning rate over the whole training (Smith and Topin 2019)."""
        groups = self.parameter_groups()
        rates = [self.options.learning_rate * pace for _, pace in groups]
        trained = [{"params": parameters, "lr": rate} for (parameters, _), rate in zip(groups, rates, strict=True)]
        optimizer = torch.optim.AdamW(trained, weight_decay=self.options.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def augmented(self, images: Tensor) -> Tensor:
        """The images as this step changes them."""
        return images if self.augmentation is None else augment(images, self._rng(), self.augmentation)

    def _rng(self) -> torch.Generator:
        numbers = (self.seed, self.global_step, self.global_rank)
        return torch.Generator().manual_seed(hash(numbers) & 0x7FFFFFFFFFFFFFFF)


def freeze_unused(classifier: Classifier, example: Tensor) -> None:
    """Freeze parameters that the loss does not reach (the other classifier): several processes would wait for them."""
    training = classifier.training
    classifier.eval()
    classifier(example).sum().backward()
    for parameter in classifier.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
        parameter.grad = None
    classifier.train(training)


def single(images: Tensor) -> Tensor:
    """B×P×*size → B·P×1×*size."""
    return images.flatten(0, 1).unsqueeze(1)
