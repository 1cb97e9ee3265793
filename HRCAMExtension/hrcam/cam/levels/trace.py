"""What a CNN does to an image, recorded: which tensor came from which, and at which stride of the image.

One run of the network is watched at the level of torch's operators, so functional operations, in-place writes and views
are seen as well as modules. `graph.py` reads the recording.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..feature_maps import MapName

Stride = tuple[float, ...]
"""Input voxels per voxel of a feature map, per axis."""

_DENSE = frozenset({"linear", "addmm", "mm", "bmm", "baddbmm", "matmul", "einsum", "scaled_dot_product_attention"})
# These may move axes: their result is a feature map only where its size is that of one already known.
_REARRANGING = _DENSE | {
    *("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "numpy_T", "matrix_H", "mT"),
    *("view", "_unsafe_view", "reshape", "flatten", "unflatten", "as_strided", "expand", "unfold", "im2col", "col2im"),
}
_CUTTING = {"slice", "narrow", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk"}

_SMALLEST_ADAPTIVE = 8
"""An adaptive pooling to fewer voxels a side ends the feature maps (heads take 7, pyramids of context 6 and less)."""


@dataclass
class Node:
    """One tensor at one time; `stride` is None where it is not a feature map (pooled, flattened, tokens)."""

    index: int
    operator: str
    parents: tuple[int, ...]
    shape: tuple[int, ...]
    stride: Stride | None
    learned: bool
    around: frozenset[Stride]
    """Strides of the feature maps that it was last computed from (its own where it is one)."""
    visits: dict[Stride, int]
    """How often the data on its way here entered each stride: 2 for a decoder's map at an encoder's stride."""
    warped: bool = False
    """Whether it was sampled at places that the network computed from the image."""


@dataclass
class Recording:
    """A recorded run.

    Attributes
    ----------
    image : B×C×*size.
    nodes : in order of execution; node 0 is the image.
    seen : the node that each module took or gave, where a hook can read it.
    calls : how often each module was called.
    outputs : the network's output, or what it had last where it failed.
    error : how it failed.
    """

    image: Tensor
    nodes: list[Node]
    seen: dict[MapName, int]
    calls: dict[str, int]
    outputs: tuple[int, ...]
    error: Exception | None

    @cached_property
    def names(self) -> dict[int, str]:
        """Each node that a module shows, named by the outermost that gives it, else by the outermost that takes it."""
        best: dict[int, MapName] = {}
        for name in sorted(self.seen, key=lambda name: (name.at_input, name.module.count("."))):
            if name.module:
                best.setdefault(self.seen[name], name)
        return {node: name.spell(self.calls[name.module] > 1) for node, name in best.items()}


class _Recorder(TorchDispatchMode):
    """Watches operators and keeps, for each tensor that depends on the image, its latest node."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here: skipping the compiler would import it, a second at the first use of a network."""
        return False

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.num_dims = image.ndim - 2
        one: Stride = (1.0,) * self.num_dims
        self.nodes = [Node(0, "image", (), tuple(image.shape), one, False, frozenset({one}), {one: 1})]
        self.alive: list[Tensor] = [image]  # keeps ids and storages from being given to other tensors
        self.of_tensor: dict[int, int] = {id(image): 0}
        self.of_storage: dict[int, int] = {}
        self.known: dict[tuple[int, ...], Stride] = {tuple(image.shape[2:]): one}
        self.latest: tuple[int, ...] = (0,)  # what the last operator gave, or took where it failed

    def node_of(self, tensor: Any) -> int | None:
        """Return the latest node of a tensor, None where it does not depend on the image."""
        if not isinstance(tensor, Tensor):
            return None
        own = self.of_tensor.get(id(tensor))
        written = self.of_storage.get(_storage(tensor))
        if written is not None and (own is None or written > own):  # written to through another view
            parents = (written,) if own is None else (own, written)
            stride = self.nodes[parents[0]].stride if own is not None else self._plain_stride(tensor, parents)
            own = self._add(tensor, "alias", parents, stride)
        return own

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        parents: tuple[int, ...] = ()
        try:
            result = func(*args, **kwargs)
        finally:  # also of an operator that fails
            nodes = dict.fromkeys(self.node_of(value) for value in tree_leaves((args, kwargs)))
            parents = tuple(node for node in nodes if node is not None)
            self.latest = parents or self.latest
        if parents:
            arguments = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
            name = func.overloadpacket.__name__
            written = tree_leaves([arguments.get(argument.name) for argument in func._schema.arguments
                                   if argument.alias_info is not None and argument.alias_info.is_write])  # fmt: skip
            given = {id(t): t for t in (*written, *tree_leaves(result)) if isinstance(t, Tensor)}
            strides = [self._stride(t, name, parents, arguments) for t in given.values()]
            self.latest = tuple(self._add(t, name, parents, stride)
                                for t, stride in zip(given.values(), strides, strict=True))  # fmt: skip
            for tensor in written:
                if isinstance(tensor, Tensor):
                    self.of_storage[_storage(tensor)] = self.of_tensor[id(tensor)]
        return result

    def _add(self, tensor: Tensor, operator: str, parents: tuple[int, ...], stride: Stride | None) -> int:
        if tensor.ndim and len(tensor) != self.nodes[0].shape[0]:
            stride = None  # parts of the image, side by side in the batch
        before = [self.nodes[p] for p in parents]
        around = frozenset().union(*(node.around for node in before))
        visits: dict[Stride, int] = {}
        for node in before:
            for key, count in node.visits.items():
                visits[key] = max(count, visits.get(key, 0))
        if stride is not None:
            if stride not in around:
                visits[stride] = visits.get(stride, 0) + 1
            around = frozenset({stride})
            if not is_padding(operator):
                self.known.setdefault(tuple(tensor.shape[2:]), stride)
        learned = is_layer(operator) or any(node.learned for node in before)
        warped = (operator.startswith("grid_sampler") and len(parents) > 1) or any(node.warped for node in before)
        index = len(self.nodes)
        self.nodes.append(Node(index, operator, parents, tuple(tensor.shape), stride, learned, around, visits, warped))
        self.alive.append(tensor)
        self.of_tensor[id(tensor)] = index
        return index

    def _stride(self, out: Tensor, name: str, parents: Iterable[int], arguments: dict[str, Any]) -> Stride | None:
        """Return the stride of an operator's result, None where it is not a feature map."""
        if out.ndim != self.num_dims + 2 or max(out.shape[2:]) <= 1:
            return None
        source = self.nodes[next(iter(parents))]
        before = source.stride
        if "adaptive" in name:  # small ones are the head's, or the context of a pyramid
            if before is None or min(out.shape[2:]) < _SMALLEST_ADAPTIVE:
                return None
            return tuple(s * a / b for s, a, b in zip(before, source.shape[2:], out.shape[2:], strict=True))
        if name in _CUTTING and before is not None:
            dim, step = int(arguments.get("dim", 0)) % out.ndim, int(arguments.get("step", 1))
            return tuple(s * step if n + 2 == dim else s for n, s in enumerate(before))
        if is_padding(name):
            return before
        if is_convolution(name) or "pool" in name:
            before = before or self._folded_stride(source)
            # torch's default for pooling is the kernel's size
            steps = arguments.get("stride") or ("pool" in name and arguments.get("kernel_size")) or 1
            steps = [steps] * self.num_dims if isinstance(steps, int) else list(steps)
            steps = steps * self.num_dims if len(steps) == 1 else steps
            up = "transpose" in name or bool(arguments.get("transposed"))
            return before and tuple(s / n if up else s * n for s, n in zip(before, steps, strict=True))
        return self._known_stride(out, parents) if name in _REARRANGING else self._plain_stride(out, parents)

    def _plain_stride(self, out: Tensor, parents: Iterable[int]) -> Stride | None:
        """Stride after an operator that keeps axes in place: arithmetic, normalization, cropping, resizing."""
        size = tuple(out.shape[2:])
        maps = [n for n in (self.nodes[p] for p in parents) if n.stride is not None]
        same = next((node.stride for node in maps if node.shape[2:] == size), None)
        if same is not None or out.ndim != self.num_dims + 2 or max(size) <= 1:
            return same
        if not maps:
            return self._known_stride(out, parents)
        if min(size) < 1 or size in self.known:
            return self.known.get(size)
        first = maps[0]
        return tuple(s * _ratio(a / b) for s, a, b in zip(first.stride or (), first.shape[2:], size, strict=True))

    def _known_stride(self, out: Tensor, parents: Iterable[int]) -> Stride | None:
        stride = self.known.get(tuple(out.shape[2:]))
        return stride if any(stride in self.nodes[p].around for p in parents) else None

    def _folded_stride(self, node: Node) -> Stride | None:
        """Stride of a map whose cells were made of several voxels each by views of any kind (space to depth)."""
        if len(node.shape) != self.num_dims + 2 or node.operator not in _REARRANGING - _DENSE:
            return None
        for size, stride in self.known.items():
            shares = [round(whole / n) for whole, n in zip(size, node.shape[2:], strict=True)]
            exact = [whole / max(share, 1) for whole, share in zip(size, shares, strict=True)]
            if stride in node.around and all(abs(n - e) < 2 for n, e in zip(node.shape[2:], exact, strict=True)):
                return tuple(s * share for s, share in zip(stride, shares, strict=True))
        return None


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def is_convolution(operator: str) -> bool:
    """Whether an operator is a convolution, transposed or not."""
    return "conv" in operator and "convert" not in operator


