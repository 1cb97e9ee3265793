"""Networks folded for inference: a convolution, the norm after it and the activation after that become one step.

The same function but for rounding. Where PyTorch has oneDNN, which it has on most CPUs, a step passes over memory once
instead of up to four times; elsewhere norms are folded into weights all the same.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..cam.feature_maps import MapName
from ..cam.model import HRCAM
from ..networks.efficientnet_lite0 import Lite0Encoder, SameConv2d

_ACTIVATIONS: dict[type, tuple[str, list[float]]] = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}
"""Module to the name and the numbers by which oneDNN's step knows it."""

_folded: WeakKeyDictionary[HRCAM, HRCAM] = WeakKeyDictionary()
_lock = threading.Lock()


def folded(network: HRCAM) -> HRCAM:
    """A copy of a network for inference in float32 on the CPU, made once; later changes of its weights are not seen.

    Where its maps lie on images of a size the network itself must have been asked (`HRCAM.placements`), since a folded
    one cannot be looked into; the results are shared.
    """
    with _lock:
        if network not in _folded:
            copied = copy.deepcopy(network)
            copied._placements = network._placements
            kept = {MapName.parse(level.name).module for level in network.levels}
            for parent, conv, norm, activation, kind in list(_found(copied.cnn, kept)):
                parts = parent._modules
                parts[conv] = _OneStep(parts[conv], parts[norm], kind)
                parts[norm] = nn.Identity()
                if activation:
                    parts[activation] = nn.Identity()
            for parent in list(copied.cnn.modules()):
                for name, part in parent._modules.items():
                    if not isinstance(parent, _OneStep) and _is_plain(part):
                        parent._modules[name] = _OneStep(part, None, None)
            for path, encoder in copied.cnn.named_modules():  # where no level lies within, which sees a batch
                if isinstance(encoder, Lite0Encoder):
                    encoder.image_by_image = not any(name.startswith(path) for name in kept)
            _folded[network] = copied
        return _folded[network]


def _found(cnn: nn.Module, kept: set[str]) -> Iterator[tuple[nn.Module, str, str, str, type | None]]:
    """Where to fold: a module, the names in it of a convolution, its norm and its activation ("": not a module of its
    own), and the kind of the latter. Modules that are `kept` give what they gave.
    """
    for path, parent in cnn.named_modules():
        for conv, norm, activation, kind in [*getattr(parent, "folds", ()), *_in_sequence(parent)]:
            free = all(f"{path}.{name}".lstrip(".") not in kept for name in (conv, norm, activation))
            if free and _fits(parent._modules.get(conv), parent._modules.get(norm)):
                yield parent, conv, norm, activation, kind


def _in_sequence(parent: nn.Module) -> Iterator[tuple[str, str, str, type | None]]:
    names = list(parent._modules) if isinstance(parent, nn.Sequential) else []
    for conv, norm, after in zip(names, names[1:], [*names[2:], ""], strict=False):
        kind = type(parent._modules.get(after))
        yield (conv, norm, after, kind) if kind in _ACTIVATIONS else (conv, norm, "", None)


def _fits(conv: Any, norm: Any) -> bool:
    return _is_plain(conv) and isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d) and norm.running_mean is not None


def _is_plain(conv: Any) -> bool:
    return (type(conv) in (nn.Conv2d, nn.Conv3d, SameConv2d) and bool(conv.weight.dtype == torch.float32)
            and bool(conv.padding_mode == "zeros") and not isinstance(conv.padding, str))


class _OneStep(nn.Module):
    """A convolution with the norm and the activation that follow, where they do."""

    def __init__(self, conv: Any, norm: Any, activation: type | None) -> None:
        super().__init__()
        self.conv = conv if norm is None else fuse_conv_bn_eval(conv, norm)
        self._activate = nn.Identity() if activation is None else activation()
        self._named = ("none", []) if activation is None else _ACTIVATIONS[activation]
        self._packed = self._pack(self.conv.weight)
        # With zeros before it a kernel needs no more padding behind the image than before it, which spares a copy.
        strided = isinstance(conv, SameConv2d) and max(conv.stride) > 1
        self._packed_behind_zeros = self._pack(F.pad(self.conv.weight, [1, 0] * 2)) if strided else None

    def forward(self, x: Tensor) -> Tensor:
        """B×C×*size → B×C'×*size of the convolution."""
        conv: Any = self.conv
        margins = conv.margins(x) if isinstance(conv, SameConv2d) else [(each, each) for each in conv.padding]
        before, after = ([one[n] for one in margins] for n in (0, 1))
        if not (torch.is_grad_enabled() or torch.jit.is_tracing()):
            if self._packed is not None and before == after:
                return self._step(x, self._packed, after)
            if self._packed_behind_zeros is not None and [n + 1 for n in before] == after:
                return self._step(x, self._packed_behind_zeros, after)
        activated: Tensor = self._activate(conv(x))
        return activated

    def _step(self, x: Tensor, weight: Any, padding: list[int]) -> Tensor:
        conv, (name, numbers) = self.conv, self._named
        step: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, conv.bias, padding, list(conv.stride), list(conv.dilation), conv.groups, name, numbers, "")
        return step

    def _pack(self, weight: Tensor) -> Any:
        """The weights as oneDNN wants them; None where PyTorch was built without it, or (2.2) not for volumes."""
        conv = self.conv
        if not torch.backends.mkldnn.is_available():
            return None
        try:
            return torch.ops.mkldnn._reorder_convolution_weight(
                weight, list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        except RuntimeError:
            return None
