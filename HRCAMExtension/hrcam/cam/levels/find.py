"""Find the last feature map at each resolution of any CNN classifier, by running it once.

What "last" means, on the graph of data that `trace.record` sees:

* A feature map's resolution is its stride, followed from operator to operator, so unpadded convolutions and odd sizes
  do not split a resolution. Global pools, tokens, dead branches and auxiliary outputs are no feature maps.
* Where a network returns to a resolution (U-Net, feature pyramid, hourglass), the last visit counts. Where a map of
  that visit feeds the classifier directly, it is the level.
* Otherwise the level is the last map that *everything* leaving the resolution passes through (the nearest common
  dominator): the end of a stage, not a layer inside one branch of the next stage's first block.
* Parallel streams of one resolution that never merge have no such map: that is ambiguous, and an error. Streams that
  merge at a coarser resolution give the one computed last.
* A map that cannot be laid on the image, because the network mirrored, rolled or warped it or cut a part out of it, is
  an error: its evidence would be shown at the wrong place. `place` finds that out.
* A map that is padded beyond the image is passed over for one next to it that lies on the image, where there is one.
* Hooks see what modules take and give: a purely functional result is read where the next module takes it
  (``pool:input``), else the map before it is taken. A shared module's calls are told apart (``relu#3``). Of several
  modules with the same result the outermost is named.
* What is put together anew (slices that become a volume again), or joined with a mirror image of itself, cannot be
  followed. The module that gives it says its stride itself, as ``level_stride``, one number an axis, and with it that
  its output lies on the image; it is then named by the user.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from torch import Tensor, nn

from ...errors import ModelError
from ..feature_maps import MapName, find_module
from .example_run import run_example, unwrap, wrap_the_part
from .graph import Graph
from .place import find_places
from .trace import Node, Recording, is_convolution


@dataclass(frozen=True)
class Level:
    """A feature map that HR-CAM reads.

    Attributes
    ----------
    name : ``module[#call][:input]``, see `feature_maps`.
    channels : C.
    size : spatial size for the example that was run, axis order of the input.
    stride : input voxels per voxel, per axis.
    """

    name: str
    channels: int
    size: tuple[int, ...]
    stride: tuple[float, ...]


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
    recording = run_example(cnn, example, num_dims)
    return _choose_levels(cnn, recording)


def resolve_levels(
    cnn: nn.Module, levels: Sequence[str | nn.Module], example: Tensor | None = None
) -> tuple[Level, ...]:
    """Measure the levels that the user names, fine → coarse (levels of equal size keep their order).

    Parameters
    ----------
    levels : names as in `feature_maps`, or submodules of `cnn`.

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
        find_module(cnn, MapName.parse(name).module)
    recording = run_example(cnn, example)
    return _placed(cnn, recording, [(name, _named_map(cnn, name, recording)) for name in names])


def _named_map(cnn: nn.Module, name: str, recording: Recording) -> Node:
    where = MapName.parse(name)
    calls = recording.calls.get(where.module, 0)
    if calls > 1 and "#" not in name:
        choices = ", ".join(f"{where.module}#{call}" for call in range(1, calls + 1))
        raise ModelError(f"Module {where.module!r} is called {calls} times.", f"Say which call: {choices}.")
    if where not in recording.seen:
        raise ModelError(f"{name!r} gives no tensor computed from the image (it is called {calls} times).",
                         _candidates(recording))  # fmt: skip
    node = recording.nodes[recording.seen[where]]
    declared = None if where.at_input else getattr(find_module(cnn, where.module), "level_stride", None)
    if declared is not None and (node.stride is None or node.warped):
        image, stride = recording.image.shape, tuple(map(float, declared))
        if len(node.shape) == len(image) == len(stride) + 2 and all(
            abs(n * step - whole) < step for n, step, whole in zip(node.shape[2:], stride, image[2:], strict=True)
        ):
            return replace(node, stride=stride, warped=False)
    if node.stride is None:
        raise ModelError(f"{name!r} has shape {node.shape}, not a feature map's.", _candidates(recording))
    return node


def _choose_levels(cnn: nn.Module, recording: Recording) -> tuple[Level, ...]:
    graph = Graph(recording)
    graph.refuse_scaling_by_extremes()
    found = [level for stride in graph.strides() if (level := graph.level_at(stride)) is not None]
    if found:
        graph.refuse_token_networks([name for name, _ in found])
        return _placed(cnn, recording, found)
    axes = recording.image.ndim
    if any(is_convolution(n.operator) and len(n.shape) != axes for n in recording.nodes):
        raise ModelError(
            f"The network's convolutions do not work on its {axes - 2}D input as a whole, but on slices of it.",
            wrap_the_part(cnn),
        )
    # Maps are lost from sight where the network exchanges or mixes up their axes; then the last one's fault is told.
    lost = [(name, node) for name, node in _shown(recording)
            if node.learned and len(node.shape) == axes and min(node.shape[2:]) > 1]  # fmt: skip
    _placed(cnn, recording, lost[-1:])
    raise ModelError(
        "No module of the network gives a feature map that its output depends on.",
        "Build it of modules (torch.nn.Conv2d, …) instead of functions, or name levels yourself.",
    )


def _placed(cnn: nn.Module, recording: Recording, found: Sequence[tuple[str, Node]]) -> tuple[Level, ...]:
    """The levels, fine → coarse; raise `ModelError` where the evidence of one would be shown at the wrong place."""
    for (name, _), fault in zip(found, _faults(cnn, recording, found), strict=True):
        if fault:
            raise ModelError(
                f"{name!r} shows the image {fault}, so its evidence cannot be placed on it.",
                "Wrap the part of the network that sees the image as it is, and do the rest to the image beforehand, "
                "give example=, an image of the size that you use, or choose other maps with levels=[…]. "
                + _candidates(recording, cnn),
            )
    levels = [Level(name, node.shape[1], node.shape[2:], node.stride or ()) for name, node in found]
    return tuple(sorted(levels, key=lambda level: -prod(level.size)))


def _faults(cnn: nn.Module, recording: Recording, maps: Sequence[tuple[str, Node]]) -> list[str | None]:
    """Why each map's evidence cannot be placed on the image, None where it can."""
    places = find_places(cnn, [name for name, _ in maps], recording.image, [node.stride for _, node in maps])
    return ["warped by the network itself" if node.warped else place.fault
            for (_, node), place in zip(maps, places, strict=True)]  # fmt: skip


def _name_of(cnn: nn.Module, module: nn.Module) -> str:
    for name, candidate in cnn.named_modules():
        if candidate is module:
            return name
    raise ModelError(f"The {type(module).__name__} given as a level is not part of the network.", "Give a submodule.")


def _candidates(recording: Recording, cnn: nn.Module | None = None) -> str:
    """Name the modules that give feature maps, the outermost of each map; with a CNN, those that lie on the image."""
    maps = [(name, node) for name, node in _shown(recording) if node.stride is not None]
    if cnn is not None:
        maps = [one for one, fault in zip(maps, _faults(cnn, recording, maps), strict=True) if fault is None]
    return (f"Feature maps are given by: {', '.join(name for name, _ in maps[-12:])}." if maps else
            f"No {'other ' * (cnn is not None)}module gives one.")  # fmt: skip


def _shown(recording: Recording) -> list[tuple[str, Node]]:
    """Maps and other tensors that modules give, each named by the outermost."""
    return [(name, recording.nodes[index]) for index, name in recording.names.items() if not name.endswith(":input")]
