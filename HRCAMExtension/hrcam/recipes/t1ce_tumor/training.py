"""The two lessons as Lightning modules: patches first, then whole slices with a mean teacher."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from .data import CLASSES, NORMAL, TUMORS, Images
from .network import EvidenceNetwork, any_tumor
from .patches import Healthy, draw_patches, patch_loss
from .pseudo import edge_loss, guided_filter, pseudo_label
from .views import appear, pose

_HARD = 60
"""So many of a slice's pixels, those most wrongly called tumor, count once more."""

_STATISTICS_BATCHES = 8


@dataclass(frozen=True)
class TrainingData:
    """What the lessons draw from."""

    tumors: Images
    volumes: Images
    healthy: Healthy


class _Steps(IterableDataset[int]):
    """Numbers of steps: examples are drawn in the step itself, from its own generator."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))


class _Lesson(lightning.LightningModule):
    """AdamW with a one-cycle schedule; the pretrained encoder learns at a third of the pace."""

    def __init__(self, network: EvidenceNetwork, data: TrainingData, steps: int, rate: float, seed: int) -> None:
        super().__init__()
        self.network, self.data, self.steps, self.rate = network, data, steps, rate
        self.rng = np.random.default_rng(seed)

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        """See the class."""
        encoder = [p for n, p in self.network.named_parameters() if p.requires_grad and "encoder" in n]
        rest = [p for n, p in self.network.named_parameters() if p.requires_grad and "encoder" not in n]
        rates = [self.rate / 3, self.rate]
        optimizer = torch.optim.AdamW(
            [{"params": encoder, "lr": rates[0]}, {"params": rest, "lr": rates[1]}], weight_decay=1e-3
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=self.steps, pct_start=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class PatchLesson(_Lesson):
    """Lesion or none, patch by patch."""

    def training_step(self, step: Tensor, _: int) -> Tensor:
        """One batch of patches of five heads."""
        patches, labels = draw_patches(self.data.healthy, self.rng, 5, (40, 56, 80))
        loss = patch_loss(self.network, patches, labels, 0.3)
        self.log("loss", loss, prog_bar=True)
        return loss


class SliceLesson(_Lesson):
    """Whole slices: types of tumor, and where the mean teacher sees them."""

    def __init__(self, network: EvidenceNetwork, data: TrainingData, steps: int, rate: float, seed: int) -> None:
        super().__init__(network, data, steps, rate, seed)
        self.network.measure_statistics(self.plain_batches())
        self.teacher = copy.deepcopy(network).eval().requires_grad_(False)

    def training_step(self, step: Tensor, _: int) -> Tensor:
        """Six slices of known type, two of a glioblastoma, four without tumor; every other time also patches."""
        position = float(step)
        images, types, seeds = self._draw()
        posed = pose(images, seeds)
        x, sick = appear(posed, seeds), len(types)
        labels, confidence = self._where(posed[:sick], float(np.interp(position / self.steps, [0, 0.5], [0.75, 0.55])))
        pixels, logits = self.network(x)
        where = _region_loss(pixels[:sick], labels, confidence, types)
        tumor = any_tumor(pixels)
        absent = F.softplus(tumor[sick:]).flatten(1)
        silence = absent.mean() + 0.15 * absent.topk(_HARD, 1)[0].mean()
        known = sick - 2
        kind = F.cross_entropy(logits[:known], types[:known], label_smoothing=0.05)
        present = torch.logsumexp(logits, 1)
        presence = 0.5 * F.softplus(-present[:sick]).mean() + F.softplus(present[sick:]).mean()
        edges = edge_loss(torch.sigmoid(tumor[:sick]), posed[:sick])
        loss = where + silence + kind + 0.2 * presence + 0.5 * edges
        if self.global_step % 2 == 0:
            with self.network.still_statistics():
                patches = draw_patches(self.data.healthy, self.rng, 3, (28, 40, 56))
                loss = loss + 1.2 * patch_loss(self.network, *patches, 0.2)
        self.log_dict({"loss": loss, "where": where, "type": kind, "confidence": confidence.mean()}, prog_bar=True)
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        """Move the teacher towards the student."""
        momentum = min(0.99, 0.8 + 0.002 * self.global_step)
        with torch.no_grad():
            for mean, now in zip(self.teacher.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.mul_(momentum).add_(now, alpha=1 - momentum)

    def plain_batches(self) -> Iterator[Tensor]:
        """Slices as they are, in the mixture of the lesson, to measure batch norms' statistics on."""
        return (torch.from_numpy(self._draw()[0])[:, None] for _ in range(_STATISTICS_BATCHES))

    def _draw(self) -> tuple[npt.NDArray[np.float32], Tensor, npt.NDArray[np.int64]]:
        tumors, volumes, rng = self.data.tumors, self.data.volumes, self.rng
        chosen = np.concatenate([rng.choice(np.flatnonzero(tumors.labels == c), 2) for c in range(len(TUMORS))])
        sick = rng.choice(np.flatnonzero(volumes.labels != CLASSES.index(NORMAL)), 2)
        healthy = self.data.healthy
        free = healthy.enhanced[rng.choice(len(healthy.enhanced), 2)], healthy.plain[rng.choice(len(healthy.plain), 2)]
        images = np.concatenate([tumors.pixels[chosen], volumes.pixels[sick], *free]).astype(np.float32)
        types = torch.from_numpy(np.concatenate([tumors.labels[chosen], volumes.labels[sick]]))
        return images, types, rng.integers(0, 2**31, len(images))

    @torch.no_grad()
    def _where(self, images: Tensor, level: float) -> tuple[Tensor, Tensor]:
        self.teacher.eval()
        evidence = guided_filter(any_tumor(self.teacher(images)[0]), images).numpy()
        small = F.interpolate(images, size=evidence.shape[1:], mode="area")[:, 0].numpy()
        found = [pseudo_label(e, i, level) for e, i in zip(evidence, small, strict=True)]
        return torch.from_numpy(np.stack([f.labels for f in found])), torch.tensor([f.confidence for f in found])


