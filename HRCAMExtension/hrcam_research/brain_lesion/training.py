"""The stages: a long one at an even pace, one that weighs FLAIR and faces more and comes to rest, one that reads slices
as the bundle does, and one of uneven and noisy ones. The last two are run with several seeds each, whose weights are
averaged.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import torch
from hrcam.cam.model import HRCAM
from torch import Tensor

from .examples import COARSE, FINE, UNEVEN, Batch, Material, Shares, View, batches
from .loss import evidence_loss
from .network import set_training

_LOG = logging.getLogger(__name__)

_AHEAD = 6
_LARGEST_GRADIENT = 5.0
_MOMENTUM = 0.995
"""Of the weights' running mean, which is what a stage ends with."""

_ENCODER_PACE = 1 / 3
_REPORT = 50


@dataclass(frozen=True)
class Stage:
    """Steps, greatest rate, the part of the steps over which it falls to a hundredth, and what a batch is made of."""

    name: str
    steps: int
    rate: float
    fall: float
    shares: Shares
    warm_up: int = 100
    view: View = FINE

    def rate_at(self, step: int) -> float:
        """The rate of a step."""
        left = (self.steps - step) / self.steps
        return self.rate * min(1.0, (step + 1) / self.warm_up) * min(1.0, max(0.01, left / self.fall))


STAGES = (
    Stage("even", 6771, 1e-3, 0.3, Shares(generated=5, real=2, tumors=2, anywhere=0)),
    Stage("rest", 1344, 7e-4, 0.6, Shares(generated=5, real=2, tumors=1, anywhere=2), warm_up=50),
)
LAST = (
    Stage("coarse", 1500, 5e-4, 0.6, Shares(generated=5, real=2, tumors=1, anywhere=2), warm_up=50, view=COARSE),
    Stage("uneven", 1500, 5e-4, 0.7,
          Shares(5, 3, 1, 3, sequences=(0.38, 0.22, 0.22, 0.06, 0.12), thin_t1=0.28, noisy=0.5, bare=0.4),
          warm_up=50, view=UNEVEN),
)  # fmt: skip
LAST_SEEDS = 3


def _produce(queue: Queue[Batch], material: Material, seed: int, stage: Stage) -> None:
    torch.set_num_threads(1)
    for batch in batches(seed, material, stage.shares, stage.view):
        queue.put(batch)


def train(hrcam: HRCAM, stage: Stage, material: Material, out: Path, seed: int) -> HRCAM:
    """Train one stage, examples drawn in a process beside it, and return the mean of its weights.

    A stage that an earlier run of the same folder has ended with this seed is read, not run.
    """
    saved = out / f"{stage.name}-{seed}.pt"
    mean = copy.deepcopy(hrcam).eval()
    if saved.exists():
        mean.load_state_dict(torch.load(saved, weights_only=True))
        return mean
    context = get_context("spawn")
    queue: Queue[Batch] = context.Queue(_AHEAD)
    producer = context.Process(target=_produce, args=(queue, material, seed, stage), daemon=True)
    producer.start()
    try:
        _run(hrcam, mean, stage, queue)
    finally:
        producer.terminate()
    torch.save(mean.state_dict(), saved)
    return mean


def _run(hrcam: HRCAM, mean: HRCAM, stage: Stage, queue: Queue[Batch]) -> None:
    hrcam.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_training(hrcam)
    trained = [(name, p) for name, p in hrcam.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if ("encoder" in name) == slow], "pace": _ENCODER_PACE if slow else 1.0}
        for slow in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=stage.rate, weight_decay=1e-3)
    for step in range(stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate_at(step) * group["pace"]
        batch = queue.get()
        images, target, weight, ill, label_weight = (torch.from_numpy(part).float() for part in batch)
        loss, parts = evidence_loss(hrcam, _channels_last(images), target, weight, ill, label_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in trained], _LARGEST_GRADIENT)
        optimizer.step()
        optimizer.zero_grad()
        update_mean(mean, hrcam, step)
        if step % _REPORT == 0:
            _LOG.info("%s, step %d: %s", stage.name, step, {name: round(value, 3) for name, value in parts.items()})


def _channels_last(images: Tensor) -> Tensor:
    return images[:, None].contiguous(memory_format=torch.channels_last)


def train_all(hrcam: HRCAM, material: Material, out: Path, seed: int) -> HRCAM:
    """All stages, one after the other; those of `LAST` begin `LAST_SEEDS` times at the same weights each, and the mean
    is kept."""
    for number, stage in enumerate(STAGES):
        hrcam = train(hrcam, stage, material, out, seed + number)
    for stage in LAST:
        ends = [train(copy.deepcopy(hrcam), stage, material, out, seed + len(STAGES) + n) for n in range(LAST_SEEDS)]
        hrcam = mean_of(ends)
    return hrcam


@torch.no_grad()
def mean_of(models: Sequence[HRCAM]) -> HRCAM:
    """A model whose weights are the mean of those of models of one form."""
    mean = copy.deepcopy(models[0])
    for values in zip(mean.state_dict().values(), *(one.state_dict().values() for one in models), strict=True):
        kept, *all_of_them = values
        if kept.dtype.is_floating_point:
            kept.copy_(torch.stack(all_of_them).mean(0))
    return mean


@torch.no_grad()
def update_mean(mean: HRCAM, now: HRCAM, step: int) -> None:
    """Move the running mean of weights; its first steps forget fast."""
    momentum = min(_MOMENTUM, (step + 1) / (step + 11))
    for kept, new in zip(mean.state_dict().values(), now.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - momentum)
