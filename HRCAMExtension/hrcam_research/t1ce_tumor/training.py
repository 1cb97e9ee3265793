"""The stages as Lightning modules: paired crops, whole slices with a mean teacher, the same with `t1ce_volumes`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from hrcam_research.paired.pair_loss import LEVEL_WEIGHT

from .anatomy import find_sella
from .data import CLASSES, NORMAL, SIZE, TUMORS, Images, normal_slices, tumor_slices, volume_images, whole_heads
from .healthy import Healthy
from .network import OFFSET, EvidenceNetwork, any_tumor
from .paired_crops import crops_loss, draw_crops
from .pseudo import edge_loss, guided_filter, pseudo_label
from .views import appear, pose

_HARD = 60
"""So many of a slice's pixels, those most wrongly called tumor, count once more."""

_FLOOR = 1.0
"""Weight of evidence below 0: healthy tissue shall be silent, not outvote a small tumor in the image's mean."""

_STATISTICS_BATCHES = 16
_PAIRS = 2
_MOST_TYPED = 8

WITHOUT_VOLUMES = "without_volumes.pt"
"""Weights before the last stage: no slice of `t1ce_volumes` had a part in them."""


@dataclass(frozen=True)
class TrainingData:
    """What the stages draw from; `volumes` only in the last of them."""

    tumors: Images
    normal: Images
    heads: Images
    volumes: Images

    @classmethod
    def read(cls, data: Path) -> TrainingData:
        """All that teaches of a folder with t1ce_slices, no_tumor, t1ce_volumes, templates and ms."""
        return cls(tumor_slices(data, "train"), normal_slices(data, held=False), whole_heads(data), volume_images(data))


@dataclass(frozen=True)
class Steps:
    """Of each stage."""

    crops: int = 3600
    slices: int = 450
    again: int = 150
    volumes: int = 100


ROUNDS = 3
"""So often the stage on slices is repeated: each time its teacher rests where the last one ended."""

_CROPS, _CROPS_BESIDE, _CROPS_WEIGHT = 6, 5, 0.2


