"""The run of a CNN on an example: it is watched once on an image that it accepts, and given back as it was."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ...errors import ModelError
from .trace import Recording, record

# Not square, so that a map is not mistaken for its transpose; then the sizes that fixed-size heads are made for.
_SIZES: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((128, 160), (224, 224), (256, 256), (299, 299), (128, 128), (96, 96), (64, 64), (32, 32), (28, 28)),
    3: ((64, 64, 80), (64, 64, 64), (96, 96, 96), (128, 128, 128), (32, 32, 32), (16, 16, 16)),
}
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)

_MOST_CHANNELS = 16
"""A layer that takes more is hardly the one that takes the image."""

_ORIGINAL = "Wrap the original Python network, a torch.nn.Module."
_UNREADABLE = (  # which modules, what they are, what to do
    (lambda m: isinstance(m, torch.jit.ScriptModule), "a TorchScript module, whose layers cannot be read", _ORIGINAL),
    (lambda m: hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None,
     "compiled, and its layers may be fused away",
     "Wrap the network first; torch.compile what HRCAM gives, if you must."),
    (lambda m: "quantized" in type(m).__module__ and "Conv" in type(m).__name__,
     "quantized and gives integers", "Wrap the network before it is quantized."),
    # An exported program's module says that it cannot change its mode.
    (lambda m: isinstance(m, torch.fx.GraphModule) and "eval" in vars(m),
     "exported (torch.export), and its layers are gone", _ORIGINAL),
    (lambda m: any(is_lazy(value) for value in (*m._parameters.values(), *m._buffers.values())),
     "a lazy layer without weights", "Run the network on an image once, then wrap it."),
)  # fmt: skip


def unwrap(cnn: nn.Module) -> nn.Module:
    """Return the plain network inside a data-parallel wrapper; raise `ModelError` for what cannot be hooked."""
    while isinstance(cnn, nn.DataParallel | nn.parallel.DistributedDataParallel):
        cnn = cnn.module
    if not isinstance(cnn, nn.Module):
        hint = _ORIGINAL if isinstance(cnn, torch.export.ExportedProgram) else "Give a torch.nn.Module."
        raise ModelError(f"The network is a {type(cnn).__name__}.", hint)
    for name, module in cnn.named_modules():
        for is_one, what, hint in _UNREADABLE:
            if is_one(module):
                raise ModelError(f"{name or 'The network'} is {what}.", hint)
    return cnn


def run_example(cnn: nn.Module, example: Tensor | None = None, num_dims: int | None = None) -> Recording:
    """Record a run on the example, or on the first made-up input that the network accepts.

    A head of fixed size may refuse all of them. As HR-CAM does not use it, a run that got as far as the head, all
    convolutions done, will do.

    Raises
    ------
    ModelError : the network fails on the example, or accepts no made-up input.
    """
    with undisturbed(cnn):
        if example is not None:
            if not isinstance(example, Tensor) or example.ndim not in (4, 5) or len(example) < 1:
                several = isinstance(example, Mapping | list | tuple)
                hint = wrap_the_part(cnn) if several else "Give a tensor B×C×H×W or B×C×D×H×W."
                raise ModelError("The example is not an image.", hint)
            recording = record(cnn, example[:1])
            if recording.error is not None:
                _refuse_other_inputs(cnn)
                raise ModelError(
                    f"The network fails on the example of shape {tuple(example.shape)}: {_first_line(recording.error)}",
                    "Give an example that it accepts.",
                ) from recording.error
            return recording
        failed = []
        for image in _examples(cnn, num_dims):
            recording = record(cnn, image)
            if recording.error is None:
                return recording
            failed.append(recording)
        convolutions = {name for name, module in cnn.named_modules() if isinstance(module, _CONVOLUTIONS)}
        for recording in failed:
            if convolutions <= {name.module for name in recording.seen if not name.at_input}:
                return recording
        _refuse_other_inputs(cnn)
        tried = ["×".join(map(str, recording.image.shape[1:])) for recording in failed]
        raise ModelError(
            f"The network accepts none of the inputs tried ({', '.join(tried[:9])}{', …' * (len(tried) > 9)}): "
            f"{_first_line(failed[0].error)}",
            "Give example=, a tensor that it accepts. "
            + wrap_the_part(cnn, "If it takes anything but one tensor, wrap"),
        )


class _Asked(dict[str, Any]):
    """An empty input that keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.keys_asked: list[str] = []

    def __missing__(self, key: str) -> Any:
        self.keys_asked.append(key)
        raise KeyError(key)

    def __getattr__(self, key: str) -> Any:
        return None if hasattr(Tensor, key) else self[key]

    get = pop = __missing__  # type: ignore[assignment]


