"""Waves sent through a CNN, and what comes of them: where in the image each cell of a feature map looks.

A wave along an axis changes every place of the image in its own way, by its phase. Sent through the network as it is,
at the size that is asked for, the phase that arrives in a cell says where that cell lies, whatever the network does to
its input: pads, crops, rolls, mirrors, resizes. So that nothing but the way is seen, `EvenLayers` runs the network with
even weights while the waves are under way: a layer then passes on the middle of its window, and no random or trained
weight, no negative value behind a ReLU and no border of zeros moves or hides what passes. The network's own weights
are not touched, and other threads may run it meanwhile.
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

HEIGHT = 0.02
"""Of a wave: so low that activations answer in proportion."""

_NORMS = frozenset({
    *("batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "instance_norm"),
    *("layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "rms_norm"),
})  # fmt: skip

_JOINING = frozenset({"add", "add_", "mul", "mul_"})

Answers = npt.NDArray[np.complex128]
"""*native: amplitude and phase of a wave in each cell."""


def send_waves(cnn: nn.Module, names: Sequence[str], image: Tensor) -> list[list[Answers]]:
    """Send one wave along each axis of an image's size and return what arrives in each feature map.

    Parameters
    ----------
    cnn : in evaluation mode.
    names : feature maps, as in `feature_maps`.
    image : 1×C×*size of the network's type and device; its values are not used.

    Returns
    -------
    For each name the answers to the waves along axis 0, 1, …: the phase 2π·p/n in a cell that looks at place p of n.
    """

    def sum_channels(_: int, features: Tensor) -> npt.NDArray[np.float64]:
        weights = _uneven(features.shape[1], features).view(1, -1, *[1] * (features.ndim - 2))
        summed: npt.NDArray[np.float64] = (features * weights).mean(1)[0].double().cpu().numpy()
        return summed

    arrived = []
    with torch.inference_mode(), torch.autocast(image.device.type, enabled=False), EvenLayers():
        for sent in _images(_precise(image)):
            torch.manual_seed(0)  # the same for all images; `undisturbed` gives random numbers back
            arrived.append(run_hooked(cnn, names, sent, sum_channels))
    answers = []
    for still, raised, *waves in zip(*arrived, strict=True):
        pairs = zip(waves[::2], waves[1::2], strict=True)
        answers.append([_signed((c - still) + 1j * (s - still), raised - still, axis)
                        for axis, (c, s) in enumerate(pairs)])  # fmt: skip
    return answers


def _precise(image: Tensor) -> Tensor:
    """In double precision: deep networks leave a ten-millionth of a wave beside values that stay as they are."""
    return image if image.device.type == "mps" else image.double()


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


def _signed(answers: Answers, raised: npt.NDArray[np.float64], axis: int) -> Answers:
    """Turn the answers of a network that answers to brighter places with less.

    Where it does not answer to the whole image being brighter (it normalizes each place), the nearer of both ways is
    taken.
    """
    if abs(raised.sum()) > 0.05 * np.abs(answers).sum():
        return answers * np.sign(raised.sum())
    n = answers.shape[axis]
    expected = np.exp(-2j * np.pi * (np.arange(n) + 0.5) / n).reshape([-1 if a == axis else 1 for a in
                                                                      range(answers.ndim)])  # fmt: skip
    return answers if (answers * expected).sum().real >= 0 else -answers


class EvenLayers(TorchDispatchMode):
    """Runs every layer with even weights of its own shape: it passes on the middle of its window, and adds nothing.

    Norms pass on what they get, maxima are means, and so are sums and products of equal shapes, so that values neither
    grow nor vanish on the way through many residual blocks. All else is done as the network says.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        given = _arguments(func, args, kwargs)
        if is_convolution(name) and given["weight"].ndim > 2:
            return _middle(func, name, given)
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
            return _first_replaced(result, _mean_pool(name, given))
        return result


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


def _middle(func: Any, name: str, given: dict[str, Any]) -> Tensor:
    """A convolution that gives the middle of its window (a transposed one: spreads each value evenly over it)."""
    x, weight, groups = given["input"], given["weight"], given["groups"]
    up = "transpose" in name or bool(given.get("transposed"))
    space = [1] * (weight.ndim - 2)
    taken = x.shape[-len(space) - 1] // groups
    mixed = (x.unflatten(-len(space) - 1, (groups, taken)) * _share(taken, x).view(-1, *space)).sum(-len(space) - 1)
    kernel = x.new_zeros(groups, 1, *weight.shape[2:])
    middle = [slice(None) if up else slice((n - 1) // 2, n // 2 + 1) for n in weight.shape[2:]]
    kernel[tuple([slice(None)] * 2 + middle)] = 1
    if not up:
        kernel /= kernel[0].sum()
    passed = func(**(given | {"input": mixed, "weight": kernel, "bias": None}))
    channels = weight.shape[1] if up else weight.shape[0] // groups
    gains = _uneven(channels, x).view(-1, *space)
    # A share of the whole image's mean in each channel: a place is then seen even where each is normalized over them.
    apart = 0.5 * (gains - gains.flip(0)) * passed.mean()
    return (passed.unsqueeze(-len(space) - 1) * gains + apart).flatten(-len(space) - 2, -len(space) - 1)


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
