"""OpenVINO as an optional engine on CPUs: the same network, head and native level maps inside, some faster still.

Levels are up-sampled outside, by the code of every engine: OpenVINO's own 3D resizing loses what its convolutions win.
Of a network that looks at the slices of a volume, what it does to slices is compiled; the rest stays PyTorch's, so that
memory stays that of some slices. What is compiled is compared with PyTorch before it is used, so that a wrong
conversion is never seen in a map.
"""

from __future__ import annotations

import copy
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..cam.model import HRCAM
from ..errors import Cancelled, ModelError, stop_if
from .folded import folded

Array = npt.NDArray[np.float32]

AUTO_IMAGES = {"slices": 400, "volumes": 300, "slices of volumes": 2500}
"""Images from which "auto" takes OpenVINO, by their kind: fewer save less than compiling costs (1 to 3 s; measured by
``Testing/bench/crossover.py`` with the bundled models beside PyTorch's `folded` network, docs/PERFORMANCE.md)."""

KEPT_SIZES = 6
"""A network compiled for one size of images holds 15 to 70 MB: a folder of all sizes must not fill the memory."""

TOLERANCE = {"fp32": 1e-4, "bf16": 0.02}
"""Largest accepted difference from PyTorch's fp32, in shares of the greatest value of each map."""

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_compiled: WeakKeyDictionary[HRCAM, dict[tuple[Any, ...], CompiledNetwork | CompiledSlices | tuple[str, str]]] = (
    WeakKeyDictionary())