def is_padding(operator: str) -> bool:
    """Whether an operator only adds a border: its result lies off the grid and is never a level."""
    return operator == "pad" or "_pad" in operator


def is_layer(operator: str) -> bool:
    """Whether an operator mixes channels or voxels by weights."""
    return is_convolution(operator) or operator in _DENSE


def _ratio(ratio: float) -> float:
    """A whole step down or up; sizes that differ by less than a third differ by cropping or padding."""
    if 0.75 < ratio < 4 / 3:
        return 1.0
    return float(round(ratio)) if ratio > 1 else 1.0 / round(1 / ratio)


def _main_output(output: Any) -> list[Tensor]:
    """Return the logits of an output, whatever comes with them; all feature maps of a backbone without logits."""
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        return [output["logits"]]
    leaves = tree_leaves(vars(output) if is_dataclass(output) else output)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    return next(([one] for one in tensors if max(one.shape[2:], default=1) <= 1), tensors)


def record(cnn: nn.Module, image: Tensor) -> Recording:
    """Run `cnn` once on B×C×*size and record what happens, its failure too.

    Leaves no hook; modes and buffers are the caller's care.
    """
    recorder = _Recorder(image)
    seen: dict[MapName, int] = {}
    calls: dict[str, int] = {}
    entered: dict[str, list[int]] = {}
    handles = []

    def see(name: str, call: int, at_input: bool, value: Any) -> None:
        node = recorder.node_of(value)
        if node is not None:
            seen[MapName(name, call, at_input)] = node

    def watch(name: str, module: nn.Module) -> None:
        def enter(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            calls[name] = calls.get(name, 0) + 1
            entered.setdefault(name, []).append(calls[name])
            see(name, calls[name], True, inputs[0] if inputs else None)

        def leave(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            see(name, entered[name].pop(), False, output)

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))

    error, outputs = None, recorder.latest
    try:
        for name, module in cnn.named_modules():
            watch(name, module)
        with torch.inference_mode(), recorder:
            output = cnn(image)
        outputs = tuple(node for node in map(recorder.node_of, _main_output(output)) if node is not None)
    except Exception as failure:
        error, outputs = failure.with_traceback(None), recorder.latest  # a traceback would keep all maps alive
    finally:
        for handle in handles:
            handle.remove()
    return Recording(image, recorder.nodes, seen, calls, outputs, error)
