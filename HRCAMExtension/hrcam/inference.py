"""Run a network over a plan's items: logits and class maps, batch by batch, on the device that can hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from .errors import Cancelled, ModelError
from .fusion import fuse, upsample
from .model import HRCAM
from .prepare import Plan

if TYPE_CHECKING:
    from .engine_openvino import CompiledNetwork

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
    engine : "torch", "openvino", or "auto": OpenVINO where it can run the network, else PyTorch.
    """

    network: HRCAM
    device: torch.device
    batch_size: int
    precision: str
    warnings: list[str]
    engine: str = "torch"
    _compiled: CompiledNetwork | None = field(default=None, init=False)

    def begin(self, plan: Plan) -> None:
        """Get ready for a plan's size; raises ``ModelError`` where the engine was asked for by name and cannot."""
        self._compiled = None
        if self.engine != "torch":
            from .engine_openvino import compiled

            try:
                self._compiled = compiled(self.network, plan.size, self.precision)
            except ModelError:
                if self.engine != "auto":
                    raise

    @property
    def engine_used(self) -> str:
        """The engine that computes since `begin`: "torch" or "openvino"."""
        return "torch" if self._compiled is None else "openvino"

    def forward(self, plan: Plan, chosen: slice, classes: Sequence[int]) -> tuple[Array, list[Array]]:
        """Logits N×K, and per level (fine → coarse) some classes' evidence N×C'×*native, for some of the items."""
        prepared = plan.load(chosen)
        if self._compiled is not None:
            found, maps = self._compiled(prepared)
            return found, [level[:, list(classes)] for level in maps]
        images = torch.from_numpy(prepared).to(memory_format=_memory_format(self.network, self.device))
        with torch.inference_mode(), self._autocast():
            logits, levels = self.network.native_maps(images.to(self.device, non_blocking=True))
            return _to_numpy(logits), [_to_numpy(level[:, list(classes)]) for level in levels]

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

    Evidence is kept at each level's own size: which class will be shown is known only when all items are computed, and
    levels are up-sampled and fused for that class alone.

    Attributes
    ----------
    logits : count×K, float32.
    size : spatial size of the network's input.
    classes : indices of the classes whose evidence is kept.
    levels : level name to count×C'×*native, fine → coarse, logit units; float32, or float16 for very large volumes.
    bias : K.
    """

    logits: Array
    size: tuple[int, ...]
    classes: tuple[int, ...]
    levels: dict[str, npt.NDArray[np.floating]]
    bias: Array

    def fused(self, class_index: int, fusion: str) -> Array:
        """The fused map of a class, count×*size, float32, logit units."""
        return self._at_full_size(class_index, lambda levels: fuse(levels, self.size, fusion), list(self.levels))

    def level(self, class_index: int, name: str) -> Array:
        """One level's map of a class, up-sampled to count×*size."""
        return self._at_full_size(class_index, lambda levels: upsample(levels[0], self.size), [name])

    def completeness_error(self, class_index: int, maps: Array) -> float:
        """Max over items of |mean(map) + bias - logit| for the fused maps of a class."""
        means = np.array([one.mean(dtype=np.float64) for one in maps])
        return float(np.abs(means + self.bias[class_index] - self.logits[:, class_index]).max())

    def _at_full_size(
        self, class_index: int, enlarge: Callable[[list[torch.Tensor]], torch.Tensor], names: Sequence[str]
    ) -> Array:
        column = self.classes.index(class_index)
        maps = np.empty((len(self.logits), *self.size), np.float32)
        for start in range(0, len(maps), BATCH_ON_CPU):
            part = slice(start, start + BATCH_ON_CPU)
            levels = [torch.from_numpy(self.levels[name][part, column, None].astype(np.float32)) for name in names]
            with torch.inference_mode():
                maps[part] = enlarge(levels)[:, 0].numpy()
        return maps


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
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Output:
    """Run all items of a plan, one forward pass each.

    Parameters
    ----------
    runner : network, device and batch size; CUDA running out of memory halves the batch, then moves to the CPU.
    plan : the items.
    classes : indices of the classes whose evidence is kept.
    progress : called with the share of items done.
    cancelled : asked between batches.

    Raises
    ------
    Cancelled : ``cancelled`` said so.
    """
    runner.begin(plan)
    logits = np.empty((plan.count, runner.network.num_classes), np.float32)
    kept: dict[str, npt.NDArray[np.floating]] = {}
    start = 0
    while start < plan.count:
        if cancelled is not None and cancelled():
            raise Cancelled
        chosen = slice(start, min(start + runner.batch_size, plan.count))
        try:
            logits[chosen], levels = runner.forward(plan, chosen, classes)
        except RuntimeError as error:
            if not _ran_out_of_memory(error):
                raise
            runner.shrink()
            continue
        kept = kept or _room(runner.network, plan.count, levels)
        for store, level in zip(kept.values(), levels, strict=True):
            store[chosen] = level
        start = chosen.stop
        if progress is not None:
            progress(start / plan.count)
    return Output(logits, plan.size, tuple(classes), kept, _to_numpy(runner.network.head.bias.detach()))


def place(
    network: HRCAM, device: torch.device, batch_size: int | None, precision: str, engine: str = "torch"
) -> Runner:
    """Move a network to a device; a batch size of None suits the device, ``engine`` is as in `Runner`.

    Raises ``ModelError`` for a precision that the device does not offer.
    """
    if precision not in PRECISIONS or (precision == "fp16" and device.type == "cpu"):
        raise ModelError(f'The precision "{precision}" is not available on {device.type}.', "Choose fp32 or bf16.")
    size = batch_size or (BATCH_ON_CPU if device.type == "cpu" else BATCH_ON_CUDA)
    runner = Runner(network, device, max(1, size), precision, [], engine)
    if precision == "bf16" and device.type == "cpu" and not _cpu_computes_bf16():
        runner.precision = "fp32"
        runner.warnings.append("This CPU has no instructions for bf16, which would be far slower; fp32 was used.")
    try:
        network.to(device, memory_format=_memory_format(network, device))  # type: ignore[call-overload]
    except torch.cuda.OutOfMemoryError:
        runner.batch_size = 1
        runner.shrink()
    return runner


def _cpu_computes_bf16() -> bool:
    """As PyTorch's own compiler asks; without such instructions bf16 is emulated, 70 times slower than fp32."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _memory_format(network: HRCAM, device: torch.device) -> torch.memory_format:
    """Channels last where it pays: 2D convolutions on CPUs (docs/PERFORMANCE.md)."""
    return torch.channels_last if device.type == "cpu" and network.num_dims == 2 else torch.contiguous_format


def _room(network: HRCAM, count: int, levels: Sequence[Array]) -> dict[str, npt.NDArray[np.floating]]:
    """Empty arrays for all items' level maps, shaped as those of a first batch."""
    size = 4 * count * sum(level[0].size for level in levels)
    dtype = np.float32 if size <= MAPS_IN_FULL else np.float16
    names = [level.name for level in network.levels]
    return {name: np.empty((count, *level.shape[1:]), dtype) for name, level in zip(names, levels, strict=True)}


def _ran_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.cuda.OutOfMemoryError) or "allocate memory" in str(error)


def _to_numpy(tensor: torch.Tensor) -> Array:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)