class _Steps(IterableDataset[int]):
    """Numbers of steps: examples are drawn in the step itself, from its own generator."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))


class _Stage(lightning.LightningModule):
    """AdamW with a one-cycle schedule; the pretrained encoder learns at a third of the pace."""

    def __init__(self, network: EvidenceNetwork, healthy: Healthy, steps: int, rate: float, seed: int) -> None:
        super().__init__()
        self.network, self.healthy, self.steps, self.rate = network, healthy, steps, rate
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


class CropStage(_Stage):
    """Where a simulated tumor is."""

    def training_step(self, step: Tensor, _: int) -> Tensor:
        """One batch of paired crops."""
        loss = crops_loss(self.network, draw_crops(self.healthy, self.rng, _CROPS))
        self.log("loss", loss, prog_bar=True)
        return loss


@dataclass(frozen=True)
class _Draw:
    """Tumor slices (the first `typed` teach their type), then slices without; where the former are healthy."""

    images: npt.NDArray[np.float32]
    types: Tensor
    typed: int
    free: npt.NDArray[np.float32]
    seeds: npt.NDArray[np.int64]


class SliceStage(_Stage):
    """Whole slices: types of tumor, and where the mean teacher sees them.

    A `slow` teacher hardly moves: a fast one learns from its own errors, and places get worse while types get better.
    """

    def __init__(
        self, network: EvidenceNetwork, healthy: Healthy, tumors: Images, volumes: Images | None,
        steps: int, rate: float, seed: int, slow: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(network, healthy, steps, rate, seed)
        self.tumors, self.volumes, self.slow = tumors, volumes, slow
        pituitary = tumors.labels == TUMORS.index("pituitary")
        sellas = {int(n): find_sella(tumors.pixels[n], tumors.planes[n]) for n in np.flatnonzero(pituitary)}
        self.free = {n: ~sella.near for n, sella in sellas.items() if sella.near.any()}
        self.network.measure_statistics(self.plain_batches())
        self.teacher = copy.deepcopy(network).eval().requires_grad_(False)

    def training_step(self, step: Tensor, _: int) -> Tensor:
        """Slices of known type, two of a glioblastoma if there are volumes, four without tumor; at times crops."""
        position = float(step)
        drawn = self._draw()
        posed = pose(drawn.images, drawn.seeds)
        x, types, sick = appear(posed, drawn.seeds), drawn.types, len(drawn.types)
        free = pose(drawn.free, drawn.seeds[:sick]) > 0.5
        level = 0.6 if self.slow else float(np.interp(position / self.steps, [0, 0.5], [0.75, 0.55]))
        labels, confidence = self._where(posed[:sick], free, level)
        seen = self.network(x)
        where = _places_loss(seen.pixels, labels, confidence, types)
        where = where + LEVEL_WEIGHT * sum(_places_loss(each, labels, confidence, types) for each in seen.levels)
        tumor = any_tumor(seen.pixels)
        absent = F.softplus(tumor[sick:]).flatten(1)
        silence = absent.mean() + 0.15 * absent.topk(_HARD, 1)[0].mean()
        known = drawn.typed
        kind = F.cross_entropy(seen.logits[:known], types[:known], label_smoothing=0.05)
        present = torch.logsumexp(seen.logits, 1)
        below = F.relu(-(seen.pixels + OFFSET)).mean()
        presence = 0.5 * F.softplus(-present[:sick]).mean() + F.softplus(present[sick:]).mean()
        edges = edge_loss(torch.sigmoid(tumor[:sick]), posed[:sick])
        loss = where + silence + kind + 0.4 * presence + 0.5 * edges + _FLOOR * below
        if self.global_step % 2 == 0:
            with self.network.still_statistics():
                loss = loss + _CROPS_WEIGHT * crops_loss(
                    self.network, draw_crops(self.healthy, self.rng, _CROPS_BESIDE)
                )
        parts = {"loss": loss, "where": where, "type": kind, "below": below, "confidence": confidence.mean()}
        self.log_dict(parts, prog_bar=True)
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        """Move the teacher towards the student."""
        momentum = 0.998 if self.slow else min(0.99, 0.8 + 0.002 * self.global_step)
        with torch.no_grad():
            for mean, now in zip(self.teacher.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.mul_(momentum).add_(now, alpha=1 - momentum)

    def plain_batches(self) -> Iterator[Tensor]:
        """Slices as they are, in the mixture of the stage, to measure batch norms' statistics on."""
        return (torch.from_numpy(self._draw().images)[:, None] for _ in range(_STATISTICS_BATCHES))

    def _draw(self) -> _Draw:
        tumors, rng = self.tumors, self.rng
        each = 2 if self.volumes is not None else int(rng.integers(2, 4))
        of_each = [rng.choice(np.flatnonzero(tumors.labels == c), each) for c in range(len(TUMORS))]
        chosen = np.concatenate(of_each)[:_MOST_TYPED]
        nowhere = np.zeros((SIZE, SIZE), bool)
        images, types = [tumors.pixels[chosen]], [tumors.labels[chosen]]
        free = [self.free.get(n, nowhere) for n in chosen]
        if self.volumes is not None:
            sick = rng.choice(np.flatnonzero(self.volumes.labels != CLASSES.index(NORMAL)), 2)
            images.append(self.volumes.pixels[sick])
            types.append(self.volumes.labels[sick])
            free += [nowhere, nowhere]
        pairs = self.healthy.pairs(rng, _PAIRS)
        images += [pairs.ill, pairs.well, self.healthy.whole(rng, 4 - _PAIRS)]
        types.append(pairs.types)
        free += [nowhere] * _PAIRS
        drawn = np.concatenate(images).astype(np.float32)
        seeds = rng.integers(0, 2**31, len(drawn))
        known = np.stack(free).astype(np.float32)
        return _Draw(drawn, torch.from_numpy(np.concatenate(types)), len(chosen), known, seeds)

    @torch.no_grad()
    def _where(self, images: Tensor, free: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Regions of a teacher that never looks at tissue known to be healthy."""
        self.teacher.eval()
        evidence = guided_filter(any_tumor(self.teacher(images).pixels), images)
        healthy = F.interpolate(free.float(), size=evidence.shape[1:], mode="area")[:, 0] > 0.9
        evidence = torch.where(healthy, evidence.amin((1, 2), keepdim=True), evidence)
        small = F.interpolate(images, size=evidence.shape[1:], mode="area")[:, 0]
        found = [pseudo_label(e, i, level) for e, i in zip(evidence.numpy(), small.numpy(), strict=True)]
        return torch.from_numpy(np.stack([f.labels for f in found])), torch.tensor([f.confidence for f in found])


def _places_loss(pixels: Tensor, labels: Tensor, confidence: Tensor, types: Tensor) -> Tensor:
    """Cross-entropy of the type inside the region, weighed by confidence, and of "none" outside; averaged apart.

    `pixels` has the tumor slices first; those without follow and are "none" everywhere.
    """
    sick = len(types)
    log_odds = F.log_softmax(torch.cat([torch.zeros_like(pixels[:sick, :1]), pixels[:sick]], 1), 1)
    inside, outside = (labels == 1).float().flatten(1), (labels == 0).float().flatten(1)
    own = log_odds[torch.arange(sick), types + 1].flatten(1)
    none = -log_odds[:, 0].flatten(1) * outside
    found = -(own * inside).sum(1) / inside.sum(1).clamp(min=1)
    rest = none.sum(1) / outside.sum(1).clamp(min=1) + 0.15 * none.topk(_HARD, 1)[0].mean(1)
    return (confidence * found).mean() + rest.mean() + 0.5 * F.softplus(any_tumor(pixels[sick:])).mean()


def train(data: TrainingData, out: Path, steps: Steps, seed: int = 0) -> EvidenceNetwork:
    """All stages.

    Checkpoints and losses are written below `out`; an interrupted stage goes on from its last checkpoint, and one that
    has ended (`WITHOUT_VOLUMES` is there) is not repeated.
    """
    lightning.seed_everything(seed)
    network, weights = EvidenceNetwork(), out / WITHOUT_VOLUMES
    if not weights.is_file():
        healthy = Healthy.of(data.tumors, data.normal, data.heads, None)
        _run(CropStage(network, healthy, steps.crops, 2e-3, seed), out / "crops")
        stage = SliceStage(network, healthy, data.tumors, None, steps.slices, 1.5e-3, seed + 1)
        early = _Early(out / "slices" / "early.pt", max(1, steps.slices // 4))
        _run(stage, out / "slices", early)
        network.load_state_dict(_mean(torch.load(early.path, weights_only=True), network.state_dict()))
        for number in range(ROUNDS):
            stage = SliceStage(network, healthy, data.tumors, None, steps.again, 1e-3, seed + 3 + number, slow=True)
            _run(stage, out / f"again-{number}")
        torch.save(network.state_dict(), weights)
    return learn_volumes(data, out / "volumes", weights, steps.volumes, seed + 2)


def learn_volumes(data: TrainingData, folder: Path, start: Path, steps: int, seed: int) -> EvidenceNetwork:
    """The last stage, the only one that sees `data.volumes`, from the weights in `start`.

    It ends halfway between those weights and its own: the volumes' gliomas, all of one scanner, teach where tumors are
    on such scans, but make other types look like gliomas.
    """
    network, before = EvidenceNetwork(pretrained=False), torch.load(start, weights_only=True)
    network.load_state_dict(before)
    healthy = Healthy.of(data.tumors, data.normal, data.heads, data.volumes)
    stage = SliceStage(network, healthy, data.tumors, data.volumes, steps, 5e-4, seed, slow=True)
    if steps:
        _run(stage, folder)
        network.load_state_dict(_mean(before, network.state_dict()))
    # Training sees changed images, inference sees them as they are; without this, types are told apart badly.
    network.measure_statistics(stage.plain_batches())
    return network.eval()


class _Early(Callback):
    """Keeps the weights of an early step, when places are learnt best; the last ones know types best."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object) -> None:
        """Write them once."""
        if trainer.global_step == self.step:
            assert isinstance(pl_module, SliceStage)
            torch.save(pl_module.network.state_dict(), self.path)


def _mean(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean of two networks' weights; whole numbers (counts of batches) are the second's."""
    return {k: (first[k] + v) / 2 if v.dtype.is_floating_point else v for k, v in second.items()}


def _run(stage: _Stage, folder: Path, *further: Callback) -> None:
    last = folder / "last.ckpt"
    keep = ModelCheckpoint(folder, save_last=True, save_top_k=0, every_n_train_steps=100)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=stage.steps,
        max_epochs=1,
        gradient_clip_val=5.0,
        callbacks=[keep, *further],
        logger=CSVLogger(folder, name=None, version=""),
        log_every_n_steps=25,
        enable_model_summary=False,
    )
    trainer.fit(stage, DataLoader(_Steps(stage.steps), batch_size=None), ckpt_path=last if last.is_file() else None)
