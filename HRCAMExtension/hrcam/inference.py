"""Run a network over a plan's items: logits and class maps, batch by batch, on the device that can hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .errors import Cancelled, ModelError
from .fusion import fuse, upsample
from .model import HRCAM
from .prepare import Plan

Array = npt.NDArray[np.float32]

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCH_ON_CPU, BATCH_ON_CUDA = 8, 32

MAPS_IN_FULL = 1 << 30
"""Bytes; maps of more are kept in half precision until they go back to the input's grid (relative error ≤ 0.05 %)."""


@dataclass
class Runner:
    """A network on a device, which gives way to a smaller batch and at last to the CPU when CUDA memory runs out.

    Attributes
    ----------
    network : moved to ``device``.
    device : as torch names it.
    batch_size : items a forward pass.
    precision : "fp32", "bf16" or "fp16".
    warnings : what the user must know about how it ran.
    """

    network: HRCAM
    device: torch.device
    batch_size: int
    precision: str
    warnings: list[str]

    def forward(
        self, plan: Plan, chosen: slice, classes: Sequence[int], fusion: str, keep_levels: bool
    ) -> tuple[Array, Array, list[Array]]:
        """Logits N×K, fused maps N×C'×*size, and per level N×C'×*size where asked for, of some items of a plan."""
        images = torch.from_numpy(plan.load(chosen))
        with torch.inference_mode(), self._autocast():
            logits, levels = self.network.native_maps(images.to(self.device, non_blocking=True))
            levels = [level[:, list(classes)] for level in levels]
            maps = fuse(levels, plan.size, fusion)
            kept = [_to_numpy(upsample(level, plan.size)) for level in levels] if keep_levels else []
            return _to_numpy(logits), _to_numpy(maps), kept

    def shrink(self) -> None:
        """Halve the batch, or leave CUDA for the CPU when nothing is left to halve; ``ModelError`` on the CPU."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.batch_size > 1:
            self.batch_size //= 2
        elif self.device.type == "cpu":
            raise ModelError("There is not enough memory for even one image at a time.",
                             "Close other programs, or crop or resample the volume.")
        else:
            self.device, self.batch_size = torch.device("cpu"), BATCH_ON_CPU
            self.network.to(self.device)
            if self.precision == "fp16":
                self.precision = "fp32"
            self.warnings.append("The GPU's memory did not suffice; the computation went on on the CPU.")

    def _autocast(self) -> torch.autocast:
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)


@dataclass(frozen=True, eq=False)
class Output:
    """What the network said about a plan's items.

    Attributes
    ----------
    logits : count×K, float32.
    maps : class index to count×*size, logit units; float32, or float16 for very large volumes.
    levels : class index to {level name: count×*size}; empty unless asked for.
    bias : K.
    """

    logits: Array
    maps: dict[int, npt.NDArray[np.floating]]
    levels: dict[int, dict[str, npt.NDArray[np.floating]]]
    bias: Array

    def completeness_error(self, class_index: int) -> float:
        """Max over items of |mean(map) + bias - logit|, at the network's resolution."""
        maps = self.maps[class_index]
        means = np.array([one.mean(dtype=np.float64) for one in maps])
        return float(np.abs(means + self.bias[class_index] - self.logits[:, class_index]).max())


def choose_device(name: str) -> torch.device:
    """Device for "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".

    Raises ``ModelError`` for another name or a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ModelError(f'There is no device "{name}".', "Choose auto, cpu or cuda.")
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise ModelError(f'The device "{name}" was asked for, but PyTorch sees no such GPU.',
                         "Choose auto or cpu, or install a PyTorch with CUDA.")
    return device


def run_plan(
    runner: Runner,
    plan: Plan,
    classes: Sequence[int],
    fusion: str,
    keep_levels: bool = False,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Output:
    """Run all items of a plan.

    Parameters
    ----------
    runner : network, device and batch size; CUDA running out of memory halves the batch, then moves to the CPU.
    plan : the items.
    classes : indices of the classes whose maps are kept.
    fusion : a key of ``fusion.FUSIONS``.
    keep_levels : also keep each level's map, up-sampled to the network's input.
    progress : called with the share of items done.
    cancelled : asked between batches.

    Raises
    ------
    Cancelled : ``cancelled`` said so.
    """
    names = [level.name for level in runner.network.levels]
    shape = (plan.count, *plan.size)
    copies = len(classes) * (1 + (len(names) if keep_levels else 0))
    dtype = np.float32 if 4 * copies * int(np.prod(shape)) <= MAPS_IN_FULL else np.float16
    logits = np.empty((plan.count, runner.network.num_classes), np.float32)
    maps = {c: np.empty(shape, dtype) for c in classes}
    levels = {c: {name: np.empty(shape, dtype) for name in names} for c in classes} if keep_levels else {}
    start = 0
    while start < plan.count:
        if cancelled is not None and cancelled():
            raise Cancelled
        chosen = slice(start, min(start + runner.batch_size, plan.count))
        try:
            found, fused, kept = runner.forward(plan, chosen, classes, fusion, keep_levels)
        except RuntimeError as error:
            if not _ran_out_of_memory(error):
                raise
            runner.shrink()
            continue
        logits[chosen] = found
        for column, c in enumerate(classes):
            maps[c][chosen] = fused[:, column]
            for name, level in zip(names, kept, strict=False):
                levels[c][name][chosen] = level[:, column]
        start = chosen.stop
        if progress is not None:
            progress(start / plan.count)
    return Output(logits, maps, levels, _to_numpy(runner.network.head.bias.detach()))


def place(network: HRCAM, device: torch.device, batch_size: int | None, precision: str) -> Runner:
    """Move a network to a device; a batch size of None suits the device.

    Raises ``ModelError`` for a precision that the device does not offer.
    """
    if precision not in PRECISIONS or (precision == "fp16" and device.type == "cpu"):
        raise ModelError(f'The precision "{precision}" is not available on {device.type}.', "Choose fp32 or bf16.")
    size = batch_size or (BATCH_ON_CPU if device.type == "cpu" else BATCH_ON_CUDA)
    runner = Runner(network, device, max(1, size), precision, [])
    try:
        network.to(device)
    except torch.cuda.OutOfMemoryError:
        runner.batch_size = 1
        runner.shrink()
    return runner


def _ran_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.cuda.OutOfMemoryError) or "allocate memory" in str(error)


def _to_numpy(tensor: torch.Tensor) -> Array:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)
