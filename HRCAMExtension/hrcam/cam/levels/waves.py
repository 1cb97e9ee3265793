"""Waves sent through a CNN, and what comes of them: where in the image each cell of a feature map looks.

A wave along an axis changes every place of the image in its own way, by its phase. Sent through the network as it is,
at the size that is asked for, the phase that arrives in a cell says where that cell lies, whatever the network does to
its input: pads, crops, rolls, mirrors, resizes. So that nothing but the way is seen, `EvenLayers` takes the signs out
of the weights while the waves are under way. The network's own weights are not touched, and other threads may run it
meanwhile.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ..feature_maps import run_hooked
from .trace import is_convolution

_BASE = 0.7
"""Value of the image that waves are added to: usual activations are positive and rise there."""

_TEXTURE = 0.1
"""How much places of that image differ: one of a single value could not be standardized within the network."""

HEIGHT = 0.001
"""Of a wave: so low that activations answer in proportion."""

_NORMS = frozenset({
    *("batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "instance_norm"),
    *("layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "rms_norm"),
})  # fmt: skip

_JOINING = frozenset({"add", "add_", "mul", "mul_"})

_SUMMARIES = frozenset({"mean", "sum", "std", "var", "std_mean", "var_mean"})

Waves = npt.NDArray[np.complex128]
"""*native: amplitude and phase of a wave as it arrived in each cell of a map."""


def send_waves(cnn: nn.Module, names: Sequence[str], image: Tensor, seed: int = 0) -> list[list[Waves]]:
    """Send one wave along each axis of an image's size and return what arrives in each feature map.

    Parameters
    ----------
    cnn : in evaluation mode.
    names : feature maps, as in `feature_maps`.
    image : 1×C×*size of the network's type and device; its values are not used.

    Returns
    -------
    For each name the waves along axis 0, 1, …: the phase 2π·p/n in a cell that looks at place p of n.
    """

    def sum_channels(_: int, features: Tensor) -> npt.NDArray[np.float64]:
        weights = _uneven(features.shape[1], features).view(1, -1, *[1] * (features.ndim - 2))
        summed: npt.NDArray[np.float64] = (features * weights).mean(1)[0].double().cpu().numpy()
        return summed

    # In double precision: deep networks leave a ten-millionth of a wave beside values that stay as they are.
    like = image if image.device.type == "mps" else image.double()
    layers, arrived = EvenLayers(), []
    with torch.inference_mode(), torch.autocast(image.device.type, enabled=False):
        for sent in _images(like):
            torch.manual_seed(seed)  # the same for all images; `undisturbed` gives random numbers back
            with layers:
                arrived.append(run_hooked(cnn, names, sent, sum_channels))
    found = []
    for still, raised, *waves in zip(*arrived, strict=True):
        # A network that answers to a brighter image with less answers so to the bright parts of a wave.
        sign = -1 if (raised - still).sum() < 0 else 1
        pairs = zip(waves[::2], waves[1::2], strict=True)
        found.append([sign * ((cosine - still) + 1j * (sine - still)) for cosine, sine in pairs])
    return found


def _images(like: Tensor) -> Iterator[Tensor]:
    """The still image, one that is raised as a whole, and for each axis a cosine and a sine of the axis' length."""
    signs = torch.randint(2, like.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    still = _BASE + _TEXTURE * signs.to(like)
    yield still
    yield still + HEIGHT
    for axis in range(2, like.ndim):
        n = like.shape[axis]
        phase = 2 * math.pi * torch.arange(n, dtype=like.dtype, device=like.device) / n
        phase = phase.view([-1 if a == axis else 1 for a in range(like.ndim)])
        yield still + HEIGHT * phase.cos()
        yield still + HEIGHT * phase.sin()


class EvenLayers(TorchDispatchMode):
    """Runs every layer with even weights: it passes on the middle of its window, as its own weights have it.

    Norms pass on what they get, maxima are means, and so are sums and products of equal shapes, so that values neither
    grow nor vanish on the way through many residual blocks. Means and deviations of the whole image
    stay what they were the first time that the mode was entered: gates and scalings by them move no place, which those
    by its extremes do. All else is done as the network says.
    """

    def __init__(self) -> None:
        super().__init__()
        self._summaries: list[Any] = []
        self._known = self._next = 0

    def __enter__(self) -> Any:
        self._known, self._next = len(self._summaries), 0
        return super().__enter__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        given = _arguments(func, args, kwargs)
        if is_convolution(name) and given["weight"].ndim > 2:
            return self._convolved(func, name, given)
        if name == "linear":
            return _mixed(args[0], args[1].shape[0])
        if name in ("addmm", "mm") or (name == "matmul" and args[1].ndim == 2):
            values, weights = args[-2:]
            return _mixed(values, weights.shape[1])
        if name in _JOINING and all(isinstance(a, Tensor) for a in args[:2]) and args[0].shape == args[1].shape:
            return (args[0].add_(args[1]) if name.endswith("_") else args[0] + args[1]).mul_(0.5)
        if not name.endswith("_"):  # what writes in place converts by itself
            args, kwargs = _of_one_type(args, kwargs)
        result = func(*args, **kwargs)
        if name in _NORMS:
            return _first_replaced(result, args[0].clone())
        if "max_pool" in name:
            result = _first_replaced(result, _mean_pool(name, given))
        if name in _SUMMARIES or "adaptive" in name:
            result = self._as_at_first(result)
        return result

    def _convolved(self, func: Any, name: str, given: dict[str, Any]) -> Tensor:
        """A convolution that gives the middle of its window (a transposed one: spreads each value evenly over it)."""
        x, weight, groups = given["input"], given["weight"], given["groups"]
        up = "transpose" in name or bool(given.get("transposed"))
        space = [1] * (weight.ndim - 2)
        taken = x.shape[-len(space) - 1] // groups
        mixed = (x.unflatten(-len(space) - 1, (groups, taken)) * _share(taken, x).view(-1, *space)).sum(-len(space) - 1)
        kernel = x.new_ones(weight.shape[2:]) if up else _middle(weight.to(x))
        passed = func(**(given | {"input": mixed, "weight": kernel.expand(groups, 1, *kernel.shape), "bias": None}))
        channels = weight.shape[1] if up else weight.shape[0] // groups
        gains = _uneven(channels, x).view(-1, *space)
        # A share of the image's mean in each channel: a place is then seen even where each is normalized over them.
        apart = 0.5 * (gains - gains.flip(0)) * self._as_at_first(passed.mean())
        return (passed.unsqueeze(-len(space) - 1) * gains + apart).flatten(-len(space) - 2, -len(space) - 1)

    def _as_at_first(self, result: Any) -> Any:
        shape = tree_leaves(result)[0].shape
        if max(shape[2:], default=1) > 1:
            return result
        if self._next >= self._known:
            self._summaries.append(result)
            return result
        before = self._summaries[self._next]
        self._next += 1
        return tree_map(torch.clone, before) if tree_leaves(before)[0].shape == shape else result


def _of_one_type(args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """An operator's arguments, the network's own parameters in the waves' precision."""
    if not any(isinstance(a, Tensor) and a.dtype == torch.float64 for a in tree_leaves((args, kwargs))):
        return args, kwargs
    return tree_map(lambda a: a.double() if isinstance(a, Tensor) and a.is_floating_point() else a, (args, kwargs))


def _arguments(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """An operator's arguments by name, defaults included."""
    expected = func._schema.arguments
    defaults = {a.name: a.default_value for a in expected if a.has_default_value()}
    return defaults | dict(zip((a.name for a in expected), args, strict=False)) | kwargs


def _uneven(n: int, like: Tensor) -> Tensor:
    """Positive weights about 1, all a little different: equal ones would vanish where channels' mean is subtracted."""
    return 1 + 0.1 * torch.cos(3.0 * torch.arange(n, dtype=like.dtype, device=like.device))


def _share(n: int, like: Tensor) -> Tensor:
    weights = _uneven(n, like)
    return weights / weights.sum()


def _mixed(values: Tensor, channels: int) -> Tensor:
    """A dense layer: …×C → …×channels."""
    return (values * _share(values.shape[-1], values)).sum(-1, keepdim=True) * _uneven(channels, values)


def _middle(weight: Tensor) -> Tensor:
    """A kernel of one place, where the squares of a convolution's weights are in balance (between two: of both)."""
    energy = weight.square().mean((0, 1)) + torch.finfo(weight.dtype).tiny
    kernel = weight.new_ones(())
    for axis, n in enumerate(energy.shape):
        places = torch.arange(n, dtype=weight.dtype, device=weight.device)
        along = energy.sum([other for other in range(energy.ndim) if other != axis]) if energy.ndim > 1 else energy
        center = (along * places).sum() / along.sum()
        kernel = kernel.unsqueeze(-1) * (1 - (places - center).abs()).clamp(min=0)
    return kernel


def _mean_pool(name: str, given: dict[str, Any]) -> Tensor:
    """The mean of what a pooling would take the maximum of; borders of minus infinity do not count, as there."""
    x, dims = given["self"], int(name.split("pool")[1][0])
    if "adaptive" in name:
        pooled: Tensor = getattr(F, f"adaptive_avg_pool{dims}d")(x, given["output_size"])
        return pooled
    mean = partial(getattr(F, f"avg_pool{dims}d"), kernel_size=given["kernel_size"], stride=given["stride"] or None,
                   padding=given["padding"], ceil_mode=given["ceil_mode"])  # fmt: skip
    counted = x.isfinite()
    averaged: Tensor = mean(x.where(counted, 0)) / mean(counted.to(x)).clamp(min=1e-6)
    return averaged


def _first_replaced(result: Any, first: Tensor) -> Any:
    """An operator's result, or the first of several, replaced by another tensor of its shape."""
    several = isinstance(result, tuple)
    fits = first.shape == (result[0] if several else result).shape
    return result if not fits else (first, *result[1:]) if several else first
