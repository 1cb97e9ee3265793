"""Which map is the level of a resolution: the way of the data through a recorded run, read as a graph.

The rules are in `find.py`, the recording in `trace.py`.
"""

from collections.abc import Sequence

from ...errors import ModelError
from .trace import HEAD, Node, Recording, Stride, is_layer, is_padding


class Graph:
    """The part of a recording between the image and the output.

    Attributes
    ----------
    nodes : what the output depends on, in order of execution.
    leads_to : of each node, the strides of the next feature maps computed from it (`HEAD`: the output).
    dominator, depth : of each node, the nearest node that all data on its way to it passes through, and how many.
    """

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
                names = [self.recording.names[n.index] for n in exits if n.index in self.recording.names]
                raise ModelError(
                    f"The network has several streams at stride {_describe(stride)} that never merge: "
                    f"{', '.join(names)}.",
                    "Choose with levels=[…].",
                )
            common = exits[-1].index
        visible = [(self.recording.names[node.index], node)
                   for node in map(self.recording.nodes.__getitem__, self._stand_ins(common, here, stride))
                   if node.index in self.recording.names and not is_padding(node.operator)]  # fmt: skip
        return next((one for one in visible if not self._overhangs(one[1])), visible[0] if visible else None)

    def _overhangs(self, node: Node) -> bool:
        """Whether voxels of a map lie beyond the image, as where more is padded than a convolution takes.

        Laid on the image, such a map would be squeezed, and at no size would the fused map keep its mean.
        """
        assert node.stride is not None
        image = self.recording.nodes[0].shape[2:]
        return any((n - 1) * s > whole for n, s, whole in zip(node.shape[2:], node.stride, image, strict=True))

    def _stand_ins(self, wanted: int, visit: Sequence[Node], stride: Stride) -> list[int]:
        """A map and, for where no hook can read it, what comes next to it, the nearest first.

        Maps of this visit that all its data passes through; what layers of this visit computed last before it with as
        many channels (a branch of a sum, not the one channel of an attention gate); maps of earlier visits that all its
        data passes through; the rest.
        """
        members = {n.index for n in visit}
        through, earlier = [], []
        walk = wanted
        while walk != self.dominator[walk]:
            node = self.recording.nodes[walk]
            if walk in members:
                through.append(walk)
            elif node.stride == stride and node.learned:
                earlier.append(walk)
            walk = self.dominator[walk]
        before = [n for n in reversed(visit) if n.index < wanted]
        channels = self.recording.nodes[wanted].shape[1]
        computed: set[int] = set()
        for n in visit:
            if is_layer(n.operator) or computed & set(n.parents):
                computed.add(n.index)
        alike = [n.index for n in before if n.shape[1] == channels and n.index in computed]
        return [*through, *alike, *earlier, *(n.index for n in before)]

    def refuse_token_networks(self, found: Sequence[str]) -> None:
        """Raise `ModelError` where most layers work on sequences, whose maps no level holds (ViT, Swin, mixers)."""
        tokens = [n for n in self.nodes if n.stride is None and is_layer(n.operator) and n.shape[0] * _rows(n) > 1]
        tokens = [n for n in tokens if HEAD in self.leads_to[n.index]]
        maps = [n for n in self.nodes if n.stride is not None and is_layer(n.operator)]
        if len(tokens) > len(maps):
            raise ModelError(
                f"The network works on token sequences ({len(tokens)} layers against {len(maps)} on feature maps); its "
                f"only feature maps are {', '.join(found)}.",
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
