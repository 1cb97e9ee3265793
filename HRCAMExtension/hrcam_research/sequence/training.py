"""Training: real and generated slices mixed, and the running mean of the weights."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from hrcam.sequence.network import SequenceNetwork
from torch import Tensor
from torch.nn import functional as F

from .augment import augmented
from .generated import Drawn, restored
from .real import Slices

_LOG = logging.getLogger(__name__)

STEPS, BATCH, RATE = 4000, 32, 2e-3
_WARM_UP, _SLOWEST = 100, 0.005
_REAL, _CHANGED = 0.4, 0.3
"""Shares of real slices, and of the generated ones that a second scanner sees."""

_DECAY, _SMOOTHING, _MOMENTUM = 0.02, 0.05, 0.998
_REPORT = 200


def draw_batch(rng: np.random.Generator, real: Sequence[Slices], drawn: Drawn) -> tuple[Tensor, Tensor]:
    """Ranks BATCH×1×SIZE×SIZE and indices of their sequences."""
    shares = np.array([source.share for source in real])
    images, sequences = [], []
    for _ in range(BATCH):
        if rng.random() < _REAL:
            source = real[int(rng.choice(len(real), p=shares / shares.sum()))]
            image = source.pixels[int(rng.integers(len(source.pixels)))].astype(np.float32)
            sequence, changed = source.sequence, True
        else:
            number = int(rng.integers(len(drawn.pixels)))
            image, sequence = restored(drawn.pixels[number]), int(drawn.sequences[number])
            changed = bool(rng.random() < _CHANGED)
        images.append(augmented(rng, image, changed))
        sequences.append(sequence)
    return torch.from_numpy(np.stack(images))[:, None], torch.tensor(sequences)


def train(real: Sequence[Slices], drawn: Drawn, seed: int, steps: int = STEPS) -> SequenceNetwork:
    """Train a network; returned is the running mean of its weights."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = SequenceNetwork()
    mean = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=_DECAY)
    running = 0.0
    for step in range(steps):
        rate = RATE * min(1.0, (step + 1) / _WARM_UP) * max(_SLOWEST, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        images, sequences = draw_batch(rng, real, drawn)
        loss = F.cross_entropy(network(images), sequences, label_smoothing=_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        _follow(mean, network, min(_MOMENTUM, (step + 1) / (step + 10)))
        running += (float(loss.detach()) - running) / min(step + 1, _REPORT)
        if (step + 1) % _REPORT == 0:
            _LOG.info("step %d: loss %.3f", step + 1, running)
    return mean.eval()


@torch.no_grad()
def _follow(mean: SequenceNetwork, network: SequenceNetwork, momentum: float) -> None:
    for kept, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - momentum)
        else:
            kept.copy_(new)