def _region_loss(pixels: Tensor, labels: Tensor, confidence: Tensor, types: Tensor) -> Tensor:
    """Cross-entropy of the type inside the region, weighed by confidence, and of "none" outside; averaged apart."""
    log_odds = F.log_softmax(torch.cat([torch.zeros_like(pixels[:, :1]), pixels], 1), 1)
    inside, outside = (labels == 1).float().flatten(1), (labels == 0).float().flatten(1)
    own = log_odds[torch.arange(len(types)), types + 1].flatten(1)
    none = -log_odds[:, 0].flatten(1) * outside
    found = -(own * inside).sum(1) / inside.sum(1).clamp(min=1)
    rest = none.sum(1) / outside.sum(1).clamp(min=1) + 0.15 * none.topk(_HARD, 1)[0].mean(1)
    return (confidence * found).mean() + rest.mean()


def train(data: TrainingData, out: Path, patch_steps: int, slice_steps: int, seed: int = 0) -> EvidenceNetwork:
    """Both lessons; the result is the teacher's, an average over the last steps.

    Checkpoints and losses are written below `out`; an interrupted lesson goes on from its last checkpoint.
    """
    lightning.seed_everything(seed)
    network = EvidenceNetwork()
    _run(PatchLesson(network, data, patch_steps, 2e-3, seed), out / "patches")
    lesson = SliceLesson(network, data, slice_steps, 1.5e-3, seed + 1)
    _run(lesson, out / "slices")
    # Training sees changed images, inference sees them as they are; without this, types are told apart badly.
    lesson.teacher.measure_statistics(lesson.plain_batches())
    return lesson.teacher.eval()


def _run(lesson: _Lesson, folder: Path) -> None:
    last = folder / "last.ckpt"
    keep = ModelCheckpoint(folder, save_last=True, save_top_k=0, every_n_train_steps=100)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=lesson.steps,
        max_epochs=1,
        gradient_clip_val=5.0,
        callbacks=[keep],
        logger=CSVLogger(folder, name=None, version=""),
        log_every_n_steps=25,
        enable_model_summary=False,
    )
    trainer.fit(lesson, DataLoader(_Steps(lesson.steps), batch_size=None), ckpt_path=last if last.is_file() else None)