class _Compiled:
    """A module that returns a tuple of tensors, compiled for one size of images; any batch, any number of threads.

    Parameters
    ----------
    module : on the CPU, in evaluation mode; later changes of its weights are not seen.
    quick : the same made of a `folded` network, which is what is compiled.
    size : spatial size of the input N×1×*size.
    precision : "fp32" or "bf16" (where the CPU has it, else fp32).
    threads : CPU threads of one call.
    cancelled : asked between the steps of compiling, which take a second or more each for large networks.

    Raises
    ------
    Cancelled : ``cancelled`` said so.
    ModelError : OpenVINO cannot convert the network, or computes something else.
    """

    def __init__(
        self, module: nn.Module, quick: nn.Module, size: Sequence[int], precision: str, threads: int,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        openvino = _openvino()
        # Not zeros: the comparison below shall see something.
        example = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
        try:
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")  # the tracer's remarks on checks of shapes
                stop_if(cancelled)
                outputs = module(example)
                traced = torch.jit.trace(quick, example, check_trace=False)
                stop_if(cancelled)
                model = openvino.convert_model(traced, example_input=example)
            stop_if(cancelled)
            model.reshape([1, 1, *size])  # its feature maps stay in the processor's cache: faster than several
            self._model = openvino.Core().compile_model(model, "CPU", {
                "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": _HINTS[precision],
                "PERFORMANCE_HINT": "LATENCY",
            })
        except Cancelled:
            raise
        except Exception as error:  # OpenVINO and the tracer raise what they like
            raise ModelError(f"OpenVINO cannot run this network: {str(error).strip()[:200]}",
                             "Choose the engine torch.") from error
        stop_if(cancelled)
        self._requests = threading.local()
        self._compare(outputs, example, TOLERANCE[precision])

    def __call__(self, images: Array) -> list[Array]:
        """The module's outputs to images N×1×*size."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._model.create_infer_request()  # a request serves one thread at a time
        outputs = [self._requests.own.infer([image[None]]).to_tuple() for image in images]
        return [np.concatenate(parts).astype(np.float32, copy=False) for parts in zip(*outputs, strict=True)]

    def _compare(self, outputs: Sequence[Tensor], example: Tensor, tolerance: float) -> None:
        for wanted, found in zip(outputs, self(example.numpy()), strict=True):
            reference = wanted.numpy()
            allowed = tolerance * max(1e-3, float(np.abs(reference).max()))
            if found.shape != reference.shape or not np.abs(found - reference).max() <= allowed:
                raise ModelError("OpenVINO computes something else than PyTorch for this network.",
                                 "Choose the engine torch.")


class CompiledNetwork:
    """An HR-CAM network, compiled as a whole; parameters and errors as of `_Compiled`."""

    def __init__(self, network: HRCAM, *how: Any) -> None:
        self._whole = _Compiled(_Native(network), _Native(folded(network)), *how)

    def __call__(self, images: Array) -> tuple[Array, list[Array]]:
        """Logits N×K and the evidence of each level N×K×*native (fine → coarse) of images N×1×*size."""
        logits, *levels = self._whole(images)
        return logits, levels


class CompiledSlices:
    """An HR-CAM network of volumes whose CNN looks at slices by a method ``slice_maps``: that part is compiled.

    In fp32 alone: maps that are powers multiply errors. Parameters and errors as of `_Compiled`.
    """

    def __init__(
        self, network: HRCAM, size: Sequence[int], precision: str, threads: int,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        if precision != "fp32":
            raise ModelError(f"OpenVINO computes the slices of a volume in fp32, not in {precision}.",
                             "Choose the precision fp32, or the engine torch.")
        module, (depth, height, width) = _SliceMaps(network.cnn), size
        quick = _SliceMaps(folded(network).cnn)
        self._strides = module.strides
        self._by_shape: dict[tuple[int, ...], _Compiled] = {
            shape: _Compiled(module, quick, shape, precision, threads, cancelled)
            for shape in {(height, width), (depth, width), (depth, height)}}
        self._network, cnn = _with_children_of(network), _with_children_of(network.cnn)
        cnn.__dict__["slice_maps"] = self._slice_maps
        self._network.cnn = cnn

    def __call__(self, images: Array) -> tuple[Array, list[Array]]:
        """See `CompiledNetwork`."""
        with torch.inference_mode():
            logits, levels = self._network.native_maps(torch.from_numpy(images))
        return logits.numpy(), [level.numpy() for level in levels]

    def _slice_maps(self, slices: Tensor) -> dict[int, Tensor]:
        outputs = self._by_shape[tuple(slices.shape[2:])](slices.contiguous().numpy())
        return {stride: torch.from_numpy(one) for stride, one in zip(self._strides, outputs, strict=True)}


def is_wanted(
    engine: str, device: torch.device, precision: str, kind: str, images: int | None
) -> bool:
    """Whether OpenVINO shall compute.

    Parameters
    ----------
    engine : "openvino" always, "torch" never; "auto" where it is installed and there is enough to compute.
    device, precision : it runs on the CPU, in fp32 or bf16.
    kind, images : what the whole job computes, see `computed_images`; None stands for many.

    Raises
    ------
    ModelError : asked for by name, and not installed or not for this device or precision.
    """
    if engine == "torch":
        return False
    problem = None
    if device.type != "cpu":
        problem = "The engine openvino runs on the CPU alone.", "Choose the device cpu, or the engine torch."
    elif precision not in _HINTS:
        problem = f'The engine openvino has no precision "{precision}".', f"Choose one of: {', '.join(_HINTS)}."
    elif find_spec("openvino") is None:
        problem = "OpenVINO is not installed.", "Install it with pip install 'hrcam[fast]', or choose the engine torch."
    if engine == "openvino" and problem is not None:
        raise ModelError(*problem)
    return problem is None and (engine == "openvino" or images is None or images >= AUTO_IMAGES[kind])


def computed_images(network: HRCAM, size: Sequence[int], count: int) -> tuple[str, int]:
    """Kind (of `AUTO_IMAGES`) and number of the images that a network computes for so many items of a size."""
    if _sees_slices(network):
        return "slices of volumes", count * sum(size)
    return "slices" if len(size) == 2 else "volumes", count


def compiled(
    network: HRCAM, size: Sequence[int], precision: str, cancelled: Callable[[], bool] | None = None
) -> CompiledNetwork | CompiledSlices:
    """The network compiled for a size, made at its first use; of each network the last `KEPT_SIZES` stay.

    Raises ``ModelError`` where it cannot be compiled, and ``Cancelled`` where ``cancelled`` says so between two steps.
    """
    key = (tuple(size), precision, torch.get_num_threads())
    with _lock:
        known = _compiled.setdefault(network, {})
        if key not in known:
            try:
                known[key] = (CompiledSlices if _sees_slices(network) else CompiledNetwork)(network, *key, cancelled)
            except ModelError as error:
                _log.warning("%s", error)
                known[key] = error.message, error.hint
        found = known[key] = known.pop(key)  # the last one used is the last to go
        while len(known) > KEPT_SIZES:
            del known[next(iter(known))]
    if isinstance(found, tuple):
        raise ModelError(*found)
    return found


def _openvino() -> Any:
    """The library without its telemetry, which tells Google Analytics of each import and each conversion.

    Where its package is missing, OpenVINO does without (``openvino.tools.ovc.telemetry_stub``).
    """
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))  # what is None there cannot be imported
    import openvino

    return openvino


def _sees_slices(network: HRCAM) -> bool:
    return network.num_dims == 3 and hasattr(network.cnn, "slice_maps")


def _with_children_of(module: nn.Module) -> Any:
    """A module of its own that shares all children and weights: what is replaced in it stays as it was elsewhere."""
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied


class _Native(nn.Module):
    """Logits and native level maps as one tuple of tensors, which tracing wants."""

    def __init__(self, network: HRCAM) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits, levels = self.network.native_maps(x)
        return logits, *levels


class _SliceMaps(nn.Module):
    """The maps of slices as one tuple of tensors, in the order of `strides`."""

    def __init__(self, cnn: Any) -> None:
        super().__init__()
        self.cnn = cnn
        self.strides = sorted(map(int, cnn.pyramid))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = self.cnn.slice_maps(x)
        return tuple(maps[stride] for stride in self.strides)
