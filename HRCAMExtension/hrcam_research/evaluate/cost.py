"""What a map costs beside the plain forward pass of the same network, in the same run on the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from hrcam_research.evaluate.map_maker import MapMaker

REPEATS = 5


@dataclass(frozen=True)
class Cost:
    """Ratios to the plain forward: median wall time, and peak of memory allocated beyond what was there before."""

    time: float
    memory: float


def peak_bytes(run: Callable[[], object]) -> int:
    """Greatest sum of tensor memory that `run` holds at once, beyond what was allocated before it."""
    on_cuda = torch.cuda.is_available() and torch.cuda.memory_allocated() > 0
    if on_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    # Each allocation and release is an event of its own; their running sum is what is held.
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def measure_cost(maker: MapMaker, x: torch.Tensor, class_index: int, repeats: int = REPEATS) -> dict[str, Cost]:
    """Cost of each chosen method that is not slow, for the batch `x`, each made alone.

    The plain forward is the wrapped CNN with its own classifier under `inference_mode`, timed in turn with the
    methods, so that a machine that slows down slows both.
    """
    classes = torch.full((len(x),), class_index, device=x.device)

    def plain() -> object:
        with torch.inference_mode():
            return maker.model.cnn(x)

    def seconds(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        if x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    plain()
    base_memory = max(1, peak_bytes(plain))
    costs = {}
    for name in maker.names(slow=False):

        def run(name: str = name) -> object:
            return maker.make(x, classes, [name])

        run()
        pairs = [(seconds(plain), seconds(run)) for _ in range(repeats)]
        base, own = (statistics.median(column) for column in zip(*pairs, strict=True))
        costs[name] = Cost(own / base, peak_bytes(run) / base_memory)
    return costs
