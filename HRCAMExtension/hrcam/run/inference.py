"""Run a network over a plan's items: logits and class maps, batch by batch, on the device that can hold them."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch

from ..cam.level_maps import Output, Store, adopt, in_half, make_room
from ..cam.model import HRCAM
from ..errors import ModelError, stop_if
from ..scan.sampling import Plan, VolumePlan
from ..words import is_out_of_memory
from . import windows
from .folded import folded

if TYPE_CHECKING:
    from .openvino_engine import CompiledNetwork, CompiledSlices

Array = npt.NDArray[np.float32]

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCH_ON_CPU, BATCH_ON_CUDA = 4, 32
"""On a CPU few, whose feature maps fit into memory that is used again (see `hrcam.run.memory`): more take longer."""

_copies: WeakKeyDictionary[HRCAM, dict[str, HRCAM]] = WeakKeyDictionary()
_lock = threading.Lock()

_WINDOWS_BY_TORCH = "The volume was computed in windows, which PyTorch does; OpenVINO was not used."


@dataclass
class Runner:
    """A network on a device, which gives way to smaller batches or windows, then to the CPU, when memory runs out.

    Attributes
    ----------
    network : on ``device``; on a GPU a copy, so that threads on other devices keep theirs.
    device : as torch names it.
    batch_size : items a forward pass.
    precision : "fp32", "bf16" or "fp16".
    warnings : what the user must know about how it ran.
    engine : "torch", "openvino", or "auto": OpenVINO where it can run the network, else PyTorch. Volumes in windows are
        PyTorch's.
    on_cpu : the network where ``device`` is a GPU whose memory may not suffice.
    """

    network: HRCAM
    device: torch.device
    batch_size: int
    precision: str
    warnings: list[str]
    engine: str = "torch"
    on_cpu: HRCAM | None = None
    _compiled: CompiledNetwork | CompiledSlices | None = field(default=None, init=False)
    _windows: windows.Windows | None = field(default=None, init=False)
    _uncut: str = field(default="", init=False)

    def begin(self, plan: Plan, cancelled: Callable[[], bool] | None = None) -> None:
        """Get ready for a plan's size, which may take seconds in which ``cancelled`` is asked.

        Raises ``ModelError`` where the engine was asked for by name and cannot, and ``Cancelled``.
        """
        self._compiled = self._windows = None
        self._uncut = ""
        if isinstance(plan, VolumePlan) and math.prod(plan.size) > windows.LARGEST_VOLUME:
            try:
                self._cut(plan, windows.LARGEST_VOLUME)
            except ModelError as error:
                self._uncut = f" {error}"  # in one piece then: only where memory does not suffice, this needs saying
            else:
                return
        if self.engine != "torch":
            from .openvino_engine import compiled

            try:
                self._compiled = compiled(self.network, plan.size, self.precision, cancelled)
            except ModelError:
                if self.engine != "auto":
                    raise

    @property
    def engine_used(self) -> str:
        """The engine that computes since `begin`: "torch" or "openvino"."""
        return "torch" if self._compiled is None else "openvino"

    def forward(
        self, plan: Plan, chosen: slice, classes: Sequence[int], done: Callable[[float], None] | None = None
    ) -> tuple[Array, list[npt.NDArray[Any]]]:
        """Logits N×K, and per level (fine → coarse) some classes' evidence N×C'×*native, for some of the items.

        ``done`` hears between windows which share of these items is computed, and may raise to end it.
        """
        prepared = plan.load(chosen)
        if self._compiled is not None:
            found, maps = self._compiled(prepared)
            return found, [level[:, list(classes)] for level in maps]
        images = torch.from_numpy(prepared).to(memory_format=memory_format(self.network, self.device))
        with torch.inference_mode(), self._autocast():
            if self._windows is not None:
                dtype = torch.float16 if in_half(_evidence_voxels(self.network, plan) * len(classes)) else torch.float32
                logits, levels = windows.windowed_maps(self.network, images, self._windows, classes, dtype, done)
                return _to_numpy(logits), [level.numpy() for level in levels]
            images = images.to(self.device, non_blocking=True)
            network = self.network
            if self.device.type == "cpu" and self.precision == "fp32":
                network.placements(images)
                network = folded(network)
            logits, levels = network.native_maps(images)
            return _to_numpy(logits), [_to_numpy(level[:, list(classes)]) for level in levels]

    def shrink(self, plan: Plan) -> None:
        """Halve the batch, or a volume's windows, or leave CUDA for the CPU when nothing is left to halve.

        Raises ``ModelError`` when nothing is left on the CPU.
        """
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        items = min(self.batch_size, plan.count)
        if items > 1:
            self.batch_size = items // 2
        elif self._cut_smaller(plan):
            self._compiled = None
        elif self.device.type == "cpu":
            raise ModelError(f"There is not enough memory for even one image at a time.{self._uncut}",
                             "Close other programs, or crop or resample the volume.")
        else:
            self.leave_gpu()

    def leave_gpu(self) -> None:
        """Go on on the CPU, and say so."""
        self.device, self.batch_size = torch.device("cpu"), BATCH_ON_CPU
        if self.on_cpu is not None:
            self.network = self.on_cpu
        if self.precision == "fp16":
            self.precision = "fp32"
        self.warnings.append("The GPU's memory did not suffice; the computation went on on the CPU.")

    def _cut(self, plan: Plan, voxels: int) -> None:
        self._windows = windows.cut(self.network, plan.size, voxels)
        if self.engine == "openvino" and _WINDOWS_BY_TORCH not in self.warnings:
            self.warnings.append(_WINDOWS_BY_TORCH)

    def _cut_smaller(self, plan: Plan) -> bool:
        """Whether a volume can go through in smaller pieces than those for which memory did not suffice."""
        if not isinstance(plan, VolumePlan):
            return False
        before = self._windows
        tried = math.prod(plan.size) if before is None else before.voxels
        try:
            self._cut(plan, tried // 2)
        except ModelError:
            return False
        smaller = self._windows is not None and self._windows.voxels < tried
        if not smaller:
            self._windows = before
        return smaller

    def _autocast(self) -> torch.autocast:
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)


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
    plans: int = 1,
) -> Output:
    """Run all items of a plan, one forward pass each; a large volume (`windows.LARGEST_VOLUME`) in windows.

    Parameters
    ----------
    runner : network, device and batch size; running out of memory halves the batch or the windows, then moves from
        CUDA to the CPU.
    plan : the items.
    classes : indices of the classes whose evidence is kept.
    progress : called with the share of items done.
    cancelled : asked between batches and between windows.
    plans : how many plans' outputs are held at once and share the memory for maps.

    Raises
    ------
    Cancelled : ``cancelled`` said so.
    ModelError : there is not enough memory even for the smallest pieces.
    OutputError : level maps too large for memory found no room on the disk.
    """
    runner.begin(plan, cancelled)
    logits = np.empty((plan.count, runner.network.num_classes), np.float32)
    names = [level.name for level in runner.network.levels]
    kept: dict[str, Store] = {}
    start = 0
    while start < plan.count:
        stop_if(cancelled)
        chosen = slice(start, min(start + runner.batch_size, plan.count))

        def within(share: float, start: int = start, items: int = chosen.stop - start) -> None:
            if share:
                stop_if(cancelled)
            if share and progress is not None:
                progress((start + share * items) / plan.count)

        try:
            logits[chosen], levels = runner.forward(plan, chosen, classes, within)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            runner.shrink(plan)
            continue
        if plan.count == 1:
            kept = adopt(names, levels)
        else:
            kept = kept or make_room(names, plan.count, levels, plans)
            for store, level in zip(kept.values(), levels, strict=True):
                store[chosen] = level
        start = chosen.stop
        if progress is not None:
            progress(start / plan.count)
    return Output(logits, plan.size, tuple(classes), kept, _to_numpy(runner.network.head.bias.detach()), plan.load)


def place(
    network: HRCAM, device: torch.device, batch_size: int | None, precision: str, engine: str = "torch"
) -> Runner:
    """A network, which stays on the CPU, ready to run on a device; of a GPU's copies each is made once.

    A batch size of None suits the device, ``engine`` is as in `Runner`.

    Raises ``ModelError`` for a precision that the device does not offer.
    """
    check_precision(precision, device)
    size = batch_size or (BATCH_ON_CPU if device.type == "cpu" else BATCH_ON_CUDA)
    network.to(memory_format=memory_format(network, torch.device("cpu")))  # type: ignore[call-overload]
    runner = Runner(network, device, max(1, size), precision, [], engine, network)
    if precision == "bf16" and device.type == "cpu" and not _cpu_computes_bf16():
        runner.precision = "fp32"
        runner.warnings.append("This CPU has no instructions for bf16, which would be far slower; fp32 was used.")
    if device.type != "cpu":
        try:
            runner.network = _copy_on(device, network)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            runner.leave_gpu()
    return runner


def _copy_on(device: torch.device, network: HRCAM) -> HRCAM:
    with _lock:
        copies = _copies.setdefault(network, {})
        if str(device) not in copies:
            copied = copy.deepcopy(network)
            copied.to(device, memory_format=memory_format(network, device))  # type: ignore[call-overload]
            copies[str(device)] = copied
        return copies[str(device)]


def _cpu_computes_bf16() -> bool:
    """As PyTorch's own compiler asks; without such instructions bf16 is emulated, 70 times slower than fp32."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def check_precision(precision: str, device: torch.device) -> None:
    """Raise ``ModelError`` for a precision that the device does not offer."""
    if precision not in PRECISIONS or (precision == "fp16" and device.type == "cpu"):
        raise ModelError(f'The precision "{precision}" is not available on {device.type}.', "Choose fp32 or bf16.")


def memory_format(network: HRCAM, device: torch.device) -> torch.memory_format:
    """Channels last where it pays: 2D convolutions on CPUs (docs/PERFORMANCE.md)."""
    return torch.channels_last if device.type == "cpu" and network.num_dims == 2 else torch.contiguous_format


def _evidence_voxels(network: HRCAM, plan: Plan) -> int:
    """Voxels of all levels' maps of one class and item."""
    return sum(round(math.prod(side / stride for side, stride in zip(plan.size, level.stride, strict=True)))
               for level in network.levels)


def _to_numpy(tensor: torch.Tensor) -> Array:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)
