"""Find the last feature map at each resolution of any CNN classifier, by running it once.

What "last" means, on the graph of data that `dataflow.record` sees:

* A feature map's resolution is its stride, followed from operator to operator, so unpadded convolutions and odd sizes
  do not split a resolution. Global pools, tokens, dead branches and auxiliary outputs are no feature maps.
* Where a network returns to a resolution (U-Net, feature pyramid, hourglass), the last visit counts. Where a map of
  that visit feeds the classifier directly, it is the level.
* Otherwise the level is the last map that *everything* leaving the resolution passes through (the nearest common
  dominator): the end of a stage, not a layer inside one branch of the next stage's first block.
* Parallel streams of one resolution that never merge have no such map: that is ambiguous, and an error. Streams that
  merge at a coarser resolution give the one computed last.
* Hooks see what modules take and give: a purely functional result is read where the next module takes it
  (``pool:input``), else the map before it is taken. A shared module's calls are told apart (``relu#3``). Of several
  modules with the same result the outermost is named.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from .dataflow import HEAD, Node, Recording, Stride, is_layer, is_padding, record
from .errors import ModelError
from .taps import Tap, find_module

T = TypeVar("T")

# Not square, so that a map is not mistaken for its transpose; then the sizes that fixed-size heads are made for.
_SIZES: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((128, 160), (224, 224), (256, 256), (299, 299), (128, 128), (96, 96), (64, 64), (32, 32), (28, 28)),
    3: ((64, 64, 80), (64, 64, 64), (96, 96, 96), (128, 128, 128), (32, 32, 32), (16, 16, 16)),
}
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Level:
    """A feature map that HR-CAM reads.

    Attributes
    ----------
    name : ``module[#call][:input]``, see `taps`.
    channels : C.
    size : spatial size for the example that was run, axis order of the input.
    stride : input voxels per voxel, per axis.
    """

    name: str
    channels: int
    size: tuple[int, ...]
    stride: tuple[float, ...]


def unwrap(cnn: nn.Module) -> nn.Module:
    """Return the plain network inside a data-parallel wrapper; raise `ModelError` for what cannot be hooked."""
    while isinstance(cnn, nn.DataParallel | nn.parallel.DistributedDataParallel):
        cnn = cnn.module
    if not isinstance(cnn, nn.Module):
        raise ModelError(f"The network is a {type(cnn).__name__}.", "Give a torch.nn.Module.")
    for name, module in cnn.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{name or 'The network'} is a TorchScript module, whose layers cannot be read.",
                "Wrap the original Python network.",
            )
        if hasattr(module, "_orig_mod"):
            raise ModelError(
                f"{name or 'The network'} is compiled, and its layers may be fused away.",
                "Wrap the network first; compile afterwards if you must.",
            )
    return cnn


def find_levels(cnn: nn.Module, example: Tensor | None = None, num_dims: int | None = None) -> tuple[Level, ...]:
    """Find the last feature map at each resolution (see the module's text), fine → coarse.

    Parameters
    ----------
    cnn : a classifier of B×C×H×W or B×C×D×H×W inputs.
    example : an input that it accepts. None: channels and dimension are read off its first convolution and a few usual
        sizes are tried.
    num_dims : 2 or 3; only needed where the network has no convolution module to tell.

    Raises
    ------
    ModelError : no input size works, no feature map is found, streams never merge, or the network works on token
        sequences; the message names the candidates.

    Notes
    -----
    The network runs once in evaluation mode without gradients; training flags and buffers are restored.
    """
    cnn = unwrap(cnn)
    recording = _run(cnn, example, num_dims, lambda image: record(cnn, image))
    return _choose_levels(recording)


def resolve_levels(
    cnn: nn.Module, levels: Sequence[str | nn.Module], example: Tensor | None = None
) -> tuple[Level, ...]:
    """Measure the levels that the user names, fine → coarse (levels of equal size keep their order).

    Parameters
    ----------
    levels : names as in `taps`, or submodules of `cnn`.

    Raises
    ------
    ModelError : an unknown or repeated name, a module called several times without ``#call``, an output that is no
        feature map.
    """
    cnn = unwrap(cnn)
    if isinstance(levels, str) or not levels:
        raise ModelError(f"levels is {levels!r}.", "Give 'auto' or a list of module names or modules.")
    names = [level if isinstance(level, str) else _name_of(cnn, level) for level in levels]
    if len(set(names)) != len(names):
        raise ModelError(f"A level is named twice: {', '.join(names)}.", "Name each level once.")
    for name in names:
        find_module(cnn, Tap.parse(name).module)
    recording = _run(cnn, example, None, lambda image: record(cnn, image))
    found: list[Level] = []
    for name in names:
        tap = Tap.parse(name)
        calls = recording.calls.get(tap.module, 0)
        if calls > 1 and "#" not in name:
            choices = ", ".join(f"{tap.module}#{call}" for call in range(1, calls + 1))
            raise ModelError(f"Module {tap.module!r} is called {calls} times.", f"Say which call: {choices}.")
        nodes = [
            recording.nodes[s.node]
            for s in recording.sightings
            if (s.module, s.call, s.at_input) == (tap.module, tap.call, tap.at_input)
        ]
        if not nodes:
            raise ModelError(
                f"{name!r} gives no tensor computed from the image (it is called {calls} times).",
                _candidates(recording),
            )
        if nodes[0].stride is None:
            raise ModelError(f"{name!r} has shape {nodes[0].shape}, not a feature map's.", _candidates(recording))
        found.append(_level(name, nodes[0]))
    return tuple(sorted(found, key=_fineness))


def _choose_levels(recording: Recording) -> tuple[Level, ...]:
    graph = _Graph(recording)
    found: list[Level] = []
    for stride in graph.strides():
        name_and_node = graph.level_at(stride)
        if name_and_node is not None:
            found.append(_level(*name_and_node))
    if not found:
        raise ModelError(
            "No module of the network gives a feature map that its output depends on.",
            "Build it of modules (torch.nn.Conv2d, …) instead of functions, or name levels yourself.",
        )
    graph.refuse_token_networks(found)
    return tuple(sorted(found, key=_fineness))


def _level(name: str, node: Node) -> Level:
    assert node.stride is not None
    return Level(name, node.shape[1], node.shape[2:], node.stride)


def _fineness(level: Level) -> float:
    voxels = 1.0
    for n in level.size:
        voxels *= n
    return -voxels


def _name_of(cnn: nn.Module, module: nn.Module) -> str:
    for name, candidate in cnn.named_modules():
        if candidate is module:
            return name
    raise ModelError(f"The {type(module).__name__} given as a level is not part of the network.", "Give a submodule.")


def _candidates(recording: Recording) -> str:
    """Name the modules that give feature maps, the outermost of each map."""
    names: dict[int, str] = {}
    for seen in recording.sightings:
        if not seen.at_input and seen.module and recording.nodes[seen.node].stride is not None:
            names[seen.node] = _spell(recording, seen.module, seen.call, seen.at_input)
    shown = list(names.values())[-12:]
    return f"Feature maps are given by: {', '.join(shown)}." if shown else "No module gives a feature map."


def _spell(recording: Recording, module: str, call: int, at_input: bool) -> str:
    return module + (f"#{call}" if recording.calls[module] > 1 else "") + (":input" if at_input else "")


class _Graph:
    """The part of a recording between the image and the output."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        nodes = recording.nodes
        needed = set(recording.outputs)
        for node in reversed(nodes):
            if node.index in needed:
                needed.update(node.parents)
        self.nodes = [node for node in nodes if node.index in needed]
        self.leads_to = self._strides_ahead()
        self.dominator, self.depth = self._dominators()

    def _strides_ahead(self) -> dict[int, set[Stride]]:
        """For each node, the strides of the next feature maps computed from it (`HEAD`: the output)."""
        ahead: dict[int, set[Stride]] = {node.index: set() for node in self.nodes}
        for index in self.recording.outputs:
            ahead[index].add(HEAD)
        for node in reversed(self.nodes):
            seen_from_parent = ahead[node.index] if node.stride is None else {node.stride}
            for parent in node.parents:
                ahead[parent] |= seen_from_parent
        return ahead

    def _dominators(self) -> tuple[dict[int, int], dict[int, int]]:
        """For each node, the nearest node that all data on its way to it passes through."""
        dominator, depth = {0: 0}, {0: 0}
        for node in self.nodes:
            if node.index == 0:
                continue
            nearest = node.parents[0]
            for parent in node.parents[1:]:
                nearest = _meet(dominator, depth, nearest, parent)
            dominator[node.index], depth[node.index] = nearest, depth[nearest] + 1
        return dominator, depth

    def strides(self) -> list[Stride]:
        """Strides of the learned feature maps that the output depends on."""
        return list(dict.fromkeys(n.stride for n in self.nodes if n.stride is not None and n.learned))

    def level_at(self, stride: Stride) -> tuple[str, Node] | None:
        """Return name and node of the level at a stride; None where no module shows one."""
        here = [n for n in self.nodes if n.stride == stride and n.learned]
        last_visit = max(n.visits[stride] for n in here)
        here = [n for n in here if n.visits[stride] == last_visit]
        exits = [n for n in here if HEAD in self.leads_to[n.index]]
        to_head = bool(exits)
        exits = exits or [n for n in here if self.leads_to[n.index] - {stride}]
        members = {n.index for n in here}
        common = exits[0].index
        for node in exits[1:]:
            common = _meet(self.dominator, self.depth, common, node.index)
        if common not in members:
            if to_head:
                names = [name for name in (self._visible_name(n.index) for n in exits) if name]
                raise ModelError(
                    f"The network has several streams at stride {_describe(stride)} that never merge: "
                    f"{', '.join(names)}.",
                    "Choose with levels=[…].",
                )
            common = exits[-1].index
        # The nearest dominator that a hook can read; failing that, what was computed last before it.
        dominators = []
        walk = common
        while walk in members:
            dominators.append(walk)
            walk = self.dominator[walk]
        others = [n.index for n in reversed(here) if n.index < common]
        for index in dominators + others:
            name = self._visible_name(index)
            if name and not is_padding(self.recording.nodes[index].operator):
                return name, self.recording.nodes[index]
        return None

    def _visible_name(self, node: int) -> str | None:
        """Name the outermost module that gives the node, or the outermost that takes it."""
        seen = [s for s in self.recording.sightings if s.node == node and s.module]
        if not seen:
            return None
        best = min(seen, key=lambda s: (s.at_input, s.module.count(".")))
        return _spell(self.recording, best.module, best.call, best.at_input)

    def refuse_token_networks(self, found: Sequence[Level]) -> None:
        """Raise `ModelError` where most layers work on sequences, whose maps no level holds (ViT, Swin, mixers)."""
        tokens = [n for n in self.nodes if n.stride is None and is_layer(n.operator) and n.shape[0] * _rows(n) > 1]
        tokens = [n for n in tokens if HEAD in self.leads_to[n.index]]
        maps = [n for n in self.nodes if n.stride is not None and is_layer(n.operator)]
        if len(tokens) > len(maps):
            raise ModelError(
                f"The network works on token sequences ({len(tokens)} layers against {len(maps)} on feature maps); its "
                f"only feature maps are {', '.join(level.name for level in found)}.",
                "HR-CAM needs a CNN; to use these maps all the same, pass their names as levels.",
            )


def _rows(node: Node) -> int:
    """Positions that a dense layer's result holds: 1 for a classifier's vector."""
    rows = 1
    for n in node.shape[1:-1]:
        rows *= n
    return rows


def _meet(dominator: dict[int, int], depth: dict[int, int], a: int, b: int) -> int:
    while a != b:
        if depth[a] >= depth[b]:
            a = dominator[a]
        else:
            b = dominator[b]
    return a


def _describe(stride: Stride) -> str:
    return "×".join(f"{s:g}" for s in stride)


@contextmanager
def _undisturbed(cnn: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, and give it back as it was: training flags and buffers."""
    training = {module: module.training for module in cnn.modules()}
    buffers = {name: buffer.clone() for name, buffer in cnn.named_buffers()}
    cnn.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
        with torch.no_grad():
            for name, buffer in cnn.named_buffers():
                if name in buffers and not torch.equal(buffer, buffers[name]):
                    buffer.copy_(buffers[name])


def _run(cnn: nn.Module, example: Tensor | None, num_dims: int | None, run: Callable[[Tensor], T]) -> T:
    """Apply `run` to the example, or to the first made-up input that the network accepts."""
    with _undisturbed(cnn):
        if example is not None:
            if not isinstance(example, Tensor) or example.ndim not in (4, 5) or len(example) < 1:
                raise ModelError("The example is not an image.", "Give a tensor B×C×H×W or B×C×D×H×W.")
            try:
                return run(example[:1])
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(
                    f"The network fails on the example of shape {tuple(example.shape)}: {_first_line(error)}",
                    "Give an example that it accepts.",
                ) from error
        first: Exception | None = None
        tried = []
        for image in _examples(cnn, num_dims):
            try:
                return run(image)
            except ModelError:
                raise
            except Exception as error:
                first = first or error
                tried.append("×".join(map(str, image.shape[1:])))
        raise ModelError(
            f"The network accepts none of the inputs tried ({', '.join(tried)}): {_first_line(first)}",
            "Give example=, a tensor that it accepts.",
        )


def _examples(cnn: nn.Module, num_dims: int | None) -> Iterator[Tensor]:
    """Made-up inputs, the likeliest first."""
    kernels = [m.weight for m in cnn.modules() if isinstance(m, _CONVOLUTIONS)]
    kernels = kernels or [p for p in cnn.parameters() if p.ndim in (4, 5)]
    if not kernels:
        raise ModelError("The network has no 2D or 3D convolution.", "HR-CAM needs a CNN.")
    convolution = next((m for m in cnn.modules() if isinstance(m, _CONVOLUTIONS)), None)
    dims = num_dims or kernels[0].ndim - 2
    if dims not in _SIZES:
        raise ModelError(f"num_dims is {num_dims!r}.", "Give 2 or 3.")
    first = convolution.in_channels if convolution is not None else kernels[0].shape[1]
    generator = torch.Generator().manual_seed(0)
    for channels in dict.fromkeys((first, 1, 3)):
        for size in _SIZES[dims]:
            image = torch.randn(1, channels, *size, generator=generator)
            yield image.to(device=kernels[0].device, dtype=kernels[0].dtype)


def _first_line(error: Exception | None) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}."
