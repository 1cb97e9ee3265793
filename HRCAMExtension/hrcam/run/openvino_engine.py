"""OpenVINO as an optional engine on CPUs: the same network, head and native level maps inside, twice as fast or more.

Levels are up-sampled outside, by the code of every engine: OpenVINO's own 3D resizing loses what its convolutions win.
A compiled network is compared with PyTorch's before it is used, so that a wrong conversion is never seen in a map.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..cam.model import HRCAM
from ..errors import Cancelled, ModelError, stop_if

Array = npt.NDArray[np.float32]

AUTO_ITEMS = {2: 32, 3: 4}
"""Slices, or volumes, from which "auto" takes OpenVINO; for fewer, compiling (1 s to many) costs more than it saves."""

TOLERANCE = {"fp32": 1e-4, "bf16": 0.02}
"""Largest accepted difference from PyTorch's fp32, in shares of a level's greatest evidence."""

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_compiled: WeakKeyDictionary[HRCAM, dict[tuple[Any, ...], CompiledNetwork | tuple[str, str]]] = WeakKeyDictionary()


class CompiledNetwork:
    """An HR-CAM network compiled for one input size; any batch size, any number of threads may call it.

    Parameters
    ----------
    network : on the CPU, in evaluation mode; later changes of its weights are not seen.
    size : spatial size of the input.
    precision : "fp32" or "bf16" (where the CPU has it, else fp32).
    threads : CPU threads of one call.
    cancelled : asked between the steps of compiling, which take a second or more each for large networks.

    Raises
    ------
    Cancelled : ``cancelled`` said so.
    ModelError : OpenVINO cannot convert the network, or computes something else.
    """

    def __init__(
        self, network: HRCAM, size: Sequence[int], precision: str, threads: int,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        import openvino

        # Not zeros: the comparison below shall see something. Two images, so that no batch size is built in; 3D
        # networks see one volume at a time.
        batch = 2 if len(size) == 2 else 1
        example = torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(0))
        try:
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")  # the tracer's remarks on checks of shapes
                stop_if(cancelled)
                traced = torch.jit.trace(_Native(network), example, check_trace=False)
                stop_if(cancelled)
                model = openvino.convert_model(traced, example_input=example)
            stop_if(cancelled)
            model.reshape([-1, 1, *size])
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
        self._compare(network, example, TOLERANCE[precision])

    def __call__(self, images: Array) -> tuple[Array, list[Array]]:
        """Logits N×K and the evidence of each level N×K×*native (fine → coarse) of images N×1×*size."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._model.create_infer_request()  # a request serves one thread at a time
        logits, *levels = self._requests.own.infer([images]).to_tuple()
        return np.asarray(logits, np.float32), [np.asarray(level, np.float32) for level in levels]

    def _compare(self, network: HRCAM, example: Tensor, tolerance: float) -> None:
        with torch.inference_mode():
            logits, levels = network.native_maps(example)
        found_logits, found_levels = self(example.numpy())
        for wanted, found in zip([logits, *levels], [found_logits, *found_levels], strict=True):
            reference = wanted.numpy()
            allowed = tolerance * max(1e-3, float(np.abs(reference).max()))
            if found.shape != reference.shape or not np.abs(found - reference).max() <= allowed:
                raise ModelError("OpenVINO computes something else than PyTorch for this network.",
                                 "Choose the engine torch.")


def is_wanted(engine: str, device: torch.device, precision: str, dimension: int, items: int | None) -> bool:
    """Whether OpenVINO shall compute.

    Parameters
    ----------
    engine : "openvino" always, "torch" never; "auto" where it is installed and there is enough to compute.
    device, precision : it runs on the CPU, in fp32 or bf16.
    dimension : 2 or 3.
    items : slices or volumes that the process has computed or is about to; None stands for many.

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
    return problem is None and (engine == "openvino" or items is None or items >= AUTO_ITEMS[dimension])


def compiled(
    network: HRCAM, size: Sequence[int], precision: str, cancelled: Callable[[], bool] | None = None
) -> CompiledNetwork:
    """The network compiled for a size, made at its first use and kept as long as the network is.

    Raises ``ModelError`` where it cannot be compiled, and ``Cancelled`` where ``cancelled`` says so between two steps.
    """
    key = (tuple(size), precision, torch.get_num_threads())
    with _lock:
        known = _compiled.setdefault(network, {})
        if key not in known:
            try:
                known[key] = CompiledNetwork(network, *key, cancelled)
            except ModelError as error:
                _log.warning("%s", error)
                known[key] = error.message, error.hint
        found = known[key]
    if isinstance(found, tuple):
        raise ModelError(*found)
    return found


class _Native(nn.Module):
    """Logits and native level maps as one tuple of tensors, which tracing wants."""

    def __init__(self, network: HRCAM) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits, levels = self.network.native_maps(x)
        return logits, *levels
