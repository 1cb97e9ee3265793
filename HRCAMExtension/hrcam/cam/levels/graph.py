"""Which map is the level of a resolution: the way of the data through a recorded run, read as a graph.

The rules are in `find.py`, the recording in `trace.py`.
"""

from collections.abc import Iterable, Sequence
from math import prod

from ...errors import ModelError
from .trace import Node, Recording, Stride, is_layer, is_padding

_HEAD: Stride = ()
"""Stands for the classifier's output where a stride is asked for."""

_EXTREMES = frozenset({"amax", "amin", "aminmax", "max", "min"})


class Graph:
    """The part of a recording between the image and the output.

    Attributes
    ----------
    nodes : what the output depends on, in order of execution.
    ways : of each node, on how many ways data comes there from the image.
    leads_to : of each node, the strides of the next feature maps computed from it (`_HEAD`: the output).
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        needed = set(recording.outputs)
        for node in reversed(recording.nodes):
            if node.index in needed:
                needed.update(node.parents)
        self.nodes = [node for node in recording.nodes if node.index in needed]
        self.ways: dict[int, int] = {}
        for node in self.nodes:
            self.ways[node.index] = sum(self.ways[parent] for parent in node.parents) or 1
        self.leads_to: dict[int, set[Stride]] = {node.index: set() for node in self.nodes}
        for index in recording.outputs:
            self.leads_to[index].add(_HEAD)
        for node in reversed(self.nodes):
            for parent in node.parents:
                self.leads_to[parent] |= self.leads_to[node.index] if node.stride is None else {node.stride}

    def strides(self) -> list[Stride]:
        """Strides of the learned feature maps that the output depends on."""
        return list(dict.fromkeys(n.stride for n in self.nodes if n.stride is not None and n.learned))

    def level_at(self, stride: Stride) -> tuple[str, Node] | None:
        """Return name and node of the level at a stride; None where no module shows one."""
        here = [n for n in self.nodes if n.stride == stride and n.learned]
        last_visit = max(n.visits[stride] for n in here)
        here = [n for n in here if n.visits[stride] == last_visit]
        to_head = [n.index for n in here if _HEAD in self.leads_to[n.index]]
        exits = to_head or [n.index for n in here if self.leads_to[n.index] - {stride}]
        wanted = self._bottlenecks(exits)[-1]
        names = self.recording.names
        if wanted not in {n.index for n in here}:
            if to_head:
                raise ModelError(
                    f"The network has several streams at stride {'×'.join(f'{s:g}' for s in stride)} that never "
                    f"merge: {', '.join(names[index] for index in exits if index in names)}.",
                    "Choose with levels=[…].",
                )
            wanted = exits[-1]
        visible = [(names[index], self.recording.nodes[index]) for index in self._stand_ins(wanted, here, stride)
                   if index in names and not is_padding(self.recording.nodes[index].operator)]  # fmt: skip
        return next((one for one in visible if not self._overhangs(one[1])), visible[0] if visible else None)

    def _bottlenecks(self, targets: Iterable[int]) -> list[int]:
        """The nodes that all data on its way from the image to any of the targets passes through, in order."""
        onward = dict.fromkeys((node.index for node in self.nodes), 0) | dict.fromkeys(targets, 1)
        for node in reversed(self.nodes):
            for parent in node.parents:
                onward[parent] += onward[node.index]
        total = sum(self.ways[target] for target in targets)
        return [index for index, ways in self.ways.items() if ways * onward[index] == total]

    def _overhangs(self, node: Node) -> bool:
        """Whether voxels of a map lie beyond the image, as where more is padded than a convolution takes.

        Laid on the image, such a map would be squeezed, and at no size would the fused map keep its mean.
        """
        image = self.recording.nodes[0].shape[2:]
        return any((n - 1) * s > whole for n, s, whole in zip(node.shape[2:], node.stride or (), image, strict=True))

    def _stand_ins(self, wanted: int, visit: Sequence[Node], stride: Stride) -> list[int]:
        """A map and, for where no hook can read it, what comes next to it, the nearest first.

        Maps of this visit that all its data passes through; what layers of this visit computed last before it with as
        many channels (a branch of a sum, not the one channel of an attention gate); maps of earlier visits that all its
        data passes through; the rest.
        """
        members = {n.index for n in visit}
        passed = [self.recording.nodes[index] for index in reversed(self._bottlenecks([wanted]))]
        through = [n.index for n in passed if n.index in members]
        earlier = [n.index for n in passed if n.index not in members and n.stride == stride and n.learned]
        before = [n for n in reversed(visit) if n.index < wanted]
        channels = self.recording.nodes[wanted].shape[1]
        computed: set[int] = set()
        for n in visit:
            if is_layer(n.operator) or computed & set(n.parents):
                computed.add(n.index)
        alike = [n.index for n in before if n.shape[1] == channels and n.index in computed]
        return [*through, *alike, *earlier, *(n.index for n in before)]

    def refuse_scaling_by_extremes(self) -> None:
        """Raise `ModelError` where the image is scaled by its own extremes: any place may then change all others."""
        for node in self.nodes:
            if node.operator in _EXTREMES and not node.learned and max(node.shape[2:], default=1) == 1:
                raise ModelError(
                    f"The network scales the image by its own extremes ({node.operator}): a change at one place "
                    "changes all places, so its evidence cannot be placed on the image.",
                    "Scale the images beforehand, and wrap the part of the network that takes them so.",
                )

    def refuse_token_networks(self, found: Sequence[str]) -> None:
        """Raise `ModelError` where most layers work on sequences, whose maps no level holds (ViT, Swin, mixers)."""
        layers = [n for n in self.nodes if is_layer(n.operator)]
        maps = [n for n in layers if n.stride is not None]
        # A classifier's vector is no sequence: it has one position.
        tokens = [n for n in layers if n.stride is None and n.shape[0] * prod(n.shape[1:-1]) > 1
                  and _HEAD in self.leads_to[n.index]]  # fmt: skip
        if len(tokens) > len(maps):
            raise ModelError(
                f"The network works on token sequences ({len(tokens)} layers against {len(maps)} on feature maps); its "
                f"only feature maps are {', '.join(found)}.",
                "HR-CAM needs a CNN; to use these maps all the same, pass their names as levels.",
            )