def _refuse_other_inputs(cnn: nn.Module) -> None:
    """Raise `ModelError` where the network, which failed on an image, takes several inputs or a dictionary."""
    parameters = inspect.signature(cnn.forward).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(needed) > 1:
        raise ModelError(f"The network takes several inputs ({', '.join(needed)}), not an image alone.",
                         wrap_the_part(cnn))  # fmt: skip
    asked = _Asked()
    with suppress(Exception):
        cnn(asked)
    if asked.keys_asked:
        raise ModelError(f"The network takes a dictionary (it asks for {asked.keys_asked[0]!r}), not an image.",
                         wrap_the_part(cnn))  # fmt: skip


def wrap_the_part(cnn: nn.Module, start: str = "Wrap") -> str:
    """What to do with a network that takes more than an image, naming the child with the first convolution."""
    parts = (name for name, child in cnn.named_children() if any(isinstance(m, _CONVOLUTIONS) for m in child.modules())
             and not isinstance(child, _CONVOLUTIONS))  # fmt: skip
    part = next(parts, None)
    example = f", for example HRCAM(cnn.{part}, …)" if part else ", or a module of your own that gives it the rest"
    return f"{start} the part that takes the image alone{example}."


@contextmanager
def undisturbed(cnn: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, and give it back as it was: training flags, buffers, random numbers."""
    training = {module: module.training for module in cnn.modules()}
    buffers = [(module, name, buffer, buffer.clone()) for module in cnn.modules()
               for name, buffer in module._buffers.items() if buffer is not None]  # fmt: skip
    devices = {p.device.index for p in cnn.parameters() if p.device.type == "cuda" and p.device.index is not None}
    cnn.eval()
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            yield
    finally:
        for module, flag in training.items():
            module.training = flag
        with torch.no_grad():
            for module, name, buffer, before in buffers:
                module._buffers[name] = buffer  # the network may have put another tensor in its place
                if not buffer.is_meta and not torch.equal(buffer, before):
                    buffer.copy_(before)


def _examples(cnn: nn.Module, num_dims: int | None) -> Iterator[Tensor]:
    """Made-up inputs, the likeliest first."""
    convolutions = [m for m in cnn.modules() if isinstance(m, _CONVOLUTIONS)]
    kernels = [m.weight for m in convolutions] or [p for p in cnn.parameters() if p.ndim in (4, 5)]
    if not kernels:
        raise ModelError(
            "The network has no 2D or 3D convolution.",
            "HR-CAM needs a CNN; layers that are kept in a plain list belong into a torch.nn.ModuleList.",
        )
    declared = getattr(cnn, "num_dims", None)  # of one that looks at volumes in planes
    dims = num_dims or (declared if declared in _SIZES else kernels[0].ndim - 2)
    if dims not in _SIZES:
        raise ModelError(f"num_dims is {num_dims!r}.", "Give 2 or 3.")
    taken = [m.in_channels for m in convolutions] or [kernels[0].shape[1]]
    # The layer registered first need not be the one that takes the image.
    channels = dict.fromkeys((taken[0], 1, 3, *sorted(c for c in set(taken) if c <= _MOST_CHANNELS)))
    generator = torch.Generator().manual_seed(0)
    for count in channels:
        for size in _SIZES[dims]:
            image = torch.randn(1, count, *size, generator=generator)
            yield image.to(device=kernels[0].device, dtype=kernels[0].dtype)


def _first_line(error: Exception | None) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}."
